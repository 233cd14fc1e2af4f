//! However much a server sends, little of it is read.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::support::*;
use crate::authentik::{Client, Collection, Error, Weigh, reading::MAX_ROWS};

const MIB: usize = 1024 * 1024;

/// This beginning, then small numbers until there are so many bytes, then this end.
fn numbers(begin: &str, bytes: usize, end: &str) -> String {
    let zeros = "0,".repeat((bytes - begin.len() - end.len() - 1) / 2);
    format!("{begin}{zeros}0{end}")
}

fn too_much(error: &Error) -> bool {
    matches!(error, Error::TooMuch { .. })
}

/// A server that sends 28 MB of small numbers as its version, without saying how many; and how many bytes it got rid of.
async fn flood() -> (Client, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_request(&mut socket).await;
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n\r\n";
        let begin = format!("{head}{{\"version_current\":\"2026.5.0\",\"a\":[");
        let numbers = "0,".repeat(MIB / 2);
        for part in std::iter::once(begin.as_str()).chain([numbers.as_str(); 28]) {
            if socket.write_all(part.as_bytes()).await.is_err() {
                return;
            }
            count.fetch_add(part.len(), Ordering::Relaxed);
        }
    });
    (Client::new(&config(&url)).unwrap(), sent)
}

#[tokio::test]
async fn a_version_of_28_mb_is_left_unread() {
    let (client, sent) = flood().await;
    let error = client.version().await.unwrap_err();
    let text = "an answer of more than 65536 bytes, which is more than this operator reads";
    assert_eq!(error.to_string(), text);
    // What the system's buffers take was sent, and no more.
    assert!(sent.load(Ordering::Relaxed) < 28 * MIB);

    let body = numbers(r#"{"version_current":"2026.5.0","a":["#, 28 * MIB, "]}");
    let headers = "content-type: application/json\r\n";
    let announced = Server::always(answer("200 OK", headers, &body)).await;
    let error = announced.client().version().await.unwrap_err();
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn a_version_among_many_numbers_is_found() {
    let body = numbers(r#"{"a":["#, 60_000, r#"],"version_current":"2026.5.0"}"#);
    let headers = "content-type: application/json\r\n";
    let client = Server::always(answer("200 OK", headers, &body))
        .await
        .client();
    assert_eq!(client.version().await.unwrap().to_string(), "2026.5.0");
}

#[tokio::test]
async fn objects_pages_and_users_are_bounded() {
    let of = |bytes| json_answer("200 OK", &json!({"pk": "x".repeat(bytes)}));
    let large = Server::always(of(MIB)).await.client();
    let error = get(&large).await.unwrap_err();
    let text = "an answer of more than 1048576 bytes, which is more than this operator reads";
    assert_eq!(error.to_string(), text);
    assert!(too_much(&error));
    let error = create(&large).await.unwrap_err();
    assert_eq!(error.to_string(), "an answer of more than 1048576 bytes");
    assert!(error.outcome_unknown());
    assert!(
        get(&Server::always(of(MIB - 20)).await.client())
            .await
            .is_ok()
    );

    let larger = Server::always(of(4 * MIB)).await.client();
    assert!(too_much(&list(&larger).await.unwrap_err()));
    assert!(too_much(&larger.used_by(STAGES, PK).await.unwrap_err()));
}

#[tokio::test]
async fn many_small_numbers_are_no_page_and_no_users() {
    let headers = "content-type: application/json\r\n";
    let page = numbers(
        r#"{"pagination":{"next":0,"count":1},"results":["#,
        4 * MIB,
        "]}",
    );
    let client = Server::always(answer("200 OK", headers, &page))
        .await
        .client();
    let error = list(&client).await.unwrap_err();
    assert!(matches!(error, Error::NotAuthentik { .. }), "{error}");

    let users = numbers("[", 4 * MIB, "]");
    let client = Server::always(answer("200 OK", headers, &users))
        .await
        .client();
    let error = client.used_by(STAGES, PK).await.unwrap_err();
    assert!(matches!(error, Error::NotAuthentik { .. }), "{error}");
}

#[tokio::test]
async fn many_devices_are_all_told() {
    let devices = vec![
        json!({"app": "a", "model_name": "duodevice", "pk": 1, "name": "n", "action": "cascade"});
        20_000
    ];
    let client = Server::always(json_answer("200 OK", &Value::from(devices)))
        .await
        .client();
    assert_eq!(client.used_by(STAGES, PK).await.unwrap().len(), 20_000);
}

#[tokio::test]
async fn a_list_that_is_too_long_is_told_with_its_first_page() {
    let server = Server::always(page(2, MAX_ROWS as u64 + 1, &[1])).await;
    let error = list(&server.client()).await.unwrap_err();
    let text = "a list of more than 50000 rows, which is more than this operator reads";
    assert_eq!(error.to_string(), text);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_list_that_hides_its_length_ends_all_the_same() {
    for (name, rows) in [("pk", 51), ("id", 51)] {
        let mut number = 0;
        let server = Server::start(move |_| {
            let keys = (number * 1000)..(number + 1) * 1000;
            number += 1;
            let rows = keys.map(|n| json!({name: key(n)})).collect();
            page_of(number as u64 + 1, 1, rows)
        })
        .await;
        let none = |_: Value| None::<()>;
        let error = server.client().list(STAGES, &[], none).await.unwrap_err();
        assert!(too_much(&error), "{error}");
        assert_eq!(server.seen().len(), rows);
    }
}

/// A row that is as heavy as a test says.
#[derive(serde::Deserialize)]
struct Heavy {
    weight: usize,
}

impl Weigh for Heavy {
    fn weight(&self) -> usize {
        self.weight
    }
}

#[tokio::test]
async fn rows_that_need_too_much_memory_are_not_gathered() {
    let rows = |weight: usize| (0..100).map(move |n| json!({"pk": key(n), "weight": weight}));
    let page = |weight| page_of(0, 100, rows(weight).collect());
    let server = script(vec![page(MIB / 4), page(MIB / 4), page(MIB / 5)]).await;
    let client = server.client();
    let keep = |row: Heavy| Some(row.weight);
    let error = client.list(STAGES, &[], keep).await.err().unwrap();
    let text =
        "a list whose rows need more than 25165824 bytes, which is more than this operator reads";
    assert_eq!(error.to_string(), text);
    // What is not kept weighs nothing.
    let few = |row: Heavy| (row.weight == 0).then_some(());
    assert!(client.list(STAGES, &[], few).await.is_ok());
    assert!(client.list(STAGES, &[], keep).await.is_ok());
}

#[tokio::test]
async fn a_row_that_is_seen_again_weighs_once() {
    let row = json!({"pk": key(1), "weight": 20 * MIB});
    let pages = vec![page_of(2, 1, vec![row.clone()]), page_of(0, 1, vec![row])];
    let client = script(pages).await.client();
    let keep = |row: Heavy| Some(row.weight);
    let listing = client
        .list(Collection::ALL_STAGES, &[], keep)
        .await
        .unwrap();
    assert_eq!(listing.rows, [20 * MIB]);
}

#[test]
fn many_small_numbers_weigh_what_they_need() {
    let numbers: Value = serde_json::from_str(&numbers("[", 64 * 1024, "]")).unwrap();
    assert!(numbers.weight() > 1_000_000);
}
