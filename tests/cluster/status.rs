//! When the status is written: where it says something else than before.

use devkit::gateway::{Fault, FaultKind};
use serde_json::json;

use crate::harness::{PROBE, Test, patience, test};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_written_also_where_somebody_else_writes_meanwhile() {
    test(async |test| {
        test.secret("authentik", json!({"token": test.token()}))
            .await;
        let probe = test.gateway.inject(Fault::new(FaultKind::Hold).path(PROBE));
        let settings = json!({"resyncInterval": "1h"});
        test.connection("default", &test.gateway.url(), settings)
            .await;
        assert!(test.gateway.hangs(patience()).await, "there is no probe");
        let label = json!({"metadata": {"labels": {"of": "somebody-else"}}});
        test.patch("AuthentikConnection", "default", label).await;
        test.gateway.remove(probe);
        test.reason("AuthentikConnection", "default", "Connected")
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
