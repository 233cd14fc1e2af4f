//! What becomes of a stage when its resource is deleted.

use authentik_stage_operator::api::conditions;
use devkit::gateway::{Fault, FaultKind};
use kube::{ResourceExt, core::DynamicObject};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{DUO, Test, VALIDATE, collection, is_true, message, test, text, with},
    on_every_version,
};

on_every_version!(
    orphan_leaves_the_stage,
    delete_deletes_a_stage_that_nothing_uses,
    delete_waits_while_a_flow_is_bound,
    delete_waits_while_a_validation_stage_enrols_through_it,
    delete_waits_while_a_device_is_enrolled,
    force_delete_deletes_a_stage_in_use,
    its_own_configuration_stages_do_not_keep_a_stage,
);

/// A resource in sync under this deletion policy; returns its stage.
async fn create(test: &Test, kind: &str, name: &str, policy: &str) -> Value {
    create_with(test, kind, name, json!({"deletionPolicy": policy})).await
}

async fn create_with(test: &Test, kind: &str, name: &str, more: Value) -> Value {
    let mut spec = match kind {
        DUO => test.duo_spec().await,
        _ => json!({}),
    };
    spec["name"] = json!(test.name(name));
    test.apply(kind, name, with(spec, more)).await;
    test.in_sync(kind, name).await;
    stage(test, kind, name).await.expect("the stage is there")
}

async fn stage(test: &Test, kind: &str, name: &str) -> Option<Value> {
    let collection = if kind == DUO { "duo" } else { "validate" };
    test.authentik.stage(collection, &test.name(name)).await
}

/// Waits until the deletion says that it is blocked by this.
async fn blocked(test: &Test, kind: &str, name: &str, by: &str) {
    let resource = waits(test, kind, name, "DeletionBlocked").await;
    let message = message(&resource);
    for part in [by, "deletionPolicy: Orphan", "ForceDelete"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(test.event(name, "DeletionBlocked").await, message);
    assert_eq!(deletions(test), 0);
}

/// Waits until the deletion says with this reason why it waits, and that `Orphan` ends the wait.
async fn waits(test: &Test, kind: &str, name: &str, reason: &str) -> DynamicObject {
    let resource = test.reason(kind, name, reason).await;
    assert!(resource.metadata.deletion_timestamp.is_some());
    assert!(is_true(&resource, conditions::RECONCILING));
    let message = message(&resource);
    assert!(message.contains("deletionPolicy: Orphan"), "{message}");
    resource
}

/// The operator's deletions of stages so far.
fn deletions(test: &Test) -> usize {
    let written = test.written();
    written
        .iter()
        .filter(|(method, ..)| method == "DELETE")
        .count()
}

async fn orphan_leaves_the_stage(test: &Test) {
    test.connect().await;
    for kind in [VALIDATE, DUO] {
        let before = create_with(test, kind, "left", json!({})).await;
        test.delete(kind, "left").await;
        test.gone(kind, "left").await;
        assert_eq!(stage(test, kind, "left").await, Some(before.clone()));
        assert_eq!(deletions(test), 0);
        let path = format!("{}{}/", collection(kind), text(&before["pk"]));
        test.authentik.delete(&path).await;
    }
    let notes = test.events_of("left", "Orphaned", 2).await;
    for note in notes {
        assert!(note.contains(&test.name("left")), "{note}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orphan_does_not_wait_for_the_server() {
    test(async |test| {
        test.connect().await;
        create_with(test, VALIDATE, "left", json!({})).await;
        test.gateway.stop().await;
        test.delete(VALIDATE, "left").await;
        test.gone(VALIDATE, "left").await;
        assert!(stage(test, VALIDATE, "left").await.is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orphan_does_not_wait_for_anything_that_is_missing() {
    test(async |test| {
        test.connect().await;
        create_with(test, DUO, "left", json!({})).await;
        test.delete_secret("duo").await;
        test.reason(DUO, "left", "SecretNotFound").await;
        test.delete_secret("authentik").await;
        test.delete("AuthentikConnection", "default").await;
        test.reason(DUO, "left", "ConnectionNotReady").await;
        test.delete(DUO, "left").await;
        test.gone(DUO, "left").await;
        assert!(stage(test, DUO, "left").await.is_some());
    })
    .await;
}

async fn delete_deletes_a_stage_that_nothing_uses(test: &Test) {
    test.connect().await;
    for kind in [VALIDATE, DUO] {
        create(test, kind, "unused", "Delete").await;
        test.gateway.clear();
        test.delete(kind, "unused").await;
        test.gone(kind, "unused").await;
        assert_eq!(stage(test, kind, "unused").await, None);
        let path = format!("{}{{uuid}}/", collection(kind));
        assert_eq!(test.written(), [("DELETE".to_owned(), path, Value::Null)]);
    }
    test.events_of("unused", "Deleted", 2).await;
}

async fn delete_waits_while_a_flow_is_bound(test: &Test) {
    test.connect().await;
    let used = create(test, VALIDATE, "used", "Delete").await;
    let flow = test.flow("login").await;
    let binding = test.bind(&flow, &used["pk"], 10).await;
    test.delete(VALIDATE, "used").await;
    blocked(test, VALIDATE, "used", &test.name("login")).await;
    test.authentik.delete(&binding).await;
    test.request_reconcile(VALIDATE, "used", "now").await;
    test.gone(VALIDATE, "used").await;
    assert_eq!(stage(test, VALIDATE, "used").await, None);
}

async fn delete_waits_while_a_validation_stage_enrols_through_it(test: &Test) {
    test.connect().await;
    let used = create(test, DUO, "used", "Delete").await;
    let user = json!({"name": test.name("user"), "not_configured_action": "configure", "configuration_stages": [used["pk"]]});
    let user = test.authentik.create(collection(VALIDATE), user).await;
    test.delete(DUO, "used").await;
    blocked(test, DUO, "used", text(&user["name"])).await;
    let path = format!("{}{}/", collection(VALIDATE), text(&user["pk"]));
    test.authentik.delete(&path).await;
    test.request_reconcile(DUO, "used", "now").await;
    test.gone(DUO, "used").await;
    assert_eq!(stage(test, DUO, "used").await, None);
}

async fn delete_waits_while_a_device_is_enrolled(test: &Test) {
    let Some(simulator) = &test.simulator else {
        return;
    };
    test.connect().await;
    let used = create(test, DUO, "used", "Delete").await;
    let uuid = text(&used["pk"]).parse().expect("a UUID");
    simulator.enroll_duo_device(uuid, "phone of Ada");
    test.delete(DUO, "used").await;
    blocked(test, DUO, "used", "phone of Ada").await;
    assert!(stage(test, DUO, "used").await.is_some());
}

async fn force_delete_deletes_a_stage_in_use(test: &Test) {
    test.connect().await;
    let used = create(test, VALIDATE, "used", "ForceDelete").await;
    let flow = test.flow("login").await;
    test.bind(&flow, &used["pk"], 10).await;
    test.delete(VALIDATE, "used").await;
    test.gone(VALIDATE, "used").await;
    assert_eq!(stage(test, VALIDATE, "used").await, None);
    test.event("used", "Deleted").await;
}

async fn its_own_configuration_stages_do_not_keep_a_stage(test: &Test) {
    test.connect().await;
    let totp = test.totp_stage("totp").await;
    let spec = json!({
        "deletionPolicy": "Delete", "notConfiguredAction": "configure", "configurationStages": [{"uuid": totp}],
    });
    create_with(test, VALIDATE, "user", spec).await;
    test.delete(VALIDATE, "user").await;
    test.gone(VALIDATE, "user").await;
    assert_eq!(stage(test, VALIDATE, "user").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flow_that_keeps_a_stage_is_named_once() {
    test(async |test| {
        test.connect().await;
        let used = create(test, VALIDATE, "used", "Delete").await;
        let flows = [test.flow("one").await, test.flow("two").await];
        test.bind(&flows[0], &used["pk"], 10).await;
        test.bind(&flows[0], &used["pk"], 20).await;
        test.bind(&flows[1], &used["pk"], 10).await;
        test.delete(VALIDATE, "used").await;
        let message = message(&waits(test, VALIDATE, "used", "DeletionBlocked").await);
        for flow in ["one", "two"] {
            let slug = format!("flow {}", test.name(flow));
            assert_eq!(message.matches(&slug).count(), 1, "{message}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_is_gone_already_holds_nothing_up() {
    test(async |test| {
        test.connect().await;
        for policy in ["Orphan", "Delete", "ForceDelete"] {
            let name = policy.to_lowercase();
            let gone = create(test, VALIDATE, &name, policy).await;
            let path = format!("{}{}/", collection(VALIDATE), text(&gone["pk"]));
            test.authentik.delete(&path).await;
            test.delete(VALIDATE, &name).await;
            test.gone(VALIDATE, &name).await;
        }
        let events = test.events("delete").await;
        assert!(
            events.iter().all(|(reason, _)| reason != "Deleted"),
            "{events:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_waits_for_a_server_that_is_down_and_goes_on_by_itself() {
    test(async |test| {
        test.connect().await;
        create(test, VALIDATE, "mfa", "Delete").await;
        test.gateway.stop().await;
        test.delete(VALIDATE, "mfa").await;
        waits(test, VALIDATE, "mfa", "AuthentikUnavailable").await;
        test.gateway.start().await;
        test.gone(VALIDATE, "mfa").await;
        assert_eq!(stage(test, VALIDATE, "mfa").await, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_authentiks_deletes_nothing() {
    test(async |test| {
        test.connect().await;
        create(test, VALIDATE, "mfa", "Delete").await;
        // As a proxy does that answers in authentik's place.
        let wrong = Fault::new(FaultKind::WrongJson).method(Method::DELETE);
        let wrong = test.gateway.inject(wrong);
        test.delete(VALIDATE, "mfa").await;
        waits(test, VALIDATE, "mfa", "AuthentikUnavailable").await;
        assert!(stage(test, VALIDATE, "mfa").await.is_some());
        test.gateway.remove(wrong);
        test.gone(VALIDATE, "mfa").await;
        assert_eq!(stage(test, VALIDATE, "mfa").await, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_waits_for_a_connection_that_is_missing_and_goes_on_by_itself() {
    test(async |test| {
        test.connect().await;
        create(test, VALIDATE, "mfa", "ForceDelete").await;
        // It would stay for as long as the stage needs it.
        let is_held = |object: Option<&DynamicObject>| {
            object.is_some_and(|object| !object.finalizers().is_empty())
        };
        let connection = "AuthentikConnection";
        test.until(connection, "default", "held", is_held).await;
        test.delete("AuthentikConnection", "default").await;
        let gone = json!({"metadata": {"finalizers": null}});
        test.patch("AuthentikConnection", "default", gone).await;
        test.gone("AuthentikConnection", "default").await;
        test.delete(VALIDATE, "mfa").await;
        waits(test, VALIDATE, "mfa", "ConnectionNotReady").await;
        test.connect().await;
        test.gone(VALIDATE, "mfa").await;
        assert_eq!(stage(test, VALIDATE, "mfa").await, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orphan_ends_a_wait() {
    test(async |test| {
        test.connect().await;
        let used = create(test, VALIDATE, "blocked", "Delete").await;
        create(test, VALIDATE, "waiting", "Delete").await;
        let flow = test.flow("login").await;
        test.bind(&flow, &used["pk"], 10).await;
        test.delete(VALIDATE, "blocked").await;
        waits(test, VALIDATE, "blocked", "DeletionBlocked").await;
        test.gateway.stop().await;
        test.delete(VALIDATE, "waiting").await;
        waits(test, VALIDATE, "waiting", "AuthentikUnavailable").await;
        for name in ["blocked", "waiting"] {
            let orphan = json!({"spec": {"deletionPolicy": "Orphan"}});
            test.patch(VALIDATE, name, orphan).await;
            test.gone(VALIDATE, name).await;
            assert!(stage(test, VALIDATE, name).await.is_some());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_does_not_write_leaves_its_stage() {
    test(async |test| {
        test.connect().await;
        for (name, change) in [
            ("observing", json!({"managementPolicy": "Observe"})),
            ("suspended", json!({"suspend": true})),
        ] {
            create(test, VALIDATE, name, "ForceDelete").await;
            test.patch(VALIDATE, name, json!({"spec": change})).await;
            test.delete(VALIDATE, name).await;
            test.gone(VALIDATE, name).await;
            assert!(stage(test, VALIDATE, name).await.is_some(), "{name}");
            test.event(name, "Orphaned").await;
        }
        assert_eq!(deletions(test), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_never_had_a_stage_is_simply_gone() {
    test(async |test| {
        test.connect().await;
        let force = json!({"deletionPolicy": "ForceDelete"});
        // Its Secret is missing.
        let spec = with(test.duo_spec_without_secret(), force);
        test.apply(DUO, "duo", spec).await;
        test.reason(DUO, "duo", "SecretNotFound").await;
        // Someone else's stage.
        let other = json!({"name": test.name("mfa"), "not_configured_action": "deny"});
        test.authentik.create(collection(VALIDATE), other).await;
        let spec = json!({"name": test.name("mfa"), "notConfiguredAction": "skip", "deletionPolicy": "ForceDelete"});
        test.apply(VALIDATE, "mfa", spec).await;
        test.reason(VALIDATE, "mfa", "AdoptionRefused").await;
        for (kind, name) in [(DUO, "duo"), (VALIDATE, "mfa")] {
            test.delete(kind, name).await;
            test.gone(kind, name).await;
        }
        assert!(stage(test, VALIDATE, "mfa").await.is_some());
        assert_eq!(test.written(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_token_may_not_see_is_not_taken_for_unused() {
    const STAGE: &str = "authentik_stages_authenticator_validate";
    test(async |test| {
        let Some(simulator) = &test.simulator else {
            return;
        };
        test.connect().await;
        let used = create(test, VALIDATE, "used", "Delete").await;
        let flow = test.flow("login").await;
        test.bind(&flow, &used["pk"], 10).await;
        let permission = |action| format!("{STAGE}.{action}_authenticatorvalidatestage");
        let permissions = ["view", "add", "change", "delete"].map(permission);
        let limited = simulator.create_token(&permissions.each_ref().map(String::as_str));
        // As that token, nothing uses the stage.
        let used_by = format!(
            "stages/authenticator/validate/{}/used_by/",
            text(&used["pk"])
        );
        let answer = reqwest::Client::new()
            .request(Method::GET, format!("{}/api/v3/{used_by}", simulator.url()))
            .bearer_auth(&limited);
        let answer = answer.send().await.expect("the simulator answers");
        assert_eq!(answer.text().await.expect("a body"), "[]");
        test.secret("authentik", json!({"token": limited})).await;
        test.delete(VALIDATE, "used").await;
        let message = message(&waits(test, VALIDATE, "used", "AccessDenied").await);
        assert!(
            message.contains("authentik_flows.view_flowstagebinding"),
            "{message}"
        );
        assert_eq!(deletions(test), 0);
    })
    .await;
}
