//! One stage has one owner: also where its server is reached under several addresses, and whoever else wants it.

use devkit::gateway::Gateway;
use kube::{
    ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    harness::{DUO, Test, VALIDATE, is_true, message, test, text, with},
    harness_more::CONNECTION,
};

/// The connection `other` beside `default`, both listed each second.
async fn connect_twice(test: &Test, other: &str) {
    let often = json!({"resyncInterval": "1s"});
    test.connect_with(often.clone()).await;
    test.connection("other", other, often).await;
    test.reason(CONNECTION, "other", "Connected").await;
}

/// The gateway's address by the name of its host.
fn by_name(test: &Test) -> String {
    test.gateway.url().replace("127.0.0.1", "localhost")
}

/// A spec for the stage `mfa` that takes over what is there.
fn spec(test: &Test, connection: &str, action: &str) -> Value {
    json!({
        "name": test.name("mfa"), "notConfiguredAction": action, "adoptionPolicy": "Always",
        "connectionRef": {"name": connection},
    })
}

/// Waits until the resource is refused; returns what it says.
async fn refused(test: &Test, kind: &str, name: &str) -> String {
    let resource = test.reason(kind, name, "NameConflict").await;
    assert!(is_true(&resource, "Stalled"));
    message(&resource)
}

/// The operator's writes about the stage `mfa`. What it does besides to tell servers apart is not a fight.
fn written_about(test: &Test, uuid: &str) -> Vec<(String, Value)> {
    let name = test.name("mfa");
    let writes = test.writes().into_iter();
    let about = writes.filter(|write| {
        let body = write.body.as_ref();
        write.path.contains(uuid) || body.is_some_and(|body| body["name"] == *name)
    });
    about
        .map(|write| (write.method, write.body.unwrap_or_default()))
        .collect()
}

fn uuid(resource: &DynamicObject) -> String {
    text(&resource.data["status"]["stage"]["uuid"]).to_owned()
}

/// Two resources want one stage of the server that is also at this other address.
async fn have_one_owner(test: &Test, other: &str) {
    connect_twice(test, other).await;
    test.apply(VALIDATE, "holder", spec(test, "default", "deny"))
        .await;
    let stage = uuid(&test.in_sync(VALIDATE, "holder").await);
    test.gateway.clear();
    test.apply(VALIDATE, "rival", spec(test, "other", "skip"))
        .await;
    let says = refused(test, VALIDATE, "rival").await;
    let holder = format!("{VALIDATE} {}/holder", test.namespace);
    assert!(says.contains(&holder), "{says}");
    let fields = json!({"connectionRef": {"name": "other"}, "name": test.name("mfa")});
    let duo = with(test.duo_spec().await, fields);
    test.apply(DUO, "duo", duo).await;
    let says = refused(test, DUO, "duo").await;
    assert!(says.contains(&holder), "{says}");
    // Both connections are probed each time.
    test.resyncs(6).await;
    test.take_operator().await.stop().await;
    test.start_operator().await;
    test.resyncs(6).await;
    assert_eq!(written_about(test, &stage), []);
    for rival in [(VALIDATE, "rival"), (DUO, "duo")] {
        refused(test, rival.0, rival.1).await;
    }
    test.in_sync(VALIDATE, "holder").await;

    // The rival is not dead: it gets what nobody else has, and the stage once its owner is gone.
    let own = with(
        spec(test, "other", "skip"),
        json!({"name": test.name("own")}),
    );
    test.apply(VALIDATE, "rival", own).await;
    test.in_sync(VALIDATE, "rival").await;
    test.delete(VALIDATE, "holder").await;
    test.gone(VALIDATE, "holder").await;
    test.delete(DUO, "duo").await;
    test.gone(DUO, "duo").await;
    test.apply(VALIDATE, "heir", spec(test, "other", "skip"))
        .await;
    assert_eq!(uuid(&test.in_sync(VALIDATE, "heir").await), stage);
    let skip = json!({"not_configured_action": "skip"});
    assert_eq!(written_about(test, &stage), [("PATCH".to_owned(), skip)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_names_of_one_host_are_one_server() {
    test(async |test| have_one_owner(test, &by_name(test)).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_and_the_server_behind_it_are_one_server() {
    test(async |test| {
        let proxy = Gateway::in_front_of(&test.gateway.url())
            .prefix("/auth")
            .launch()
            .await;
        have_one_owner(test, &proxy.url()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_come_at_once_under_two_addresses_one_gets_the_stage() {
    test(async |test| {
        connect_twice(test, &by_name(test)).await;
        test.take_operator().await.stop().await;
        test.gateway.clear();
        for (name, connection) in [("one", "default"), ("two", "other")] {
            test.apply(VALIDATE, name, spec(test, connection, "deny"))
                .await;
        }
        test.start_operator().await;
        let settled = |resource: Option<&DynamicObject>| {
            let reason = resource.and_then(crate::harness_more::reason_of);
            matches!(reason, Some("InSync" | "NameConflict"))
        };
        let mut reasons = Vec::new();
        for name in ["one", "two"] {
            test.until(VALIDATE, name, "settled", settled).await;
        }
        test.resyncs(6).await;
        for name in ["one", "two"] {
            let resource = test.get(VALIDATE, name).await;
            reasons.extend(crate::harness_more::reason_of(&resource).map(str::to_owned));
        }
        reasons.sort();
        assert_eq!(reasons, ["InSync", "NameConflict"]);
        let stage = test.authentik.stage("validate", &test.name("mfa")).await;
        let stage = stage.expect("one of them has made it");
        // Both may try to make it; authentik lets one.
        let about = written_about(test, text(&stage["pk"]));
        assert!(about.len() <= 2, "{about:?}");
        assert!(about.iter().all(|(method, _)| method == "POST"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_both_have_recorded_a_stage_the_older_keeps_it() {
    // As an operator has left it that took two addresses for two servers.
    test(async |test| {
        connect_twice(test, &by_name(test)).await;
        test.apply(VALIDATE, "z-older", spec(test, "default", "deny"))
            .await;
        let older = test.in_sync(VALIDATE, "z-older").await;
        test.take_operator().await.stop().await;
        let younger = younger_than(test, &older, "a-younger", spec(test, "other", "skip")).await;
        let mut status = older.data["status"].clone();
        status["stage"]["server"] = json!(by_name(test));
        status["observedGeneration"] = json!(younger.metadata.generation);
        let params = PatchParams::default();
        let status = Patch::Merge(json!({"status": status}));
        let api = test.api(VALIDATE);
        let patched = api.patch_status("a-younger", &params, &status).await;
        patched.expect("the status is accepted");
        test.gateway.clear();
        test.start_operator().await;
        let says = refused(test, VALIDATE, "a-younger").await;
        assert!(says.contains("z-older"), "{says}");
        test.resyncs(6).await;
        assert_eq!(written_about(test, &uuid(&older)), []);
        test.in_sync(VALIDATE, "z-older").await;
    })
    .await;
}

/// Applies a resource that Kubernetes has created in a later second than the other: it counts no finer. The operator
/// must not run.
async fn younger_than(test: &Test, than: &DynamicObject, name: &str, spec: Value) -> DynamicObject {
    loop {
        let resource = test.apply(VALIDATE, name, spec.clone()).await;
        if resource.creation_timestamp() > than.creation_timestamp() {
            return resource;
        }
        test.delete(VALIDATE, name).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rivals_are_told_of_the_one_that_has_the_stage() {
    test(async |test| {
        test.connect().await;
        test.apply(VALIDATE, "z-holder", spec(test, "default", "deny"))
            .await;
        test.in_sync(VALIDATE, "z-holder").await;
        for rival in ["a-rival", "b-rival", "c-rival"] {
            test.apply(VALIDATE, rival, spec(test, "default", "skip"))
                .await;
        }
        for rival in ["a-rival", "b-rival", "c-rival"] {
            let says = refused(test, VALIDATE, rival).await;
            let names: Vec<_> = ["z-holder", "a-rival", "b-rival", "c-rival"]
                .into_iter()
                .filter(|name| says.contains(&format!("{}/{name}", test.namespace)))
                .collect();
            assert_eq!(names, ["z-holder"], "{rival}: {says}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rivals_for_a_new_stage_are_told_of_the_same_one() {
    test(async |test| {
        test.connect().await;
        test.take_operator().await.stop().await;
        let oldest = test
            .apply(VALIDATE, "z-oldest", spec(test, "default", "deny"))
            .await;
        let second = younger_than(test, &oldest, "m-second", spec(test, "default", "skip")).await;
        younger_than(test, &second, "a-third", spec(test, "default", "skip")).await;
        younger_than(test, &second, "b-third", spec(test, "default", "skip")).await;
        test.start_operator().await;
        test.in_sync(VALIDATE, "z-oldest").await;
        for rival in ["m-second", "a-third", "b-third"] {
            let says = refused(test, VALIDATE, rival).await;
            assert!(says.contains("z-oldest"), "{rival}: {says}");
        }
    })
    .await;
}
