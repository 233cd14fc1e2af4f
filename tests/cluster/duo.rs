//! What Duo gives together, from one Secret.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    commands::{apply, diff, manifest},
    harness::{DUO, Test, condition, message, test, with},
    on_every_version,
};

/// Less than what waits for something missing would wait for its next try.
const AT_ONCE: Duration = Duration::from_secs(20);

on_every_version!(all_of_it_is_sent_and_what_changes_is_sent_at_once);

async fn at_once<T>(what: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(AT_ONCE, what).await;
    done.expect("it happens before a retry is due")
}

/// The Secret `duo`; the harness sees to it that nothing shows what it holds.
async fn secret(test: &Test, word: &str) {
    let value = |key: &str| test.canary(&format!("{word}-{key}"));
    let data = json!({"id": value("id"), "host": value("host"), "secret": value("secret")});
    test.secret("duo", data).await;
}

fn from(key: &str) -> Value {
    json!({"secretKeyRef": {"name": "duo", "key": key}})
}

/// A spec that takes all of it from the Secret, with more or other settings.
fn spec(test: &Test, settings: Value) -> Value {
    let spec = json!({
        "name": test.name("duo"), "clientIdFrom": from("id"), "apiHostnameFrom": from("host"),
        "clientSecret": from("secret"),
    });
    with(spec, settings)
}

/// What authentik shows of the stage.
async fn shown(test: &Test) -> (Value, Value) {
    let stage = test.authentik.stage("duo", &test.name("duo")).await;
    let stage = stage.expect("it is there");
    (stage["client_id"].clone(), stage["api_hostname"].clone())
}

fn expected(test: &Test, word: &str) -> (Value, Value) {
    let value = |key: &str| json!(test.canary(&format!("{word}-{key}")));
    (value("id"), value("host"))
}

async fn all_of_it_is_sent_and_what_changes_is_sent_at_once(test: &Test) {
    test.connect().await;
    test.apply(DUO, "duo", spec(test, json!({}))).await;
    let waits = test.reason(DUO, "duo", "SecretNotFound").await;
    assert!(message(&waits).contains("/duo does not exist"), "{waits:?}");
    secret(test, "first").await;
    at_once(test.in_sync(DUO, "duo")).await;
    assert_eq!(shown(test).await, expected(test, "first"));

    secret(test, "other").await;
    let is_sent = async {
        while shown(test).await != expected(test, "other") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    at_once(is_sent).await;
    let stage = test.in_sync(DUO, "duo").await;
    let sent = stage.data["status"]["secrets"].as_array().expect("a list");
    let fields: Vec<_> = sent.iter().map(|sent| sent["field"].clone()).collect();
    assert_eq!(
        json!(fields),
        json!(["apiHostname", "clientId", "clientSecret"])
    );

    // In the spec as before: nothing comes from the Secret any more.
    let clear = json!({"clientId": "in-clear", "clientSecret": from("secret"), "apiHostname": "api-1.duosecurity.com"});
    let clear = with(json!({"name": test.name("duo")}), clear);
    test.apply(DUO, "duo", clear).await;
    let stage = test.in_sync(DUO, "duo").await;
    let in_clear = (json!("in-clear"), json!("api-1.duosecurity.com"));
    assert_eq!(shown(test).await, in_clear);
    let sent = stage.data["status"]["secrets"].as_array().expect("a list");
    assert_eq!(sent.len(), 1, "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_of_it_is_put_right_and_told_without_the_values() {
    test(async |test| {
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        secret(test, "ours").await;
        test.apply(DUO, "duo", spec(test, json!({}))).await;
        test.in_sync(DUO, "duo").await;
        let theirs = json!({"client_id": "theirs", "api_hostname": "their-host"});
        test.by_hand(DUO, "duo", theirs.clone()).await;
        let note = test.event("duo", "DriftCorrected").await;
        let told = "put right apiHostname, clientId";
        assert!(
            note == told || note.starts_with(&format!("{told}, changed ")),
            "{note}"
        );
        assert_eq!(shown(test).await, expected(test, "ours"));

        let observes = json!({"managementPolicy": "Observe"});
        test.apply(DUO, "duo", spec(test, observes)).await;
        test.in_sync(DUO, "duo").await;
        test.by_hand(DUO, "duo", theirs).await;
        let drifted = test.reason(DUO, "duo", "Drifted").await;
        let drift = drifted.data["status"]["drift"].as_array().expect("a list");
        assert_eq!(drift.len(), 2, "{drift:?}");
        for field in drift {
            assert_eq!(
                (&field["wanted"], &field["found"]),
                (&json!("<secret>"), &json!("<secret>"))
            );
        }
        assert!(condition(&drifted, "Ready").is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_with_the_same_is_taken_over_and_one_with_other_values_is_not() {
    test(async |test| {
        test.connect().await;
        secret(test, "ours").await;
        let (id, host) = expected(test, "ours");
        let stage = |id: &Value| {
            json!({"name": test.name("duo"), "client_id": id, "client_secret": "their-secret", "api_hostname": host})
        };
        let made = test
            .authentik
            .create("stages/authenticator/duo/", stage(&json!("another")))
            .await;
        test.apply(DUO, "duo", spec(test, json!({}))).await;
        let refused = test.reason(DUO, "duo", "AdoptionRefused").await;
        assert!(message(&refused).contains("clientId"), "{refused:?}");
        let path = format!("stages/authenticator/duo/{}/", made["pk"].as_str().expect("text"));
        test.authentik.patch(&path, stage(&id)).await;
        test.request_reconcile(DUO, "duo", "now").await;
        test.in_sync(DUO, "duo").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_takes_it_from_a_secret_among_the_manifests() {
    test(async |test| {
        let value = |key: &str| test.canary(&format!("first-{key}"));
        let data = json!({"id": value("id"), "host": value("host"), "secret": value("secret")});
        for value in data.as_object().expect("values").values() {
            test.canaries.add(value.as_str().expect("text"));
        }
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "stringData": data,
            "metadata": {"name": "duo", "namespace": test.namespace},
        });
        let manifests = [manifest(test, DUO, "duo", spec(test, json!({}))), secret];
        let said = diff(test, &manifests, &[]).await.ends(2);
        assert_eq!(said.json()["resources"][0]["action"], "create");
        apply(test, &manifests, &[]).await.ends(0);
        assert_eq!(shown(test).await, expected(test, "first"));
        let again = diff(test, &manifests, &["--managed"]).await;
        let changes = &again.json()["resources"][0]["changes"];
        assert!(!changes.to_string().contains("clientId"), "{changes}");
    })
    .await;
}
