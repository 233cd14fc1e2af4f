//! What becomes of a flow when its resource is deleted.

use devkit::simulator::Simulator;
use kube::core::DynamicObject;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{FLOW, Test, VALIDATE, message, test, text, with},
    harness_more::Elsewhere,
    on_every_version,
};

on_every_version!(
    orphan_leaves_the_flow,
    the_stages_of_the_own_namespace_do_not_keep_a_flow,
    a_stage_bound_by_hand_keeps_a_flow,
    a_stage_that_lets_people_set_up_through_it_keeps_a_flow,
    a_brand_keeps_a_flow,
    a_provider_keeps_a_flow,
    force_delete_deletes_a_flow_in_use,
);

/// A flow in sync under this deletion policy; returns its UUID.
async fn flow(test: &Test, policy: &str) -> Value {
    let spec = test.flow_spec("setup", json!({"deletionPolicy": policy}));
    test.apply(FLOW, "setup", spec).await;
    test.in_sync(FLOW, "setup").await.data["status"]["flow"]["uuid"].clone()
}

/// Whether the flow is in authentik.
async fn is_there(test: &Test) -> bool {
    test.authentik.flow(&test.name("setup")).await.is_some()
}

/// Waits until the deletion waits for this reason and says all of these words. Nothing is deleted.
async fn waits(test: &Test, reason: &str, words: &[&str]) -> DynamicObject {
    test.delete(FLOW, "setup").await;
    let resource = test.reason(FLOW, "setup", reason).await;
    let says = message(&resource);
    for part in words.iter().chain(&["deletionPolicy: Orphan"]) {
        assert!(says.contains(part), "{part}: {says}");
    }
    assert!(is_there(test).await);
    assert_eq!(deletions(test), 0);
    resource
}

fn deletions(test: &Test) -> usize {
    let written = test.written().into_iter();
    written.filter(|(method, ..)| method == "DELETE").count()
}

/// The deletion goes on by itself: its user is gone.
async fn goes_on(test: &Test) {
    test.gone(FLOW, "setup").await;
    assert!(!is_there(test).await);
    test.event("setup", "Deleted").await;
}

async fn orphan_leaves_the_flow(test: &Test) {
    test.connect().await;
    flow(test, "Orphan").await;
    test.delete(FLOW, "setup").await;
    test.gone(FLOW, "setup").await;
    assert!(is_there(test).await);
    let note = test.event("setup", "Orphaned").await;
    assert!(note.contains(&test.name("setup")), "{note}");
    assert_eq!(deletions(test), 0);
}

async fn the_stages_of_the_own_namespace_do_not_keep_a_flow(test: &Test) {
    test.connect().await;
    let uuid = flow(test, "Delete").await;
    let place = json!([{"flow": {"resource": {"kind": FLOW, "name": "setup"}}, "order": 10}]);
    test.validate("mfa", json!({"flows": place})).await;
    let stage = test.in_sync(VALIDATE, "mfa").await;
    let bindings = format!("flows/bindings/?target={}", text(&uuid));
    assert_eq!(test.authentik.list(&bindings).await.len(), 1);
    test.gateway.clear();
    test.delete(FLOW, "setup").await;
    goes_on(test).await;
    let deletion = ("DELETE".to_owned(), test.flow_path("setup"), Value::Null);
    assert_eq!(test.written(), [deletion]);
    // The stage is there still, and waits for a flow of this name.
    let bindings = format!(
        "flows/bindings/?stage={}",
        text(&stage.data["status"]["stage"]["uuid"])
    );
    assert_eq!(test.authentik.list(&bindings).await, Vec::<Value>::new());
    let waiting = test.reason(VALIDATE, "mfa", "ReferenceNotFound").await;
    let says = message(&waiting);
    assert!(says.contains("waits for Flow setup"), "{says}");
    flow(test, "Delete").await;
    test.in_sync(VALIDATE, "mfa").await;
}

async fn a_stage_bound_by_hand_keeps_a_flow(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let uuid = flow(test, "Delete").await;
    let place = json!([{"flow": {"resource": {"kind": FLOW, "name": "setup"}}, "order": 10}]);
    test.validate("mfa", json!({"flows": place})).await;
    test.in_sync(VALIDATE, "mfa").await;
    let stage = test.totp_stage("foreign").await;
    let binding = test.bind(&uuid, &stage, 20).await;
    let name = test.name("foreign");
    let blocked = waits(test, "DeletionBlocked", &["the flow is in use", &name]).await;
    let says = message(&blocked);
    assert!(!says.contains(&test.name("mfa")), "{says}");
    test.authentik.delete(&binding).await;
    goes_on(test).await;
}

async fn a_stage_that_lets_people_set_up_through_it_keeps_a_flow(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let uuid = flow(test, "Delete").await;
    let body = json!({"name": test.name("foreign"), "digits": "6", "configure_flow": uuid});
    let totp = test
        .authentik
        .create("stages/authenticator/totp/", body)
        .await;
    waits(test, "DeletionBlocked", &[&test.name("foreign")]).await;
    let path = format!("stages/authenticator/totp/{}/", text(&totp["pk"]));
    test.authentik
        .patch(&path, json!({"configure_flow": null}))
        .await;
    goes_on(test).await;
}

/// A brand of this test that names the flow; returns its path.
async fn brand(test: &Test, flow: &Value) -> String {
    let domain = format!("{}.example.com", test.name("brand"));
    let body = json!({"domain": domain, "flow_recovery": flow});
    let brand = test.authentik.create("core/brands/", body).await;
    format!("core/brands/{}/", text(&brand["brand_uuid"]))
}

async fn a_brand_keeps_a_flow(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let uuid = flow(test, "Delete").await;
    let brand = brand(test, &uuid).await;
    let domain = format!("{}.example.com", test.name("brand"));
    waits(test, "DeletionBlocked", &["brand", &domain]).await;
    test.authentik.delete(&brand).await;
    goes_on(test).await;
}

/// A provider of this test that sends people through the flow; returns its path.
async fn provider(test: &Test, flow: &Value) -> String {
    let mut body = json!({"name": test.name("provider"), "authorization_flow": flow});
    let release = test.release().await;
    if release >= (2024, 10) {
        body["invalidation_flow"] = test.flow("invalidation").await;
    }
    if release >= (2024, 12) {
        body["redirect_uris"] = json!([]);
    }
    let provider = test.authentik.create("providers/oauth2/", body).await;
    format!("providers/oauth2/{}/", provider["pk"])
}

async fn a_provider_keeps_a_flow(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let uuid = flow(test, "Delete").await;
    let provider = provider(test, &uuid).await;
    let name = test.name("provider");
    waits(test, "DeletionBlocked", &["provider", &name]).await;
    test.authentik.delete(&provider).await;
    goes_on(test).await;
}

async fn force_delete_deletes_a_flow_in_use(test: &Test) {
    test.connect().await;
    let uuid = flow(test, "ForceDelete").await;
    let stage = test.totp_stage("foreign").await;
    test.bind(&uuid, &stage, 20).await;
    let brand = brand(test, &uuid).await;
    test.delete(FLOW, "setup").await;
    goes_on(test).await;
    test.authentik.delete(&brand).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_of_another_namespace_keeps_a_flow() {
    test(async |test| {
        let elsewhere = Elsewhere::new(test).await;
        let namespaces = vec![test.namespace.clone(), elsewhere.namespace.clone()];
        let options = authentik_stage_operator::controller::Options {
            namespaces,
            ..test.options()
        };
        test.restart_with(options).await;
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        elsewhere.token(test.token()).await;
        elsewhere.connection("default", &test.gateway.url()).await;
        flow(test, "Delete").await;
        let spec = json!({
            "name": test.name("theirs"), "deletionPolicy": "Delete",
            "flows": [{"flow": {"slug": test.name("setup")}, "order": 1}],
        });
        elsewhere.apply(VALIDATE, "theirs", spec).await;
        elsewhere.reason(VALIDATE, "theirs", "InSync").await;
        waits(test, "DeletionBlocked", &[&test.name("theirs")]).await;
        let theirs = elsewhere.api(VALIDATE);
        let deleted = theirs.delete("theirs", &Default::default()).await;
        deleted.expect("it is to be deleted");
        goes_on(test).await;
    })
    .await;
}

/// A token that may do all that a flow needs but look at these.
fn token_without(simulator: &Simulator, hidden: &str) -> String {
    let all = [
        "authentik_flows.view_flow",
        "authentik_flows.add_flow",
        "authentik_flows.change_flow",
        "authentik_flows.delete_flow",
        "authentik_flows.view_stage",
        "authentik_flows.view_flowstagebinding",
        "authentik_brands.view_brand",
        "authentik_core.view_provider",
    ];
    let some: Vec<_> = all.into_iter().filter(|of| *of != hidden).collect();
    assert!(some.len() < all.len());
    simulator.create_token(&some)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_token_may_not_see_is_not_taken_for_unused() {
    test(async |test| {
        let Some(simulator) = &test.simulator else {
            return; // A real server takes no orders on tokens.
        };
        test.connect().await;
        flow(test, "Delete").await;
        for hidden in [
            "authentik_brands.view_brand",
            "authentik_core.view_provider",
            "authentik_flows.view_flowstagebinding",
        ] {
            let token = token_without(simulator, hidden);
            test.secret("authentik", json!({"token": token})).await;
            test.delete(FLOW, "setup").await;
            let told = |object: Option<&DynamicObject>| {
                object.is_some_and(|object| message(object).contains(hidden))
            };
            test.until(FLOW, "setup", hidden, told).await;
            waits(test, "AccessDenied", &[hidden]).await;
        }
        test.secret("authentik", json!({"token": test.token()}))
            .await;
        goes_on(test).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_through_which_the_default_brand_logs_people_in_is_kept() {
    const SLUG: &str = "default-authentication-flow";
    test(async |test| {
        if test.is_real() {
            return; // What goes wrong here would lock everybody out.
        }
        test.connect().await;
        let live = test.authentik.flow(SLUG).await.expect("it is there");
        let spec = json!({"slug": SLUG, "deletionPolicy": "Delete"});
        let fields = json!({"name": live["name"], "title": live["title"], "designation": live["designation"]});
        test.apply(FLOW, "login", with(spec, fields)).await;
        test.in_sync(FLOW, "login").await;
        test.delete(FLOW, "login").await;
        let blocked = test.reason(FLOW, "login", "DeletionBlocked").await;
        let says = message(&blocked);
        assert!(says.contains("default-authentication-login"), "{says}");
        // Without stages it is no use, and the log-in of everybody all the same.
        let bindings = format!("flows/bindings/?target={}", text(&live["pk"]));
        for binding in test.authentik.list(&bindings).await {
            let path = format!("flows/bindings/{}/", text(&binding["pk"]));
            test.authentik.delete(&path).await;
        }
        test.request_reconcile(FLOW, "login", "unbound").await;
        let told = |object: Option<&DynamicObject>| {
            object.is_some_and(|object| message(object).contains("brand \"authentik-default\""))
        };
        test.until(FLOW, "login", "kept by the brand", told).await;
        let (status, _) = test
            .authentik
            .send(Method::GET, &format!("flows/instances/{SLUG}/"), None)
            .await;
        assert_eq!((status, deletions(test)), (200, 0));
        let orphan = json!({"spec": {"deletionPolicy": "Orphan"}});
        test.patch(FLOW, "login", orphan).await;
        test.gone(FLOW, "login").await;
    })
    .await;
}
