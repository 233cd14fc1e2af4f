//! Two servers that were restored from one backup have the same UUIDs, and are two servers all the same.

use std::collections::BTreeSet;

use devkit::{
    gateway::{Exchange, Fault, FaultKind},
    simulator::Simulator,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Authentik, Test, VALIDATE, collection, is_true, message, patience, test, text},
    harness_more::{Beside, CONNECTION},
};

/// All that a token needs to manage a stage that is there, and not to make one.
const NO_CREATION: [&str; 6] = [
    "authentik_stages_authenticator_validate.view_authenticatorvalidatestage",
    "authentik_stages_authenticator_validate.change_authenticatorvalidatestage",
    "authentik_stages_authenticator_validate.delete_authenticatorvalidatestage",
    "authentik_flows.view_stage",
    "authentik_flows.view_flow",
    "authentik_flows.view_flowstagebinding",
];

fn spec(test: &Test, connection: &str, action: &str) -> Value {
    json!({
        "name": test.name("mfa"), "notConfiguredAction": action, "adoptionPolicy": "Always",
        "connectionRef": {"name": connection},
    })
}

/// The names of all stages of a server.
async fn names(authentik: &Authentik) -> BTreeSet<String> {
    let rows = authentik.list("stages/all/?page_size=100").await;
    rows.iter()
        .map(|row| text(&row["name"]).to_owned())
        .collect()
}

/// A stage `mfa` made by hand, which the backup holds too.
async fn by_hand(test: &Test) {
    let stage = json!({"name": test.name("mfa"), "not_configured_action": "skip"});
    test.authentik.create(collection(VALIDATE), stage).await;
}

/// A connection to a copy of the server, and the copy.
async fn restore(test: &Test, simulator: &Simulator) -> Beside {
    let copy = Beside::restored_from(simulator).await;
    test.connection("copy", &copy.gateway.url(), json!({"resyncInterval": "1s"}))
        .await;
    test.reason(CONNECTION, "copy", "Connected").await;
    copy
}

async fn action(authentik: &Authentik, test: &Test) -> Value {
    let stage = authentik.stage("validate", &test.name("mfa")).await;
    stage.expect("it is there")["not_configured_action"].clone()
}

/// Waits until both connections have been listed this many times more.
async fn resyncs(test: &Test, copy: &Beside, times: usize) {
    let probes = |audit: &[Exchange]| {
        let probes = audit.iter();
        probes
            .filter(|exchange| exchange.path == crate::harness::PROBE)
            .count()
    };
    let before = probes(&copy.gateway.audit());
    test.resyncs(times).await;
    let more = |audit: &[Exchange]| probes(audit) > before + times;
    assert!(copy.gateway.wait_for(more, patience()).await);
}

/// Two resources in sync, each with its own of two equal servers.
async fn both_in_sync(test: &Test) {
    let ours = test.in_sync(VALIDATE, "ours").await;
    let theirs = test.in_sync(VALIDATE, "theirs").await;
    let stage = |of: &kube::core::DynamicObject| of.data["status"]["stage"]["uuid"].clone();
    assert_eq!(stage(&ours), stage(&theirs), "one backup, one UUID");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_two_restored_servers_has_a_stage_of_its_own() {
    test(async |test| {
        let Some(simulator) = &test.simulator else {
            return;
        };
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        by_hand(test).await;
        let before = names(&test.authentik).await;
        test.apply(VALIDATE, "ours", spec(test, "default", "deny"))
            .await;
        test.in_sync(VALIDATE, "ours").await;
        let copy = restore(test, simulator).await;
        test.apply(VALIDATE, "theirs", spec(test, "copy", "skip"))
            .await;
        both_in_sync(test).await;
        assert_eq!(action(&test.authentik, test).await, "deny");
        assert_eq!(action(&copy.authentik, test).await, "skip");

        resyncs(test, &copy, 1).await;
        test.gateway.clear();
        copy.gateway.clear();
        resyncs(test, &copy, 3).await;
        assert_eq!(test.writes(), [], "a steady state writes nothing");
        assert_eq!(copy.gateway.writes(), [], "a steady state writes nothing");
        for server in [&test.authentik, &copy.authentik] {
            assert_eq!(names(server).await, before, "nothing else is left");
        }

        // Also when all is looked at anew, and each has its own fate.
        test.take_operator().await.stop().await;
        test.start_operator().await;
        resyncs(test, &copy, 3).await;
        both_in_sync(test).await;
        let delete = json!({"spec": {"deletionPolicy": "Delete"}});
        test.patch(VALIDATE, "theirs", delete).await;
        test.in_sync(VALIDATE, "theirs").await;
        test.delete(VALIDATE, "theirs").await;
        test.gone(VALIDATE, "theirs").await;
        let gone = copy.authentik.stage("validate", &test.name("mfa")).await;
        assert_eq!(gone, None);
        assert_eq!(action(&test.authentik, test).await, "deny");
        assert_eq!(names(&test.authentik).await, before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_on_a_server_when_the_operator_ends_in_the_middle() {
    test(async |test| {
        let Some(simulator) = &test.simulator else {
            return;
        };
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        by_hand(test).await;
        let before = names(&test.authentik).await;
        test.apply(VALIDATE, "ours", spec(test, "default", "deny"))
            .await;
        test.in_sync(VALIDATE, "ours").await;
        let copy = restore(test, simulator).await;
        // The stage is there on both: a creation can only be meant to tell the servers apart.
        for gateway in [&test.gateway, &copy.gateway] {
            gateway.inject(Fault::new(FaultKind::HangAfter).method(Method::POST));
        }
        test.apply(VALIDATE, "theirs", spec(test, "copy", "skip"))
            .await;
        tokio::select! {
            _ = test.gateway.hangs(patience()) => {}
            _ = copy.gateway.hangs(patience()) => {}
            _ = test.in_sync(VALIDATE, "theirs") => {}
        }
        test.take_operator().await.kill();
        for gateway in [&test.gateway, &copy.gateway] {
            gateway.clear_faults();
        }
        test.start_operator().await;
        both_in_sync(test).await;
        resyncs(test, &copy, 2).await;
        for server in [&test.authentik, &copy.authentik] {
            assert_eq!(names(server).await, before);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_cannot_be_told_apart_are_taken_for_one() {
    test(async |test| {
        let Some(simulator) = &test.simulator else {
            return;
        };
        let limited = simulator.create_token(&NO_CREATION);
        test.secret("authentik", json!({"token": limited})).await;
        let often = json!({"resyncInterval": "1s"});
        test.connection("default", &test.gateway.url(), often).await;
        test.reason(CONNECTION, "default", "Connected").await;
        by_hand(test).await;
        test.apply(VALIDATE, "ours", spec(test, "default", "deny"))
            .await;
        test.in_sync(VALIDATE, "ours").await;
        let copy = restore(test, simulator).await;
        test.apply(VALIDATE, "theirs", spec(test, "copy", "skip"))
            .await;
        let refused = test.reason(VALIDATE, "theirs", "NameConflict").await;
        assert!(is_true(&refused, "Stalled"));
        let says = message(&refused);
        let holder = format!("{VALIDATE} {}/ours", test.namespace);
        assert!(says.contains(&holder), "{says}");
        resyncs(test, &copy, 3).await;
        assert_eq!(action(&copy.authentik, test).await, "deny");
        let changes = copy.gateway.writes().into_iter();
        let changes: Vec<_> = changes.filter(|write| write.method == "PATCH").collect();
        assert_eq!(changes, []);

        // It goes on by itself once the token may do more.
        test.secret("authentik", json!({"token": test.token()}))
            .await;
        both_in_sync(test).await;
        assert_eq!(action(&test.authentik, test).await, "deny");
        assert_eq!(action(&copy.authentik, test).await, "skip");
    })
    .await;
}
