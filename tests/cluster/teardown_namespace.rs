//! A namespace that is deleted with all that is in it.

use std::time::Duration;

use authentik_stage_operator::controller::Options;
use devkit::gateway::{Fault, FaultKind};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::DeleteParams, runtime::wait::await_condition};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{DUO, Test, VALIDATE, test, with},
    harness_more::Elsewhere,
};

/// Kubernetes looks again at a namespace that is not empty yet, less and less often.
const NAMESPACE_PATIENCE: Duration = Duration::from_secs(180);

/// A namespace that the operator watches beside its own, with a connection and its Secret.
async fn connected(test: &Test) -> Elsewhere<'_> {
    let elsewhere = Elsewhere::new(test).await;
    let namespaces = vec![test.namespace.clone(), elsewhere.namespace.clone()];
    test.restart_with(Options {
        namespaces,
        ..test.options()
    })
    .await;
    elsewhere.token(test.token()).await;
    elsewhere.connection("default", &test.gateway.url()).await;
    elsewhere
}

/// Deletes the namespace and waits until it is gone. authentik takes so long to let stages go that connection and Secret
/// are asked to go meanwhile.
async fn delete_namespace(test: &Test, elsewhere: &Elsewhere<'_>) {
    let busy = Fault::new(FaultKind::ServiceUnavailable).method(Method::DELETE);
    test.gateway.inject(busy.times(5));
    let namespaces: Api<Namespace> = Api::all(test.kube.clone());
    let name = &elsewhere.namespace;
    let deleted = namespaces.delete(name, &DeleteParams::default()).await;
    deleted.expect("the namespace is to be deleted");
    let is_gone = |namespace: Option<&Namespace>| namespace.is_none();
    let gone = await_condition(namespaces.clone(), name, is_gone);
    let gone = tokio::time::timeout(NAMESPACE_PATIENCE, gone).await;
    if gone.is_err() {
        let left = namespaces.get(name).await.expect("it is there");
        panic!("the namespace is not gone in time: {:?}", left.status);
    }
}

async fn no_stage_is_left(test: &Test, names: &[&str]) {
    for kind in ["validate", "duo"] {
        for name in names {
            let stage = test.authentik.stage(kind, &test.name(name)).await;
            assert_eq!(stage, None);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_namespace_ends_with_its_stages() {
    test(async |test| {
        let elsewhere = connected(test).await;
        for (name, policy) in [
            ("one", "Delete"),
            ("two", "ForceDelete"),
            ("three", "Delete"),
        ] {
            let spec = json!({"name": test.name(name), "deletionPolicy": policy});
            elsewhere.apply(VALIDATE, name, spec).await;
        }
        for name in ["one", "two", "three"] {
            elsewhere.reason(VALIDATE, name, "InSync").await;
        }
        delete_namespace(test, &elsewhere).await;
        no_stage_is_left(test, &["one", "two", "three"]).await;
        // Nothing of it holds up the other namespace.
        test.connect().await;
        test.validate("here", json!({})).await;
        test.in_sync(VALIDATE, "here").await;
    })
    .await;
}

/// A stage through which people enrol, as a validation stage in the same namespace has it.
fn duo(test: &Test, policy: &str) -> Value {
    let client = json!({"secretKeyRef": {"name": "authentik", "key": "token"}});
    let fields =
        json!({"name": test.name("duo"), "deletionPolicy": policy, "clientSecret": client});
    with(test.duo_spec_without_secret(), fields)
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_that_use_one_another_do_not_keep_a_namespace() {
    test(async |test| {
        let elsewhere = connected(test).await;
        let flow = test.flow("login").await;
        elsewhere.apply(DUO, "duo", duo(test, "Delete")).await;
        let user = json!({
            "name": test.name("mfa"), "deletionPolicy": "Delete", "notConfiguredAction": "configure",
            "configurationStages": [{"resource": {"kind": DUO, "name": "duo"}}],
            "flows": [{"flow": {"uuid": flow}, "order": 10}],
        });
        elsewhere.apply(VALIDATE, "mfa", user).await;
        elsewhere.reason(VALIDATE, "mfa", "InSync").await;
        delete_namespace(test, &elsewhere).await;
        no_stage_is_left(test, &["duo", "mfa"]).await;
    })
    .await;
}
