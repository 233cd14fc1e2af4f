//! Several replicas of the program: one works, the others stand by; and what each tells of itself over HTTP.

use std::{process::Stdio, time::Duration};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    runtime::wait::await_condition,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::harness::{GRACE, PATIENCE, Test, VALIDATE, test};

const LEASE: &str = "authentik-stage-operator";

/// One replica.
struct Replica {
    name: &'static str,
    address: String,
    child: Child,
}

impl Replica {
    async fn start(test: &Test, name: &'static str) -> Self {
        let namespace = test.namespace.as_str();
        let mut child = Command::new(env!("CARGO_BIN_EXE_authentik-stage-operator"))
            .args([
                "run",
                "--namespaces",
                namespace,
                "--lease-namespace",
                namespace,
            ])
            .args([
                "--listen",
                "127.0.0.1:0",
                "--identity",
                name,
                "--log-format",
                "json",
            ])
            .env_clear()
            .env("KUBECONFIG", test.kubeconfig())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let log = child.stderr.take().expect("it is piped");
        let mut log = BufReader::new(log).lines();
        let address = loop {
            let line = log
                .next_line()
                .await
                .expect("the log is text")
                .expect("it goes on");
            let event: Value = serde_json::from_str(&line).expect("it is JSON");
            if let Some(address) = event["fields"]["address"].as_str() {
                break address.to_owned();
            }
        };
        // Read all the time: a full pipe would hold it up.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Self {
            name,
            address,
            child,
        }
    }

    /// Status and body of a page; nothing while nobody listens.
    async fn page(&self, path: &str) -> Option<(u16, String)> {
        let answer = reqwest::get(format!("http://{}{path}", self.address))
            .await
            .ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    async fn metric(&self, line: &str) -> bool {
        self.page("/metrics")
            .await
            .is_some_and(|(_, text)| text.lines().any(|other| other == line))
    }

    /// Asks it to end and waits until it has.
    async fn terminate(mut self) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(sent.expect("there is a kill command").success());
        let ended = tokio::time::timeout(GRACE, self.child.wait()).await;
        let status = ended.expect("it ends in time").expect("it can be awaited");
        assert!(status.success(), "{status}");
    }
}

fn leases(test: &Test) -> Api<Lease> {
    Api::namespaced(test.kube.clone(), &test.namespace)
}

/// Waits until this replica holds the Lease.
async fn leads(test: &Test, name: &str, within: Duration) {
    let holds = |lease: Option<&Lease>| {
        let holder = lease.and_then(|lease| lease.spec.as_ref()?.holder_identity.clone());
        holder.is_some_and(|holder| holder.starts_with(&format!("{name}_")))
    };
    let held = tokio::time::timeout(within, await_condition(leases(test), LEASE, holds)).await;
    held.unwrap_or_else(|_| panic!("{name} does not lead in time"))
        .expect("the watch goes on");
}

/// Two replicas, of which the first leads and the second is ready to.
async fn two(test: &Test) -> (Replica, Replica) {
    test.take_operator().await.stop().await;
    let first = Replica::start(test, "first").await;
    leads(test, first.name, PATIENCE).await;
    let second = Replica::start(test, "second").await;
    until("ready", async || {
        second
            .page("/readyz")
            .await
            .is_some_and(|(status, _)| status == 200)
    })
    .await;
    (first, second)
}

/// Waits until the condition holds; it is of a process that tells nobody when it changes.
async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(waited.await.is_ok(), "not {what} in time");
}

async fn apply(test: &Test, name: &str) {
    test.apply(
        VALIDATE,
        name,
        json!({"name": test.name(name), "deviceClasses": ["totp"]}),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_from_a_leader_that_is_killed() {
    test(async |test| {
        let (mut first, second) = two(test).await;
        test.connect().await;
        apply(test, "before").await;
        test.in_sync(VALIDATE, "before").await;
        first.child.kill().await.expect("it is killed");
        apply(test, "after").await;
        test.in_sync(VALIDATE, "after").await;
        leads(test, second.name, PATIENCE).await;
        assert_eq!(
            test.written().len(),
            2,
            "one creation each: {:?}",
            test.written()
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_asked_to_end_hands_over_at_once() {
    test(async |test| {
        let (first, second) = two(test).await;
        first.terminate().await;
        // Well before the Lease would expire.
        leads(test, second.name, Duration::from_secs(5)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_loses_its_lease_ends() {
    test(async |test| {
        test.take_operator().await.stop().await;
        let mut replica = Replica::start(test, "first").await;
        leads(test, replica.name, PATIENCE).await;
        let stolen = json!({"spec": {"holderIdentity": "another"}});
        let stolen = leases(test)
            .patch(LEASE, &PatchParams::default(), &Patch::Merge(stolen))
            .await;
        assert_eq!(stolen.expect("the Lease is patched").name_any(), LEASE);
        let ended = tokio::time::timeout(PATIENCE, replica.child.wait()).await;
        let status = ended.expect("it ends").expect("it can be awaited");
        assert!(
            !status.success(),
            "Kubernetes has to see that it did not end by order"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_tell_how_they_are() {
    test(async |test| {
        let (first, second) = two(test).await;
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        apply(test, "mfa").await;
        test.in_sync(VALIDATE, "mfa").await;
        let connection = format!("{}/default", test.namespace);
        for line in [
            "authentik_operator_leader 1".to_owned(),
            format!("authentik_operator_resources{{kind=\"{VALIDATE}\",reason=\"InSync\"}} 1"),
            format!("authentik_operator_connections{{connection=\"{connection}\",reason=\"Connected\"}} 1"),
            format!("authentik_operator_authentik_requests_total{{connection=\"{connection}\",method=\"POST\",path=\"stages/authenticator/validate\",status=\"201\"}} 1"),
        ] {
            assert!(first.metric(&line).await, "{line} is not in\n{:?}", first.page("/metrics").await);
        }
        assert!(second.metric("authentik_operator_leader 0").await);
        assert_eq!(second.page("/livez").await, Some((200, "ok\n".to_owned())));

        let stage = test.authentik.stage("validate", &test.name("mfa")).await.expect("the stage is there");
        let path = format!("stages/authenticator/validate/{}/", stage["pk"].as_str().unwrap_or_default());
        test.authentik.patch(&path, json!({"device_classes": ["totp", "static"]})).await;
        let repaired = format!("authentik_operator_drift_repaired_total{{kind=\"{VALIDATE}\"}} 1");
        until("repaired", async || first.metric(&repaired).await).await;
    })
    .await;
}
