//! The bytes of answers in flight, over all clients.

use std::{convert::Infallible, time::Duration};

use futures::{Stream, StreamExt, stream};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::support::*;
use crate::authentik::{
    Budget, Client,
    budget::Purse,
    receive::{Bound, Broken, FREE, Received, receive},
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const PAGE: Bound = Bound {
    bytes: 4 * MIB,
    cut: false,
};
const LONG: Duration = Duration::from_secs(1000);
const SOON: Duration = Duration::from_secs(10);

type Chunk = Result<Vec<u8>, Infallible>;

/// A body that comes in chunks of these sizes, one after this while.
fn chunks(sizes: &[usize], each: Duration) -> impl Stream<Item = Chunk> + use<> {
    let sizes = stream::iter(sizes.to_vec());
    sizes.then(move |size| async move {
        tokio::time::sleep(each).await;
        Ok(vec![b' '; size])
    })
}

async fn read(
    body: impl Stream<Item = Chunk>,
    purse: &Purse,
    within: Duration,
) -> Result<Received, Broken<Infallible>> {
    receive(body, None, PAGE, purse, Instant::now() + within).await
}

fn at_once(sizes: &[usize]) -> impl Stream<Item = Chunk> + use<> {
    chunks(sizes, Duration::ZERO)
}

/// Takes all that there is.
async fn drained(budget: &Budget) -> crate::authentik::budget::Share {
    Purse::new(budget).take(usize::MAX).await
}

#[tokio::test(start_paused = true)]
async fn small_answers_never_wait() {
    let budget = Budget::of(1000);
    let _all = drained(&budget).await;
    let purse = Purse::new(&budget);
    let body = timeout(LONG, read(at_once(&[FREE - 1, 1]), &purse, LONG)).await;
    let body = body.expect("no wait").unwrap();
    assert_eq!(body.bytes.len(), FREE);
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_waits_until_there_is_room_and_loses_no_time() {
    let budget = Budget::of(4 * MIB as u32);
    let purse = Purse::new(&budget);
    let all = drained(&budget).await;
    let second = Duration::from_secs(1);
    let mut reading = Box::pin(read(chunks(&[FREE, 1, 1], second / 4), &purse, second));
    assert!(timeout(second * 9 / 10, &mut reading).await.is_err());
    drop(all);
    assert_eq!(reading.await.unwrap().bytes.len(), FREE + 2);
}

#[tokio::test(start_paused = true)]
async fn who_sends_slowly_holds_up_nobody() {
    let purse = Purse::new(&Budget::default());
    let second = Duration::from_secs(1);
    let started = Instant::now();
    let slow = read(chunks(&[64 * KIB; 20], second), &purse, LONG).await;
    assert_eq!(slow.err(), Some(Broken::TooSlow));
    // Three seconds after the first byte.
    assert_eq!(started.elapsed(), 4 * second);
    assert!(read(at_once(&[4 * MIB]), &purse, LONG).await.is_ok());
    // A small answer takes nothing from others, so it may take its time.
    assert!(read(chunks(&[KIB; 60], second), &purse, LONG).await.is_ok());
    // Unless the request's own time is over.
    let late = read(chunks(&[KIB; 60], second), &purse, 9 * second).await;
    assert_eq!(late.err(), Some(Broken::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn what_an_answer_does_not_need_is_given_back() {
    let budget = Budget::of(4 * MIB as u32);
    let (one, other) = (Purse::new(&budget), Purse::new(&budget));
    let _held = read(at_once(&[MIB]), &one, LONG).await.unwrap();
    let announced = Some(2 * MIB as u64);
    let body = receive(
        at_once(&[2 * MIB]),
        announced,
        PAGE,
        &other,
        Instant::now() + LONG,
    );
    assert!(timeout(LONG, body).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn bytes_are_taken_until_the_answer_is_dropped() {
    let budget = Budget::of(4 * MIB as u32);
    let (one, other) = (Purse::new(&budget), Purse::new(&budget));
    let held = read(at_once(&[MIB]), &one, LONG).await.unwrap();
    // It does not say how long it is, so it may need all.
    let mut reading = Box::pin(read(at_once(&[MIB]), &other, LONG));
    assert!(timeout(SOON, &mut reading).await.is_err());
    drop(held);
    assert!(reading.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_client_with_many_answers_stands_in_the_line_once() {
    let budget = Budget::of(4 * MIB as u32);
    let (busy, other) = (Purse::new(&budget), Purse::new(&budget));
    let held = drained(&budget).await;
    let mut first = Box::pin(read(at_once(&[MIB]), &busy, LONG));
    let mut second = Box::pin(read(at_once(&[MIB]), &busy, LONG));
    let mut others = Box::pin(read(at_once(&[MIB]), &other, LONG));
    // In this order they ask.
    for _ in 0..2 {
        assert!(timeout(SOON, &mut first).await.is_err());
        assert!(timeout(SOON, &mut second).await.is_err());
        assert!(timeout(SOON, &mut others).await.is_err());
    }
    drop(held);
    let first = first.await.unwrap();
    assert!(timeout(SOON, &mut second).await.is_err());
    drop(first);
    let others = others.await.unwrap();
    assert!(timeout(SOON, &mut second).await.is_err());
    drop(others);
    assert!(second.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_answer_larger_than_the_budget_gets_all_of_it() {
    let purse = Purse::new(&Budget::of(1000));
    assert!(
        timeout(LONG, read(at_once(&[4 * MIB]), &purse, LONG))
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn bodies_end_at_their_bound() {
    let purse = Purse::new(&Budget::default());
    let sizes = [4 * MIB, 1];
    let over = read(at_once(&sizes), &purse, LONG).await;
    assert_eq!(over.err(), Some(Broken::TooLarge));
    let announced = Some(PAGE.bytes as u64 + 1);
    let over = receive(
        at_once(&[1]),
        announced,
        PAGE,
        &purse,
        Instant::now() + LONG,
    )
    .await;
    assert_eq!(over.err(), Some(Broken::TooLarge));
    let cut = Bound {
        bytes: FREE,
        cut: true,
    };
    let deadline = Instant::now() + LONG;
    let body = receive(at_once(&[MIB, MIB]), announced, cut, &purse, deadline).await;
    let body = body.unwrap();
    assert_eq!((body.bytes.len(), body.whole), (FREE, false));
    assert!(body.bytes.capacity() <= FREE);
}

#[tokio::test]
async fn clients_share_a_budget() {
    let text = json!({"text": "x".repeat(500 * KIB)});
    let server = Server::always(json_answer("200 OK", &text)).await;
    let budget = Budget::of(MIB as u32);
    let mut config = config(&server.url);
    config.budget = budget.clone();
    let clients = [(); 2].map(|()| Client::new(&config).unwrap());
    let all = drained(&budget).await;
    let readings = clients.map(|client| tokio::spawn(async move { get(&client).await }));
    // Both are asked, and neither can be read to its end.
    while server.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(readings.iter().all(|reading| !reading.is_finished()));
    drop(all);
    for reading in readings {
        assert_eq!(reading.await.unwrap(), Ok(Some(text.clone())));
    }
}

#[tokio::test(start_paused = true)]
async fn who_answered_well_does_not_stand_in_the_line_of_those_who_have_yet_to_show_it() {
    let budget = Budget::of(4 * MIB as u32);
    let (good, new) = (Purse::new(&budget), Purse::new(&budget));
    good.prove(true);
    let _all = drained(&budget).await;
    let short = Duration::from_secs(9);
    assert!(read(at_once(&[MIB]), &good, short).await.is_ok());
    // The others wait no longer than the request may take.
    let waited = read(at_once(&[MIB]), &new, short).await;
    assert_eq!(waited.err(), Some(Broken::TimedOut));
    // One bad answer, and it stands there again.
    good.prove(false);
    let waited = read(at_once(&[MIB]), &good, short).await;
    assert_eq!(waited.err(), Some(Broken::TimedOut));
}

#[tokio::test]
async fn a_large_answer_proves_its_server_and_a_bad_one_takes_that_back() {
    let text = json!({"text": "x".repeat(500 * KIB)});
    let good = json_answer("200 OK", &text);
    let mut answers = vec![good.replace('{', "["), good].into_iter();
    let server = Server::start(move |_| answers.next_back().unwrap_or_default()).await;
    let client = server.client();
    let is_proven = || client.0.purse().is_proven();
    assert!(!is_proven());
    assert!(get(&client).await.is_ok());
    assert!(is_proven());
    assert!(get(&client).await.is_err());
    assert!(!is_proven());
}
