//! Lists that others write to while they are read.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use uuid::Uuid;

use super::support::*;
use crate::authentik::{Client, Listing};

fn invalid_page() -> String {
    json_answer("404 Not Found", &json!({"detail": "Invalid page."}))
}

fn named(n: u128, name: &str) -> Value {
    json!({"pk": key(n), "name": name})
}

async fn names(client: &Client) -> Listing<String> {
    let keep = |row: Value| Some(row["name"].as_str()?.to_owned());
    client.list(STAGES, &[], keep).await.unwrap()
}

#[tokio::test]
async fn rows_created_meanwhile_are_no_trouble() {
    let server = script(vec![page(2, 3, &[2, 3]), page(0, 4, &[3, 4])]).await;
    let listing = list(&server.client()).await.unwrap();
    assert_eq!(listing.rows, [key(2), key(3), key(4)]);
    assert!(listing.complete);
}

#[tokio::test]
async fn a_short_list_is_read_anew_when_rows_were_deleted() {
    for second in [page(0, 2, &[]), invalid_page(), page(0, 3, &[2])] {
        let server = script(vec![page(2, 3, &[1, 2]), second, page(0, 2, &[2, 3])]).await;
        let listing = list(&server.client()).await.unwrap();
        assert_eq!(listing.rows, [key(2), key(3)]);
        assert!(listing.complete);
        assert_eq!(listing.keys.len(), 2, "the first row is gone");
    }
}

#[tokio::test]
async fn a_list_that_never_settles_is_given_as_it_is() {
    let moving = [page(2, 3, &[1, 2]), page(0, 2, &[])];
    let server = script(moving.iter().cycle().take(20).cloned().collect()).await;
    let listing = list(&server.client()).await.unwrap();
    assert_eq!(listing.rows, [key(1), key(2)]);
    assert!(!listing.complete);
    assert_eq!(server.seen().len(), 6);
}

#[tokio::test]
async fn what_a_later_reading_shows_counts_more() {
    let first = page_of(
        2,
        4,
        vec![named(1, "old"), json!({"pk": key(2), "name": 1})],
    );
    let second = page_of(2, 4, vec![named(1, "new"), named(3, "three")]);
    let third = page_of(
        2,
        4,
        vec![json!({"pk": key(3), "name": 1}), named(4, "four")],
    );
    let server = script(vec![
        first,
        invalid_page(),
        second,
        invalid_page(),
        third,
        invalid_page(),
    ])
    .await;
    let keep = |row: Value| Some(row["name"].as_str()?.to_owned());
    let listing = server.client().list(STAGES, &[], keep).await.unwrap();
    assert_eq!(listing.rows, ["new", "four"]);
    assert_eq!(listing.keys, (1..=4).map(Uuid::from_u128).collect());
    assert!(!listing.complete);
}

#[tokio::test]
async fn a_long_list_is_read_once() {
    let keys = |page: u128| [page * 10, page * 10 + 1];
    let pages = (1..=6).map(|n: u64| {
        let next = (n + 1) % 7;
        // Somebody deletes a row before the fourth page.
        page(next, if n < 4 { 12 } else { 11 }, &keys(n.into()))
    });
    let server = script(pages.collect()).await;
    let listing = list(&server.client()).await.unwrap();
    assert_eq!(listing.rows.len(), 12);
    assert!(!listing.complete);
    assert_eq!(server.seen().len(), 6);

    let pages = (1..=6).map(|n: u64| page(n + 1, 13, &keys(n.into())));
    let server = script(pages.chain([invalid_page()]).collect()).await;
    let listing = list(&server.client()).await.unwrap();
    assert_eq!(listing.rows.len(), 12);
    assert!(!listing.complete);
    assert_eq!(server.seen().len(), 7);
}

#[tokio::test]
async fn a_row_is_shown_as_it_was_last_seen() {
    let first = page_of(2, 2, vec![named(1, "a"), named(2, "old")]);
    let second = page_of(0, 3, vec![named(2, "new"), named(3, "c")]);
    let server = script(vec![first, second]).await;
    assert_eq!(names(&server.client()).await.rows, ["a", "new", "c"]);
}

/// Rows that stay, and strangers' rows among them.
const STAYING: u128 = 2000;

/// A server with many rows, at which somebody else is busy before each page. A page has 100 rows.
async fn busy(mut others: impl FnMut(&mut BTreeSet<u128>) + Send + 'static) -> Server {
    // Room for a stranger's row between any two.
    let mut rows: BTreeSet<u128> = (0..STAYING * 2).collect();
    Server::start(move |request| {
        others(&mut rows);
        let number = request.split("&page=").nth(1).unwrap();
        let number: usize = number.split(' ').next().unwrap().parse().unwrap();
        let keys: Vec<_> = rows
            .iter()
            .copied()
            .skip((number - 1) * 100)
            .take(100)
            .collect();
        let more = rows.len() > number * 100;
        match keys.is_empty() {
            true => invalid_page(),
            false => page(
                if more { number as u64 + 1 } else { 0 },
                rows.len() as u64,
                &keys,
            ),
        }
    })
    .await
}

/// The rows that stay have even keys.
fn staying() -> HashSet<Uuid> {
    (0..STAYING).map(|n| Uuid::from_u128(n * 2)).collect()
}

fn strangers(rows: &BTreeSet<u128>) -> Option<u128> {
    rows.iter().copied().find(|n| n % 2 == 1)
}

#[tokio::test]
async fn a_list_from_which_others_delete_says_that_rows_may_be_missing() {
    let server = busy(|rows| {
        if let Some(stranger) = strangers(rows) {
            rows.remove(&stranger);
        }
    })
    .await;
    let listing = list(&server.client()).await.unwrap();
    let missed = staying().difference(&listing.keys).count();
    assert!(missed > 0, "the pages moved");
    assert!(!listing.complete);
    assert!(listing.rows.len() > 3900, "{}", listing.rows.len());
}

#[tokio::test]
async fn a_list_to_which_others_add_shows_all_that_was_there() {
    let mut next = STAYING * 4;
    let server = busy(move |rows| {
        next += 1;
        rows.insert(next);
    })
    .await;
    let listing = list(&server.client()).await.unwrap();
    assert!(listing.complete && staying().is_subset(&listing.keys));
}

#[tokio::test]
async fn a_list_that_shrinks_and_grows_is_read_to_its_end() {
    let turn = Arc::new(Mutex::new(0));
    let server = busy(move |rows| {
        let mut turn = turn.lock().unwrap();
        *turn += 1;
        match *turn % 2 {
            0 => drop(rows.insert(STAYING * 4 + *turn)),
            _ => drop(strangers(rows).map(|stranger| rows.remove(&stranger))),
        }
    })
    .await;
    let listing = list(&server.client()).await.unwrap();
    assert!(!listing.complete);
    assert!(listing.rows.len() > 3900, "{}", listing.rows.len());
    // Forty pages, each asked for once.
    assert_eq!(server.seen().len(), 40);
}
