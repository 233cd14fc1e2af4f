//! Many stages: what they cost the server, and that none is overlooked.

use std::{collections::BTreeSet, time::Duration};

use devkit::gateway::{Exchange, Fault, FaultKind};
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

/// A page of the list of all validation stages, as the operator asked for it.
struct Page {
    number: u64,
    /// Whether it was the last: another doesn't follow, or this one was gone.
    is_last: bool,
    count: u64,
    keys: Vec<String>,
}

impl Page {
    /// None where something else was asked for.
    fn of(exchange: &Exchange) -> Option<Self> {
        if (exchange.method.as_str(), exchange.path.as_str()) != ("GET", VALIDATES) {
            return None;
        }
        let pairs = || {
            exchange
                .query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
        };
        if pairs().any(|(key, _)| !["ordering", "page_size", "page"].contains(&key)) {
            return None;
        }
        let number = pairs().find(|(key, _)| *key == "page")?.1;
        let answer = exchange.response.as_ref()?;
        let rows = answer["results"].as_array().into_iter().flatten();
        let keys = rows.filter_map(|row| row["pk"].as_str().map(str::to_owned));
        Some(Self {
            number: number.parse().expect("a number"),
            is_last: answer["pagination"]["next"].as_u64().unwrap_or_default() == 0,
            count: answer["pagination"]["count"].as_u64().unwrap_or_default(),
            keys: keys.collect(),
        })
    }
}

/// Checks that the whole list was read, each page once, and once more only where others moved it meanwhile. Returns how
/// often it was read.
fn a_request_a_page(pages: &[Page]) -> usize {
    let readings: Vec<_> = pages.chunk_by(|_, next| next.number != 1).collect();
    for (n, reading) in readings.iter().enumerate() {
        for (page, number) in reading.iter().zip(1..) {
            assert_eq!(page.number, number, "the pages come in their order");
            assert_eq!(page.is_last, number == reading.len() as u64);
        }
        let keys: BTreeSet<_> = reading.iter().flat_map(|page| &page.keys).collect();
        let stood_still = reading.iter().all(|page| page.count == keys.len() as u64);
        let is_read_again = n + 1 < readings.len();
        assert!(!is_read_again || !stood_still, "it stood still");
    }
    readings.len()
}

/// Splits what was asked for into the pages of the list and the rest.
fn pages_and_others(exchanges: &[Exchange]) -> (Vec<Page>, Vec<&Exchange>) {
    let pages = exchanges.iter().filter_map(Page::of).collect();
    let others = exchanges.iter().filter(|made| Page::of(made).is_none());
    (pages, others.collect())
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
        let audit = test.gateway.audit();
        let resyncs: Vec<_> = audit.split(|exchange| exchange.path == PROBE).collect();
        let [_, whole @ .., _] = resyncs.as_slice() else {
            panic!("there were resyncs");
        };
        for resync in whole {
            let (pages, others) = pages_and_others(resync);
            let readings = a_request_a_page(&pages);
            assert!(pages.len() >= 3 * readings, "all of the crowd is listed");
            let shown: BTreeSet<_> = pages.iter().flat_map(|page| &page.keys).collect();
            for other in others {
                // A list that moves may miss a row, which is then asked for.
                let is_doubted = |key: &str| !shown.contains(&key.to_owned());
                let key = other.path.strip_prefix(VALIDATES);
                let key = key.map(|key| key.trim_end_matches('/'));
                let is_one = other.method == "GET" && key.is_some_and(is_doubted);
                assert!(is_one, "{other:?}");
            }
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
        test.gateway.clear();
        let names = names(100);
        apply_all(test, &names).await;
        in_sync_all(test, &names).await;
        let audit = test.gateway.audit();
        let (pages, others) = pages_and_others(&audit);
        // The stages there were before are listed once.
        a_request_a_page(&pages);
        let creates =
            |made: &&&Exchange| (made.method.as_str(), made.path.as_str()) == ("POST", VALIDATES);
        assert_eq!(others.iter().filter(creates).count(), 100);
        assert_eq!(others.len(), 100, "{others:#?}");
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
        let expected = [
            ("GET", path.as_str()),
            ("PATCH", path.as_str()),
            // Who did it.
            ("GET", "/api/v3/events/events/"),
        ];
        let expected = expected.map(|(method, path)| (method.to_owned(), path.to_owned()));
        assert_eq!(made, expected);
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
