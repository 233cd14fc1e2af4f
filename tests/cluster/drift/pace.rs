//! How often authentik is looked at where no interval is set, and how.

use std::{collections::BTreeSet, time::Duration};

use devkit::gateway::{Exchange, Fault, FaultKind};
use serde_json::json;
use tokio::time::Instant;

use super::metric;
use crate::harness::{PROBE, Test, VALIDATE, patience, test};

const INTERVAL: &str = "authentik_operator_look_interval_seconds{";
const TOOK: &str = "authentik_operator_look_duration_seconds{";

/// How many of its stages are somebody's.
const OWN: usize = 2;
/// How many a large server has besides.
const OTHERS: usize = 120;

async fn connect(test: &Test) {
    let unset = json!({"resyncInterval": null});
    test.connect_with(unset).await;
}

/// Waits until a metric is so; returns it.
async fn until(test: &Test, series: &str, is_so: impl Fn(f64) -> bool) -> f64 {
    let deadline = Instant::now() + patience();
    loop {
        let value = metric(test, series).await;
        if let Some(value) = value.filter(|value| is_so(*value)) {
            return value;
        }
        assert!(Instant::now() < deadline, "{series} is {value:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_among_few_stages_is_found_within_seconds() {
    test(async |test| {
        connect(test).await;
        for name in ["one", "two"] {
            test.validate(name, json!({})).await;
            test.in_sync(VALIDATE, name).await;
        }
        test.resyncs(1).await;
        let interval = metric(test, INTERVAL).await.expect("a look");
        // A real server has stages of others, too.
        let longest = if test.is_real() { 300.0 } else { 11.0 };
        assert!((10.0..=longest).contains(&interval), "{interval}");
        let by_hand = json!({"not_configured_action": "deny"});
        test.by_hand(VALIDATE, "one", by_hand).await;
        test.event("one", "DriftCorrected").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_gets_slow_is_looked_at_less_often_at_once() {
    test(async |test| {
        connect(test).await;
        test.validate("mfa", json!({})).await;
        test.in_sync(VALIDATE, "mfa").await;
        test.resyncs(1).await;
        let before = metric(test, INTERVAL).await.expect("a look");
        if before > 50.0 {
            return; // A real server that is as slow as that already.
        }
        let slow = FaultKind::Latency(Duration::from_millis(600));
        let slow = test.gateway.inject(Fault::new(slow));
        let ask = json!({"metadata": {"annotations": {"authentik-operator.io/reconcile-requested-at": "now"}}});
        test.patch("AuthentikConnection", "default", ask).await;
        // A look is one probe and one list, each of which takes so long.
        let interval = until(test, INTERVAL, |interval| interval > 50.0).await;
        let took = metric(test, TOOK).await.expect("a look");
        assert!(took >= 1.2, "{took}");
        let shortest = if test.is_real() { 50.0 } else { 50.0 * took };
        assert!((shortest..=300.0).contains(&interval), "{interval} after {took}");
        test.gateway.remove(slow);
        let ask = json!({"metadata": {"annotations": {"authentik-operator.io/reconcile-requested-at": "again"}}});
        test.patch("AuthentikConnection", "default", ask).await;
        until(test, INTERVAL, |after| after < interval / 2.0).await;
    })
    .await;
}

/// What the operator has asked for by itself since the audit was cleared.
fn asked(audit: &[Exchange]) -> BTreeSet<String> {
    audit.iter().map(Exchange::template).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_few_stages_among_many_each_is_asked_for() {
    test(async |test| {
        if test.is_real() {
            return;
        }
        for number in 0..OTHERS {
            let body = json!({"name": test.name(&format!("other-{number}")), "not_configured_action": "skip"});
            test.authentik.create("stages/authenticator/validate/", body).await;
        }
        connect(test).await;
        for number in 0..OWN {
            let name = format!("own-{number}");
            test.validate(&name, json!({})).await;
            test.in_sync(VALIDATE, &name).await;
        }
        // The first look after all are there.
        test.resyncs(1).await;
        test.gateway.clear();
        test.resyncs(1).await;
        let one = "/api/v3/stages/authenticator/validate/{uuid}/".to_owned();
        assert_eq!(asked(&test.gateway.audit()), BTreeSet::from([PROBE.to_owned(), one]));

        // Changes and deletions are found all the same, and what is asked of them then.
        test.by_hand(VALIDATE, "own-0", json!({"not_configured_action": "deny"})).await;
        let path = test.object_path(VALIDATE, "own-1").await;
        test.authentik.delete(&path).await;
        test.event("own-0", "DriftCorrected").await;
        test.events_of("own-1", "Created", 2).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_few_bindings_among_many_those_of_each_stage_are_asked_for() {
    test(async |test| {
        if test.is_real() {
            return;
        }
        let (own, other) = (test.flow("own").await, test.flow("other").await);
        let filler = test.totp_stage("filler").await;
        for order in 0..60 {
            test.bind(&other, &filler, order).await;
        }
        connect(test).await;
        let flows = json!({"flows": [{"flow": {"uuid": own}, "order": 10}]});
        test.validate("mfa", flows).await;
        let resource = test.in_sync(VALIDATE, "mfa").await;
        test.resyncs(1).await;
        test.gateway.clear();
        test.resyncs(1).await;
        let audit = test.gateway.audit();
        let bindings = audit
            .iter()
            .filter(|exchange| exchange.path == "/api/v3/flows/bindings/");
        let filtered = |exchange: &Exchange| exchange.query.contains("stage=");
        assert!(
            bindings.clone().count() > 0 && bindings.clone().all(filtered),
            "{audit:#?}"
        );

        // One that others add is found as well.
        let stage = resource.data["status"]["stage"]["uuid"].clone();
        test.bind(&other, &stage, 99).await;
        let note = test.event("mfa", "DriftCorrected").await;
        assert!(note.starts_with("put right flows ("), "{note}");
    })
    .await;
}
