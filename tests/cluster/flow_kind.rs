//! The life of a flow: made, changed, put right, made again, taken over, observed and left alone.

use serde_json::{Value, json};

use crate::{
    harness::{FLOW, Test, VALIDATE, condition, merge, message, post, test, text},
    on_every_version,
};

on_every_version!(
    creates_a_flow_and_says_which,
    nothing_changed_nothing_written,
    every_field_is_written_and_put_right,
    a_flow_that_was_deleted_is_made_again,
    a_flow_of_the_installation_is_taken_over_where_it_is_equal,
    observing_reports_and_never_writes,
);

async fn creates_a_flow_and_says_which(test: &Test) {
    test.connect().await;
    test.apply(FLOW, "setup", test.flow_spec("setup", json!({})))
        .await;
    let resource = test.in_sync(FLOW, "setup").await;
    let slug = test.name("setup");
    let body = json!({"slug": slug, "name": slug, "title": "Set up", "designation": "stage_configuration"});
    assert_eq!(test.written(), [post(FLOW, body)]);
    let flow = test.authentik.flow(&slug).await.expect("the flow is there");
    assert_eq!(
        resource.data["status"]["flow"],
        json!({"uuid": flow["pk"], "slug": slug, "server": test.gateway.url(), "managed": true})
    );
    assert_eq!(resource.data["status"]["stage"], Value::Null);
    let note = test.event("setup", "Created").await;
    assert!(note.contains("flow") && note.contains(&slug), "{note}");

    let shown = test.kubectl(&["get", "akflow", "setup"], "").await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let columns: Vec<Vec<_>> = shown
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        columns[0],
        ["NAME", "READY", "REASON", "FLOW", "SERVER", "AGE"]
    );
    assert_eq!(
        columns[1][..5],
        ["setup", "True", "InSync", &slug, &test.gateway.url()]
    );
}

async fn nothing_changed_nothing_written(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let fields = json!({"authentication": "require_authenticated", "layout": "stacked", "deniedAction": "message"});
    test.apply(FLOW, "setup", test.flow_spec("setup", fields))
        .await;
    test.in_sync(FLOW, "setup").await;
    test.resyncs(1).await;
    let before = (test.writes().len(), test.kubernetes_writes().len());
    test.resyncs(3).await;
    assert_eq!(
        (test.writes().len(), test.kubernetes_writes().len()),
        before,
        "{:?}",
        test.kubernetes_writes()
    );
}

async fn every_field_is_written_and_put_right(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let fields = json!({
        "name": "A flow", "title": "Your devices", "designation": "enrollment", "authentication": "require_authenticated",
        "layout": "sidebar_left", "deniedAction": "continue", "policyEngineMode": "all", "compatibilityMode": true,
    });
    let path = test.flow_path("setup");
    test.apply(FLOW, "setup", test.flow_spec("setup", fields.clone()))
        .await;
    test.in_sync(FLOW, "setup").await;
    for (field, api, by_hand) in [
        ("name", "name", json!("By hand")),
        ("title", "title", json!("By hand")),
        ("designation", "designation", json!("recovery")),
        ("authentication", "authentication", json!("none")),
        ("layout", "layout", json!("stacked")),
        ("deniedAction", "denied_action", json!("message")),
        ("policyEngineMode", "policy_engine_mode", json!("any")),
        ("compatibilityMode", "compatibility_mode", json!(false)),
    ] {
        test.gateway.clear();
        test.authentik.patch(&path, json!({api: by_hand})).await;
        repaired(test, &path).await;
        let wanted = json!({api: fields[field]});
        let repair = ("PATCH".to_owned(), path.clone(), wanted);
        assert_eq!(test.written(), [repair], "{field}");
    }
    let notes = test.events_of("setup", "DriftCorrected", 1).await;
    assert!(notes.iter().any(|note| note.contains("title")), "{notes:?}");
}

/// Waits until the operator has had an answer to a PATCH of this path.
async fn repaired(test: &Test, path: &str) {
    let path = format!("/api/v3/{path}");
    let done = test.gateway.wait_for(
        |audit| {
            audit.iter().any(|exchange| {
                exchange.method == "PATCH" && exchange.path == path && exchange.status.is_some()
            })
        },
        crate::harness::patience(),
    );
    assert!(done.await, "no PATCH of {path} in time");
}

async fn a_flow_that_was_deleted_is_made_again(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    test.apply(FLOW, "setup", test.flow_spec("setup", json!({})))
        .await;
    let before = test.in_sync(FLOW, "setup").await.data["status"]["flow"]["uuid"].clone();
    test.gateway.clear();
    test.authentik.delete(&test.flow_path("setup")).await;
    let anew = |object: Option<&kube::core::DynamicObject>| {
        object.is_some_and(|object| {
            let uuid = &object.data["status"]["flow"]["uuid"];
            !uuid.is_null() && *uuid != before
        })
    };
    test.until(FLOW, "setup", "made again", anew).await;
    test.in_sync(FLOW, "setup").await;
    let written = test.written();
    assert_eq!(written.len(), 1, "{written:?}");
    assert_eq!(written[0].0, "POST");
}

async fn a_flow_of_the_installation_is_taken_over_where_it_is_equal(test: &Test) {
    const SLUG: &str = "default-authenticator-totp-setup";
    test.connect().await;
    let live = test.authentik.flow(SLUG).await.expect("it is there");
    let mut spec = json!({
        "slug": SLUG, "name": live["name"], "title": "Something else", "designation": live["designation"],
        "authentication": "require_superuser",
    });
    test.apply(FLOW, "totp", spec.clone()).await;
    let refused = test.reason(FLOW, "totp", "AdoptionRefused").await;
    let says = message(&refused);
    assert!(
        says.contains(&format!("flow {SLUG:?}")) && says.contains("authentication, title"),
        "{says}"
    );
    assert_eq!(refused.data["status"]["flow"], Value::Null);

    merge(
        &mut spec,
        json!({"title": live["title"], "authentication": live["authentication"]}),
    );
    test.apply(FLOW, "totp", spec).await;
    let resource = test.in_sync(FLOW, "totp").await;
    assert_eq!(resource.data["status"]["flow"]["uuid"], live["pk"]);
    assert_eq!(resource.data["status"]["flow"]["managed"], true);
    test.event("totp", "Adopted").await;
    assert_eq!(test.written(), []);
}

async fn observing_reports_and_never_writes(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let observe = json!({"managementPolicy": "Observe"});
    test.apply(FLOW, "setup", test.flow_spec("setup", observe))
        .await;
    let missing = test.reason(FLOW, "setup", "Drifted").await;
    let slug = test.name("setup");
    let nothing = json!([{"field": "slug", "wanted": json!(slug).to_string(), "found": "null"}]);
    assert_eq!(missing.data["status"]["drift"], nothing);

    test.flow("setup").await;
    let differs = |object: Option<&kube::core::DynamicObject>| {
        let drift =
            json!([{"field": "title", "wanted": "\"Set up\"", "found": json!(slug).to_string()}]);
        object.is_some_and(|object| object.data["status"]["drift"] == drift)
    };
    let seen = test.until(FLOW, "setup", "different", differs).await;
    let seen = seen.expect("it is there");
    assert_eq!(seen.data["status"]["flow"]["slug"], slug);
    assert_eq!(seen.data["status"]["flow"]["managed"], Value::Null);

    let path = test.flow_path("setup");
    test.authentik
        .patch(&path, json!({"title": "Set up"}))
        .await;
    test.in_sync(FLOW, "setup").await;
    assert_eq!(test.written(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_flow_is_left_alone() {
    test(async |test| {
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        test.apply(FLOW, "setup", test.flow_spec("setup", json!({})))
            .await;
        test.in_sync(FLOW, "setup").await;
        let suspended = test.flow_spec("setup", json!({"suspend": true, "title": "Later"}));
        test.apply(FLOW, "setup", suspended).await;
        test.until(FLOW, "setup", "suspended", |object| {
            object.is_some_and(|object| condition(object, "Suspended").is_some())
        })
        .await;
        test.gateway.clear();
        let by_hand = json!({"slug": test.name("moved")});
        test.authentik
            .patch(&test.flow_path("setup"), by_hand)
            .await;
        test.resyncs(2).await;
        assert_eq!(test.written(), []);

        test.patch(FLOW, "setup", json!({"spec": {"suspend": null}}))
            .await;
        test.in_sync(FLOW, "setup").await;
        let moves = json!({"slug": test.name("setup"), "title": "Later"});
        let back = ("PATCH".to_owned(), test.flow_path("moved"), moves);
        assert_eq!(test.written(), [back]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_and_a_stage_may_have_one_name() {
    test(async |test| {
        test.connect().await;
        test.apply(FLOW, "mfa", test.flow_spec("mfa", json!({})))
            .await;
        test.validate("mfa", json!({})).await;
        let flow = test.in_sync(FLOW, "mfa").await;
        let stage = test.in_sync(VALIDATE, "mfa").await;
        let flow = text(&flow.data["status"]["flow"]["slug"]).to_owned();
        assert_eq!(flow, text(&stage.data["status"]["stage"]["name"]));
        // Nor when one of them is renamed, and back.
        for name in ["other", "mfa"] {
            let renamed = json!({"spec": {"name": test.name(name)}});
            test.patch(VALIDATE, "mfa", renamed).await;
            test.in_sync(VALIDATE, "mfa").await;
        }
        let warnings = crate::harness_more::warnings(test).await;
        assert_eq!(warnings, Vec::<String>::new());
    })
    .await;
}
