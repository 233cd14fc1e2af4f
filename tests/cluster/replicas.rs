//! Several replicas of the program: one works, the others stand by; and what each tells of itself over HTTP.

use std::time::Duration;

use devkit::gateway::{Exchange, Fault, FaultKind};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    runtime::wait::await_condition,
};
use reqwest::Method;
use serde_json::json;

use crate::{
    harness::{Test, VALIDATE, collection, patience, test, text},
    program::Program,
};

const LEASE: &str = "authentik-stage-operator";

/// One replica.
pub struct Replica {
    pub name: &'static str,
    address: String,
    pub program: Program,
}

impl Replica {
    async fn start(test: &Test, name: &'static str) -> Self {
        let lease = ["--lease-namespace", &test.namespace, "--identity", name];
        let args = [&lease[..], &["--listen", "127.0.0.1:0"]].concat();
        let program = Program::start(test, &args, &[]);
        let listens = program.logs("serving health and metrics").await;
        Self {
            name,
            address: text(&listens["address"]).to_owned(),
            program,
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
pub async fn two(test: &Test) -> (Replica, Replica) {
    test.take_operator().await.stop().await;
    let first = Replica::start(test, "first").await;
    leads(test, first.name, patience()).await;
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
    let waited = tokio::time::timeout(patience(), async {
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
        let (first, second) = two(test).await;
        test.connect().await;
        apply(test, "before").await;
        test.in_sync(VALIDATE, "before").await;
        first.program.kill().await;
        apply(test, "after").await;
        test.in_sync(VALIDATE, "after").await;
        leads(test, second.name, patience()).await;
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
        first.program.terminate().await;
        // Well before the Lease would expire.
        leads(test, second.name, Duration::from_secs(5)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_loses_its_lease_ends() {
    test(async |test| {
        test.take_operator().await.stop().await;
        let replica = Replica::start(test, "first").await;
        leads(test, replica.name, patience()).await;
        let stolen = json!({"spec": {"holderIdentity": "another"}});
        let stolen = leases(test)
            .patch(LEASE, &PatchParams::default(), &Patch::Merge(stolen))
            .await;
        assert_eq!(stolen.expect("the Lease is patched").name_any(), LEASE);
        let status = replica.program.ends().await;
        assert!(
            !status.success(),
            "Kubernetes has to see that it did not end by order"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_slept_through_the_end_of_its_lease_writes_nothing_more() {
    test(async |test| {
        let (first, second) = two(test).await;
        test.connect().await;
        apply(test, "mfa").await;
        test.in_sync(VALIDATE, "mfa").await;
        let name = test.name("mfa");
        let stage = test.authentik.stage("validate", &name).await;
        let path = format!(
            "{}{}/",
            collection(VALIDATE),
            text(&stage.expect("it is there")["pk"])
        );
        test.authentik
            .patch(&path, json!({"device_classes": ["sms"]}))
            .await;

        // What the first reads is late, and says that there is something to write.
        test.gateway.clear();
        let late = Fault::new(FaultKind::Latency(Duration::from_secs(5)));
        test.gateway
            .inject(late.method(Method::GET).path(collection(VALIDATE)).times(1));
        test.request_reconcile(VALIDATE, "mfa", "now").await;
        let asks = |audit: &[Exchange]| {
            audit
                .iter()
                .any(|asked| asked.path.contains(collection(VALIDATE)))
        };
        assert!(test.gateway.wait_for(asks, patience()).await);
        first.program.signal("STOP").await;
        assert_eq!(test.written(), []);

        leads(test, second.name, patience()).await;
        let repaired = |audit: &[Exchange]| {
            audit
                .iter()
                .any(|asked| asked.method == "PATCH" && asked.status.is_some())
        };
        assert!(test.gateway.wait_for(repaired, patience()).await);
        test.in_sync(VALIDATE, "mfa").await;
        first.program.signal("CONT").await;
        assert!(!first.program.ends().await.success());
        assert_eq!(
            test.written().len(),
            1,
            "by the second alone: {:?}",
            test.written()
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
        let (_, metrics) = first.page("/metrics").await.expect("it listens");
        test.canaries.search("the metrics", metrics);
        assert_eq!(second.page("/livez").await, Some((200, "ok\n".to_owned())));

        let stage = test.authentik.stage("validate", &test.name("mfa")).await.expect("the stage is there");
        let path = format!("stages/authenticator/validate/{}/", stage["pk"].as_str().unwrap_or_default());
        test.authentik.patch(&path, json!({"device_classes": ["totp", "static"]})).await;
        let repaired = format!("authentik_operator_drift_repaired_total{{kind=\"{VALIDATE}\"}} 1");
        until("repaired", async || first.metric(&repaired).await).await;
    })
    .await;
}
