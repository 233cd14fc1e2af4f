//! What is particular to some fields: what travels together, the same in other words, and what a server says of them.

use authentik_stage_operator::api::conditions;
use devkit::gateway::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::{
    harness::{DUO, Test, VALIDATE, condition, message, patch, post, test, with},
    on_every_version,
};

on_every_version!(
    configure_and_its_stages_travel_together,
    the_same_in_other_words_is_not_written,
);

/// Applies a spec and waits until it is in sync; returns what was written to authentik for it.
async fn written_for(test: &Test, kind: &str, spec: Value) -> Vec<(String, String, Value)> {
    test.gateway.clear();
    test.apply(kind, "stage", spec).await;
    test.in_sync(kind, "stage").await;
    test.written()
}

async fn configure_and_its_stages_travel_together(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let (one, other) = (test.totp_stage("one").await, test.totp_stage("other").await);
    let base = json!({"name": test.name("stage"), "deviceClasses": ["totp"]});
    written_for(test, VALIDATE, base.clone()).await;
    let pair = |uuid: &Value| {
        (
            json!({"notConfiguredAction": "configure", "configurationStages": [{"uuid": uuid}]}),
            json!({"not_configured_action": "configure", "configuration_stages": [uuid]}),
        )
    };
    let (first, first_body) = pair(&one);
    let written = written_for(test, VALIDATE, with(base.clone(), first.clone())).await;
    assert_eq!(written, [patch(VALIDATE, first_body)], "from skip");
    let (second, second_body) = pair(&other);
    let mut spec = with(base, second);
    let written = written_for(test, VALIDATE, spec.clone()).await;
    assert_eq!(
        written,
        [patch(VALIDATE, second_body.clone())],
        "other stages"
    );
    spec["deviceClasses"] = json!(["sms"]);
    let written = written_for(test, VALIDATE, spec.clone()).await;
    let alone = json!({"device_classes": ["sms"]});
    assert_eq!(written, [patch(VALIDATE, alone)], "something else");
    test.gateway.clear();
    test.by_hand(VALIDATE, "stage", json!({"configuration_stages": []}))
        .await;
    let note = test.event("stage", "DriftCorrected").await;
    assert!(note.contains("configurationStages"), "{note}");
    assert_eq!(test.written(), [patch(VALIDATE, second_body)], "drift");
    test.in_sync(VALIDATE, "stage").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_needs_no_stages_travels_alone() {
    test(async |test| {
        test.connect().await;
        let stage = test.totp_stage("totp").await;
        let bases = [
            json!({"name": test.name("stage")}),
            json!({"name": test.name("stage"), "configurationStages": [{"uuid": stage}]}),
        ];
        for base in bases {
            let skip = with(base.clone(), json!({"notConfiguredAction": "skip"}));
            written_for(test, VALIDATE, skip).await;
            let deny = with(base, json!({"notConfiguredAction": "deny"}));
            let written = written_for(test, VALIDATE, deny).await;
            let alone = json!({"not_configured_action": "deny"});
            assert_eq!(written, [patch(VALIDATE, alone)]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_in_one_field_is_mended_in_that_field() {
    test(async |test| {
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        let spec = json!({"name": test.name("stage"), "notConfiguredAction": "deny", "deviceClasses": ["totp"]});
        written_for(test, VALIDATE, spec).await;
        test.gateway.clear();
        test.by_hand(VALIDATE, "stage", json!({"device_classes": ["sms"], "last_auth_threshold": "hours=1"})).await;
        let note = test.event("stage", "DriftCorrected").await;
        let told = r#"put right deviceClasses (["sms"] → ["totp"])"#;
        assert!(note.starts_with(told), "{note}");
        let mended = json!({"device_classes": ["totp"]});
        assert_eq!(test.written(), [patch(VALIDATE, mended)]);
    })
    .await;
}

async fn the_same_in_other_words_is_not_written(test: &Test) {
    test.connect().await;
    let uuids = [test.totp_stage("one").await, test.totp_stage("other").await];
    let [one, other] = uuids.map(|uuid| uuid.as_str().expect("a UUID").to_owned());
    let name = test.name("stage");
    let spec = json!({
        "name": name, "notConfiguredAction": "configure", "deviceClasses": ["totp", "static"],
        "configurationStages": [{"uuid": one}, {"uuid": other}], "lastAuthThreshold": "hours=1; minutes=5",
    });
    let written = written_for(test, VALIDATE, spec.clone()).await;
    // With the space, authentik would take it for one hour.
    assert_eq!(written[0].2["last_auth_threshold"], "hours=1;minutes=5");
    for same in [
        json!({"name": format!("  {name} ")}),
        json!({"deviceClasses": ["static", "totp"]}),
        json!({"configurationStages": [{"uuid": other}, {"uuid": one}]}),
        json!({"configurationStages": [{"uuid": one.to_uppercase()}, {"uuid": other.replace('-', "")}]}),
        json!({"configurationStages": [{"name": format!(" {} ", test.name("one"))}, {"uuid": other}]}),
        json!({"configurationStages": [{"name": test.name("one")}, {"uuid": one}, {"uuid": other}]}),
        json!({"lastAuthThreshold": "minutes=5;hours=1"}),
        json!({"lastAuthThreshold": " Minutes=65 "}),
        json!({"lastAuthThreshold": "seconds=3900.0"}),
    ] {
        let written = written_for(test, VALIDATE, with(spec.clone(), same.clone())).await;
        assert_eq!(written, [], "{same}");
    }
    let flow = test.flow("flow").await;
    let more = json!({"name": test.name("duo"), "configureFlow": {"uuid": flow}, "friendlyName": "Duo Push"});
    let spec = with(test.duo_spec().await, more);
    written_for(test, DUO, spec.clone()).await;
    let flow = flow
        .as_str()
        .expect("a UUID")
        .replace('-', "")
        .to_uppercase();
    for same in [
        json!({"clientId": " DIXXXXXXXXXXXXXXXXXX\n"}),
        json!({"apiHostname": " api-1.duosecurity.com "}),
        json!({"configureFlow": {"uuid": flow}}),
        json!({"configureFlow": {"slug": test.name("flow")}}),
        json!({"friendlyName": "\tDuo Push "}),
    ] {
        let written = written_for(test, DUO, with(spec.clone(), same.clone())).await;
        assert_eq!(written, [], "{same}");
    }
}

/// From a release on of which nothing is known, a field is sent; the answer tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_the_answer_lacks_is_reported_and_not_sent_again() {
    test(async |test| {
        if test.release().await > (2026, 5) {
            return;
        }
        let version = json!({"version_current": "2099.1.0", "version_latest": "2099.1.0"});
        test.gateway.inject(
            Fault::new(FaultKind::Respond {
                status: 200,
                content_type: "application/json".to_owned(),
                body: version.to_string(),
                forward: false,
            })
            .path("/admin/version/"),
        );
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        let spec = json!({"name": test.name("stage"), "totpOtpThrottlingFactor": 2});
        test.apply(VALIDATE, "stage", spec).await;
        let resource = test.reason(VALIDATE, "stage", "FieldUnsupported").await;
        let text = message(&resource);
        assert!(
            text.contains("totpOtpThrottlingFactor was not kept by the server"),
            "{text}"
        );
        let body = json!({"name": test.name("stage"), "totp_otp_throttling_factor": 2.0});
        assert_eq!(test.written(), [post(VALIDATE, body)]);
        test.gateway.clear();
        test.resyncs(2).await;
        assert_eq!(test.written(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_the_server_refuses_is_told_in_its_own_words() {
    crate::harness::on(devkit::simulator::Version::V2024_2, async |test| {
        if test.release().await >= (2025, 2) {
            return;
        }
        test.connect().await;
        let spec = json!({"name": test.name("stage"), "deviceClasses": ["totp", "email"]});
        test.apply(VALIDATE, "stage", spec.clone()).await;
        let resource = test.reason(VALIDATE, "stage", "Rejected").await;
        assert!(condition(&resource, conditions::STALLED).is_some());
        let text = message(&resource);
        for words in [
            "device_classes",
            "\"email\" is not a valid choice.",
            "\"email\" needs authentik 2025.2, and this is ",
        ] {
            assert!(text.contains(words), "{text}");
        }
        let note = test.event("stage", "Rejected").await;
        assert_eq!(note, text);
        let spec = with(spec, json!({"deviceClasses": ["totp"]}));
        test.apply(VALIDATE, "stage", spec).await;
        test.in_sync(VALIDATE, "stage").await;
    })
    .await;
}
