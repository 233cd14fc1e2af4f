//! Looking without writing, leaving alone, and looking at once.

use authentik_stage_operator::api::conditions;
use devkit::gateway::Exchange;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use crate::{
    harness::{
        DUO, Test, VALIDATE, collection, condition, is_true, message, patch, patience, test, text,
        with,
    },
    on_every_version,
};

on_every_version!(
    observing_reports_the_difference_and_never_writes,
    suspending_leaves_everything_alone_until_it_ends,
    a_requested_reconcile_puts_drift_right_at_once,
);

/// A validation stage made by hand; returns its path.
async fn by_hand(test: &Test, action: &str) -> String {
    let stage = json!({"name": test.name("mfa"), "not_configured_action": action});
    path(&test.authentik.create(collection(VALIDATE), stage).await["pk"])
}

fn path(uuid: &Value) -> String {
    format!("{}{}/", collection(VALIDATE), text(uuid))
}

/// Applies the resource for that stage, which asks for `deny`.
async fn apply(test: &Test, more: Value) {
    let spec = json!({"name": test.name("mfa"), "notConfiguredAction": "deny"});
    test.apply(VALIDATE, "mfa", with(spec, more)).await;
}

async fn set(test: &Test, path: &str, action: &str) {
    let change = json!({"not_configured_action": action});
    test.authentik.patch(path, change).await;
}

fn observe() -> Value {
    json!({"managementPolicy": "Observe"})
}

/// `status.drift` as field, wanted, found.
fn drift(resource: &DynamicObject) -> Vec<(&str, &str, &str)> {
    let drift = resource.data["status"]["drift"].as_array();
    let row =
        |row| ["field", "wanted", "found"].map(|key| text(Value::get(row, key).expect("a text")));
    drift
        .into_iter()
        .flatten()
        .map(row)
        .map(|[field, wanted, found]| (field, wanted, found))
        .collect()
}

fn is_drifted(resource: &DynamicObject, action: &str) -> bool {
    let action = format!("{action:?}");
    drift(resource) == [("notConfiguredAction", "\"deny\"", action.as_str())]
}

async fn drifted(test: &Test, action: &str) -> DynamicObject {
    let what = format!("drifted to {action}");
    let is = |resource: Option<&DynamicObject>| {
        resource.is_some_and(|resource| is_drifted(resource, action))
    };
    let resource = test.until(VALIDATE, "mfa", &what, is).await;
    let resource = resource.expect("it is there");
    let ready = condition(&resource, conditions::READY).expect("Ready is there");
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("False"), &json!("Drifted"))
    );
    resource
}

async fn observing_reports_the_difference_and_never_writes(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let path = by_hand(test, "skip").await;
    apply(test, observe()).await;
    let resource = drifted(test, "skip").await;
    assert!(!is_true(&resource, conditions::STALLED));
    assert!(path.contains(text(&resource.data["status"]["stage"]["uuid"])));
    let note = test.event("mfa", "Drifted").await;
    assert!(note.contains("notConfiguredAction"), "{note}");
    set(test, &path, "deny").await;
    let resource = test.in_sync(VALIDATE, "mfa").await;
    assert_eq!(drift(&resource), []);
    set(test, &path, "skip").await;
    drifted(test, "skip").await;
    assert_eq!(test.written(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn observing_says_that_there_is_no_stage() {
    test(async |test| {
        test.connect().await;
        apply(test, observe()).await;
        let resource = test.reason(VALIDATE, "mfa", "Drifted").await;
        let name = format!("{:?}", test.name("mfa"));
        assert_eq!(drift(&resource), [("name", name.as_str(), "null")]);
        assert_eq!(resource.data["status"]["stage"], Value::Null);
        by_hand(test, "deny").await;
        test.request_reconcile(VALIDATE, "mfa", "now").await;
        test.in_sync(VALIDATE, "mfa").await;
        assert_eq!(test.written(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn observing_shows_no_secret() {
    test(async |test| {
        test.connect().await;
        let spec = test.duo_spec().await;
        test.apply(DUO, "duo", spec.clone()).await;
        test.in_sync(DUO, "duo").await;
        let other = json!({"managementPolicy": "Observe", "clientId": "OTHER"});
        test.apply(DUO, "duo", with(spec, other)).await;
        test.reason(DUO, "duo", "Drifted").await;
        test.secret("duo", json!({"secret": test.canary("two")}))
            .await;
        let expected = [
            ("clientId", "\"OTHER\"", "\"DIXXXXXXXXXXXXXXXXXX\""),
            ("clientSecret", "<secret>", "<secret>"),
        ];
        let shown = |resource: Option<&DynamicObject>| {
            resource.is_some_and(|resource| drift(resource) == expected)
        };
        test.until(DUO, "duo", "drifted in both", shown).await;
        assert_eq!(test.written().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_only_observed_is_not_owned() {
    test(async |test| {
        test.connect().await;
        let path = by_hand(test, "skip").await;
        apply(test, observe()).await;
        drifted(test, "skip").await;
        apply(test, json!({})).await;
        test.reason(VALIDATE, "mfa", "AdoptionRefused").await;
        assert_eq!(test.written(), []);
        apply(test, observe()).await;
        set(test, &path, "deny").await;
        apply(test, json!({})).await;
        test.in_sync(VALIDATE, "mfa").await;
        test.event("mfa", "Adopted").await;
        assert_eq!(test.written(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn observing_for_a_while_gives_nothing_up() {
    test(async |test| {
        test.connect().await;
        apply(test, json!({})).await;
        let resource = test.in_sync(VALIDATE, "mfa").await;
        let path = path(&resource.data["status"]["stage"]["uuid"]);
        apply(test, observe()).await;
        test.in_sync(VALIDATE, "mfa").await;
        set(test, &path, "skip").await;
        test.request_reconcile(VALIDATE, "mfa", "now").await;
        drifted(test, "skip").await;
        test.gateway.clear();
        apply(test, json!({"adoptionPolicy": "Never"})).await;
        let resource = test.in_sync(VALIDATE, "mfa").await;
        assert_eq!(drift(&resource), []);
        assert_eq!(
            test.written(),
            [patch(VALIDATE, json!({"not_configured_action": "deny"}))]
        );
    })
    .await;
}

async fn suspended(test: &Test) -> DynamicObject {
    let is = |resource: Option<&DynamicObject>| {
        resource.is_some_and(|resource| is_true(resource, conditions::SUSPENDED))
    };
    let resource = test.until(VALIDATE, "mfa", "suspended", is).await;
    resource.expect("it is there")
}

async fn suspending_leaves_everything_alone_until_it_ends(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    apply(test, json!({})).await;
    let before = test.in_sync(VALIDATE, "mfa").await;
    apply(test, json!({"suspend": true})).await;
    let resource = suspended(test).await;
    assert_eq!(
        condition(&resource, conditions::READY),
        condition(&before, conditions::READY)
    );
    test.resyncs(1).await;
    let writes = (test.writes().len(), test.kubernetes_writes().len());
    // Both the spec and authentik change.
    let path = path(&before.data["status"]["stage"]["uuid"]);
    let change = json!({"not_configured_action": "skip", "device_classes": ["totp"]});
    test.authentik.patch(&path, change).await;
    let more = json!({"suspend": true, "lastAuthThreshold": "hours=1"});
    apply(test, more).await;
    test.resyncs(2).await;
    // The condition's observedGeneration follows the spec; nothing else is written.
    suspended(test).await;
    assert_eq!(test.writes().len(), writes.0);
    assert!(test.kubernetes_writes().len() <= writes.1 + 1);
    test.gateway.clear();
    apply(test, json!({"lastAuthThreshold": "hours=1"})).await;
    let resource = test.in_sync(VALIDATE, "mfa").await;
    assert_eq!(condition(&resource, conditions::SUSPENDED), None);
    assert_eq!(
        test.written(),
        [patch(
            VALIDATE,
            json!({"not_configured_action": "deny", "last_auth_threshold": "hours=1"})
        )]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_may_start_suspended_or_be_suspended_when_stalled() {
    test(async |test| {
        test.connect().await;
        apply(test, json!({"suspend": true})).await;
        let resource = suspended(test).await;
        assert_eq!(condition(&resource, conditions::READY), None);
        by_hand(test, "skip").await;
        apply(test, json!({})).await;
        test.reason(VALIDATE, "mfa", "AdoptionRefused").await;
        apply(test, json!({"suspend": true})).await;
        let resource = suspended(test).await;
        assert!(!is_true(&resource, conditions::STALLED));
        let ready = condition(&resource, conditions::READY).expect("it was there");
        assert_eq!(ready["reason"], "AdoptionRefused");
        assert_eq!(test.written(), []);
    })
    .await;
}

async fn a_requested_reconcile_puts_drift_right_at_once(test: &Test) {
    test.connect().await;
    apply(test, json!({})).await;
    let resource = test.in_sync(VALIDATE, "mfa").await;
    let path = path(&resource.data["status"]["stage"]["uuid"]);
    test.gateway.clear();
    set(test, &path, "skip").await;
    test.request_reconcile(VALIDATE, "mfa", "now").await;
    let note = test.event("mfa", "DriftCorrected").await;
    assert!(note.contains("notConfiguredAction"), "{note}");
    assert_eq!(
        test.written(),
        [patch(VALIDATE, json!({"not_configured_action": "deny"}))]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requested_reconcile_is_one_look_and_no_more() {
    test(async |test| {
        test.connect().await;
        apply(test, json!({})).await;
        test.in_sync(VALIDATE, "mfa").await;
        test.event("mfa", "Created").await;
        test.gateway.clear();
        let before = test.kubernetes_writes().len();
        // Two requests, of which the second ends after the first.
        test.looked_at_anew(VALIDATE, "mfa").await;
        let asked = test.gateway.audit().len();
        assert_eq!(asked, 2, "{:#?}", test.gateway.audit());
        assert_eq!(test.kubernetes_writes().len(), before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requested_reconcile_tries_again_what_is_stalled() {
    test(async |test| {
        test.connect().await;
        let holder = json!({"name": test.name("mfa")});
        let holder = test.authentik.create("stages/dummy/", holder).await;
        apply(test, json!({})).await;
        let resource = test.reason(VALIDATE, "mfa", "NameConflict").await;
        assert!(message(&resource).contains("Dummy Stage"));
        let posts = || {
            test.gateway
                .count("POST", &format!("/api/v3/{}", collection(VALIDATE)))
        };
        assert_eq!(posts(), 1);
        test.request_reconcile(VALIDATE, "mfa", "once").await;
        let looks = |audit: &[Exchange]| {
            let looks = |exchange: &&Exchange| exchange.path == "/api/v3/stages/all/";
            audit.iter().filter(looks).count() == 2
        };
        let looked = test.gateway.wait_for(looks, patience());
        assert!(looked.await, "it is not looked at again");
        let path = format!("stages/dummy/{}/", text(&holder["pk"]));
        test.authentik.delete(&path).await;
        test.request_reconcile(VALIDATE, "mfa", "twice").await;
        test.in_sync(VALIDATE, "mfa").await;
        assert_eq!(posts(), 2);
    })
    .await;
}
