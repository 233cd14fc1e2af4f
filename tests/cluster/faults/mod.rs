//! Whatever goes wrong, and whenever the operator is killed: once all is calm again, authentik holds what the resources
//! say, and each of them says rightly how it is.
//!
//! `FAULT_SEED=n` replays one history, `FAULT_SEEDS=n` lets so many happen, from seed 1 or the one that is given.

mod asked;
mod author;
mod cast;
mod claims;
mod deletion;
mod dice;
mod fields;
mod hand;
mod hiccups;
mod history;
mod kills;
mod lasting;
mod left;
mod model;
mod objects;
mod obstacles;
mod places;
mod replicas;
mod resource;
mod shapes;
mod sick;
mod specs;
mod steps;
mod teardown;
mod user;
mod weather;
mod world;

use std::panic::AssertUnwindSafe;

use devkit::gateway::Exchange;
use futures::{FutureExt, StreamExt, stream};
use tokio::time::Instant;

use self::{
    asked::unasked,
    history::{History, Setting},
    model::Snapshot,
};
use crate::harness::{Test, alone, patience, test};

/// How many histories there are where nothing else is asked for.
const SEEDS: u64 = 12;

/// How many of them happen at once: most of the time they wait.
const AT_ONCE: usize = 6;

/// How often all calms down in a history.
const ROUNDS: usize = 2;

/// How much happens in between.
const STEPS: usize = 15;

/// A number that was asked for.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect(variable))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_all_is_right_in_the_end() {
    if std::env::var_os("AUTHENTIK_URL").is_some() {
        return;
    }
    let (first, count) = match number("FAULT_SEED") {
        Some(seed) => (seed, number("FAULT_SEEDS").unwrap_or(1)),
        None => (1, number("FAULT_SEEDS").unwrap_or(SEEDS)),
    };
    let outcomes = stream::iter(first..first + count).map(|seed| async move {
        let outcome = AssertUnwindSafe(history(seed)).catch_unwind().await;
        (seed, outcome.is_ok())
    });
    let outcomes: Vec<_> = outcomes.buffer_unordered(AT_ONCE).collect().await;
    let wrong = outcomes.iter().filter(|(_, is_right)| !is_right);
    let wrong: Vec<_> = wrong.map(|(seed, _)| seed).collect();
    assert!(
        wrong.is_empty(),
        "these end wrong, as printed above: {wrong:?}"
    );
}

async fn history(seed: u64) {
    match seed % 6 {
        0 => alone(async |test| happens(test, seed, Setting::Alone).await).await,
        1 => test(async |test| happens(test, seed, Setting::Replicas).await).await,
        _ => test(async |test| happens(test, seed, Setting::Plain).await).await,
    }
}

async fn happens(test: &Test, seed: u64, setting: Setting) {
    let mut history = History::begin(test, seed, setting).await;
    for _ in 0..ROUNDS {
        history.go_on(STEPS).await;
        settle(&mut history, seed).await;
    }
    history.end().await;
    settle(&mut history, seed).await;
    history.ends().await;
    let log = history.replicas.log();
    test.canaries.search("the program's log", log);
}

/// Waits until all is right, and sees that it stays so without another write.
async fn settle(history: &mut History<'_>, seed: u64) {
    let deadline = Instant::now() + patience();
    loop {
        let requests = history.test.gateway.audit().len();
        let snapshot = Snapshot::take(history).await;
        let problems = snapshot.problems(history);
        if problems.is_empty() {
            let untouched = snapshot.untouched();
            history.untouched = untouched;
            break;
        }
        if Instant::now() > deadline {
            fail(history, seed, &problems);
        }
        history.start_again();
        let more = |audit: &[Exchange]| audit.len() > requests;
        history.test.gateway.wait_for(more, patience()).await;
    }
    history.tell("all is right");
    let writes = history.test.writes().len();
    history.replicas.thaw().await;
    // Of both connections, if there are two.
    let resyncs = if history.teardown.is_some() { 1 } else { 3 };
    history.test.resyncs(resyncs).await;
    let mut problems = Snapshot::take(history).await.problems(history);
    let more = history.test.writes().split_off(writes);
    problems.extend(
        more.iter()
            .map(|write| format!("written in a steady state: {write:?}")),
    );
    problems.extend(unasked(&history.test.gateway.history(), &history.asked()));
    if !problems.is_empty() {
        fail(history, seed, &problems);
    }
}

fn fail(history: &History<'_>, seed: u64, problems: &[String]) -> ! {
    let requests: String = history.test.gateway.history().iter().map(shown).collect();
    panic!(
        "FAULT_SEED={seed}\n{}\nlog:\n{}\nwrites:\n{requests}\nFAULT_SEED={seed} ends wrong:\n{}",
        history.told(),
        history.replicas.log(),
        problems.join("\n"),
    );
}

/// A write on one line, reads as nothing.
fn shown(exchange: &Exchange) -> String {
    if !exchange.is_write() {
        return String::new();
    }
    let body = exchange.body.clone().unwrap_or_default();
    format!(
        "{:4}. {} {} {body}: {:?}\n",
        exchange.n, exchange.method, exchange.path, exchange.status
    )
}
