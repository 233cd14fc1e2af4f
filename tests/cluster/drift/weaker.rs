//! A second factor that others make weaker.

use devkit::gateway::{Fault, FaultKind};
use reqwest::Method;
use serde_json::{Value, json};

use super::metric;
use crate::{
    harness::{Test, VALIDATE, test, text},
    on_every_version,
};

const COUNTED: &str =
    "authentik_operator_factor_weakened_total{kind=\"AuthenticatorValidateStage\"}";
const NOW: &str = "authentik_operator_factors_weak{";

/// A strict stage that is in sync with its resource and stands in a flow.
pub async fn strict(test: &Test, policy: &str) -> String {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let totp = test.totp_stage("totp").await;
    let spec = json!({
        "notConfiguredAction": "configure", "deviceClasses": ["totp", "webauthn"],
        "configurationStages": [{"uuid": totp}],
        "lastAuthThreshold": "minutes=5", "webauthnUserVerification": "required",
        "flows": [{"flow": {"uuid": test.flow("login").await}, "order": 10}],
    });
    test.validate("mfa", spec).await;
    test.in_sync(VALIDATE, "mfa").await;
    if policy == "Observe" {
        let observe = json!({"spec": {"managementPolicy": policy}});
        test.patch(VALIDATE, "mfa", observe).await;
        test.in_sync(VALIDATE, "mfa").await;
    }
    test.resyncs(1).await;
    test.object_path(VALIDATE, "mfa").await
}

/// Has nobody asked for a factor.
pub async fn weaken(test: &Test, path: &str) {
    let skip = json!({"not_configured_action": "skip"});
    test.authentik.patch(path, skip).await;
}

async fn unbind(test: &Test) {
    let stage = &test.get(VALIDATE, "mfa").await.data["status"]["stage"]["uuid"];
    let bindings = format!("flows/bindings/?stage={}", text(stage));
    let binding = test.authentik.list(&bindings).await.swap_remove(0);
    let binding = format!("flows/bindings/{}/", text(&binding["pk"]));
    test.authentik.delete(&binding).await;
}

on_every_version!(whatever_makes_a_factor_weaker_is_warned_of_at_once);

async fn whatever_makes_a_factor_weaker_is_warned_of_at_once(test: &Test) {
    let path = strict(test, "Enforce").await;
    assert_eq!(metric(test, COUNTED).await, Some(0.0), "it is there before");
    let mut warnings = 0;
    let weaker = [
        (
            "notConfiguredAction (skip → configure)",
            json!({"not_configured_action": "skip"}),
        ),
        ("deviceClasses ", json!({"device_classes": ["totp"]})),
        (
            "lastAuthThreshold (days=1 → minutes=5)",
            json!({"last_auth_threshold": "days=1"}),
        ),
        (
            "webauthnUserVerification ",
            json!({"webauthn_user_verification": "discouraged"}),
        ),
    ];
    for (told, by_hand) in weaker {
        test.authentik.patch(&path, by_hand).await;
        warned(test, &mut warnings, told).await;
    }
    unbind(test).await;
    warned(test, &mut warnings, "flows ").await;
    test.authentik.delete(&path).await;
    warned(test, &mut warnings, "name ").await;
    assert_eq!(metric(test, COUNTED).await, Some(6.0));
}

async fn warned(test: &Test, warnings: &mut usize, told: &str) {
    *warnings += 1;
    let notes = test.events_of("mfa", "FactorWeakened", *warnings).await;
    let note = &notes[*warnings - 1];
    let begins =
        note.starts_with("for ") && note.contains(" s at most, the second factor was weaker");
    assert!(begins && note.contains(told), "{note}");
    test.in_sync(VALIDATE, "mfa").await;
    test.resyncs(1).await;
    assert_eq!(metric(test, NOW).await, None, "{told}: it is put right");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_a_factor_stricter_or_means_the_same_is_no_warning() {
    test(async |test| {
        let path = strict(test, "Enforce").await;
        let other = [
            json!({"not_configured_action": "deny"}),
            json!({"device_classes": ["totp", "webauthn", "duo"]}),
            json!({"last_auth_threshold": "seconds=0"}),
        ];
        for (corrections, by_hand) in (1..).zip(other) {
            test.authentik.patch(&path, by_hand).await;
            test.events_of("mfa", "DriftCorrected", corrections).await;
            test.in_sync(VALIDATE, "mfa").await;
        }
        none_warned(test).await;
    })
    .await;
}

async fn none_warned(test: &Test) {
    let events = test.events("mfa").await;
    let warned = events.iter().find(|(reason, _)| reason == "FactorWeakened");
    assert_eq!(warned, None);
    assert_eq!(metric(test, COUNTED).await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_observes_is_warned_once_and_shows_it_until_it_is_over() {
    test(async |test| {
        let path = strict(test, "Observe").await;
        let skip = json!({"not_configured_action": "skip", "webauthn_user_verification": "required"});
        test.authentik.patch(&path, skip).await;
        let note = test.event("mfa", "FactorWeakened").await;
        assert!(note.contains("managementPolicy: Observe keeps it so"), "{note}");
        assert!(note.contains("notConfiguredAction (skip → configure)"), "{note}");
        let resource = test.reason(VALIDATE, "mfa", "Drifted").await;
        assert_eq!(resource.data["status"]["drift"][0]["weaker"], true);
        assert_eq!(metric(test, NOW).await, Some(1.0));
        test.resyncs(2).await;

        // It is as weak as before for the operator that follows.
        test.take_operator().await.stop().await;
        test.start_operator().await;
        test.looked_at_anew(VALIDATE, "mfa").await;
        assert_eq!(metric(test, NOW).await, Some(1.0));
        assert_eq!(test.events_of("mfa", "FactorWeakened", 1).await.len(), 1);

        test.authentik.patch(&path, json!({"not_configured_action": "configure", "configuration_stages": stages(test, &path).await})).await;
        test.in_sync(VALIDATE, "mfa").await;
        assert_eq!(metric(test, NOW).await, None);
        assert_eq!(test.written().iter().filter(|(method, ..)| method == "PATCH").count(), 0);
    })
    .await;
}

async fn stages(test: &Test, path: &str) -> Value {
    let (_, stage) = test.authentik.send(Method::GET, path, None).await;
    stage["configuration_stages"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_put_right_is_warned_of_all_the_same() {
    test(async |test| {
        let path = strict(test, "Enforce").await;
        let refused = FaultKind::Respond {
            status: 403,
            content_type: "application/json".to_owned(),
            body: json!({"detail": "You do not have permission to perform this action."})
                .to_string(),
            forward: false,
        };
        let fault = test
            .gateway
            .inject(Fault::new(refused).method(Method::PATCH));
        test.authentik
            .patch(&path, json!({"not_configured_action": "skip"}))
            .await;
        let note = test.event("mfa", "FactorWeakened").await;
        assert!(note.contains("could not be put right yet"), "{note}");
        test.reason(VALIDATE, "mfa", "AccessDenied").await;
        assert_eq!(metric(test, NOW).await, Some(1.0));
        test.gateway.remove(fault);
        test.request_reconcile(VALIDATE, "mfa", "now").await;
        test.in_sync(VALIDATE, "mfa").await;
        assert_eq!(metric(test, NOW).await, None);
        assert_eq!(test.events_of("mfa", "FactorWeakened", 1).await.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_asks_nobody_for_a_factor_weakens_none() {
    test(async |test| {
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        test.apply(
            "AuthenticatorTOTPStage",
            "mfa",
            json!({"name": test.name("setup"), "digits": "8"}),
        )
        .await;
        test.in_sync("AuthenticatorTOTPStage", "mfa").await;
        test.resyncs(1).await;
        let path = test.object_path("AuthenticatorTOTPStage", "mfa").await;
        test.authentik.patch(&path, json!({"digits": "6"})).await;
        test.event("mfa", "DriftCorrected").await;
        test.authentik.delete(&path).await;
        test.events_of("mfa", "Created", 2).await;
        none_warned(test).await;
    })
    .await;
}
