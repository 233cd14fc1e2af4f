//! What an older operator has recorded is read by this one: the upgrade changes nothing.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::harness::{DUO, Test, VALIDATE, collection, test, with};

/// The status of a resource in sync, as the first release wrote it.
fn old_status(test: &Test, stage: &Value, secrets: Value) -> Value {
    let time = "2026-01-02T03:04:05Z";
    let mut status = json!({
        "observedGeneration": 1,
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "InSync", "observedGeneration": 1,
            "message": "authentik holds what the spec says", "lastTransitionTime": time,
        }],
        "stage": {"uuid": stage["pk"], "name": stage["name"], "server": test.gateway.url(), "managed": true},
        "lastChange": {"time": time, "reason": "Created"},
    });
    if secrets != json!([]) {
        status["secrets"] = secrets;
    }
    status
}

/// A resource as an older operator has left it: with its finalizer, and its stage on record.
async fn left(test: &Test, kind: &str, spec: Value, made: Value, secrets: Value) {
    let body = with(made, json!({"name": spec["name"]}));
    let stage = test.authentik.create(collection(kind), body).await;
    test.apply(kind, "old", spec).await;
    let finalizer = json!({"metadata": {"finalizers": ["authentik-operator.io/stage"]}});
    test.patch(kind, "old", finalizer).await;
    let status = json!({
        "apiVersion": "authentik-operator.io/v1alpha1", "kind": kind, "metadata": {"name": "old"},
        "status": old_status(test, &stage, secrets),
    });
    let params = PatchParams::apply("authentik-stage-operator").force();
    let (api, status) = (test.api(kind), Patch::Apply(status));
    let written = api.patch_status("old", &params, &status);
    written.await.expect("the status is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_operator_has_recorded_is_left_as_it_is() {
    test(async |test| {
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        test.take_operator().await.stop().await;
        let made = json!({"not_configured_action": "skip"});
        let spec = json!({"name": test.name("old-mfa"), "notConfiguredAction": "skip"});
        left(test, VALIDATE, spec, made, json!([])).await;

        let spec = with(test.duo_spec().await, json!({"name": test.name("old-duo")}));
        let secrets: kube::Api<Secret> = kube::Api::namespaced(test.kube.clone(), &test.namespace);
        let secret = secrets.get("duo").await.expect("the Secret");
        let sent = json!([{
            "field": "clientSecret", "name": "duo", "key": "secret", "uid": secret.uid(),
            "resourceVersion": secret.resource_version(),
        }]);
        let made = json!({
            "client_id": spec["clientId"], "api_hostname": spec["apiHostname"], "client_secret": test.canary("s3cr3t"),
        });
        left(test, DUO, spec, made, sent).await;

        let before = test.kubernetes_writes().len();
        test.gateway.clear();
        test.start_operator().await;
        test.resyncs(3).await;
        assert_eq!(test.written(), []);
        let writes = test.kubernetes_writes();
        assert_eq!(writes.len(), before, "{:?}", &writes[before..]);

        // It is read all the same: what is changed now is the stage on record.
        for kind in [VALIDATE, DUO] {
            let renamed = json!({"spec": {"name": test.name(&format!("new-{kind}"))}});
            test.patch(kind, "old", renamed).await;
            test.in_sync(kind, "old").await;
        }
        let methods: Vec<_> = test.written().into_iter().map(|(method, ..)| method).collect();
        assert_eq!(methods, ["PATCH", "PATCH"]);
    })
    .await;
}
