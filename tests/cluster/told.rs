//! What a resource says of a failure is so: neither the server nor anyone else is suspected of what is not theirs.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use axum::{
    http::{StatusCode, header},
    response::IntoResponse,
};
use devkit::gateway::{Fault, FaultKind, Gateway};
use kube::api::DynamicObject;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{DUO, Test, VALIDATE, collection, message, test, text, with},
    harness_more::{CONNECTION, between, reason_of},
};

/// How busy a server is.
const NOT: u8 = 0;
const WITH_WRITES: u8 = 1;
const ALTOGETHER: u8 = 2;

/// The connection `default` to a server that is as busy as this says.
async fn connect_to_busy(test: &Test, busy: &Arc<AtomicU8>) {
    let busy = busy.clone();
    let url = between(test.gateway.url(), move |request| {
        let struck = match busy.load(Ordering::SeqCst) {
            WITH_WRITES => request.method != Method::GET,
            busy => busy == ALTOGETHER,
        };
        let answer = (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, "1")],
        );
        struck.then(|| answer.into_response())
    });
    test.secret("authentik", json!({"token": test.token()}))
        .await;
    let settings = json!({"resyncInterval": "1s"});
    test.connection("default", &url.await, settings).await;
    test.reason(CONNECTION, "default", "Connected").await;
}

fn no_throttling(says: &str) {
    for wrong in ["429", "Too Many Requests", "requestsPerSecond"] {
        assert!(!says.contains(wrong), "{says}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_unavailable_for_a_while_is_not_said_to_throttle() {
    test(async |test| {
        let busy = Arc::new(AtomicU8::new(NOT));
        connect_to_busy(test, &busy).await;
        busy.store(WITH_WRITES, Ordering::SeqCst);
        for name in ["one", "two"] {
            test.validate(name, json!({})).await;
        }
        for name in ["one", "two"] {
            let resource = test.reason(VALIDATE, name, "AuthentikUnavailable").await;
            no_throttling(&message(&resource));
        }
        busy.store(ALTOGETHER, Ordering::SeqCst);
        let connection = test.reason(CONNECTION, "default", "Unreachable").await;
        let says = message(&connection);
        no_throttling(&says);
        assert!(says.contains("503"), "{says}");
        for name in ["one", "two", "default"] {
            for (_, note) in test.events(name).await {
                no_throttling(&note);
            }
        }
        busy.store(NOT, Ordering::SeqCst);
        for name in ["one", "two"] {
            test.in_sync(VALIDATE, name).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_whose_answer_was_lost_is_told_as_one() {
    test(async |test| {
        test.connect_with(json!({"resyncInterval": "1h", "timeout": "2s"}))
            .await;
        let lost = [
            FaultKind::CutAfter,
            FaultKind::InternalError { effect: true },
            FaultKind::HangAfter,
        ];
        for (n, kind) in lost.into_iter().enumerate() {
            for (stage, policy) in [(VALIDATE, "Delete"), (DUO, "ForceDelete")] {
                let name = format!("{}-{n}", policy.to_lowercase());
                let mut spec = match stage {
                    DUO => test.duo_spec().await,
                    _ => json!({"notConfiguredAction": "skip"}),
                };
                let fields = json!({"name": test.name(&name), "deletionPolicy": policy});
                crate::harness::merge(&mut spec, fields);
                test.apply(stage, &name, spec).await;
                let resource = test.in_sync(stage, &name).await;
                let lost = Fault::new(kind.clone()).method(Method::DELETE).times(1);
                let lost = test.gateway.inject(lost);
                test.delete(stage, &name).await;
                test.gone(stage, &name).await;
                test.gateway.remove(lost);
                let note = test.event(&name, "Deleted").await;
                let uuid = text(&resource.data["status"]["stage"]["uuid"]);
                assert!(note.contains(uuid), "{note}");
                let events = test.events(&name).await;
                let deleted = events.iter().filter(|(reason, _)| reason == "Deleted");
                assert_eq!(deleted.count(), 1, "{events:?}");
            }
        }
    })
    .await;
}

/// Each unit may be that long, and all together may not: Python's timedelta ends short of 1000000000
/// days, and at -999999999.
const TOO_LONG: [&str; 3] = [
    "days=999999999;hours=24",
    "weeks=99999999;days=999999999",
    "days=-999999999;hours=-1",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_duration_that_is_none_is_a_fault_of_the_spec() {
    test(async |test| {
        test.connect().await;
        let longest = json!({"lastAuthThreshold": "days=999999999"});
        test.validate("longest", longest).await;
        test.in_sync(VALIDATE, "longest").await;
        test.gateway.clear();
        for (n, duration) in TOO_LONG.into_iter().enumerate() {
            let name = format!("mfa-{n}");
            let spec = json!({"name": test.name(&name), "lastAuthThreshold": duration});
            if let Err(refused) = test.try_apply(VALIDATE, &name, spec).await {
                let says = refused.to_string();
                assert!(says.contains("lastAuthThreshold"), "{says}");
                continue;
            }
            let told = |object: Option<&DynamicObject>| object.and_then(reason_of).is_some();
            let resource = test.until(VALIDATE, &name, "told", told).await;
            let resource = resource.expect("it is there");
            assert_eq!(reason_of(&resource), Some("InvalidSpec"));
            let says = message(&resource);
            assert!(says.contains("lastAuthThreshold"), "{says}");
        }
        assert_eq!(test.written(), []);
    })
    .await;
}

/// The connection `default` to a server that ignores one field without a word, and the gateway to it.
async fn connect_to_one_that_ignores(test: &Test, field: &'static str) -> Gateway {
    let url = between(test.gateway.url(), move |request| {
        let body = request.body.as_mut().and_then(Value::as_object_mut);
        body.and_then(|body| body.remove(field));
        None
    });
    let gateway = Gateway::in_front_of(&url.await).launch().await;
    test.secret("authentik", json!({"token": test.token()}))
        .await;
    let settings = json!({"resyncInterval": "1s"});
    test.connection("default", &gateway.url(), settings).await;
    test.reason(CONNECTION, "default", "Connected").await;
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_the_server_ignores_stays_ignored_when_another_drifts() {
    test(async |test| {
        let gateway = connect_to_one_that_ignores(test, "last_auth_threshold").await;
        let ignored = json!({"lastAuthThreshold": "hours=12"});
        test.validate("mfa", ignored.clone()).await;
        test.reason(VALIDATE, "mfa", "FieldUnsupported").await;
        test.resyncs(2).await;
        gateway.clear();
        // A change of the spec is one change, and each drift after it is one too.
        test.validate("mfa", with(ignored, json!({"notConfiguredAction": "deny"})))
            .await;
        let is_denied = |stage: Option<&Value>| {
            stage.is_some_and(|stage| stage["not_configured_action"] == "deny")
        };
        let name = test.name("mfa");
        let stage = test.stage_until("validate", &name, is_denied).await;
        let stage = stage.expect("it is there");
        let path = format!("{}{}/", collection(VALIDATE), text(&stage["pk"]));
        for drifts in 1..=3 {
            test.resyncs(2).await;
            let skip = json!({"not_configured_action": "skip"});
            test.authentik.patch(&path, skip).await;
            test.stage_until("validate", &name, is_denied).await;
            test.resyncs(2).await;
            let bodies = gateway.writes().into_iter().map(|write| write.body);
            let deny = Some(json!({"not_configured_action": "deny"}));
            assert_eq!(bodies.collect::<Vec<_>>(), vec![deny; drifts + 1]);
        }
        for (reason, note) in test.events("mfa").await {
            let changes = ["Updated", "DriftCorrected"].contains(&reason.as_str());
            assert!(!(changes && note.contains("lastAuth")), "{reason}: {note}");
        }
        let resource = test.reason(VALIDATE, "mfa", "FieldUnsupported").await;
        assert!(message(&resource).contains("lastAuthThreshold"));
    })
    .await;
}
