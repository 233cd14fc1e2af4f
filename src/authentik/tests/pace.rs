//! How fast requests follow each other, and who waits for whom.

use std::time::Duration;

use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::support::*;
use crate::authentik::{Client, Error};

#[tokio::test]
async fn requests_are_paced() {
    let server = Server::always(json_answer("200 OK", &json!({}))).await;
    let mut config = config(&server.url);
    config.requests_per_second = Some(10);
    let client = Client::new(&config).unwrap();
    let started = std::time::Instant::now();
    for _ in 0..13 {
        get(&client).await.unwrap();
    }
    // Ten at once, the other three a tenth of a second apart.
    assert!(started.elapsed() >= Duration::from_millis(250));
}

#[tokio::test]
async fn requests_under_way_are_limited() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(&format!("http://{}", listener.local_addr().unwrap()));
    config.max_concurrent_requests = Some(2);
    let client = Client::new(&config).unwrap();
    for _ in 0..5 {
        let client = client.clone();
        tokio::spawn(async move { get(&client).await });
    }
    let mut open = Vec::new();
    while let Ok(accepted) =
        tokio::time::timeout(Duration::from_millis(300), listener.accept()).await
    {
        open.push(accepted.unwrap());
    }
    assert_eq!(open.len(), 2);
}

#[tokio::test]
async fn the_version_waits_for_no_other_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(&format!("http://{}", listener.local_addr().unwrap()));
    config.max_concurrent_requests = Some(1);
    config.requests_per_second = Some(1);
    let client = Client::new(&config).unwrap();
    let others: Vec<_> = (0..3).map(|_| client.clone()).collect();
    let others = others
        .into_iter()
        .map(|client| tokio::spawn(async move { get(&client).await }));
    let others: Vec<_> = others.collect();
    // One is under way and is never answered; the others wait for it.
    let (_silent, _) = listener.accept().await.unwrap();
    let version = tokio::spawn(async move { client.version().await });
    let (mut socket, _) = listener.accept().await.unwrap();
    assert!(read_request(&mut socket).await.contains("/admin/version/"));
    let answer = json_answer("200 OK", &json!({"version_current": "2026.5.0"}));
    socket.write_all(answer.as_bytes()).await.unwrap();
    assert_eq!(version.await.unwrap().unwrap().to_string(), "2026.5.0");
    assert!(others.iter().all(|other| !other.is_finished()));
}

#[tokio::test]
async fn nothing_is_sent_before_a_throttling_server_wants_to_be_asked_again() {
    let throttled = |status| answer(status, "retry-after: 1\r\n", "");
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let server = script(vec![throttled(status), json_answer("200 OK", &json!({}))]).await;
        let mut config = config(&server.url);
        config.max_concurrent_requests = Some(1);
        let client = Client::new(&config).unwrap();
        let began = std::time::Instant::now();
        let many = futures::future::join_all((0..20).map(|_| get(&client))).await;
        assert!(
            many.iter()
                .all(|one| one.as_ref().is_err_and(Error::is_unavailable))
        );
        // Neither the probe, which waits for no other request, nor the next client of the same server.
        let next = Client::new(&config).unwrap();
        let probe = client.version().await.unwrap_err();
        let write = update(&next).await.unwrap_err();
        assert!(!write.outcome_unknown(), "nothing was written");
        assert_eq!(server.seen().len(), 1, "{status}");
        tokio::time::sleep(probe.retry_after().unwrap()).await;
        assert!(get(&next).await.is_ok());
        assert!(began.elapsed() >= Duration::from_secs(1));
        assert_eq!(server.seen().len(), 2, "{status}");
    }
}
