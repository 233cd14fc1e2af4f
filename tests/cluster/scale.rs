//! Many stages: what they cost the server, and that none is overlooked.

use std::{collections::BTreeMap, time::Duration};

use devkit::gateway::{Fault, FaultKind};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{PROBE, Test, VALIDATE, VALIDATES, test};

/// How many things a test does at once.
const HANDS: usize = 8;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("mfa-{n}")).collect()
}

/// Creates so many validation stages by hand.
async fn crowd(test: &Test, count: usize) {
    let create = |n: usize| async move {
        let stage =
            json!({"name": test.name(&format!("other-{n}")), "not_configured_action": "skip"});
        test.authentik
            .create("stages/authenticator/validate/", stage)
            .await
    };
    stream::iter(0..count)
        .for_each_concurrent(HANDS, |n| async move {
            create(n).await;
        })
        .await;
}

async fn apply_all(test: &Test, names: &[String]) {
    stream::iter(names)
        .for_each_concurrent(HANDS, |name| test.validate(name, json!({})))
        .await;
}

async fn in_sync_all(test: &Test, names: &[String]) {
    stream::iter(names)
        .for_each_concurrent(HANDS, |name| async move {
            test.in_sync(VALIDATE, name).await;
        })
        .await;
}

/// How often each request was made so far.
fn requests(test: &Test) -> BTreeMap<String, usize> {
    let mut requests = BTreeMap::new();
    for exchange in test.gateway.audit() {
        let request = format!("{} {}", exchange.method, exchange.template());
        *requests.entry(request).or_default() += 1;
    }
    requests
}

/// How many validation stages there are.
async fn population(test: &Test) -> usize {
    let path = "stages/authenticator/validate/?page_size=1";
    let (_, answer) = test.authentik.send(reqwest::Method::GET, path, None).await;
    let count = answer["pagination"]["count"].as_u64();
    usize::try_from(count.expect("it is a number")).expect("they are few")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resync_costs_one_request_a_page_and_finds_drift_on_the_last() {
    test(async |test| {
        crowd(test, 230).await;
        test.connect_with(json!({"resyncInterval": "2s"})).await;
        let names = names(10);
        apply_all(test, &names).await;
        in_sync_all(test, &names).await;
        test.resyncs(1).await;
        test.gateway.clear();
        let kubernetes = test.kubernetes_writes().len();
        test.resyncs(3).await;
        let pages = population(test).await.div_ceil(100);
        let audit = test.gateway.audit();
        let resyncs: Vec<_> = audit.split(|exchange| exchange.path == PROBE).collect();
        let [_, whole @ .., _] = resyncs.as_slice() else {
            panic!("there were resyncs");
        };
        for resync in whole {
            let requests = resync
                .iter()
                .map(|exchange| (exchange.method.as_str(), exchange.path.as_str()));
            assert_eq!(
                requests.collect::<Vec<_>>(),
                vec![("GET", VALIDATES); pages]
            );
        }
        assert_eq!(test.kubernetes_writes().len(), kubernetes);

        for name in &names {
            let uuid = test.get(VALIDATE, name).await.data["status"]["stage"]["uuid"].clone();
            let path = format!(
                "stages/authenticator/validate/{}/",
                uuid.as_str().expect("it is text")
            );
            test.authentik
                .patch(&path, json!({"not_configured_action": "deny"}))
                .await;
        }
        for name in &names {
            let mended = |stage: Option<&Value>| {
                stage.is_some_and(|stage| stage["not_configured_action"] == "skip")
            };
            test.stage_until("validate", &test.name(name), mended).await;
            test.event(name, "DriftCorrected").await;
        }
        assert_eq!(test.writes().len(), names.len());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_creations_are_a_hundred_posts_within_the_pace() {
    test(async |test| {
        test.connect_with(json!({"resyncInterval": "1h", "maxConcurrentRequests": 3}))
            .await;
        let latency = Fault::new(FaultKind::Latency(Duration::from_millis(10))).writes();
        test.gateway.inject(latency);
        let pages = population(test).await.div_ceil(100);
        test.gateway.clear();
        let names = names(100);
        apply_all(test, &names).await;
        in_sync_all(test, &names).await;
        let mut requests = requests(test);
        assert_eq!(requests.remove(&format!("POST {VALIDATES}")), Some(100));
        // The stages there were before are listed once.
        assert_eq!(requests.remove(&format!("GET {VALIDATES}")), Some(pages));
        assert_eq!(requests, BTreeMap::new());
        assert_eq!(test.gateway.greatest_in_flight(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_is_asked_for_costs_one_request_whatever_there_is_besides() {
    test(async |test| {
        crowd(test, 130).await;
        test.connect_with(json!({"resyncInterval": "1h"})).await;
        let names = names(3);
        apply_all(test, &names).await;
        in_sync_all(test, &names).await;
        let uuid = test.get(VALIDATE, &names[1]).await.data["status"]["stage"]["uuid"].clone();
        let path = format!("{VALIDATES}{}/", uuid.as_str().expect("it is text"));
        let change = json!({"not_configured_action": "deny"});
        test.authentik
            .patch(path.trim_start_matches("/api/v3/"), change)
            .await;
        test.gateway.clear();
        test.request_reconcile(VALIDATE, &names[1], "now").await;
        test.event(&names[1], "DriftCorrected").await;
        let made = test.gateway.audit().into_iter();
        let made: Vec<_> = made.map(|made| (made.method, made.path)).collect();
        assert_eq!(
            made,
            [("GET".to_owned(), path.clone()), ("PATCH".to_owned(), path)]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_requests_a_second_than_allowed() {
    test(async |test| {
        const RATE: usize = 5;
        test.connect_with(json!({"resyncInterval": "1h", "requestsPerSecond": RATE}))
            .await;
        test.gateway.clear();
        let begun = Instant::now();
        let names = names(20);
        apply_all(test, &names).await;
        in_sync_all(test, &names).await;
        // What was not used in the second before may come at once.
        let paced = test.gateway.audit().len() - 2 * RATE;
        let least = Duration::from_secs(1) * u32::try_from(paced / RATE).expect("it is small");
        assert!(
            begun.elapsed() >= least,
            "{paced} requests in {:?}",
            begun.elapsed()
        );
    })
    .await;
}
