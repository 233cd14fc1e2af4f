//! Lists that move while they are read, changes that are seen half, and what one missing row costs.

use std::time::Duration;

use devkit::{
    churn::Churn,
    gateway::{Exchange, Fault, FaultKind},
    simulator::Simulator,
};
use futures::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Test, VALIDATE, VALIDATES, collection, patch, patience, test, text};

const CONNECTION: &str = "AuthentikConnection";

/// How many things a test does at once.
const HANDS: usize = 8;

/// Makes so many rows by hand.
async fn rows(test: &Test, collection: &str, count: usize) {
    stream::iter(0..count)
        .for_each_concurrent(HANDS, |n| async move {
            let row = json!({"name": test.name(&format!("other-{n}"))});
            test.authentik.create(collection, row).await;
        })
        .await;
}

/// The path of a resource's stage, below `/api/v3/`.
async fn path(test: &Test, name: &str) -> String {
    let resource = test.in_sync(VALIDATE, name).await;
    let uuid = &resource.data["status"]["stage"]["uuid"];
    format!("{}{}/", collection(VALIDATE), text(uuid))
}

/// Checks that nobody was told of a server that can't be reached.
async fn nobody_was_in_trouble(test: &Test, names: &[&str]) {
    test.reason(CONNECTION, "default", "Connected").await;
    for name in ["default"].iter().chain(names) {
        let events = test.events(name).await;
        let trouble = ["AuthentikUnavailable", "Unreachable"];
        let trouble = |(reason, _): &(String, String)| trouble.contains(&reason.as_str());
        assert!(!events.iter().any(trouble), "{events:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_moves_all_the_time_is_read_all_the_same() {
    test(async |test| {
        // A real server takes its time for each.
        let count = if test.is_real() { 150 } else { 2_000 };
        rows(test, collection(VALIDATE), count).await;
        let latency = FaultKind::Latency(Duration::from_millis(50));
        let pages = Fault::new(latency).method(Method::GET).path(VALIDATES);
        test.gateway.inject(pages);
        let every = Duration::from_millis(200);
        let body = json!({"name": test.name("churn")});
        let (url, token) = (test.authentik.url(), test.token());
        let churn = Churn::begin(url, token, collection(VALIDATE), body, every);
        let names = ["mfa-0", "mfa-1", "mfa-2"];
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        for name in names {
            test.validate(name, json!({})).await;
        }
        for name in names {
            test.in_sync(VALIDATE, name).await;
        }
        let (first, second) = (path(test, "mfa-1").await, path(test, "mfa-2").await);
        test.gateway.clear();
        // A start, after a time in which there was drift.
        test.take_operator().await.stop().await;
        let change = json!({"not_configured_action": "deny"});
        test.authentik.patch(&first, change.clone()).await;
        test.start_operator().await;
        test.event("mfa-1", "DriftCorrected").await;
        // Resyncs, of which one finds drift.
        test.resyncs(2).await;
        test.authentik.patch(&second, change).await;
        test.event("mfa-2", "DriftCorrected").await;
        test.resyncs(1).await;
        let repair = patch(VALIDATE, json!({"not_configured_action": "skip"}));
        assert_eq!(test.written(), [repair.clone(), repair]);
        assert!(churn.more(2, patience()).await, "the list did not move");
        churn.end().await;
        nobody_was_in_trouble(test, &names).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_asks_for_the_users_of_its_stage_whatever_there_is_besides() {
    test(async |test| {
        rows(test, collection(VALIDATE), 130).await;
        test.connect().await;
        test.validate("mfa", json!({"deletionPolicy": "Delete"}))
            .await;
        let path = path(test, "mfa").await;
        let uuid = path.trim_start_matches(collection(VALIDATE));
        let filter = format!("configuration_stages={}", uuid.trim_end_matches('/'));
        test.gateway.clear();
        test.delete(VALIDATE, "mfa").await;
        test.gone(VALIDATE, "mfa").await;
        let audit = test.gateway.audit();
        let lists: Vec<_> = audit
            .iter()
            .filter(|made| (made.method.as_str(), made.path.as_str()) == ("GET", VALIDATES))
            .collect();
        let asks = |made: &&Exchange| made.query.split('&').any(|pair| pair == filter);
        assert!(lists.len() == 1 && lists.iter().all(asks), "{lists:?}");
        assert_eq!(
            test.gateway
                .count("DELETE", &format!("{VALIDATES}{{uuid}}/")),
            1
        );
    })
    .await;
}

/// What the stage of the tests below holds.
fn held(used: &Value) -> Value {
    json!({"last_auth_threshold": "hours=1", "configuration_stages": [used]})
}

/// A stage that uses another, in sync; returns its path and the stage that it uses.
async fn using(test: &Test) -> (String, Value) {
    let used = test.totp_stage("used").await;
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let spec = json!({"lastAuthThreshold": "hours=1", "configurationStages": [{"uuid": used}]});
    test.validate("mfa", spec).await;
    let path = path(test, "mfa").await;
    test.event("mfa", "Created").await;
    (path, used)
}

/// Lets a list show this change of another's half, its row without its sets, and goes on when the operator asks for the
/// next thing after it. Says what had been written until then.
async fn seen_half(
    test: &Test,
    simulator: &Simulator,
    path: &str,
    before: Option<Value>,
    change: Value,
) -> Vec<Exchange> {
    let reads = || {
        Fault::new(FaultKind::Hold)
            .method(Method::GET)
            .path(VALIDATES)
    };
    let list = test.gateway.inject(reads());
    assert!(test.gateway.hangs(patience()).await, "there is no list");
    if let Some(before) = before {
        test.authentik.patch(path, before).await;
    }
    let sets = simulator.hold_sets();
    let seen = async {
        assert!(sets.hold(1, patience()).await, "the sets are not held");
        let next = test.gateway.inject(reads());
        let seen = test.gateway.audit().len();
        test.gateway.remove(list);
        let more = |audit: &[Exchange]| {
            let after = audit.iter().skip(seen);
            after
                .filter(|made| made.path.starts_with(VALIDATES))
                .count()
                > 0
        };
        let more = test.gateway.wait_for(more, patience()).await;
        assert!(more, "nothing comes after the list");
        let written = test.writes();
        drop(sets);
        (next, written)
    };
    let change = test.authentik.patch(path, change);
    let ((next, written), _) = tokio::join!(seen, change);
    test.gateway.remove(next);
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_seen_half_is_put_right_once() {
    test(async |test| {
        let Some(simulator) = &test.simulator else {
            return;
        };
        let (path, used) = using(test).await;
        test.gateway.clear();
        let other = test.totp_stage("other").await;
        let change = json!({"last_auth_threshold": "hours=2", "configuration_stages": [other]});
        let written = seen_half(test, simulator, &path, None, change).await;
        assert_eq!(written, []);
        test.event("mfa", "DriftCorrected").await;
        test.resyncs(2).await;
        assert_eq!(test.written(), [patch(VALIDATE, held(&used))]);
        assert_eq!(test.events_of("mfa", "DriftCorrected", 1).await.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_complete_a_moment_later_is_left_alone() {
    test(async |test| {
        let Some(simulator) = &test.simulator else {
            return;
        };
        let (path, used) = using(test).await;
        let events = test.events("mfa").await;
        test.gateway.clear();
        // What another puts back as it was, row first, after a change that nobody has seen.
        let change = json!({"last_auth_threshold": "hours=2", "configuration_stages": []});
        seen_half(test, simulator, &path, Some(change), held(&used)).await;
        test.resyncs(2).await;
        assert_eq!(test.written(), []);
        assert_eq!(test.events("mfa").await, events);
        // It is still looked at.
        let change = json!({"last_auth_threshold": "hours=3"});
        test.authentik.patch(&path, change).await;
        test.event("mfa", "DriftCorrected").await;
    })
    .await;
}

/// A reference that finds nothing: what the spec says, where it is looked for, and by which filter.
fn missing() -> [(&'static str, Value, &'static str, &'static str); 3] {
    let flows = json!([{"flow": {"slug": "nowhere-at-all"}, "order": 1}]);
    [
        (
            "stage",
            json!({"configurationStages": [{"name": "nowhere-at-all"}]}),
            "/api/v3/stages/all/",
            "name=nowhere-at-all",
        ),
        (
            "flow",
            json!({"flows": flows}),
            "/api/v3/flows/instances/",
            "slug=nowhere-at-all",
        ),
        (
            "device-type",
            json!({"webauthnAllowedDeviceTypes": [{"description": "nowhere-at-all"}]}),
            "/api/v3/stages/authenticator/webauthn_device_types/",
            "description=nowhere-at-all",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_reference_costs_one_request_a_try() {
    const TRIES: usize = 3;
    test(async |test| {
        rows(test, "stages/authenticator/static/", 230).await;
        test.connect().await;
        for (name, spec, path, filter) in missing() {
            if name == "device-type" && test.release().await < (2024, 6) {
                continue;
            }
            test.validate(name, spec).await;
            test.reason(VALIDATE, name, "ReferenceNotFound").await;
            test.gateway.clear();
            let is_try = |made: &Exchange| {
                made.path == path && made.query.split('&').any(|pair| pair == filter)
            };
            for n in 1..=TRIES {
                test.request_reconcile(VALIDATE, name, &n.to_string()).await;
                let tried =
                    |audit: &[Exchange]| audit.iter().filter(|made| is_try(made)).count() >= n;
                assert!(
                    test.gateway.wait_for(tried, patience()).await,
                    "{name}: no try {n}"
                );
            }
            // What is in sync with another spec has tried no more.
            test.validate(name, json!({})).await;
            test.in_sync(VALIDATE, name).await;
            let audit = test.gateway.audit();
            // One more may come by itself.
            let tries = audit.iter().filter(|made| is_try(made)).count();
            assert!((TRIES..=TRIES + 1).contains(&tries), "{name}: {tries}");
            let (key, _) = filter.split_once('=').expect("a filter");
            let is_list = |made: &&Exchange| {
                let keys = made
                    .query
                    .split('&')
                    .filter_map(|pair| pair.split('=').next());
                made.path == path && !keys.into_iter().any(|one| one == key)
            };
            let lists: Vec<_> = audit.iter().filter(is_list).collect();
            assert!(lists.is_empty(), "{name}: {lists:?}");
        }
    })
    .await;
}
