//! Servers that are down, slow, overworked or talk nonsense, and the way back.

use std::time::Duration;

use devkit::gateway::{Exchange, Fault, FaultKind, Gateway};
use kube::api::DynamicObject;
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    harness::{PROBE, Test, VALIDATE, VALIDATES, condition, message, patience, test},
    on_every_version,
};

const CONNECTION: &str = "AuthentikConnection";

on_every_version!(an_outage_is_reported_and_passes);

/// Stages of these names, in sync, on a connection that is listed every second.
async fn in_sync_with(test: &Test, names: &[String]) {
    test.connect_with(json!({"resyncInterval": "1s", "timeout": "2s"}))
        .await;
    for name in names {
        test.validate(name, json!({})).await;
    }
    for name in names {
        test.in_sync(VALIDATE, name).await;
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("mfa-{n}")).collect()
}

/// Waits until the resource says that authentik is not available, and checks that it is still trying.
async fn unavailable(test: &Test, name: &str) -> DynamicObject {
    let object = test.reason(VALIDATE, name, "AuthentikUnavailable").await;
    let status = |type_| condition(&object, type_).map(|condition| condition["status"].clone());
    assert_eq!(status("Ready"), Some(json!("False")));
    assert_eq!(status("Reconciling"), Some(json!("True")));
    assert_eq!(status("Stalled"), None);
    object
}

async fn an_outage_is_reported_and_passes(test: &Test) {
    let names = names(2);
    in_sync_with(test, &names).await;
    let before = test.writes().len();
    test.gateway.stop().await;
    test.reason(CONNECTION, "default", "Unreachable").await;
    // A request that was under way was cut, and says so first.
    let refused = |connection: Option<&DynamicObject>| {
        connection.is_some_and(|connection| message(connection).contains("connection refused"))
    };
    test.until(CONNECTION, "default", "refused", refused).await;
    for name in &names {
        unavailable(test, name).await;
    }
    test.gateway.start().await;
    test.reason(CONNECTION, "default", "Connected").await;
    for name in &names {
        test.in_sync(VALIDATE, name).await;
    }
    assert_eq!(
        test.writes().len(),
        before,
        "nothing differs after an outage"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_probed_once_for_all_its_stages() {
    test(async |test| {
        let names = names(20);
        in_sync_with(test, &names).await;
        let outage = test
            .gateway
            .inject(Fault::new(FaultKind::ServiceUnavailable));
        test.reason(CONNECTION, "default", "Unreachable").await;
        for name in &names {
            unavailable(test, name).await;
        }
        test.gateway.clear();
        let thrice = |audit: &[Exchange]| audit.len() >= 3;
        assert!(test.gateway.wait_for(thrice, patience()).await);
        let audit = test.gateway.audit();
        let others: Vec<_> = audit
            .iter()
            .filter(|exchange| exchange.path != PROBE)
            .collect();
        assert!(others.is_empty(), "{others:?}");
        test.gateway.remove(outage);
        for name in &names {
            test.in_sync(VALIDATE, name).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_created_while_the_server_is_down_do_not_ask_it() {
    test(async |test| {
        test.connect().await;
        test.gateway.stop().await;
        test.request_reconcile(CONNECTION, "default", "now").await;
        test.reason(CONNECTION, "default", "Unreachable").await;
        test.gateway
            .inject(Fault::new(FaultKind::ServiceUnavailable));
        test.gateway.clear();
        test.gateway.start().await;
        for name in names(5) {
            test.validate(&name, json!({})).await;
            unavailable(test, &name).await;
        }
        assert_eq!(test.gateway.count("GET", VALIDATES), 0);
        test.gateway.clear_faults();
        for name in names(5) {
            test.in_sync(VALIDATE, &name).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_made_while_the_database_is_down_is_written_later() {
    test(async |test| {
        let Some(simulator) = &test.simulator else {
            return;
        };
        in_sync_with(test, &names(1)).await;
        test.gateway.clear();
        simulator.set_database_down(true);
        test.validate("mfa-0", json!({"notConfiguredAction": "deny"}))
            .await;
        unavailable(test, "mfa-0").await;
        simulator.set_database_down(false);
        test.in_sync(VALIDATE, "mfa-0").await;
        let stage = test.authentik.stage("validate", &test.name("mfa-0")).await;
        assert_eq!(stage.expect("it is there")["not_configured_action"], "deny");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_are_followed_by_the_rest_that_the_server_asks_for() {
    test(async |test| {
        test.connect().await;
        let throttled = FaultKind::TooManyRequests {
            retry_after: Some(4),
        };
        test.gateway.inject(Fault::new(throttled).times(1));
        test.gateway.clear();
        test.validate("mfa", json!({})).await;
        let refused =
            |audit: &[Exchange]| audit.iter().any(|exchange| exchange.status == Some(429));
        assert!(test.gateway.wait_for(refused, patience()).await);
        let refused_at = Instant::now();
        let asked_again = |audit: &[Exchange]| audit.len() > 1;
        assert!(test.gateway.wait_for(asked_again, patience()).await);
        // A backoff alone would ask again within a second.
        assert!(
            refused_at.elapsed() > Duration::from_secs(3),
            "{:?}",
            refused_at.elapsed()
        );
        test.in_sync(VALIDATE, "mfa").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_throttles_by_address_is_asked_nothing_before_its_time() {
    test(async |test| {
        let Some(simulator) = &test.simulator else {
            return;
        };
        // One request at a time: none is under way beside the one that is refused.
        let settings = json!({"resyncInterval": "1s", "maxConcurrentRequests": 1});
        test.connect_with(settings).await;
        let another = Gateway::in_front_of(&simulator.url()).launch().await;
        for name in names(20) {
            test.validate(&name, json!({})).await;
            test.in_sync(VALIDATE, &name).await;
        }
        let throttled = FaultKind::TooManyRequests {
            retry_after: Some(4),
        };
        let throttled = Fault::new(throttled).method(Method::PATCH).times(1);
        test.gateway.inject(throttled);
        test.gateway.clear();
        for name in names(20) {
            test.validate(&name, json!({"notConfiguredAction": "deny"}))
                .await;
        }
        let refused = |audit: &[Exchange]| audit.iter().position(|it| it.status == Some(429));
        let is_refused = |audit: &[Exchange]| refused(audit).is_some();
        assert!(test.gateway.wait_for(is_refused, patience()).await);
        let refused_at = Instant::now();
        let count = test.gateway.audit().len();
        // Neither another token nor somebody who asks for a look ends the rest.
        test.request_reconcile(CONNECTION, "default", "now").await;
        test.secret(
            "authentik",
            json!({"token": test.token(), "more": test.canary("more")}),
        )
        .await;
        test.request_reconcile(VALIDATE, "mfa-0", "now").await;
        // Others are asked meanwhile.
        test.connection("another", &another.url(), json!({})).await;
        test.reason(CONNECTION, "another", "Connected").await;
        let asked = |audit: &[Exchange]| audit.len() > count;
        assert!(test.gateway.wait_for(asked, patience()).await);
        assert!(
            refused_at.elapsed() > Duration::from_secs(3),
            "{:?}: {:#?}",
            refused_at.elapsed(),
            &test.gateway.audit()[count..]
        );
        for name in names(20) {
            test.in_sync(VALIDATE, &name).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_without_a_time_are_tried_again() {
    test(async |test| {
        test.connect().await;
        let throttled = FaultKind::TooManyRequests { retry_after: None };
        let throttled = Fault::new(throttled).method(Method::POST).times(2);
        test.gateway.inject(throttled);
        test.validate("mfa", json!({})).await;
        test.in_sync(VALIDATE, "mfa").await;
        assert_eq!(test.gateway.count("POST", VALIDATES), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_make_no_sense_are_reported_and_pass() {
    test(async |test| {
        in_sync_with(test, &names(1)).await;
        let before = test.writes().len();
        let cases = [
            (FaultKind::Hang, "no answer within 2s"),
            (FaultKind::MalformedBody, "broken JSON"),
            (
                FaultKind::TruncatedBody,
                "closed before the answer was complete",
            ),
            (FaultKind::HugeBody(40 << 20), "more than"),
            (FaultKind::WrongJson, "check the connection's url"),
            (
                FaultKind::InternalError { effect: false },
                "authentik answered 500",
            ),
        ];
        for (kind, phrase) in cases {
            let fault = test.gateway.inject(Fault::new(kind));
            let object = unavailable(test, "mfa-0").await;
            assert!(
                message(&object).contains(phrase),
                "{phrase}: {}",
                message(&object)
            );
            test.gateway.remove(fault);
            test.in_sync(VALIDATE, "mfa-0").await;
        }
        assert_eq!(test.writes().len(), before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_alone_fails_backs_off_alone() {
    test(async |test| {
        let names = names(2);
        in_sync_with(test, &names).await;
        let uuid = test.get(VALIDATE, &names[0]).await.data["status"]["stage"]["uuid"].clone();
        let path = format!("{VALIDATES}{}/", uuid.as_str().expect("it is text"));
        let failing = Fault::new(FaultKind::InternalError { effect: false });
        let failing = failing.method(Method::PATCH).path(&path);
        let failing = test.gateway.inject(failing);
        test.gateway.clear();
        let begun = Instant::now();
        for name in &names {
            test.validate(name, json!({"notConfiguredAction": "deny"}))
                .await;
        }
        test.in_sync(VALIDATE, &names[1]).await;
        unavailable(test, &names[0]).await;
        test.resyncs(4).await;
        let tries = |audit: &[Exchange]| {
            let tries = audit.iter().filter(|exchange| exchange.method == "PATCH");
            tries.filter(|exchange| exchange.path == path).count()
        };
        // The pauses are one second, two, four and so on, less a quarter at most.
        let count = u32::try_from(tries(&test.gateway.audit())).expect("they are few");
        let least = Duration::from_millis(750) * ((1 << (count - 1)) - 1);
        assert!(
            begun.elapsed() >= least,
            "{count} tries in {:?}",
            begun.elapsed()
        );
        let connection = test.reason(CONNECTION, "default", "Connected").await;
        let failures = test.events("default").await;
        assert_eq!(failures, [], "{connection:?}");
        test.gateway.remove(failing);
        test.in_sync(VALIDATE, &names[0]).await;
    })
    .await;
}
