//! Whose a stage is, and who may write it: foreseen, and done.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::play::{comes_true, connect, named};
use crate::{
    harness::{DUO, Test, VALIDATE, collection, test, with},
    harness_more::eventually,
    on_every_version,
};

on_every_version!(what_is_there_is_taken_over_or_not,);

/// A validation stage that somebody has made.
async fn made(test: &Test, name: &str, action: &str) -> Value {
    let body = json!({"name": test.name(name), "not_configured_action": action});
    test.authentik.create(collection(VALIDATE), body).await["pk"].clone()
}

async fn what_is_there_is_taken_over_or_not(test: &Test) {
    connect(test).await;
    for name in ["equal", "other", "always", "never"] {
        made(test, name, "skip").await;
    }
    let spec = |name: &str, action: &str, policy: &str| {
        let more = json!({"notConfiguredAction": action, "adoptionPolicy": policy});
        named(test, name, more)
    };
    let reasons = comes_true(
        test,
        [
            (VALIDATE, "equal", spec("equal", "skip", "IfMatch")),
            (VALIDATE, "other", spec("other", "deny", "IfMatch")),
            (VALIDATE, "always", spec("always", "deny", "Always")),
            (VALIDATE, "never", spec("never", "skip", "Never")),
            (VALIDATE, "new", spec("new", "skip", "Never")),
        ],
    )
    .await;
    let refused = "AdoptionRefused";
    assert_eq!(reasons, ["InSync", refused, "InSync", refused, "InSync"]);
    // What is managed is changed whatever the policy.
    let change = spec("equal", "deny", "IfMatch");
    assert_eq!(
        comes_true(test, [(VALIDATE, "equal", change)]).await,
        ["InSync"]
    );
    let always = spec("other", "deny", "Always");
    assert_eq!(
        comes_true(test, [(VALIDATE, "other", always)]).await,
        ["InSync"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_free_or_held() {
    test(async |test| {
        connect(test).await;
        test.totp_stage("held").await;
        let skip = |name: &str| named(test, name, json!({"notConfiguredAction": "skip"}));
        let duo = with(test.duo_spec().await, json!({"name": test.name("one")}));
        let reasons = comes_true(
            test,
            [
                (VALIDATE, "held", skip("held")),
                (VALIDATE, "one", skip("one")),
                (DUO, "two", duo),
            ],
        )
        .await;
        assert_eq!(reasons, ["NameConflict", "InSync", "NameConflict"]);
        // Another name is a rename. Who waits for the old one gets it, of another kind and of the same.
        let reasons = comes_true(test, [(VALIDATE, "one", skip("free"))]).await;
        assert_eq!(reasons, ["InSync"]);
        let waits = comes_true(test, [(VALIDATE, "three", skip("free"))]).await;
        assert_eq!(waits, ["NameConflict"]);
        let reasons = comes_true(test, [(VALIDATE, "one", skip("freed"))]).await;
        assert_eq!(reasons, ["InSync"]);
        // A name that is held is not taken.
        let reasons = comes_true(test, [(VALIDATE, "one", skip("held"))]).await;
        assert_eq!(reasons, ["NameConflict"]);
        // Two can't change names: each holds what the other is to get.
        let changed = [
            (VALIDATE, "one", skip("free")),
            (VALIDATE, "three", skip("freed")),
        ];
        assert_eq!(comes_true(test, changed).await, ["NameConflict"; 2]);
    })
    .await;
}

/// The older of two has the better claim, also while it has no stage yet.
#[tokio::test(flavor = "multi_thread")]
async fn who_came_later_gets_no_stage_that_another_waits_for() {
    test(async |test| {
        connect(test).await;
        let waits = json!({
            "notConfiguredAction": "configure", "configurationStages": [{"name": test.name("later")}],
        });
        // Names tell who of the same age has the better claim: the older one is last by its name.
        let older = named(test, "wanted", waits);
        let reasons = comes_true(test, [(VALIDATE, "z-older", older)]).await;
        assert_eq!(reasons, ["ReferenceNotFound"]);
        let created = test.get(VALIDATE, "z-older").await.metadata.creation_timestamp;
        let created = created.expect("Kubernetes sets it").0.as_second();
        // Kubernetes tells ages by the second.
        eventually("older", || async { Timestamp::now().as_second() > created }).await;
        let newer = named(test, "wanted", json!({"notConfiguredAction": "skip"}));
        let reasons = comes_true(test, [(VALIDATE, "a-newer", newer)]).await;
        assert_eq!(reasons, ["NameConflict"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_looks_or_is_suspended_writes_nothing() {
    test(async |test| {
        connect(test).await;
        made(test, "looks", "skip").await;
        made(test, "rests", "skip").await;
        let deny = |name: &str, more: Value| {
            named(
                test,
                name,
                with(json!({"notConfiguredAction": "deny"}), more),
            )
        };
        let observes = json!({"managementPolicy": "Observe"});
        let reasons = comes_true(
            test,
            [
                (VALIDATE, "looks", deny("looks", observes.clone())),
                (VALIDATE, "nothing", deny("nothing", observes.clone())),
                (VALIDATE, "rests", deny("rests", json!({"suspend": true}))),
            ],
        )
        .await;
        assert_eq!(reasons, ["Drifted", "Drifted", ""]);
        let takes_over = json!({"adoptionPolicy": "Always"});
        let goes_on = [
            (VALIDATE, "looks", deny("looks", takes_over.clone())),
            (VALIDATE, "nothing", deny("nothing", takes_over.clone())),
            (VALIDATE, "rests", deny("rests", takes_over)),
        ];
        assert_eq!(comes_true(test, goes_on).await, ["InSync"; 3]);
        let rests = deny(
            "rests",
            json!({"suspend": true, "notConfiguredAction": "skip"}),
        );
        assert_eq!(
            comes_true(test, [(VALIDATE, "rests", rests)]).await,
            ["InSync"]
        );
    })
    .await;
}

/// What is gone from the manifests stays: nothing is foreseen for it, and nothing is done.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_declared_is_left_alone() {
    test(async |test| {
        connect(test).await;
        let one = |name: &str| named(test, name, json!({"notConfiguredAction": "skip"}));
        comes_true(
            test,
            [(VALIDATE, "one", one("one")), (VALIDATE, "two", one("two"))],
        )
        .await;
        made(test, "three", "deny").await;
        assert_eq!(
            comes_true(test, [(VALIDATE, "one", one("one"))]).await,
            ["InSync"]
        );
    })
    .await;
}
