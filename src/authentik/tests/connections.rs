//! Connections that break, and those that never are.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::support::*;
use crate::authentik::{Client, Error};

#[tokio::test]
async fn cut_and_broken_answers_are_outages() {
    let json = "content-type: application/json\r\n";
    let closed = "connection closed before the answer was complete";
    let cut = format!("HTTP/1.1 200 OK\r\n{json}content-length: 100\r\n\r\n{{\"pk\": ");
    for (answer, text) in [
        (String::new(), closed),
        (cut, closed),
        (
            answer("200 OK", json, "{\"pk\": "),
            "answered 200 with broken JSON",
        ),
    ] {
        let error = get_fails(answer.clone()).await;
        assert_eq!(error.to_string(), text);
        assert!(error.is_unavailable() && !error.outcome_unknown());
        assert!(update_fails(answer).await.outcome_unknown());
    }
}

/// An address at which nobody listens.
async fn nobody() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn a_refused_connection_names_the_address_and_sent_nothing() {
    let address = nobody().await;
    for path in ["", "/a-path"] {
        let client = Client::new(&config(&format!("http://{address}{path}"))).unwrap();
        let error = create(&client).await.unwrap_err();
        let text = format!("connection refused by {address}");
        assert_eq!(error.to_string(), text);
        assert!(error.is_unavailable() && !error.outcome_unknown());
    }
}

/// A TLS server for one connection, its certificate in PEM, and where it is. The certificate names this host.
async fn tls_server(host: &str) -> (String, String) {
    let certified = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.unwrap())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        if let Ok(mut socket) = acceptor.accept(socket).await {
            let answer = json_answer("200 OK", &json!({"pk": "x"}));
            let _ = socket.write_all(answer.as_bytes()).await;
            let _ = socket.shutdown().await;
        }
    });
    (url, certified.cert.pem())
}

async fn get_over_tls(url: &str, bundle: String) -> Result<Option<Value>, Error> {
    let mut config = config(url);
    config.ca_bundle = Some(bundle);
    Client::new(&config).unwrap().page_of(STAGES, "x").await
}

#[tokio::test]
async fn the_bundle_decides_whom_to_trust() {
    let (url, own) = tls_server("127.0.0.1").await;
    let found = get_over_tls(&url, own.clone()).await;
    assert_eq!(found, Ok(Some(json!({"pk": "x"}))));

    let (url, _) = tls_server("127.0.0.1").await;
    let error = get_over_tls(&url, own).await.unwrap_err();
    let text = "TLS: the certificate is not trusted (set caBundle or caBundleFrom)";
    assert_eq!(error.to_string(), text);
    assert!(error.is_unavailable() && !error.outcome_unknown());

    let (url, other) = tls_server("other.example").await;
    let error = get_over_tls(&url, other).await.unwrap_err();
    let text = "TLS: the certificate is for another host name";
    assert_eq!(error.to_string(), text);
    assert!(error.is_unavailable() && !error.outcome_unknown());
}

#[tokio::test]
async fn a_server_without_tls_is_told() {
    let (_, bundle) = tls_server("127.0.0.1").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        // Keeps the connection until the client has seen the answer.
        let _ = read_request(&mut socket).await;
    });
    let error = get_over_tls(&url, bundle).await.unwrap_err();
    let text = "TLS: no handshake (does the server speak TLS at this port?)";
    assert_eq!(error.to_string(), text);
    assert!(error.is_unavailable() && !error.outcome_unknown());
}

#[tokio::test]
async fn an_unknown_host_is_told() {
    let client = Client::new(&config("https://no-such-host.invalid/a-path")).unwrap();
    let error = create(&client).await.unwrap_err();
    let text = "the host's name does not resolve: no-such-host.invalid:443";
    assert_eq!(error.to_string(), text);
    assert!(error.is_unavailable() && !error.outcome_unknown());
}

#[tokio::test]
async fn silence_ends_with_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(&format!("http://{}", listener.local_addr().unwrap()));
    config.timeout = Duration::from_millis(200);
    let client = Client::new(&config).unwrap();
    let error = create(&client).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer within 200ms");
    assert!(error.outcome_unknown());
}

#[tokio::test]
async fn an_answer_that_stops_in_the_middle_ends_with_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(&format!("http://{}", listener.local_addr().unwrap()));
    config.timeout = Duration::from_millis(200);
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_request(&mut socket).await;
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
        let _ = socket.write_all(head.as_bytes()).await;
        // Keeps the connection.
        std::future::pending::<()>().await;
    });
    let error = get(&Client::new(&config).unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer within 200ms");
}
