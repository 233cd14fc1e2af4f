//! When the status is written: where it says something else than before.

use serde_json::json;

use crate::harness::{Test, patience, test};

#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_fails_as_before_writes_nothing() {
    test(async |test| {
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        let name = test.name("mfa");
        let there = json!({"name": name, "not_configured_action": "skip"});
        test.authentik
            .create("stages/authenticator/validate/", there)
            .await;
        let spec = json!({"name": name, "notConfiguredAction": "deny"});
        test.apply("AuthenticatorValidateStage", "mfa", spec).await;
        test.reason("AuthenticatorValidateStage", "mfa", "AdoptionRefused")
            .await;
        test.event("mfa", "AdoptionRefused").await;
        nothing_is_written(test, async || test.resyncs(3).await).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_fails_as_before_writes_nothing() {
    test(async |test| {
        test.secret("authentik", json!({"token": test.canary("wrong")})).await;
        let spec = json!({"url": test.gateway.url(), "tokenSecretRef": {"name": "authentik", "key": "token"}});
        test.apply("AuthentikConnection", "default", spec).await;
        test.reason("AuthentikConnection", "default", "AccessDenied").await;
        test.event("default", "AccessDenied").await;
        nothing_is_written(test, async || {
            let probes = test.gateway.audit().len();
            assert!(test.gateway.wait_for(|audit| audit.len() > probes + 1, patience()).await);
        })
        .await;
    })
    .await;
}

/// Nothing is written to Kubernetes meanwhile.
async fn nothing_is_written(test: &Test, meanwhile: impl AsyncFnOnce()) {
    let before = test.kubernetes_writes().len();
    meanwhile().await;
    let writes = test.kubernetes_writes();
    assert_eq!(writes.len(), before, "{writes:?}");
}
