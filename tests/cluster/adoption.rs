//! Who a stage belongs to: taking over what is there already, two resources for one stage, a name that something
//! else holds, and a stage that someone has deleted.

use std::time::Duration;

use authentik_stage_operator::api::conditions;
use kube::{ResourceExt, core::DynamicObject};
use serde_json::{Value, json};

use crate::{
    harness::{DUO, Test, VALIDATE, collection, is_true, message, patch, test, text, with},
    on_every_version,
};

on_every_version!(
    an_equal_stage_is_taken_over_without_a_write,
    a_stage_that_differs_is_refused_and_left_alone,
    after_an_adoption_the_secrets_are_sent_once,
    always_takes_a_stage_over_and_changes_it,
    a_name_that_another_kind_holds_is_a_conflict,
    a_stage_that_was_deleted_is_created_again,
);

/// A validation stage made by hand; returns its path.
async fn by_hand(test: &Test, name: &str, fields: Value) -> String {
    let stage = with(fields, json!({"name": test.name(name)}));
    let stage = test.authentik.create(collection(VALIDATE), stage).await;
    format!("{}{}/", collection(VALIDATE), text(&stage["pk"]))
}

/// Applies a resource whose stage has the same name.
async fn apply(test: &Test, kind: &str, name: &str, more: Value) -> DynamicObject {
    apply_as(test, kind, name, name, more).await
}

/// Applies a resource for the stage of this name.
async fn apply_as(
    test: &Test,
    kind: &str,
    resource: &str,
    stage: &str,
    more: Value,
) -> DynamicObject {
    let mut spec = match kind {
        DUO => test.duo_spec().await,
        _ => json!({}),
    };
    spec["name"] = json!(test.name(stage));
    test.apply(kind, resource, with(spec, more)).await
}

async fn refused(test: &Test, name: &str) -> String {
    let resource = test.reason(VALIDATE, name, "AdoptionRefused").await;
    assert!(is_true(&resource, conditions::STALLED));
    assert_eq!(resource.data["status"]["stage"], Value::Null);
    message(&resource)
}

async fn conflict(test: &Test, kind: &str, name: &str) -> String {
    let resource = test.reason(kind, name, "NameConflict").await;
    assert!(is_true(&resource, conditions::STALLED));
    message(&resource)
}

async fn an_equal_stage_is_taken_over_without_a_write(test: &Test) {
    test.connect().await;
    let live = json!({"device_classes": ["totp", "static"], "last_auth_threshold": "minutes=60", "not_configured_action": "deny"});
    let path = by_hand(test, "mfa", live).await;
    let spec = json!({"deviceClasses": ["static", "totp"], "lastAuthThreshold": "hours=1"});
    apply(test, VALIDATE, "mfa", spec).await;
    let resource = test.in_sync(VALIDATE, "mfa").await;
    assert_eq!(test.written(), []);
    let status = &resource.data["status"];
    assert!(path.contains(text(&status["stage"]["uuid"])));
    assert_eq!(status["lastChange"]["reason"], "Adopted");
    let note = test.event("mfa", "Adopted").await;
    assert!(note.contains(&test.name("mfa")), "{note}");
}

async fn a_stage_that_differs_is_refused_and_left_alone(test: &Test) {
    test.connect().await;
    let live = json!({"device_classes": ["totp"], "last_auth_threshold": "hours=1"});
    by_hand(test, "mfa", live).await;
    let spec = json!({"deviceClasses": ["static"], "lastAuthThreshold": "hours=1", "notConfiguredAction": "deny"});
    apply(test, VALIDATE, "mfa", spec).await;
    let message = refused(test, "mfa").await;
    assert!(
        message.contains("deviceClasses, notConfiguredAction;"),
        "{message}"
    );
    assert!(message.contains("adoptionPolicy: Always"), "{message}");
    assert_eq!(test.event("mfa", "AdoptionRefused").await, message);
    assert_eq!(test.written(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_stage_is_taken_over_once_it_is_equal() {
    test(async |test| {
        test.connect().await;
        let path = by_hand(test, "mfa", json!({"not_configured_action": "skip"})).await;
        let spec = json!({"notConfiguredAction": "deny"});
        apply(test, VALIDATE, "mfa", spec).await;
        refused(test, "mfa").await;
        let equal = json!({"not_configured_action": "deny"});
        test.authentik.patch(&path, equal).await;
        test.request_reconcile(VALIDATE, "mfa", "now").await;
        test.in_sync(VALIDATE, "mfa").await;
        assert_eq!(test.written(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_stage_is_looked_at_again_each_resync() {
    test(async |test| {
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        let path = by_hand(test, "mfa", json!({"not_configured_action": "skip"})).await;
        let spec = json!({"notConfiguredAction": "deny"});
        apply(test, VALIDATE, "mfa", spec).await;
        refused(test, "mfa").await;
        let equal = json!({"not_configured_action": "deny"});
        test.authentik.patch(&path, equal).await;
        test.in_sync(VALIDATE, "mfa").await;
        assert_eq!(test.written(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_a_stage_is_equal_is_judged_by_authentik_itself() {
    test(async |test| {
        test.connect().await;
        let skip = json!({"not_configured_action": "skip"});
        let deny = json!({"not_configured_action": "deny"});
        let to_equal = by_hand(test, "to-equal", skip.clone()).await;
        let from_equal = by_hand(test, "from-equal", deny.clone()).await;
        // This one lets the operator list what there is, for the next hour.
        apply(test, VALIDATE, "other", json!({})).await;
        test.in_sync(VALIDATE, "other").await;
        test.gateway.clear();
        test.authentik.patch(&to_equal, deny).await;
        test.authentik.patch(&from_equal, skip).await;
        let spec = json!({"notConfiguredAction": "deny"});
        apply(test, VALIDATE, "to-equal", spec.clone()).await;
        apply(test, VALIDATE, "from-equal", spec).await;
        test.in_sync(VALIDATE, "to-equal").await;
        refused(test, "from-equal").await;
        assert_eq!(test.written(), []);
    })
    .await;
}

async fn after_an_adoption_the_secrets_are_sent_once(test: &Test) {
    test.connect().await;
    let live = json!({
        "name": test.name("duo"), "client_id": "DIXXXXXXXXXXXXXXXXXX", "client_secret": "other",
        "api_hostname": "api-1.duosecurity.com",
    });
    test.authentik.create(collection(DUO), live).await;
    apply(test, DUO, "duo", json!({})).await;
    test.in_sync(DUO, "duo").await;
    test.event("duo", "Adopted").await;
    test.looked_at_anew(DUO, "duo").await;
    assert_eq!(
        test.written(),
        [patch(DUO, json!({"client_secret": test.canary("s3cr3t")}))]
    );
}

async fn always_takes_a_stage_over_and_changes_it(test: &Test) {
    test.connect().await;
    let live = json!({"device_classes": ["totp"], "last_auth_threshold": "hours=1"});
    by_hand(test, "mfa", live).await;
    let spec = json!({"adoptionPolicy": "Always", "deviceClasses": ["static"], "lastAuthThreshold": "hours=1"});
    apply(test, VALIDATE, "mfa", spec).await;
    test.in_sync(VALIDATE, "mfa").await;
    test.event("mfa", "Adopted").await;
    let note = test.event("mfa", "Updated").await;
    assert!(note.contains("deviceClasses"), "{note}");
    assert_eq!(
        test.written(),
        [patch(VALIDATE, json!({"device_classes": ["static"]}))]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn never_refuses_even_an_equal_stage() {
    test(async |test| {
        test.connect().await;
        by_hand(test, "mfa", json!({})).await;
        apply(test, VALIDATE, "mfa", json!({"adoptionPolicy": "Never"})).await;
        let message = refused(test, "mfa").await;
        assert!(message.contains("adoptionPolicy is Never"), "{message}");
        assert_eq!(test.written(), []);
    })
    .await;
}

async fn a_name_that_another_kind_holds_is_a_conflict(test: &Test) {
    test.connect().await;
    let name = test.name("mfa");
    let holder = test
        .authentik
        .create("stages/dummy/", json!({"name": name}))
        .await;
    for kind in [VALIDATE, DUO] {
        apply(test, kind, "mfa", json!({"adoptionPolicy": "Always"})).await;
        let message = conflict(test, kind, "mfa").await;
        if kind == VALIDATE {
            assert!(
                message.contains("Dummy Stage") && message.contains(text(&holder["pk"])),
                "{message}"
            );
        }
        test.delete(kind, "mfa").await;
        test.gone(kind, "mfa").await;
    }
    apply(test, VALIDATE, "mfa", json!({})).await;
    conflict(test, VALIDATE, "mfa").await;
    let path = format!("stages/dummy/{}/", text(&holder["pk"]));
    test.authentik.delete(&path).await;
    test.request_reconcile(VALIDATE, "mfa", "now").await;
    test.in_sync(VALIDATE, "mfa").await;
}

/// The kinds of the older and of the younger of two resources.
const PAIRS: [(&str, &str); 3] = [(VALIDATE, VALIDATE), (VALIDATE, DUO), (DUO, VALIDATE)];

/// Names for two resources such that the alphabet favours the younger.
const OLDER: &str = "z-older";
const YOUNGER: &str = "a-younger";

#[tokio::test(flavor = "multi_thread")]
async fn the_resource_that_has_the_stage_keeps_it_and_is_named_to_the_other() {
    test(async |test| {
        test.connect().await;
        for (index, (older, younger)) in PAIRS.into_iter().enumerate() {
            let (first, second) = (format!("{OLDER}-{index}"), format!("{YOUNGER}-{index}"));
            apply_as(test, older, &first, &first, json!({})).await;
            test.in_sync(older, &first).await;
            test.gateway.clear();
            let always = json!({"adoptionPolicy": "Always"});
            apply_as(test, younger, &second, &first, always).await;
            let message = conflict(test, younger, &second).await;
            let holder = format!("{older} {}/{first}", test.namespace);
            assert!(message.contains(&holder), "{message}");
            assert_eq!(test.written(), []);
        }
    })
    .await;
}

/// Applies a resource that Kubernetes has created in a later second than the other: it counts no finer.
async fn apply_younger(test: &Test, than: &DynamicObject, kind: &str, stage: &str) {
    loop {
        let resource = apply_as(test, kind, YOUNGER, stage, json!({})).await;
        if resource.creation_timestamp() > than.creation_timestamp() {
            return;
        }
        test.delete(kind, YOUNGER).await;
        test.gone(kind, YOUNGER).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_resources_that_want_a_new_stage_the_older_gets_it() {
    test(async |test| {
        test.connect().await;
        test.take_operator().await.stop().await;
        let older = apply_as(test, VALIDATE, OLDER, "mfa", json!({})).await;
        apply_younger(test, &older, VALIDATE, "mfa").await;
        test.start_operator().await;
        test.in_sync(VALIDATE, OLDER).await;
        let message = conflict(test, VALIDATE, YOUNGER).await;
        assert!(message.contains(OLDER), "{message}");
        assert_eq!(test.written().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_resources_of_different_kinds_the_older_gets_the_name() {
    test(async |test| {
        test.connect().await;
        test.take_operator().await.stop().await;
        let older = apply_as(test, DUO, OLDER, "mfa", json!({})).await;
        apply_younger(test, &older, VALIDATE, "mfa").await;
        test.start_operator().await;
        test.in_sync(DUO, OLDER).await;
        let message = conflict(test, VALIDATE, YOUNGER).await;
        assert!(
            message.contains("DuoStage") && message.contains(OLDER),
            "{message}"
        );
        assert_eq!(test.written().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_holder_lets_the_other_take_the_stage_over() {
    test(async |test| {
        test.connect().await;
        apply_as(test, VALIDATE, OLDER, "mfa", json!({})).await;
        let held = test.in_sync(VALIDATE, OLDER).await;
        apply_as(test, VALIDATE, YOUNGER, "mfa", json!({})).await;
        conflict(test, VALIDATE, YOUNGER).await;
        test.gateway.clear();
        test.delete(VALIDATE, OLDER).await;
        let taken = test.in_sync(VALIDATE, YOUNGER).await;
        assert_eq!(
            taken.data["status"]["stage"]["uuid"],
            held.data["status"]["stage"]["uuid"]
        );
        assert_eq!(test.written(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renaming_the_holder_away_frees_the_name_at_once() {
    test(async |test| {
        test.connect().await;
        for (index, (older, younger)) in PAIRS.into_iter().enumerate() {
            let (first, second) = (format!("{OLDER}-{index}"), format!("{YOUNGER}-{index}"));
            apply_as(test, older, &first, &first, json!({})).await;
            test.in_sync(older, &first).await;
            apply_as(test, younger, &second, &first, json!({})).await;
            conflict(test, younger, &second).await;
            let other = format!("{first}-renamed");
            apply_as(test, older, &first, &other, json!({})).await;
            test.in_sync(older, &first).await;
            test.in_sync(younger, &second).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_held_is_not_asked_for_in_vain() {
    test(async |test| {
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        apply(test, VALIDATE, "renamed", json!({})).await;
        test.in_sync(VALIDATE, "renamed").await;
        let held = text(&test.totp_stage("held").await).to_owned();
        for name in ["renamed", "new"] {
            apply_as(test, VALIDATE, name, "held", json!({})).await;
            conflict(test, VALIDATE, name).await;
        }
        let before = test.written().len();
        test.resyncs(3).await;
        assert_eq!(test.written().len(), before, "{:?}", test.written());
        test.delete(VALIDATE, "new").await;
        test.authentik.delete(&format!("stages/all/{held}/")).await;
        test.in_sync(VALIDATE, "renamed").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_of_names_goes_on_through_a_third_name() {
    test(async |test| {
        test.connect().await;
        for name in ["a", "b"] {
            apply(test, VALIDATE, name, json!({})).await;
            test.in_sync(VALIDATE, name).await;
        }
        let uuid = |resource: DynamicObject| resource.data["status"]["stage"]["uuid"].clone();
        let before = uuid(test.get(VALIDATE, "a").await);
        test.gateway.clear();
        apply_as(test, VALIDATE, "a", "b", json!({})).await;
        apply_as(test, VALIDATE, "b", "a", json!({})).await;
        for (name, holder) in [("a", "b"), ("b", "a")] {
            let message = conflict(test, VALIDATE, name).await;
            let holder = format!("{VALIDATE} {}/{holder}", test.namespace);
            assert!(message.contains(&holder), "{message}");
        }
        assert_eq!(test.written(), []);
        apply_as(test, VALIDATE, "a", "third", json!({})).await;
        test.in_sync(VALIDATE, "b").await;
        apply_as(test, VALIDATE, "a", "b", json!({})).await;
        let after = uuid(test.in_sync(VALIDATE, "a").await);
        assert_eq!(after, before);
        let stage = test.authentik.stage("validate", &test.name("b")).await;
        assert_eq!(stage.expect("it is there")["pk"], before);
    })
    .await;
}

async fn a_stage_that_was_deleted_is_created_again(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    test.secret("admin", json!({"key": test.canary("4dm1n")}))
        .await;
    let admin = json!({"secretKeyRef": {"name": "admin", "key": "key"}});
    let spec = json!({"adminIntegrationKey": "DIADMIN", "adminSecretKey": admin});
    apply(test, DUO, "duo", spec).await;
    let resource = test.in_sync(DUO, "duo").await;
    let first = text(&resource.data["status"]["stage"]["uuid"]).to_owned();
    let path = format!("stages/authenticator/duo/{first}/");
    test.authentik.delete(&path).await;
    let resource = test
        .until(DUO, "duo", "created again", |resource| {
            let status = resource.map(|resource| &resource.data["status"]["stage"]["uuid"]);
            status.is_some_and(|uuid| uuid.is_string() && *uuid != first)
        })
        .await;
    assert!(resource.is_some());
    test.in_sync(DUO, "duo").await;
    let written = test.written();
    assert_eq!(written.len(), 2, "{written:?}");
    assert_eq!(written[0], written[1]);
    assert_eq!(
        written[1].2,
        json!({
            "name": test.name("duo"), "client_id": "DIXXXXXXXXXXXXXXXXXX", "client_secret": test.canary("s3cr3t"),
            "api_hostname": "api-1.duosecurity.com", "admin_integration_key": "DIADMIN",
            "admin_secret_key": test.canary("4dm1n"),
        })
    );
    test.events_of("duo", "Created", 2).await;
}
