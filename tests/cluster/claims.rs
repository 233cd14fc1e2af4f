//! Who may claim a stage: only a resource that manages one, or could. Anyone else holds up nobody, and is held up by
//! nobody.

use authentik_stage_operator::controller::Options;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::{
    harness::{Test, VALIDATE, alone, collection, is_true, test, text},
    harness_more::{CLUSTER_CONNECTION, CONNECTION, Elsewhere, reason_of},
};

/// A spec for the stage `wanted`.
fn spec(test: &Test, connection: &str, more: Value) -> Value {
    let mut spec = json!({
        "name": test.name("wanted"), "notConfiguredAction": "deny", "adoptionPolicy": "Always",
        "connectionRef": {"name": connection},
    });
    crate::harness::merge(&mut spec, more);
    spec
}

/// The stage `wanted` as it is once the resource `victim` has made it: at first, and again after someone has deleted it.
async fn the_victim_gets_it(test: &Test) {
    test.apply(VALIDATE, "victim", spec(test, "default", json!({})))
        .await;
    let victim = test.in_sync(VALIDATE, "victim").await;
    let first = text(&victim.data["status"]["stage"]["uuid"]).to_owned();
    let path = format!("{}{first}/", collection(VALIDATE));
    test.authentik.delete(&path).await;
    let again = |resource: Option<&DynamicObject>| {
        resource.is_some_and(|resource| {
            let uuid = &resource.data["status"]["stage"]["uuid"];
            uuid.is_string() && *uuid != first && reason_of(resource) == Some("InSync")
        })
    };
    test.until(VALIDATE, "victim", "made again", again).await;
}

async fn connect(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
}

/// A connection to the test's server whose token that refuses.
async fn refused_connection(test: &Test) {
    test.secret("fake", json!({"token": test.canary("no-token")}))
        .await;
    let token = json!({"name": "fake", "key": "token"});
    let spec = json!({"url": test.gateway.url(), "tokenSecretRef": token, "resyncInterval": "1s"});
    test.apply(CONNECTION, "fake", spec).await;
    test.reason(CONNECTION, "fake", "AccessDenied").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_suspended_behind_a_refused_token_claims_nothing() {
    test(async |test| {
        connect(test).await;
        refused_connection(test).await;
        let squatter = spec(test, "fake", json!({"suspend": true}));
        test.apply(VALIDATE, "squatter", squatter).await;
        test.until(VALIDATE, "squatter", "suspended", |resource| {
            resource.is_some_and(|resource| crate::harness::is_true(resource, "Suspended"))
        })
        .await;
        the_victim_gets_it(test).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_good_token_claims_nothing() {
    test(async |test| {
        connect(test).await;
        refused_connection(test).await;
        let token = json!({"name": "nowhere", "key": "token"});
        let connection = json!({"url": test.gateway.url(), "tokenSecretRef": token});
        test.apply(CONNECTION, "none", connection).await;
        test.reason(CONNECTION, "none", "SecretNotFound").await;
        for connection in ["fake", "none"] {
            test.apply(VALIDATE, connection, spec(test, connection, json!({})))
                .await;
            let stuck = |resource: Option<&DynamicObject>| resource.is_some_and(is_stuck);
            test.until(VALIDATE, connection, "stuck", stuck).await;
        }
        the_victim_gets_it(test).await;
    })
    .await;
}

fn is_stuck(resource: &DynamicObject) -> bool {
    matches!(
        reason_of(resource),
        Some("ConnectionNotReady" | "AccessDenied")
    )
}

/// A second namespace, watched by the operator together with the first.
async fn second(test: &Test) -> Elsewhere<'_> {
    let elsewhere = Elsewhere::new(test).await;
    let namespaces = vec![test.namespace.clone(), elsewhere.namespace.clone()];
    test.restart_with(Options {
        namespaces,
        ..test.options()
    })
    .await;
    elsewhere
}

#[tokio::test(flavor = "multi_thread")]
async fn another_namespace_without_a_good_token_claims_nothing() {
    test(async |test| {
        connect(test).await;
        let elsewhere = second(test).await;
        elsewhere.token(&test.canary("no-token")).await;
        elsewhere.connection("own", &test.gateway.url()).await;
        elsewhere.reason(CONNECTION, "own", "AccessDenied").await;
        let suspended = spec(test, "own", json!({"suspend": true}));
        elsewhere.apply(VALIDATE, "suspended", suspended).await;
        let managing = spec(test, "own", json!({}));
        elsewhere.apply(VALIDATE, "managing", managing).await;
        let api = elsewhere.api(VALIDATE);
        let stuck = |resource: Option<&DynamicObject>| resource.is_some_and(is_stuck);
        let waited = kube::runtime::wait::await_condition(api, "managing", stuck);
        let waited = tokio::time::timeout(crate::harness::patience(), waited).await;
        waited.expect("in time").expect("the watch goes on");
        the_victim_gets_it(test).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_a_cluster_connection_does_not_allow_claims_nothing() {
    alone(async |test| {
        let elsewhere = second(test).await;
        test.secret("authentik", json!({"token": test.token()}))
            .await;
        let token = json!({"namespace": test.namespace, "name": "authentik", "key": "token"});
        let own = json!({"kubernetes.io/metadata.name": test.namespace});
        let shared = json!({
            "url": test.gateway.url(), "tokenSecretRef": token, "resyncInterval": "1s",
            "allowedNamespaces": {"matchLabels": own},
        });
        let name = test.name("shared");
        test.apply(CLUSTER_CONNECTION, &name, shared).await;
        test.reason(CLUSTER_CONNECTION, &name, "Connected").await;
        let reference = json!({"connectionRef": {"kind": CLUSTER_CONNECTION, "name": name}});
        let squatter = spec(test, "shared", reference.clone());
        elsewhere.apply(VALIDATE, "squatter", squatter).await;
        elsewhere
            .reason(VALIDATE, "squatter", "ConnectionNotReady")
            .await;
        let victim = spec(test, "shared", reference);
        test.apply(VALIDATE, "victim", victim).await;
        test.in_sync(VALIDATE, "victim").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_observes_claims_nothing_and_is_never_refused() {
    test(async |test| {
        connect(test).await;
        let observe = |action: &str| {
            let more = json!({"managementPolicy": "Observe", "notConfiguredAction": action});
            spec(test, "default", more)
        };
        test.apply(VALIDATE, "a-before", observe("skip")).await;
        test.reason(VALIDATE, "a-before", "Drifted").await;
        test.apply(VALIDATE, "m-manager", spec(test, "default", json!({})))
            .await;
        test.in_sync(VALIDATE, "m-manager").await;
        test.apply(VALIDATE, "z-after", observe("skip")).await;
        test.apply(VALIDATE, "b-after", observe("deny")).await;
        test.reason(VALIDATE, "z-after", "Drifted").await;
        test.in_sync(VALIDATE, "b-after").await;
        test.resyncs(3).await;
        for observer in ["a-before", "z-after"] {
            test.reason(VALIDATE, observer, "Drifted").await;
        }
        for name in ["a-before", "m-manager", "z-after", "b-after"] {
            let events = test.events(name).await;
            let conflict = events.iter().find(|(reason, _)| reason == "NameConflict");
            assert_eq!(conflict, None, "{name}");
        }
        assert_eq!(test.written().len(), 1, "{:?}", test.written());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_suspended_lets_another_have_the_stage() {
    test(async |test| {
        connect(test).await;
        test.apply(VALIDATE, "first", spec(test, "default", json!({})))
            .await;
        let first = test.in_sync(VALIDATE, "first").await;
        let suspend = |suspend: bool| json!({"spec": {"suspend": suspend}});
        test.patch(VALIDATE, "first", suspend(true)).await;
        let skip = spec(test, "default", json!({"notConfiguredAction": "skip"}));
        test.apply(VALIDATE, "second", skip).await;
        let second = test.in_sync(VALIDATE, "second").await;
        let stage = |of: &DynamicObject| of.data["status"]["stage"]["uuid"].clone();
        assert_eq!(stage(&second), stage(&first));
        test.gateway.clear();
        test.patch(VALIDATE, "first", suspend(false)).await;
        // One of them has it from now on, and they don't fight for it.
        let settled = |resource: Option<&DynamicObject>| {
            resource.is_some_and(|resource| !crate::harness::is_true(resource, "Suspended"))
        };
        test.until(VALIDATE, "first", "not suspended", settled)
            .await;
        test.resyncs(3).await;
        let writes = test.written().len();
        assert!(writes <= 1, "{:?}", test.written());
        test.resyncs(3).await;
        assert_eq!(test.written().len(), writes, "{:?}", test.written());
        let mut reasons = Vec::new();
        for name in ["first", "second"] {
            reasons.extend(reason_of(&test.get(VALIDATE, name).await).map(str::to_owned));
        }
        reasons.sort();
        assert_eq!(reasons, ["InSync", "NameConflict"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deletion_of_a_resource_in_conflict_leaves_the_stage_to_its_holder() {
    test(async |test| {
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        let stage = json!({"name": test.name("mfa"), "deletionPolicy": "Delete", "adoptionPolicy": "Always"});
        test.validate("holder", stage.clone()).await;
        test.in_sync(VALIDATE, "holder").await;
        let suspend = |suspend: bool| json!({"spec": {"suspend": suspend}});
        test.patch(VALIDATE, "holder", suspend(true)).await;
        test.until(VALIDATE, "holder", "suspended", |object| {
            object.is_some_and(|object| is_true(object, "Suspended"))
        })
        .await;
        test.validate("loser", stage).await;
        let loser = test.in_sync(VALIDATE, "loser").await;
        test.patch(VALIDATE, "holder", suspend(false)).await;
        test.in_sync(VALIDATE, "holder").await;
        test.reason(VALIDATE, "loser", "NameConflict").await;
        test.delete(VALIDATE, "loser").await;
        test.gone(VALIDATE, "loser").await;
        let there = test.authentik.stage("validate", &test.name("mfa")).await;
        let there = there.expect("the stage is there");
        assert_eq!(there["pk"], loser.data["status"]["stage"]["uuid"]);
        test.resyncs(2).await;
        let deletes = test.writes().into_iter().filter(|write| write.method == "DELETE");
        assert_eq!(deletes.count(), 0);
    })
    .await;
}
