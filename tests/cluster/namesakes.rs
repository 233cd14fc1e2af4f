//! A resource that is deleted and made anew under the same name while the operator sees neither: the new one inherits
//! nothing.

use std::time::Duration;

use devkit::gateway::{Exchange, Fault, FaultKind, Gateway};
use kube::{ResourceExt, api::DynamicObject};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Test, VALIDATE, patience, test},
    program::Program,
};

/// The operator behind a gateway to Kubernetes, in place of the test's own.
async fn behind_a_gateway(test: &Test) -> (Gateway, Program) {
    test.take_operator().await.stop().await;
    let (kubernetes, kubeconfig) = test.kubernetes_gateway().await;
    let kubeconfig = kubeconfig.to_string_lossy().into_owned();
    let args = ["--leader-election", "false"];
    let program = Program::start(test, &args, &[("KUBECONFIG", &kubeconfig)]);
    (kubernetes, program)
}

fn spec(test: &Test, action: &str, more: Value) -> Value {
    let mut spec = json!({"name": test.name("mfa"), "notConfiguredAction": action});
    crate::harness::merge(&mut spec, more);
    spec
}

/// Lets the operator see Kubernetes again: all at once, as it is now, for the API server has forgotten what happened
/// since.
async fn start_anew(kubernetes: &Gateway) {
    let expired = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410,
        "reason": "Expired", "message": "too old resource version",
    });
    let expired = Fault::new(FaultKind::Respond {
        status: 410,
        content_type: "application/json".to_owned(),
        body: expired.to_string(),
        forward: false,
    });
    // The operator's next request for stages is to watch on.
    let watch = expired
        .method(Method::GET)
        .path("/authenticatorvalidatestages");
    kubernetes.inject(watch.times(1));
    kubernetes.start().await;
}

/// Deletes the resource and makes another of its name, while the operator does not see Kubernetes.
async fn remake(test: &Test, spec: Value) -> DynamicObject {
    test.delete(VALIDATE, "mfa").await;
    let api = test.api(VALIDATE);
    if api.get_opt("mfa").await.expect("an answer").is_some() {
        let free = json!({"metadata": {"finalizers": null}});
        test.patch(VALIDATE, "mfa", free).await;
    }
    test.gone(VALIDATE, "mfa").await;
    test.apply(VALIDATE, "mfa", spec).await
}

/// A resource that has made its stage, of which nothing is recorded but in the operator's memory, and an operator that
/// does not see Kubernetes.
async fn unrecorded(test: &Test, kubernetes: &Gateway) {
    // authentik takes its time, so that what happened before its answer is recorded, and what comes after is not.
    let slow = Fault::new(FaultKind::Latency(Duration::from_secs(2)));
    let slow = test.gateway.inject(slow.method(Method::POST));
    test.apply(VALIDATE, "mfa", spec(test, "deny", json!({})))
        .await;
    let posts = |audit: &[Exchange]| audit.iter().any(|exchange| exchange.method == "POST");
    assert!(test.gateway.wait_for(posts, patience()).await);
    kubernetes.clear();
    let status = Fault::new(FaultKind::ServiceUnavailable).method(Method::PATCH);
    let status = kubernetes.inject(status.path("/mfa/status"));
    let made = |audit: &[Exchange]| audit.iter().any(|exchange| exchange.status == Some(201));
    assert!(test.gateway.wait_for(made, patience()).await);
    let is_status = |exchange: &Exchange| exchange.path.ends_with("/mfa/status");
    let tried = |audit: &[Exchange]| audit.iter().any(is_status);
    assert!(kubernetes.wait_for(tried, patience()).await);
    test.gateway.remove(slow);
    kubernetes.stop().await;
    kubernetes.remove(status);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_change_of_a_namesake_is_not_a_repair() {
    test(async |test| {
        let (kubernetes, _program) = behind_a_gateway(test).await;
        test.connect().await;
        unrecorded(test, &kubernetes).await;
        let always = spec(test, "skip", json!({"adoptionPolicy": "Always"}));
        let namesake = remake(test, always).await;
        start_anew(&kubernetes).await;
        let resource = test.in_sync(VALIDATE, "mfa").await;
        assert_eq!(resource.uid(), namesake.uid());
        test.event("mfa", "Adopted").await;
        let note = test.event("mfa", "Updated").await;
        assert!(note.contains("notConfiguredAction"), "{note}");
        let events = test.events("mfa").await;
        let repair = events.iter().find(|(reason, _)| reason == "DriftCorrected");
        assert_eq!(repair, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namesake_has_to_ask_for_the_stage_anew() {
    test(async |test| {
        let (kubernetes, _program) = behind_a_gateway(test).await;
        test.connect().await;
        unrecorded(test, &kubernetes).await;
        let never = json!({"adoptionPolicy": "Never", "deletionPolicy": "ForceDelete"});
        remake(test, spec(test, "skip", never)).await;
        test.gateway.clear();
        start_anew(&kubernetes).await;
        let refused = test.reason(VALIDATE, "mfa", "AdoptionRefused").await;
        assert_eq!(refused.data["status"]["stage"], Value::Null);
        test.delete(VALIDATE, "mfa").await;
        test.gone(VALIDATE, "mfa").await;
        assert_eq!(test.written(), []);
        let left = test.authentik.stage("validate", &test.name("mfa")).await;
        assert_eq!(left.expect("it is left")["not_configured_action"], "deny");
    })
    .await;
}
