//! Objects that the operator can't read, as an older or newer CRD lets through: they stop nothing else.

use authentik_stage_operator::{api::conditions, kinds};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::{Value, json};

use crate::harness::{Test, VALIDATE, alone, is_true, message, patience};

const CONNECTION: &str = "AuthentikConnection";

/// A CRD that takes any spec.
fn loosened(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let any = JSONSchemaProps {
        type_: Some("object".to_owned()),
        x_kubernetes_preserve_unknown_fields: Some(true),
        ..JSONSchemaProps::default()
    };
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut();
        let schema = schema.and_then(|schema| schema.open_api_v3_schema.as_mut());
        let schema = schema.expect("our CRDs have a schema");
        // Rules of the whole resource speak of fields of its spec.
        schema.x_kubernetes_validations = None;
        let properties = schema.properties.as_mut();
        properties
            .expect("our CRDs have properties")
            .insert("spec".to_owned(), any.clone());
    }
    crd
}

/// Runs a test while Kubernetes takes any spec.
pub async fn with_loose_crds(body: impl AsyncFnOnce(&Test)) {
    alone(async |test| {
        test.is_loose();
        let crds = Api::<CustomResourceDefinition>::all(test.kube.clone());
        let apply = async |crd: CustomResourceDefinition| {
            let params = PatchParams::apply("test").force();
            let name = crd.name_any();
            let applied = crds.patch(&name, &params, &Patch::Apply(crd)).await;
            applied.expect("the CRD is accepted");
        };
        for crd in kinds::crds() {
            apply(loosened(crd)).await;
        }
        body(test).await;
        for crd in kinds::crds() {
            apply(crd).await;
        }
    })
    .await;
}

/// Applies what only the loosened CRD takes, once it is in force.
pub async fn apply_bad(test: &Test, kind: &str, name: &str, spec: Value) {
    let deadline = tokio::time::Instant::now() + patience();
    while let Err(error) = test.try_apply(kind, name, spec.clone()).await {
        assert!(tokio::time::Instant::now() < deadline, "{error}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Waits until the operator says that it can't read this.
async fn unreadable(test: &Test, kind: &str, name: &str, field: &str) -> DynamicObject {
    let resource = test.reason(kind, name, "InvalidSpec").await;
    assert!(is_true(&resource, conditions::STALLED));
    let message = message(&resource);
    assert!(message.contains(field), "{message}");
    resource
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_cannot_be_read_stops_no_other() {
    with_loose_crds(async |test| {
        test.connect().await;
        let name = test.name("bad");
        let bad = json!({"name": name, "notConfiguredAction": "explode"});
        apply_bad(test, VALIDATE, "bad", bad).await;
        let before = unreadable(test, VALIDATE, "bad", "explode").await;
        // Neither at once nor after a restart, which lists both.
        for name in ["one", "two"] {
            let spec = json!({"name": test.name(name)});
            test.apply(VALIDATE, name, spec).await;
            test.in_sync(VALIDATE, name).await;
            test.take_operator().await.stop().await;
            test.start_operator().await;
        }
        test.looked_at_anew(VALIDATE, "one").await;
        // It was told once.
        let after = test.get(VALIDATE, "bad").await;
        assert_eq!(after.resource_version(), before.resource_version());
        let good = json!({"name": name, "notConfiguredAction": "deny"});
        test.apply(VALIDATE, "bad", good).await;
        test.in_sync(VALIDATE, "bad").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_cannot_be_read_stops_no_other() {
    with_loose_crds(async |test| {
        let bad = json!({"url": test.gateway.url(), "tokenSecretRef": 7});
        apply_bad(test, CONNECTION, "bad", bad).await;
        let before = unreadable(test, CONNECTION, "bad", "`7`").await;
        test.connect().await;
        let spec = json!({"name": test.name("good")});
        test.apply(VALIDATE, "good", spec).await;
        test.in_sync(VALIDATE, "good").await;
        // Whoever uses it is told why it is no use.
        let spec = json!({"name": test.name("user"), "connectionRef": {"name": "bad"}});
        test.apply(VALIDATE, "user", spec).await;
        let user = test.reason(VALIDATE, "user", "ConnectionNotReady").await;
        assert!(
            message(&user).contains("can't be read"),
            "{}",
            message(&user)
        );
        let after = test.get(CONNECTION, "bad").await;
        assert_eq!(after.resource_version(), before.resource_version());
        let token = json!({"name": "authentik", "key": "token"});
        let good = json!({"url": test.gateway.url(), "tokenSecretRef": token});
        test.apply(CONNECTION, "bad", good).await;
        test.in_sync(VALIDATE, "user").await;
    })
    .await;
}
