//! Slugs: the path of a flow ends with its slug, so that whoever moves a slug moves the flow.

use devkit::gateway::{Fault, FaultKind};
use kube::core::DynamicObject;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{FLOW, Test, condition, message, post, test, text, with},
    harness_more::{CONNECTION, reason_of},
    on_every_version,
};

on_every_version!(
    a_change_of_the_slug_moves_the_flow,
    a_slug_that_was_moved_by_hand_is_put_right,
    a_flow_that_has_come_under_the_old_slug_is_left_alone,
    a_change_of_the_spec_does_not_follow_the_slug_to_another_flow,
    the_deletion_follows_a_moved_slug,
);

/// A flow in sync; returns its UUID.
async fn flow(test: &Test, name: &str) -> String {
    test.apply(FLOW, name, test.flow_spec(name, json!({})))
        .await;
    let resource = test.in_sync(FLOW, name).await;
    text(&resource.data["status"]["flow"]["uuid"]).to_owned()
}

fn patched(path: String, body: Value) -> (String, String, Value) {
    ("PATCH".to_owned(), path, body)
}

/// A flow made by hand under this slug, equal to what the resources of this test ask for but for these fields.
async fn by_hand(test: &Test, slug: &str, fields: Value) -> Value {
    let slug = test.name(slug);
    let mut body = json!({"name": slug, "slug": slug, "title": "Set up", "designation": "stage_configuration"});
    crate::harness::merge(&mut body, fields);
    test.authentik.create("flows/instances/", body).await
}

async fn a_change_of_the_slug_moves_the_flow(test: &Test) {
    test.connect().await;
    let uuid = flow(test, "setup").await;
    test.gateway.clear();
    let moved = json!({"slug": test.name("moved")});
    test.patch(FLOW, "setup", json!({"spec": moved})).await;
    let resource = test.in_sync(FLOW, "setup").await;
    assert_eq!(test.written(), [patched(test.flow_path("setup"), moved)]);
    let status = &resource.data["status"];
    assert_eq!(status["flow"]["uuid"], json!(uuid));
    assert_eq!(status["flow"]["slug"], json!(test.name("moved")));
    assert_eq!(test.authentik.flow(&test.name("setup")).await, None);

    test.gateway.clear();
    let titled = json!({"title": "Another"});
    test.patch(FLOW, "setup", json!({"spec": titled})).await;
    test.in_sync(FLOW, "setup").await;
    assert_eq!(test.written(), [patched(test.flow_path("moved"), titled)]);
}

async fn a_slug_that_was_moved_by_hand_is_put_right(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let uuid = flow(test, "setup").await;
    test.gateway.clear();
    let by_hand = json!({"slug": test.name("moved")});
    test.authentik
        .patch(&test.flow_path("setup"), by_hand)
        .await;
    let note = test.event("setup", "DriftCorrected").await;
    assert!(note.contains("slug"), "{note}");
    test.resyncs(2).await;
    let back = json!({"slug": test.name("setup")});
    assert_eq!(test.written(), [patched(test.flow_path("moved"), back)]);
    let now = test.authentik.flow(&test.name("setup")).await;
    assert_eq!(now.expect("it is back")["pk"], json!(uuid));
    assert_eq!(test.events_of("setup", "DriftCorrected", 1).await.len(), 1);
    test.in_sync(FLOW, "setup").await;
}

/// The flow under the old slug may be equal to what the spec asks for, or not: it is another one.
async fn a_flow_that_has_come_under_the_old_slug_is_left_alone(test: &Test) {
    test.connect().await;
    for (name, fields) in [
        ("equal", json!({})),
        ("different", json!({"title": "Someone else's"})),
    ] {
        let uuid = flow(test, name).await;
        let away = json!({"slug": test.name(&format!("{name}-moved"))});
        test.authentik.patch(&test.flow_path(name), away).await;
        let other = by_hand(test, name, fields).await;
        list_anew(test, &format!("{name} moved")).await;
        let told =
            |object: Option<&DynamicObject>| object.and_then(reason_of) == Some("NameConflict");
        let resource = test.until(FLOW, name, "a conflict", told).await;
        let resource = resource.expect("it is there");
        let says = message(&resource);
        assert!(
            says.contains("slug") && says.contains(text(&other["pk"])),
            "{says}"
        );
        assert_eq!(resource.data["status"]["flow"]["uuid"], json!(uuid));
        list_anew(test, &format!("{name} again")).await;
        test.looked_at_anew(FLOW, name).await;
        let now = test.authentik.flow(&test.name(name)).await;
        assert_eq!(now.as_ref(), Some(&other));
        assert_eq!(writes_to(test, name), 0, "{:?}", test.written());

        // It ends once the other flow has gone.
        test.authentik.delete(&test.flow_path(name)).await;
        list_anew(test, &format!("{name} free")).await;
        let resource = test.in_sync(FLOW, name).await;
        assert_eq!(resource.data["status"]["flow"]["uuid"], json!(uuid));
    }
}

/// Asks for a look at all that is in authentik.
async fn list_anew(test: &Test, why: &str) {
    test.request_reconcile(CONNECTION, "default", why).await;
}

/// The operator's writes to the path of this slug.
fn writes_to(test: &Test, slug: &str) -> usize {
    let path = test.flow_path(slug);
    let written = test.written().into_iter();
    written.filter(|(_, to, _)| *to == path).count()
}

async fn a_change_of_the_spec_does_not_follow_the_slug_to_another_flow(test: &Test) {
    // Nothing but a look at authentik itself shows what has happened since the last list.
    test.connect().await;
    let uuid = flow(test, "setup").await;
    let away = json!({"slug": test.name("moved")});
    test.authentik.patch(&test.flow_path("setup"), away).await;
    let other = by_hand(test, "setup", json!({"title": "Someone else's"})).await;
    test.gateway.clear();
    let change = json!({"slug": test.name("third"), "title": "Mine"});
    test.patch(FLOW, "setup", json!({"spec": change})).await;
    let resource = test.in_sync(FLOW, "setup").await;
    assert_eq!(resource.data["status"]["flow"]["uuid"], json!(uuid));
    assert_eq!(test.written(), [patched(test.flow_path("moved"), change)]);
    let now = test.authentik.flow(&test.name("setup")).await;
    assert_eq!(now, Some(other));
}

async fn the_deletion_follows_a_moved_slug(test: &Test) {
    test.connect().await;
    flow(test, "setup").await;
    let away = json!({"slug": test.name("moved")});
    test.authentik.patch(&test.flow_path("setup"), away).await;
    let other = by_hand(test, "setup", json!({})).await;
    test.gateway.clear();
    let delete = json!({"spec": {"deletionPolicy": "Delete"}});
    test.patch(FLOW, "setup", delete).await;
    test.delete(FLOW, "setup").await;
    test.gone(FLOW, "setup").await;
    let deletion = ("DELETE".to_owned(), test.flow_path("moved"), Value::Null);
    assert!(test.written().contains(&deletion), "{:?}", test.written());
    assert_eq!(writes_to(test, "setup"), 0);
    let now = test.authentik.flow(&test.name("setup")).await;
    assert_eq!(now, Some(other));
    assert_eq!(test.authentik.flow(&test.name("moved")).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_resources_of_one_slug_the_first_keeps_the_flow() {
    test(async |test| {
        test.connect().await;
        flow(test, "setup").await;
        let spec = test.flow_spec("setup", json!({}));
        test.apply(FLOW, "second", spec).await;
        let second = test.reason(FLOW, "second", "NameConflict").await;
        let says = message(&second);
        let parts = ["Flow", &format!("{}/setup", test.namespace), "spec.slug"];
        for part in parts {
            assert!(says.contains(part), "{part}: {says}");
        }
        assert!(condition(&second, "Stalled").is_some());
        assert_eq!(test.writes().len(), 1);

        test.delete(FLOW, "setup").await;
        test.gone(FLOW, "setup").await;
        test.in_sync(FLOW, "second").await;
        assert_eq!(test.writes().len(), 1, "it is taken over as it is");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_that_is_taken_while_the_flow_is_made_is_not_taken_over_unseen() {
    test(async |test| {
        test.connect().await;
        // The first list shows nothing of it; the creation is refused.
        test.flow("first").await;
        flow(test, "known").await;
        by_hand(test, "raced", json!({"title": "Someone else's"})).await;
        test.gateway.clear();
        let spec = test.flow_spec("raced", json!({}));
        test.apply(FLOW, "raced", spec).await;
        let refused = test.reason(FLOW, "raced", "AdoptionRefused").await;
        assert!(message(&refused).contains("title"), "{}", message(&refused));
        let body = test.written().first().map(|(method, ..)| method.clone());
        assert_eq!(body.as_deref(), Some("POST"));
        assert_eq!(test.writes().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_whose_answer_is_lost_is_made_once() {
    test(async |test| {
        test.connect().await;
        for (n, kind) in [
            FaultKind::CutAfter,
            FaultKind::InternalError { effect: true },
            FaultKind::TruncatedBody,
        ]
        .into_iter()
        .enumerate()
        {
            let fault = Fault::new(kind).method(Method::POST).path("flows/instances");
            test.gateway.inject(fault.times(1));
            test.gateway.clear();
            flow(test, &format!("lost-{n}")).await;
            let slug = test.name(&format!("lost-{n}"));
            let body = json!({"slug": slug, "name": slug, "title": "Set up", "designation": "stage_configuration"});
            assert_eq!(test.written(), [post(FLOW, body)]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_no_slug_is_refused_with_what_to_do() {
    test(async |test| {
        test.connect().await;
        let spec = json!({"title": "Set up", "designation": "stage_configuration"});
        for name in ["with.dots", &"x".repeat(51)] {
            let refused = test.try_apply(FLOW, name, spec.clone()).await;
            let says = refused.expect_err("it is refused").to_string();
            for part in ["name of this resource", "spec.slug", "letters, digits"] {
                assert!(says.contains(part), "{part}: {says}");
            }
            let slug = json!({"slug": test.name("slug"), "suspend": true});
            test.apply(FLOW, name, with(spec.clone(), slug)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_the_slug_where_the_spec_has_none() {
    test(async |test| {
        test.connect().await;
        let spec = json!({"title": "Set up", "designation": "stage_configuration"});
        let name = test.name("setup");
        test.apply(FLOW, &name, spec).await;
        let resource = test.in_sync(FLOW, &name).await;
        assert_eq!(resource.data["status"]["flow"]["slug"], json!(name));
    })
    .await;
}
