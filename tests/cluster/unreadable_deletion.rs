//! The end of resources that the operator can't read: their metadata and their deletion policy can be read all the
//! same.

use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::{
    harness::{Test, VALIDATE, message},
    replicas::two,
    unreadable::{apply_bad, with_loose_crds},
};

/// A resource in sync that nobody can read any more, as after the operator's return to an older release.
async fn make_unreadable(test: &Test, name: &str, more: Value) {
    let spec = |action: &str| {
        let mut spec = json!({"name": test.name(name), "notConfiguredAction": action});
        crate::harness::merge(&mut spec, more.clone());
        spec
    };
    test.apply(VALIDATE, name, spec("skip")).await;
    test.in_sync(VALIDATE, name).await;
    apply_bad(test, VALIDATE, name, spec("explode")).await;
    test.reason(VALIDATE, name, "InvalidSpec").await;
}

async fn is_there(test: &Test, name: &str) -> bool {
    let stage = test.authentik.stage("validate", &test.name(name)).await;
    stage.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_resource_under_orphan_is_let_go() {
    with_loose_crds(async |test| {
        test.connect().await;
        for (name, policy) in [
            ("said", json!({"deletionPolicy": "Orphan"})),
            ("omitted", json!({})),
        ] {
            make_unreadable(test, name, policy).await;
            test.delete(VALIDATE, name).await;
            test.gone(VALIDATE, name).await;
            assert!(is_there(test, name).await);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_resource_under_delete_says_how_it_ends() {
    with_loose_crds(async |test| {
        test.connect().await;
        for policy in ["Delete", "ForceDelete"] {
            let name = policy.to_lowercase();
            make_unreadable(test, &name, json!({"deletionPolicy": policy})).await;
            test.delete(VALIDATE, &name).await;
            let told = |object: Option<&DynamicObject>| {
                object.is_some_and(|object| {
                    let says = message(object);
                    says.contains("explode") && says.contains("deletionPolicy: Orphan")
                })
            };
            let told = test.until(VALIDATE, &name, "told", told).await;
            let told = told.expect("it is there");
            assert!(told.metadata.deletion_timestamp.is_some());
            assert!(is_there(test, &name).await);
            let orphan = json!({"spec": {"deletionPolicy": "Orphan"}});
            test.patch(VALIDATE, &name, orphan).await;
            test.gone(VALIDATE, &name).await;
            assert!(is_there(test, &name).await);
        }
        // The other way out is to mend it.
        make_unreadable(test, "mended", json!({"deletionPolicy": "Delete"})).await;
        test.delete(VALIDATE, "mended").await;
        let mended = json!({"spec": {"notConfiguredAction": "skip"}});
        test.patch(VALIDATE, "mended", mended).await;
        test.gone(VALIDATE, "mended").await;
        assert!(!is_there(test, "mended").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_tells_of_what_cannot_be_read() {
    with_loose_crds(async |test| {
        let (first, second) = two(test).await;
        let bad = |name: &str| json!({"name": test.name(name), "notConfiguredAction": "explode"});
        apply_bad(test, VALIDATE, "before", bad("before")).await;
        test.reason(VALIDATE, "before", "InvalidSpec").await;
        first.program.kill().await;
        // The other replica sees this while it may not write yet.
        test.apply(VALIDATE, "between", bad("between")).await;
        test.reason(VALIDATE, "between", "InvalidSpec").await;
        assert_eq!(second.name, "second");
    })
    .await;
}
