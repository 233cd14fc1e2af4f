//! What GitOps tools make of our resources: each state as they judge it, with their own code, and no difference to
//! the manifests.

use std::{fs, path::Path};

use authentik_stage_operator::api::{CONNECTION_FINALIZER, FINALIZER, MANAGER, conditions};
use devkit::{
    gateway::{Exchange, Fault, FaultKind, Gateway},
    gitops,
};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::{Value, json};

use crate::harness::{DUO, Test, VALIDATE, condition, message, patience, test};

const CONNECTION: &str = "AuthentikConnection";
const CLUSTER_CONNECTION: &str = "ClusterAuthentikConnection";

/// A resource in some state, and what the tools are to say of it.
struct State {
    name: &'static str,
    object: DynamicObject,
    kstatus: &'static str,
    flux: &'static str,
    argocd: &'static str,
}

/// A state that the tools agree on.
fn ready(name: &'static str, object: DynamicObject) -> State {
    state(name, object, ["Current", "Current", "Healthy"])
}

fn under_way(name: &'static str, object: DynamicObject) -> State {
    state(name, object, ["InProgress", "InProgress", "Progressing"])
}

fn failed(name: &'static str, object: DynamicObject) -> State {
    state(name, object, ["Failed", "Failed", "Degraded"])
}

/// Without a status: kstatus takes what has no conditions for done, and Flux's expressions can't be evaluated, so that
/// Flux waits.
fn fresh(name: &'static str, object: DynamicObject) -> State {
    assert_eq!(object.data.get("status"), None, "{name}");
    state(name, object, ["Current", "Unknown", "Progressing"])
}

fn state(
    name: &'static str,
    object: DynamicObject,
    [kstatus, flux, argocd]: [&'static str; 3],
) -> State {
    State {
        name,
        object,
        kstatus,
        flux,
        argocd,
    }
}

fn json(states: &[State]) -> Vec<Value> {
    let json = |state: &State| serde_json::to_value(&state.object).expect("an object is JSON");
    states.iter().map(json).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn kstatus_and_flux_judge_every_state() {
    test(async |test| {
        let states = states(test).await;
        let verdicts = gitops::flux(&json(&states)).expect("Flux judges");
        assert_eq!(verdicts.len(), states.len());
        for (state, verdict) in states.iter().zip(verdicts) {
            let said = (&*verdict.kstatus.status, &*verdict.flux.status);
            assert_eq!(said, (state.kstatus, state.flux), "{}", state.name);
            // Flux itself has no words for what an expression finds.
            if let Some(words) = reason_to_wait(&state.object) {
                assert_eq!(verdict.kstatus.message, words, "{}", state.name);
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the first time it builds a part of Argo CD; `make test-gitops` runs it"]
async fn argo_cd_judges_every_state() {
    test(async |test| {
        let states = states(test).await;
        let verdicts = gitops::argocd(&json(&states)).expect("Argo CD judges");
        assert_eq!(verdicts.len(), states.len());
        for (state, verdict) in states.iter().zip(verdicts) {
            assert_eq!(verdict.status, state.argocd, "{}", state.name);
            if let Some(words) = words(&state.object) {
                assert_eq!(verdict.message, words, "{}", state.name);
            }
        }
    })
    .await;
}

fn is_seen(object: &DynamicObject) -> bool {
    object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation
        && object.metadata.deletion_timestamp.is_none()
}

/// What the operator says of a resource in its present state.
fn words(object: &DynamicObject) -> Option<String> {
    if !is_seen(object) {
        return None;
    }
    match condition(object, conditions::SUSPENDED) {
        Some(suspended) => suspended["message"].as_str().map(str::to_owned),
        None => Some(message(object)),
    }
}

/// What the operator says of a resource that has `Reconciling` or `Stalled`.
fn reason_to_wait(object: &DynamicObject) -> Option<String> {
    let waits = [conditions::RECONCILING, conditions::STALLED]
        .into_iter()
        .any(|type_| condition(object, type_).is_some());
    (waits && is_seen(object)).then(|| message(object))
}

/// Resources in every state that there is.
async fn states(test: &Test) -> Vec<State> {
    test.connect().await;
    let mut states = connections(test).await;
    states.extend(settled(test).await);
    states.extend(suspended(test).await);
    states.push(deleting(test).await);
    states.push(edited(test).await);
    states.extend(unseen(test).await);
    states
}

async fn connections(test: &Test) -> Vec<State> {
    let settings = json!({"resyncInterval": "1h"});
    test.connection("unreachable", "http://127.0.0.1:1", settings.clone())
        .await;
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----";
    test.connection("invalid", &test.gateway.url(), json!({"caBundle": broken}))
        .await;
    let name = test.name("cluster");
    let secret = json!({"namespace": test.namespace, "name": "authentik", "key": "token"});
    let spec = json!({"url": test.gateway.url(), "tokenSecretRef": secret, "resyncInterval": "1h"});
    test.apply(CLUSTER_CONNECTION, &name, spec).await;
    vec![
        ready("connected", test.get(CONNECTION, "default").await),
        ready(
            "connected for the cluster",
            test.reason(CLUSTER_CONNECTION, &name, "Connected").await,
        ),
        under_way(
            "unreachable",
            test.reason(CONNECTION, "unreachable", "Unreachable").await,
        ),
        failed(
            "invalid connection",
            test.reason(CONNECTION, "invalid", "InvalidSpec").await,
        ),
        fresh("hanging", hanging(test).await),
    ]
}

/// A connection whose server takes requests and answers none.
async fn hanging(test: &Test) -> DynamicObject {
    let silent = Gateway::in_front_of(&test.gateway.url()).launch().await;
    silent.inject(Fault::new(FaultKind::Hang));
    test.connection("hanging", &silent.url(), json!({})).await;
    let asked = |audit: &[Exchange]| !audit.is_empty();
    assert!(silent.wait_for(asked, patience()).await, "it is not probed");
    test.get(CONNECTION, "hanging").await
}

/// States that last until someone does something.
async fn settled(test: &Test) -> Vec<State> {
    for name in ["refused", "observed"] {
        let stage = json!({"name": test.name(name), "not_configured_action": "deny"});
        test.authentik
            .create("stages/authenticator/validate/", stage)
            .await;
    }
    test.apply(DUO, "duo", test.duo_spec().await).await;
    test.validate("mfa", json!({})).await;
    let missing = json!({"notConfiguredAction": "configure", "configurationStages": [{"name": "no such stage"}]});
    test.validate("waiting", missing).await;
    test.validate("refused", json!({})).await;
    test.validate("observed", json!({"managementPolicy": "Observe"}))
        .await;
    vec![
        ready("in sync", test.in_sync(VALIDATE, "mfa").await),
        ready("Duo in sync", test.in_sync(DUO, "duo").await),
        under_way(
            "waiting",
            test.reason(VALIDATE, "waiting", "ReferenceNotFound").await,
        ),
        failed(
            "stalled",
            test.reason(VALIDATE, "refused", "AdoptionRefused").await,
        ),
        // kstatus knows no resource that is not as it should be and will stay so.
        state(
            "drifted",
            test.reason(VALIDATE, "observed", "Drifted").await,
            ["InProgress", "Failed", "Degraded"],
        ),
    ]
}

async fn suspended(test: &Test) -> Vec<State> {
    let suspend = async |name: &str| {
        test.validate(name, json!({"suspend": true})).await;
        let is = |object: Option<&DynamicObject>| {
            object.is_some_and(|object| condition(object, conditions::SUSPENDED).is_some())
        };
        let found = test.until(VALIDATE, name, "suspended", is).await;
        found.expect("it is there")
    };
    test.validate("held", json!({})).await;
    test.in_sync(VALIDATE, "held").await;
    vec![
        state(
            "suspended",
            suspend("held").await,
            ["Current", "Current", "Suspended"],
        ),
        state(
            "suspended while refused",
            suspend("refused").await,
            ["InProgress", "Failed", "Suspended"],
        ),
        // kstatus takes what has no condition that it knows for done.
        state(
            "suspended from the start",
            suspend("never").await,
            ["Current", "Failed", "Suspended"],
        ),
    ]
}

/// A resource that can't be deleted.
async fn deleting(test: &Test) -> State {
    test.validate("bound", json!({"deletionPolicy": "Delete"}))
        .await;
    let resource = test.in_sync(VALIDATE, "bound").await;
    let flow = test.flow("login").await;
    let stage = &resource.data["status"]["stage"]["uuid"];
    let binding = json!({"target": flow, "stage": stage, "order": 0});
    test.authentik.create("flows/bindings/", binding).await;
    test.delete(VALIDATE, "bound").await;
    let resource = test.reason(VALIDATE, "bound", "DeletionBlocked").await;
    state(
        "deleting",
        resource,
        ["Terminating", "InProgress", "Progressing"],
    )
}

/// A resource whose change is on its way to authentik.
async fn edited(test: &Test) -> State {
    test.validate("edited", json!({})).await;
    test.in_sync(VALIDATE, "edited").await;
    let patch = Fault::new(FaultKind::Hang).method(reqwest::Method::PATCH);
    test.gateway.inject(patch);
    test.validate("edited", json!({"notConfiguredAction": "deny"}))
        .await;
    let sent = |audit: &[Exchange]| audit.iter().any(|exchange| exchange.method == "PATCH");
    assert!(test.gateway.wait_for(sent, patience()).await, "no PATCH");
    let resource = test.get(VALIDATE, "edited").await;
    assert!(!is_seen(&resource));
    under_way("edited", resource)
}

/// Resources that no operator has seen. It is over with the operator of this test.
async fn unseen(test: &Test) -> Vec<State> {
    test.take_operator().await.kill();
    test.validate("unseen", json!({})).await;
    test.connection("unseen", &test.gateway.url(), json!({}))
        .await;
    let stage = test.get(VALIDATE, "unseen").await;
    let connection = test.get(CONNECTION, "unseen").await;
    vec![
        fresh("unseen", stage),
        fresh("unseen connection", connection),
    ]
}

/// An example, aimed at this test's part of authentik.
pub fn example(test: &Test, name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name);
    let text = fs::read_to_string(&path).expect("the example can be read");
    [
        ("https://authentik.example.com", test.gateway.url()),
        ("REPLACE-WITH-AN-API-TOKEN", test.token().to_owned()),
        (
            "name: company-",
            format!("name: {}-company-", test.namespace),
        ),
        (
            "slug: company-",
            format!("slug: {}-company-", test.namespace),
        ),
        (
            "slug: default-authentication-flow",
            format!("slug: {}", test.name("login")),
        ),
        (
            "slug: default-authenticator-webauthn-setup",
            format!("slug: {}", test.name("login")),
        ),
    ]
    .iter()
    .fold(text, |text, (from, to)| text.replace(from, to))
}

/// Applies manifests as the documentation recommends.
pub async fn apply(test: &Test, manifests: &str) {
    let applied = test
        .kubectl(&["apply", "--server-side", "--filename", "-"], manifests)
        .await;
    assert!(applied.status.success(), "{applied:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_does_is_no_difference_to_the_manifests() {
    test(async |test| {
        test.flow("login").await;
        let manifests = ["connection.yaml", "duo.yaml", "mfa.yaml"]
            .map(|name| example(test, name))
            .join("\n---\n");
        apply(test, &manifests).await;
        let stages = [
            test.in_sync(DUO, "duo").await,
            test.in_sync(VALIDATE, "mfa").await,
        ];
        // The Duo stage is to be deleted through the connection, which is therefore kept for as long.
        let is_kept = |object: Option<&DynamicObject>| {
            object.is_some_and(|object| object.finalizers() == [CONNECTION_FINALIZER])
        };
        let connection = test.until(CONNECTION, "default", "kept", is_kept).await;
        let resources = stages.into_iter().chain(connection);
        let diff = ["diff", "--server-side", "--filename", "-"];
        let same = test.kubectl(&diff, &manifests).await;
        assert!(same.status.success(), "{same:?}");
        let other = manifests.replace("Duo push", "Duo");
        let different = test.kubectl(&diff, &other).await;
        assert_eq!(different.status.code(), Some(1), "{different:?}");
        apply(test, &manifests).await;
        for resource in resources {
            let kind = &resource.types.as_ref().expect("it has a kind").kind;
            let now = test.get(kind, &resource.name_any()).await;
            assert_eq!(now.resource_version(), resource.resource_version());
            owns_status_and_finalizer_only(&now);
        }
    })
    .await;
}

/// The operator has written nothing of the resource but its status and its own finalizer.
fn owns_status_and_finalizer_only(resource: &DynamicObject) {
    let allowed = [FINALIZER, CONNECTION_FINALIZER].map(|finalizer| {
        let finalizer = format!("v:\"{finalizer}\"");
        Some(json!({"f:metadata": {"f:finalizers": {".": {}, finalizer: {}}}}))
    });
    let ours = resource
        .managed_fields()
        .iter()
        .filter(|entry| entry.manager.as_deref() == Some(MANAGER) && entry.subresource.is_none());
    for entry in ours {
        let fields = entry.fields_v1.as_ref().map(|fields| fields.0.clone());
        assert!(
            allowed.contains(&fields),
            "{}: {fields:?}",
            resource.name_any()
        );
    }
}
