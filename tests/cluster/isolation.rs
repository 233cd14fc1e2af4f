//! A server that is sick holds up nobody but its own stages. What is shown is an order, not a time: others are done while
//! every request of the sick server still hangs.

use std::time::Duration;

use devkit::{
    gateway::{Exchange, Fault, FaultKind, Gateway},
    hostile::{Hostile, Manner, Requests},
    simulator::{Simulator, Version},
};
use futures::{FutureExt, StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Authentik, PROBE, Test, VALIDATE, VALIDATES, collection, patience, test, text,
};

const CONNECTION: &str = "AuthentikConnection";

/// How many stages the sick server has, and how many connections lead nowhere beside it.
const STAGES: usize = 200;
const DEAD: usize = 100;

/// How many things a test does at once.
const HANDS: usize = 8;

/// How long a request may take. Whoever is held up by one that hangs is held up this long.
const TIMEOUT: &str = "50s";

/// How late the answers of a server come that is late, and how long they are waited for.
const LATE: Duration = Duration::from_secs(45);
const LATER: &str = "60s";

/// The authentik that falls ill: always a simulated one, beside whatever server the healthy one is.
struct Sick<'a> {
    test: &'a Test,
    gateway: Gateway,
    simulator: Simulator,
}

impl<'a> Sick<'a> {
    async fn start(test: &'a Test) -> Self {
        let simulator = Simulator::start(Version::V2026_5).await;
        let gateway = Gateway::in_front_of(&simulator.url()).launch().await;
        test.secret("sick", json!({"token": simulator.token()}))
            .await;
        Self {
            test,
            gateway,
            simulator,
        }
    }

    async fn connect(&self, timeout: &str) {
        let secret = json!({"name": "sick", "key": "token"});
        let settings =
            json!({"timeout": timeout, "resyncInterval": "1h", "tokenSecretRef": secret});
        let url = self.gateway.url();
        self.test.connection("sick", &url, settings).await;
    }

    async fn stage(&self, name: &str, settings: Value) {
        let mut settings = settings;
        settings["connectionRef"] = json!({"name": "sick"});
        self.test.validate(name, settings).await;
    }

    async fn stages(&self) {
        let names = stream::iter((0..STAGES).map(|n| format!("sick-{n}")));
        names
            .for_each_concurrent(HANDS, |name| async move {
                self.stage(&name, json!({})).await;
            })
            .await;
    }

    /// Makes others' stages, so that one stage is not looked at by a list of all.
    async fn crowd(&self) {
        let authentik = Authentik::at(&self.simulator.url(), self.simulator.token().to_owned());
        stream::iter(0..STAGES)
            .for_each_concurrent(HANDS, |n| {
                let stage = json!({"name": format!("other-{n}")});
                let made = authentik.create(collection(VALIDATE), stage);
                made.map(drop)
            })
            .await;
    }

    /// Lets requests hang from now on, and waits for the first.
    async fn hangs(&self, fault: Fault) {
        self.gateway.inject(fault);
        self.connect(TIMEOUT).await;
        assert!(self.gateway.hangs(patience()).await, "nothing hangs");
    }

    /// Whether all requests that were to hang still do.
    fn all_hang(&self) -> bool {
        self.gateway.hanging() > 0 && self.gateway.given_up() == 0
    }
}

/// The healthy server, with a stage.
async fn healthy(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    test.validate("before", json!({})).await;
    test.in_sync(VALIDATE, "before").await;
}

/// Many connections to a server that accepts and never answers.
async fn dead(test: &Test) -> Hostile {
    let silent = Hostile::builder()
        .on(Requests::All, Manner::Never)
        .launch()
        .await;
    let url = silent.url();
    stream::iter((0..DEAD).map(|n| format!("dead-{n}")))
        .for_each_concurrent(HANDS, |name| {
            let url = &url;
            async move {
                let settings = json!({"timeout": TIMEOUT});
                test.connection(&name, url, settings).await;
            }
        })
        .await;
    // So many are enough to fill a queue that all share.
    let asked = silent.asked(Requests::All, DEAD / 2, patience());
    assert!(asked.await, "the dead connections are not tried");
    silent
}

/// A stage and a connection of the healthy server are made and drift there is put right while the sick one hangs, and
/// others that never answered do too.
async fn others_get_on(test: &Test, hangs: impl Fn() -> bool) {
    let _dead = dead(test).await;
    let not_held_up = |who: &str| assert!(hangs(), "{who} had to wait for the sick server");
    test.validate("after", json!({})).await;
    test.in_sync(VALIDATE, "after").await;
    not_held_up("a stage");
    test.connection("second", &test.gateway.url(), json!({}))
        .await;
    test.reason(CONNECTION, "second", "Connected").await;
    not_held_up("a connection");
    change(test, "before").await;
    test.event("before", "DriftCorrected").await;
    not_held_up("drift");
}

/// Changes a stage of the healthy server by hand.
async fn change(test: &Test, name: &str) {
    let stage = test.authentik.stage("validate", &test.name(name)).await;
    let stage = stage.expect("the stage is there");
    let path = format!("stages/authenticator/validate/{}/", text(&stage["pk"]));
    let change = json!({"not_configured_action": "deny"});
    test.authentik.patch(&path, change).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_on_lists_holds_up_nobody_else() {
    test(async |test| {
        let sick = Sick::start(test).await;
        healthy(test).await;
        sick.stages().await;
        let reads = Fault::new(FaultKind::Hang).method(Method::GET);
        let reads = reads.path("/stages/");
        sick.hangs(reads).await;
        others_get_on(test, || sick.all_hang()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_on_writes_holds_up_nobody_else() {
    test(async |test| {
        let sick = Sick::start(test).await;
        healthy(test).await;
        sick.stages().await;
        let writes = Fault::new(FaultKind::Hang).writes();
        sick.hangs(writes).await;
        others_get_on(test, || sick.all_hang()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_on_the_probe_holds_up_nobody_else() {
    test(async |test| {
        let sick = Sick::start(test).await;
        healthy(test).await;
        sick.stages().await;
        let probes = Fault::new(FaultKind::Hang).path(PROBE);
        sick.hangs(probes).await;
        others_get_on(test, || sick.all_hang()).await;
        assert_eq!(sick.gateway.count("GET", VALIDATES), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_late_holds_up_nobody_else() {
    test(async |test| {
        let sick = Sick::start(test).await;
        healthy(test).await;
        sick.connect(LATER).await;
        sick.stage("sick", json!({})).await;
        test.in_sync(VALIDATE, "sick").await;
        sick.gateway.clear();
        sick.gateway.inject(Fault::new(FaultKind::Latency(LATE)));
        sick.stages().await;
        let asked = |audit: &[Exchange]| audit.iter().any(|made| made.path != PROBE);
        assert!(sick.gateway.wait_for(asked, patience()).await);
        let unanswered = || {
            let audit = sick.gateway.audit();
            audit.iter().all(|made| made.status.is_none())
        };
        others_get_on(test, unanswered).await;
    })
    .await;
}

/// Two stages of the sick server, in sync. The first is a clock: once its request hangs, whoever is done before it is
/// given up has not waited for a later one.
async fn two_stages(test: &Test, sick: &Sick<'_>, deletion: &str) {
    sick.crowd().await;
    sick.connect(TIMEOUT).await;
    test.reason(CONNECTION, "sick", "Connected").await;
    for name in ["clock", "mfa"] {
        sick.stage(name, json!({"deletionPolicy": deletion})).await;
        test.in_sync(VALIDATE, name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_deletion_does_not_wait_for_a_write_that_hangs() {
    test(async |test| {
        let sick = Sick::start(test).await;
        two_stages(test, &sick, "Orphan").await;
        let writes = Fault::new(FaultKind::Hang).method(Method::PATCH);
        sick.gateway.inject(writes);
        for (count, name) in ["clock", "mfa"].into_iter().enumerate() {
            let change = json!({"spec": {"notConfiguredAction": "deny"}});
            test.patch(VALIDATE, name, change).await;
            assert!(sick.gateway.hang(count + 1, patience()).await, "no write");
        }
        test.delete(VALIDATE, "mfa").await;
        test.gone(VALIDATE, "mfa").await;
        assert!(sick.gateway.hanging() > 0, "it waited for its write");
        test.event("mfa", "Orphaned").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_does_not_wait_for_reads_that_hang_already() {
    test(async |test| {
        let sick = Sick::start(test).await;
        two_stages(test, &sick, "Delete").await;
        let reads = Fault::new(FaultKind::Hang).method(Method::GET);
        sick.gateway.inject(reads.path("/stages/").times(2));
        for (count, name) in ["clock", "mfa"].into_iter().enumerate() {
            test.request_reconcile(VALIDATE, name, "now").await;
            assert!(sick.gateway.hang(count + 1, patience()).await, "no read");
        }
        test.delete(VALIDATE, "mfa").await;
        test.gone(VALIDATE, "mfa").await;
        assert!(sick.gateway.hanging() > 0, "it waited for its read");
        let answered = sick.simulator.answered();
        let delete = ("DELETE".to_owned(), format!("{VALIDATES}{{uuid}}/"));
        assert_eq!(answered.get(&delete), Some(&1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_may_take_longer_than_a_minute() {
    test(async |test| {
        test.take_operator().await.stop().await;
        let spec = |timeout: &str| {
            json!({
                "url": "https://auth.example.com", "timeout": timeout,
                "tokenSecretRef": {"name": "authentik", "key": "token"},
            })
        };
        for timeout in ["1s", "60s", "1m", "59s999ms"] {
            test.apply(CONNECTION, "default", spec(timeout)).await;
        }
        for timeout in ["61s", "1m1s", "24h", "60s1ms"] {
            let refused = test.try_apply(CONNECTION, "default", spec(timeout)).await;
            let error = refused.expect_err(timeout).to_string();
            assert!(error.contains("timeout"), "{error}");
        }
    })
    .await;
}
