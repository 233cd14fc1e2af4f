//! Lists that nobody writes to meanwhile.

use std::collections::HashSet;

use serde_json::{Value, json};
use uuid::Uuid;

use super::support::*;
use crate::authentik::{Collection, Error, Weigh};

/// A row with a name.
#[derive(Debug, PartialEq, serde::Deserialize)]
struct Named {
    name: String,
}

impl Weigh for Named {
    fn weight(&self) -> usize {
        size_of::<Named>() + self.name.len()
    }
}

fn uuids(keys: impl IntoIterator<Item = u128>) -> HashSet<Uuid> {
    keys.into_iter().map(Uuid::from_u128).collect()
}

#[tokio::test]
async fn lists_follow_the_pages() {
    let server = script(vec![page(2, 3, &[1, 2]), page(0, 3, &[3])]).await;
    let listing = list(&server.client()).await.unwrap();
    assert_eq!(listing.rows, [key(1), key(2), key(3)]);
    assert_eq!(listing.keys, uuids(1..=3));
    assert!(listing.complete && listing.unreadable.is_empty());
    let seen = server.seen();
    let path =
        "GET /api/v3/stages/authenticator/validate/?name=a%26b&ordering=pk&page_size=100&page=";
    assert!(seen[0].starts_with(&format!("{path}1 ")), "{}", seen[0]);
    assert!(seen[1].starts_with(&format!("{path}2 ")), "{}", seen[1]);

    let empty = script(vec![page(0, 0, &[])]).await;
    let listing = list(&empty.client()).await.unwrap();
    assert!(listing.rows.is_empty() && listing.keys.is_empty() && listing.complete);
}

#[tokio::test]
async fn a_row_that_is_not_understood_spoils_nothing_but_itself() {
    let rows = vec![
        json!({"pk": key(1), "name": "one"}),
        json!({"pk": key(2), "name": 5}),
        json!({"pk": key(3)}),
        json!({"pk": key(4), "name": "four", "more": [{"of": "it"}]}),
    ];
    let server = script(vec![page_of(0, 4, rows)]).await;
    let keep = |row: Named| Some(row.name);
    let listing = server.client().list(STAGES, &[], keep).await.unwrap();
    assert_eq!(listing.rows, ["one", "four"]);
    assert_eq!(listing.keys, uuids(1..=4));
    assert_eq!(listing.unreadable, uuids([2, 3]));
    assert!(listing.complete);
}

#[tokio::test]
async fn a_row_without_a_key_may_be_any_that_is_missing() {
    for odd in [
        json!({"name": "n"}),
        json!({"pk": 5, "name": "n"}),
        json!({"pk": "5", "name": "n"}),
        json!({"aaguid": key(5), "name": "n"}),
        json!(null),
        json!([1]),
    ] {
        let rows = vec![odd, json!({"pk": key(1), "name": "one"})];
        let server = script(vec![page_of(0, 2, rows)]).await;
        let keep = |row: Named| Some(row.name);
        let listing = server.client().list(STAGES, &[], keep).await.unwrap();
        assert_eq!(listing.rows, ["one"]);
        assert_eq!(listing.keys, uuids([1]));
        assert!(!listing.complete && listing.unreadable.is_empty());
        // Another reading would show the same.
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn rows_that_are_not_kept_are_there_all_the_same() {
    let rows = (1..=3).map(|n| json!({"aaguid": key(n), "name": n.to_string()}));
    let server = script(vec![page_of(0, 3, rows.collect())]).await;
    let keep = |row: Named| (row.name == "2").then_some(row.name);
    let types = Collection::WEBAUTHN_DEVICE_TYPES;
    let listing = server.client().list(types, &[], keep).await.unwrap();
    assert_eq!(listing.rows, ["2"]);
    assert_eq!(listing.keys, uuids(1..=3));
    assert!(server.seen()[0].contains("ordering=aaguid"));
}

#[tokio::test]
async fn pages_that_lead_nowhere_are_an_error() {
    for next in [1, 3000] {
        let circle = Server::always(page(next, 3, &[1])).await;
        let error = list(&circle.client()).await.unwrap_err();
        let text = "the pages of authentik's list lead nowhere";
        assert_eq!(error.to_string(), text);
        assert_eq!(circle.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_list_that_is_not_there_is_no_empty_list() {
    let missing = json_answer("404 Not Found", &json!({"detail": "Not Found"}));
    for answer in [missing, html("404 Not Found")] {
        let client = Server::always(answer).await.client();
        let error = list(&client).await.unwrap_err();
        assert!(matches!(error, Error::EndpointMissing { .. }), "{error}");
    }
    for other in [json!([]), json!({"results": []}), json!({"pagination": {}})] {
        let client = Server::always(json_answer("200 OK", &other)).await.client();
        let error = list(&client).await.unwrap_err();
        assert!(matches!(error, Error::NotAuthentik { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_list_can_be_read_in_a_task_of_its_own() {
    let client = Server::always(page(0, 1, &[1])).await.client();
    let task = tokio::spawn(async move {
        let keep = |row: Value| Some(row);
        client.list(STAGES, &[], keep).await
    });
    assert_eq!(task.await.unwrap().unwrap().rows.len(), 1);
}
