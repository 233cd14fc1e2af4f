//! The operator ended, killed, doubled and started again: nothing is lost and nothing is made twice.

use std::{process::Stdio, time::Duration};

use devkit::{
    gateway::{Exchange, Fault, FaultKind},
    simulator::Latency,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    harness::{Test, VALIDATE, VALIDATES, condition, patience, test},
    on_every_version,
    program::Program,
};

on_every_version!(a_killed_operator_is_followed_by_one_that_finishes_its_work);

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("mfa-{n}")).collect()
}

async fn apply(test: &Test, names: &[String]) {
    for name in names {
        test.validate(name, json!({})).await;
    }
}

/// Waits until each of these resources stands for the one stage of its name.
async fn in_sync_once(test: &Test, names: &[String]) {
    for name in names {
        let resource = test.in_sync(VALIDATE, name).await;
        let stage = test.authentik.stage("validate", &test.name(name)).await;
        let stage = stage.expect("the stage is there");
        assert_eq!(resource.data["status"]["stage"]["uuid"], stage["pk"]);
    }
}

/// Waits until so many creations have been sent.
async fn creations(test: &Test, count: usize) {
    let sent = |audit: &[Exchange]| {
        let sent = audit.iter().filter(|exchange| exchange.method == "POST");
        sent.count() >= count
    };
    assert!(test.gateway.wait_for(sent, patience()).await);
}

/// Makes each write take so long.
fn slow_writes(test: &Test, by: Duration) {
    test.gateway
        .inject(Fault::new(FaultKind::Latency(by)).writes());
}

async fn a_killed_operator_is_followed_by_one_that_finishes_its_work(test: &Test) {
    test.connect().await;
    if let Some(simulator) = &test.simulator {
        // The stage is there before the answer is: what the kill loses is the answer.
        simulator.set_latency(Latency {
            write: Duration::from_millis(200),
            ..Latency::default()
        });
    }
    let names = names(30);
    apply(test, &names).await;
    for sent in [6, 15] {
        creations(test, sent).await;
        test.take_operator().await.kill();
        test.start_operator().await;
    }
    in_sync_once(test, &names).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_under_way_is_finished_and_recorded_before_the_end() {
    test(async |test| {
        test.connect().await;
        slow_writes(test, Duration::from_secs(2));
        // One that waits for minutes does not hold up the end.
        test.validate("waiting", json!({"connectionRef": {"name": "none"}}))
            .await;
        test.reason(VALIDATE, "waiting", "ConnectionNotReady").await;
        apply(test, &names(1)).await;
        creations(test, 1).await;
        test.take_operator().await.stop().await;
        in_sync_once(test, &names(1)).await;
        test.start_operator().await;
        test.validate("mfa-0", json!({"notConfiguredAction": "deny"}))
            .await;
        test.in_sync(VALIDATE, "mfa-0").await;
        assert_eq!(test.gateway.count("POST", VALIDATES), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_has_just_started_can_be_stopped() {
    test(async |test| {
        test.spawn_operator().stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_is_begun_after_the_end_was_asked_for() {
    test(async |test| {
        test.connect_with(json!({"maxConcurrentRequests": 2, "resyncInterval": "1h"}))
            .await;
        slow_writes(test, Duration::from_secs(2));
        let names = names(12);
        apply(test, &names).await;
        creations(test, 2).await;
        test.take_operator().await.stop().await;
        assert_eq!(test.gateway.count("POST", VALIDATES), 2);
        let mut done = 0;
        for name in &names {
            let resource = test.get(VALIDATE, name).await;
            match condition(&resource, "Ready") {
                Some(ready) => {
                    assert_eq!(ready["reason"], "InSync", "{resource:?}");
                    done += 1;
                }
                None => assert_eq!(test.events(name).await, []),
            }
        }
        assert_eq!(done, 2);
        test.gateway.clear_faults();
        test.start_operator().await;
        in_sync_once(test, &names).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_a_steady_state_writes_nothing() {
    test(async |test| {
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        let names = names(3);
        apply(test, &names).await;
        in_sync_once(test, &names).await;
        test.resyncs(1).await;
        test.take_operator().await.stop().await;
        let before = (test.writes().len(), test.kubernetes_writes().len());
        test.gateway.clear();
        test.start_operator().await;
        let listed = |audit: &[Exchange]| audit.iter().any(|exchange| exchange.path == VALIDATES);
        assert!(test.gateway.wait_for(listed, patience()).await);
        test.resyncs(2).await;
        assert_eq!(test.writes(), []);
        assert_eq!(
            test.kubernetes_writes().len(),
            before.1,
            "{:?}",
            test.kubernetes_writes()
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_at_once_make_no_stage_twice() {
    test(async |test| {
        test.connect().await;
        let second = test.spawn_operator();
        let names = names(10);
        apply(test, &names).await;
        in_sync_once(test, &names).await;
        second.stop().await;
        test.take_operator().await.stop().await;
        in_sync_once(test, &names).await;
    })
    .await;
}

/// The program, with nothing of this process's surroundings.
fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_authentik-stage-operator"));
    command
        .args(args)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The program in place of the operator in this process.
async fn replace(test: &Test) -> Program {
    test.take_operator().await.stop().await;
    Program::start(test, &["--lease-namespace", &test.namespace], &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_reconciles_until_sigterm_and_logs_json() {
    test(async |test| {
        let program = replace(test).await;
        test.connect().await;
        slow_writes(test, Duration::from_secs(2));
        apply(test, &names(1)).await;
        creations(test, 1).await;
        let log = program.terminate().await;
        in_sync_once(test, &names(1)).await;
        assert_eq!(test.gateway.count("POST", VALIDATES), 1);
        assert!(log.len() > 1, "{log:?}");
        for line in &log {
            let event: Value = serde_json::from_str(line).expect(line);
            assert!(event["level"].is_string(), "{line}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_does_not_hold_up_the_end() {
    test(async |test| {
        let program = replace(test).await;
        test.connect().await;
        test.gateway
            .inject(Fault::new(FaultKind::Hang).method(Method::POST));
        apply(test, &names(1)).await;
        creations(test, 1).await;
        program.terminate().await;
    })
    .await;
}

#[tokio::test]
async fn flags_that_make_no_sense_are_refused_with_their_name() {
    let cases: [(&[&str], &str); 5] = [
        (&["run", "--log-format", "xml"], "--log-format"),
        (&["run", "--log", "a=b=c"], "--log \"a=b=c\" can't be read"),
        (&["run", "--namespace", "x"], "--namespaces"),
        (&["run", "--otlp-endpoint", "not a URL"], "--otlp-endpoint"),
        (&["run"], "no Kubernetes to talk to"),
    ];
    for (args, phrase) in cases {
        let output = program(args).output().await.expect("the program starts");
        assert!(!output.status.success(), "{args:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(phrase), "{args:?}: {error}");
    }
}
