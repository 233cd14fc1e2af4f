//! Who changed it, as the audit log tells.

use devkit::gateway::{Fault, FaultKind};
use reqwest::Method;
use serde_json::{Value, json};

use super::{LOG, questions};
use crate::{
    harness::{Authentik, FLOW, Test, VALIDATE, collection, patch, patience, test, text},
    harness_more::Elsewhere,
    on_every_version,
};

/// A stage that is in sync with a resource, looked at every second.
async fn stage(test: &Test, settings: Value) -> String {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let mut spec = json!({"notConfiguredAction": "deny", "deviceClasses": ["totp"]});
    crate::harness::merge(&mut spec, settings);
    test.validate("mfa", spec).await;
    test.in_sync(VALIDATE, "mfa").await;
    // So that the operator has seen it as it is.
    test.resyncs(1).await;
    test.gateway.clear();
    test.object_path(VALIDATE, "mfa").await
}

/// What is told once somebody skips the second factor.
async fn skipped_by(test: &Test, who: &Authentik, path: &str) -> String {
    let skip = json!({"not_configured_action": "skip"});
    who.patch(path, skip).await;
    test.event("mfa", "DriftCorrected").await
}

/// What is told once somebody changes the classes after that.
async fn then_changed_by(test: &Test, who: &Authentik, path: &str) -> String {
    test.in_sync(VALIDATE, "mfa").await;
    test.resyncs(1).await;
    who.patch(path, json!({"device_classes": ["sms"]})).await;
    test.events_of("mfa", "DriftCorrected", 2)
        .await
        .swap_remove(1)
}

on_every_version!(who_changed_a_stage_is_told_with_one_question);

async fn who_changed_a_stage_is_told_with_one_question(test: &Test) {
    let (alice, name) = test.colleague("alice").await;
    let path = stage(test, json!({})).await;
    let note = skipped_by(test, &alice, &path).await;
    let told = format!("put right notConfiguredAction (skip → deny), changed by {name} from ");
    assert!(note.starts_with(&told), "{note}");
    assert!(note.ends_with(" with Mozilla/5.0 (test)"), "{note}");
    let resource = test.get(VALIDATE, "mfa").await;
    let change = &resource.data["status"]["lastChange"];
    assert_eq!(change["reason"], "DriftCorrected");
    let author = &change["changedBy"];
    assert_eq!(author["username"], name.as_str());
    assert_eq!(author["userAgent"], "Mozilla/5.0 (test)");
    assert!(
        author["clientIp"].is_string() && author["time"].is_string(),
        "{author}"
    );
    let mended = json!({"not_configured_action": "deny"});
    assert_eq!(test.written(), [patch(VALIDATE, mended)]);
    // The log is asked when there is drift, and never besides.
    test.resyncs(2).await;
    assert_eq!(questions(test), 1);
    let events = test.events("mfa").await;
    assert!(
        events.iter().all(|(reason, _)| reason != "AnotherWriter"),
        "{events:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_who_changed_it_meanwhile_is_told() {
    test(async |test| {
        let (alice, last) = test.colleague("alice").await;
        let (bob, before) = test.colleague("bob").await;
        let path = stage(test, json!({})).await;
        let held = test
            .gateway
            .inject(Fault::new(FaultKind::Hold).path("/validate/"));
        bob.patch(&path, json!({"device_classes": ["sms"]})).await;
        alice
            .patch(&path, json!({"not_configured_action": "skip"}))
            .await;
        test.gateway.remove(held);
        let note = test.event("mfa", "DriftCorrected").await;
        assert!(note.contains(&format!("changed by {last} from ")), "{note}");
        assert!(
            note.ends_with(&format!("; before that by {before}")),
            "{note}"
        );
    })
    .await;
}

on_every_version!(who_unbound_or_deleted_a_stage_is_told);

async fn who_unbound_or_deleted_a_stage_is_told(test: &Test) {
    let (alice, name) = test.colleague("alice").await;
    let flow = test.flow("login").await;
    let flows = json!([{"flow": {"uuid": flow}, "order": 10}]);
    let path = stage(test, json!({"flows": flows})).await;
    let stage = test.get(VALIDATE, "mfa").await.data["status"]["stage"]["uuid"].clone();
    let bindings = format!("flows/bindings/?stage={}", text(&stage));
    let binding = test.authentik.list(&bindings).await.swap_remove(0);
    alice
        .delete(&format!("flows/bindings/{}/", text(&binding["pk"])))
        .await;
    let note = test.event("mfa", "DriftCorrected").await;
    let by = format!("deleted by {name} from ");
    assert!(
        note.starts_with("put right flows (") && note.contains(&by),
        "{note}"
    );

    test.in_sync(VALIDATE, "mfa").await;
    test.resyncs(1).await;
    alice.delete(&path).await;
    let notes = test.events_of("mfa", "Created", 2).await;
    assert!(
        notes[1].contains("created again, for it was gone (deleted by "),
        "{notes:?}"
    );
    assert!(notes[1].contains(&by), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changed_a_flow_is_told() {
    test(async |test| {
        let (alice, name) = test.colleague("alice").await;
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        let spec = test.flow_spec("setup", json!({"title": "Before"}));
        test.apply(FLOW, "setup", spec).await;
        test.in_sync(FLOW, "setup").await;
        test.resyncs(1).await;
        let path = test.flow_path("setup");
        alice.patch(&path, json!({"title": "After"})).await;
        let note = test.event("setup", "DriftCorrected").await;
        let told = format!("put right title (After → Before), changed by {name} from ");
        assert!(note.starts_with(&told), "{note}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_with_the_operators_account_is_warned_of() {
    test(async |test| {
        let path = stage(test, json!({})).await;
        let terraform = test
            .authentik
            .with(test.token().to_owned(), "Terraform/1.9");
        skipped_by(test, &terraform, &path).await;
        let note = test.event("mfa", "AnotherWriter").await;
        assert!(note.contains("with Terraform/1.9"), "{note}");
        assert!(note.contains("give each an account of its own"), "{note}");
        let series = "authentik_operator_other_writers_total";
        assert_eq!(super::metric(test, series).await, Some(1.0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_operator_with_the_same_token_is_warned_of() {
    test(async |test| {
        stage(test, json!({})).await;
        // As one in another cluster: it knows nothing of the first, and wants the stage otherwise.
        let elsewhere = Elsewhere::new(test).await;
        elsewhere.token(test.token()).await;
        elsewhere.connection("default", &test.gateway.url()).await;
        let options = authentik_stage_operator::controller::Options {
            namespaces: vec![elsewhere.namespace.clone()],
            ..test.options()
        };
        let second = test.spawn_with(options);
        let spec = json!({
            "name": test.name("mfa"), "adoptionPolicy": "Always", "deviceClasses": ["totp", "webauthn"],
        });
        elsewhere.apply(VALIDATE, "mfa", spec).await;
        let note = test.event("mfa", "AnotherWriter").await;
        assert!(note.contains("with authentik-stage-operator/"), "{note}");
        second.stop().await;
        test.in_sync(VALIDATE, "mfa").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_follows_another_is_no_second_one() {
    test(async |test| {
        let (alice, _) = test.colleague("alice").await;
        let path = stage(test, json!({})).await;
        test.take_operator().await.stop().await;
        let second = test.spawn_operator();
        skipped_by(test, &alice, &path).await;
        second.stop().await;
        test.start_operator().await;
        test.in_sync(VALIDATE, "mfa").await;
        let warned = test.events("mfa").await;
        let warned = warned
            .iter()
            .filter(|(reason, _)| reason == "AnotherWriter");
        assert_eq!(
            warned.count(),
            0,
            "an operator that follows another is none"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_permission_nothing_is_told_and_nothing_is_asked_again() {
    test(async |test| {
        let Some(simulator) = &test.simulator else {
            return;
        };
        let (alice, _) = test.colleague("alice").await;
        let path = stage(test, json!({})).await;
        let permissions = authentik_stage_operator::ops::permissions::all();
        let allowed = permissions
            .iter()
            .map(|permission| permission.name.as_str());
        let allowed: Vec<_> = allowed
            .filter(|name| !name.starts_with("authentik_events.view_event"))
            .collect();
        let limited = simulator.create_token(&allowed);
        test.secret("authentik", json!({"token": limited})).await;
        test.resyncs(2).await;
        let note = skipped_by(test, &alice, &path).await;
        assert_eq!(note, "put right notConfiguredAction (skip → deny)");
        let note = then_changed_by(test, &alice, &path).await;
        assert_eq!(note, r#"put right deviceClasses (["sms"] → ["totp"])"#);
        assert_eq!(questions(test), 1);
        let connection = test
            .reason("AuthentikConnection", "default", "Connected")
            .await;
        assert_eq!(connection.data["status"]["missingPermissions"], Value::Null);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_trimmed_tells_nothing() {
    test(async |test| {
        let (alice, _) = test.colleague("alice").await;
        let path = stage(test, json!({})).await;
        let empty = json!({"pagination": {"next": 0, "count": 0}, "results": []});
        test.gateway.inject(answers_with(&empty));
        let note = skipped_by(test, &alice, &path).await;
        assert_eq!(note, "put right notConfiguredAction (skip → deny)");
    })
    .await;
}

fn answers_with(body: &Value) -> Fault {
    let answer = FaultKind::Respond {
        status: 200,
        content_type: "application/json".to_owned(),
        body: body.to_string(),
        forward: false,
    };
    Fault::new(answer).path(LOG)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_log_is_cleaned_and_bounded() {
    test(async |test| {
        let (alice, _) = test.colleague("alice").await;
        let path = stage(test, json!({})).await;
        let long = "x".repeat(5000);
        let entry = |name: &str, agent: &str| {
            json!({
                "action": "model_updated", "created": "2999-01-01T00:00:00Z",
                "user": {"pk": 7, "username": name}, "client_ip": "10.0.0.4\u{1b}[2J",
                "context": {
                    "diff": {"client_secret": {"new_value": "hunter-two-hunter"}},
                    "http_request": {"method": "PATCH", "user_agent": agent},
                },
            })
        };
        let token = format!("eve {}", test.token());
        let entries = json!([entry(&token, &long), entry("eve\u{202e}\nforged", "a")]);
        let body = json!({"pagination": {"next": 0, "count": 2}, "results": entries});
        test.gateway.inject(answers_with(&body));
        let note = skipped_by(test, &alice, &path).await;
        assert!(!note.contains(['\u{1b}', '\u{202e}', '\n']), "{note:?}");
        assert!(!note.contains("hunter-two") && note.len() < 600, "{note}");
        assert!(!note.contains(test.token()), "{note}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_hangs_holds_up_no_repair_and_is_not_waited_for_twice() {
    test(async |test| {
        let (alice, _) = test.colleague("alice").await;
        let path = stage(test, json!({})).await;
        let hangs = test.gateway.inject(Fault::new(FaultKind::Hang).path(LOG));
        alice
            .patch(&path, json!({"not_configured_action": "skip"}))
            .await;
        assert!(test.gateway.hangs(patience()).await, "the log is not asked");
        let mended = json!({"not_configured_action": "deny"});
        assert_eq!(
            test.written(),
            [patch(VALIDATE, mended)],
            "before the log answers"
        );
        test.event("mfa", "DriftCorrected").await;
        then_changed_by(test, &alice, &path).await;
        assert_eq!(questions(test), 1);
        test.gateway.remove(hangs);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_go_unnamed_where_that_is_wanted() {
    test(async |test| {
        let (alice, name) = test.colleague("alice").await;
        let options = authentik_stage_operator::controller::Options {
            names_people: false,
            ..test.options()
        };
        test.restart_with(options).await;
        let path = stage(test, json!({})).await;
        let note = skipped_by(test, &alice, &path).await;
        let told = "put right notConfiguredAction (skip → deny), changed at ";
        assert!(
            note.starts_with(told) && !note.contains("127.0.0.1"),
            "{note}"
        );
        let resource = test.in_sync(VALIDATE, "mfa").await;
        let shown = serde_json::to_string(&resource).expect("JSON");
        let spec = resource.data["spec"]["name"].as_str().unwrap_or_default();
        assert!(!shown.replace(spec, "").contains(&name), "{shown}");
        assert!(resource.data["status"]["lastChange"]["changedBy"]["time"].is_string());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_spec_asks_nobody() {
    test(async |test| {
        stage(test, json!({})).await;
        let change = json!({"spec": {"deviceClasses": ["sms"]}});
        test.patch(VALIDATE, "mfa", change).await;
        test.event("mfa", "Updated").await;
        test.in_sync(VALIDATE, "mfa").await;
        assert_eq!(questions(test), 0);
        let audit = test.gateway.audit();
        let posted = format!("/api/v3/{}", collection(VALIDATE));
        assert!(audit.iter().all(|exchange| exchange.method != Method::POST.as_str() || exchange.path != posted));
    })
    .await;
}
