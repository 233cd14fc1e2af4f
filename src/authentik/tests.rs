//! The client against a server that answers what each test says, and nothing else.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::prelude::*;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

const TOKEN: &str = "t0ken-value";
const PK: Uuid = Uuid::from_u128(7);
const STAGES: Collection = Collection::VALIDATE_STAGES;

/// A server and the requests that it saw, head and body.
struct Server {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers every request with what `reply` makes of it, byte for byte, and closes the connection.
    async fn start(mut reply: impl FnMut(&str) -> String + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let request = read_request(&mut socket).await;
                let answer = reply(&request);
                log.lock().unwrap().push(request);
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        Server { url, seen }
    }

    async fn always(answer: String) -> Server {
        Server::start(move |_| answer.clone()).await
    }

    fn client(&self) -> Client {
        Client::new(&config(&self.url)).unwrap()
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn read_request(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_string();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length").map_or(0, |n| n.parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        if socket.read_buf(&mut bytes).await.unwrap() == 0 {
            return text;
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

fn config(url: &str) -> Config {
    Config {
        url: url.to_owned(),
        token: TOKEN.into(),
        ca_bundle: None,
        timeout: Duration::from_secs(5),
        requests_per_second: None,
        max_concurrent_requests: None,
        observer: Observer::default(),
        gate: Gate::default(),
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

fn json_answer(status: &str, body: &Value) -> String {
    let headers = "content-type: application/json; charset=utf-8\r\n";
    answer(status, headers, &body.to_string())
}

fn html(status: &str) -> String {
    let headers = "content-type: text/html; charset=utf-8\r\n";
    answer(status, headers, "<!DOCTYPE html>")
}

/// authentik's answer to a write that failed inside.
fn empty_405() -> String {
    answer("405 Method Not Allowed", "content-type: text/html\r\n", "")
}

fn page(next: u64, count: u64, keys: &[&str]) -> String {
    let rows: Vec<Value> = keys.iter().map(|key| json!({"pk": key})).collect();
    json_answer(
        "200 OK",
        &json!({"pagination": {"next": next, "count": count}, "results": rows}),
    )
}

async fn get_fails(answer: String) -> Error {
    let client = Server::always(answer).await.client();
    client.get(STAGES, "x").await.unwrap_err()
}

async fn update_fails(answer: String) -> Error {
    let client = Server::always(answer).await.client();
    client.update(STAGES, PK, &json!({})).await.unwrap_err()
}

// Configuration

fn refused(change: impl FnOnce(&mut Config)) -> String {
    let mut config = config("http://authentik.example");
    change(&mut config);
    Client::new(&config).unwrap_err().to_string()
}

#[test]
fn configuration_errors_name_the_field_and_hold_no_value() {
    for url in [
        "",
        "authentik.example",
        "ftp://h",
        "https://h?x=1",
        "https://h#x",
        "https://user:pw@h",
        "https://",
    ] {
        let text = refused(|c| c.url = url.into());
        assert!(text.starts_with("url: ") && !text.contains("pw"), "{text}");
    }
    let text = refused(|c| c.token = "s3cr3t\u{1}s3cr3t".into());
    assert_eq!(text, "token: holds characters that a header can't carry");
    assert!(refused(|c| c.token = " \n".into()).starts_with("token: "));
    let bad_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in ["", "garbage", bad_der] {
        let text = refused(|c| c.ca_bundle = Some(pem.into()));
        assert!(text.starts_with("caBundle: "), "{text}");
    }
    assert!(refused(|c| c.timeout = Duration::ZERO).starts_with("timeout: "));
    assert!(refused(|c| c.requests_per_second = Some(0)).starts_with("requestsPerSecond: "));
    assert!(
        refused(|c| c.max_concurrent_requests = Some(0)).starts_with("maxConcurrentRequests: ")
    );
}

#[test]
fn urls_keep_their_prefix_and_end_in_a_slash() {
    for (base, prefix) in [
        ("http://h", ""),
        ("http://h/", ""),
        ("http://h:80/auth", "/auth"),
        ("http://h/a/b/", "/a/b"),
    ] {
        let client = Client::new(&config(base)).unwrap();
        let url = client.url("flows/instances", &["a b/ü", "used_by"]);
        let path = format!("{prefix}/api/v3/flows/instances/a%20b%2F%C3%BC/used_by/");
        assert_eq!(url.path(), path);
    }
}

#[test]
fn nothing_prints_the_token() {
    let config = config("http://h/auth");
    let client = Client::new(&config).unwrap();
    assert!(!format!("{config:?}").contains(TOKEN));
    assert_eq!(format!("{client:?}"), "Client(http://h/auth/api/v3)");
}

// Requests

#[tokio::test]
async fn requests_carry_what_authentik_needs() {
    let stage = json!({"pk": PK.to_string(), "name": "n"});
    let server = Server::always(json_answer("201 Created", &stage)).await;
    let mut config = config(&server.url);
    config.token = format!("{TOKEN}\n").into();
    let client = Client::new(&config).unwrap();
    let body = json!({"name": "n"});
    assert_eq!(client.create(STAGES, &body).await.unwrap(), stage);

    let request = server.seen().remove(0);
    let (head, sent) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /api/v3/stages/authenticator/validate/ HTTP/1.1"));
    assert_eq!(header(head, "authorization"), Some("Bearer t0ken-value"));
    assert_eq!(header(head, "accept-language"), Some("en"));
    assert_eq!(header(head, "content-type"), Some("application/json"));
    let agent = header(head, "user-agent").unwrap();
    assert!(agent.starts_with("authentik-stage-operator/"));
    assert_eq!(sent, body.to_string());
}

#[tokio::test]
async fn nothing_is_sent_through_a_gate_that_is_shut() {
    let server = Server::always(json_answer("200 OK", &json!({"pk": PK.to_string()}))).await;
    let (open, mut config) = (Arc::new(Mutex::new(false)), config(&server.url));
    let asked = open.clone();
    config.gate = Gate::new(move || *asked.lock().unwrap());
    let client = Client::new(&config).unwrap();
    let shut = client.update(STAGES, PK, &json!({"name": "n"})).await;
    assert_eq!(shut, Err(Error::Closed));
    assert_eq!(server.seen(), Vec::<String>::new());
    *open.lock().unwrap() = true;
    assert!(
        client
            .update(STAGES, PK, &json!({"name": "n"}))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn the_version_is_read_leniently() {
    let answer = json!({"version_current": "2026.5.0-rc1", "outdated": false});
    let client = Server::always(json_answer("200 OK", &answer))
        .await
        .client();
    assert!(client.version().await.unwrap().at_least(2026, 5));

    for other in [
        json!({}),
        json!([]),
        json!("x"),
        json!({"version_current": 5}),
    ] {
        let client = Server::always(json_answer("200 OK", &other)).await.client();
        let error = client.version().await.unwrap_err();
        assert!(matches!(error, Error::NotAuthentik { .. }), "{error}");
    }
    let other = json_answer("404 Not Found", &json!({"detail": "Not Found"}));
    let client = Server::always(other).await.client();
    let error = client.version().await.unwrap_err();
    assert!(matches!(error, Error::EndpointMissing { .. }), "{error}");
}

#[tokio::test]
async fn what_is_gone_is_told_from_what_was_never_there() {
    for detail in [
        "Not found.",
        "No AuthenticatorValidateStage matches the given query.",
    ] {
        let gone = json_answer("404 Not Found", &json!({"detail": detail}));
        let client = Server::always(gone).await.client();
        assert_eq!(client.get(STAGES, "x").await, Ok(None));
        assert_eq!(client.delete(STAGES, PK).await, Ok(false));
        let updated = client.update(STAGES, PK, &json!({})).await;
        assert_eq!(updated, Err(Error::NotFound));
        assert_eq!(client.used_by(STAGES, PK).await, Err(Error::NotFound));
    }
    assert_eq!(
        get_fails(html("404 Not Found")).await,
        Error::EndpointMissing {
            path: "/api/v3/stages/authenticator/validate/x/".to_owned()
        }
    );
    let server = Server::always(html("404 Not Found")).await;
    for id in ["", ".", "..", "a/b", "a.b"] {
        assert_eq!(server.client().get(Collection::FLOWS, id).await, Ok(None));
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn deleting_expects_no_content() {
    let server = Server::always("HTTP/1.1 204 No Content\r\n\r\n".to_owned()).await;
    assert_eq!(server.client().delete(STAGES, PK).await, Ok(true));
    assert!(server.seen()[0].starts_with("DELETE /api/v3/stages/authenticator/validate/00000000-"));
}

#[tokio::test]
async fn users_are_never_dropped() {
    let users = json!([
        {"app": "authentik_flows", "model_name": "flow", "pk": "p", "name": "Flow a (a)", "action": "CASCADE_MANY"},
        {"pk": 7, "unknown": true},
        "nonsense"
    ]);
    let client = Server::always(json_answer("200 OK", &users)).await.client();
    let users = client.used_by(STAGES, PK).await.unwrap();
    assert_eq!(users.len(), 3);
    assert_eq!(users[0].action, "cascade_many");
    assert_eq!(users[1].pk, "7");
}

// Errors

#[tokio::test]
async fn refusals_are_told_by_field() {
    let body = json!({
        "name": ["This field may not be blank."],
        "device_classes": {"1": ["\"bogus\" is not a valid choice."]},
        "flow_set": [{"slug": ["Flow with this slug already exists."]}],
        "nested": {"non_field_errors": ["Expected a list."]},
        "non_field_errors": ["No data provided"],
    });
    let error = update_fails(json_answer("400 Bad Request", &body)).await;
    assert_eq!(
        error.to_string(),
        "device_classes[1]: \"bogus\" is not a valid choice.; flow_set[0].slug: Flow with this slug already exists.; \
         name: This field may not be blank.; nested: Expected a list.; No data provided"
    );
    assert!(!error.outcome_unknown());

    for (body, text) in [
        (
            json!(["Null characters are not allowed."]),
            "Null characters are not allowed.",
        ),
        (json!({"detail": "JSON parse error"}), "JSON parse error"),
        (json!({}), "authentik refused the values and gave no reason"),
    ] {
        let error = update_fails(json_answer("400 Bad Request", &body)).await;
        assert!(matches!(error, Error::Rejected { .. }));
        assert_eq!(error.to_string(), text);
    }
}

#[tokio::test]
async fn denials_tell_token_from_permission() {
    for (detail, kind) in [
        ("Token invalid/expired", DeniedKind::Token),
        (
            "Authentication credentials were not provided.",
            DeniedKind::Token,
        ),
        ("Unsupported authentication type", DeniedKind::Token),
        (
            "You do not have permission to perform this action.",
            DeniedKind::Permission,
        ),
    ] {
        let denial = json_answer("403 Forbidden", &json!({"detail": detail}));
        let missing = "authentik_stages_authenticator_validate.change_authenticatorvalidatestage";
        assert_eq!(
            update_fails(denial).await,
            Error::AccessDenied {
                kind,
                detail: detail.to_owned(),
                permission: (kind == DeniedKind::Permission).then(|| missing.to_owned()),
            }
        );
    }
    let error = get_fails(html("401 Unauthorized")).await;
    assert!(matches!(
        error,
        Error::AccessDenied {
            kind: DeniedKind::Token,
            ..
        }
    ));
}

#[tokio::test]
async fn outages_leave_the_outcome_of_writes_open() {
    let limited = answer("429 Too Many Requests", "retry-after: 7\r\n", "");
    for (answer, unknown) in [
        (empty_405(), true),
        (html("500 Internal Server Error"), true),
        (html("503 Service Unavailable"), true),
        (
            json_answer("502 Bad Gateway", &json!({"detail": "x"})),
            true,
        ),
        (limited.clone(), false),
    ] {
        let error = update_fails(answer.clone()).await;
        assert!(error.is_unavailable(), "{error}");
        assert_eq!(error.outcome_unknown(), unknown, "{error}");
        assert!(!get_fails(answer).await.outcome_unknown());
    }
    assert_eq!(
        get_fails(limited).await.retry_after(),
        Some(Duration::from_secs(7))
    );
}

#[tokio::test]
async fn a_real_405_is_no_outage() {
    let detail = "Method \"PATCH\" not allowed.";
    let answer = json_answer("405 Method Not Allowed", &json!({"detail": detail}));
    let error = update_fails(answer).await;
    assert_eq!(
        error.to_string(),
        format!("authentik answered 405: {detail}")
    );
    assert!(!error.is_unavailable());
}

#[tokio::test]
async fn retry_after_takes_dates_and_is_bounded() {
    let past = "retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let far = "retry-after: Tue, 31 Dec 2999 23:59:59 GMT\r\n";
    let huge = "retry-after: 18446744073709551615\r\n";
    for (header, wait) in [
        (past, Some(Duration::ZERO)),
        (far, Some(Duration::from_secs(3600))),
        (huge, Some(Duration::from_secs(3600))),
        ("retry-after: soon\r\n", None),
    ] {
        let error = get_fails(answer("503 Service Unavailable", header, "")).await;
        assert_eq!(error.retry_after(), wait, "{header}");
    }
}

#[tokio::test]
async fn what_is_not_authentik_is_said_so() {
    let page = answer("200 OK", "content-type: text/html\r\n", "<h1>Welcome</h1>");
    for answer in [page.clone(), html("403 Forbidden"), html("400 Bad Request")] {
        let error = get_fails(answer).await;
        assert!(matches!(error, Error::NotAuthentik { .. }), "{error}");
    }
    // The same page after a write: who knows what went on behind it.
    assert!(update_fails(page).await.outcome_unknown());
}

#[tokio::test]
async fn redirects_are_refused_and_get_no_token() {
    let target = Server::always(json_answer("200 OK", &json!({}))).await;
    let location = format!("location: {}/elsewhere?x=1\r\n", target.url);
    let error = get_fails(answer("302 Found", &location, "")).await;
    assert!(target.seen().is_empty());
    let text = error.to_string();
    assert!(
        text.contains(&format!("a redirect to {},", target.url)),
        "{text}"
    );
    assert!(matches!(error, Error::NotAuthentik { .. }));
    let error = update_fails(answer("308 Permanent Redirect", "", "")).await;
    assert!(matches!(error, Error::NotAuthentik { .. }));
}

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

#[tokio::test]
async fn answers_are_bounded() {
    let server = Server::always(json_answer("200 OK", &json!({"pk": "x".repeat(2000)}))).await;
    let client = Client::bounded(&config(&server.url), 1000).unwrap();
    let error = client.get(STAGES, "x").await.unwrap_err();
    assert_eq!(error.to_string(), "an answer of more than 1000 bytes");
    let error = client.create(STAGES, &json!({})).await.unwrap_err();
    assert!(error.outcome_unknown());
}

#[tokio::test]
async fn a_refused_connection_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(&config(&url)).unwrap();
    let error = client.create(STAGES, &json!({})).await.unwrap_err();
    assert_eq!(error, Error::unavailable("connection refused", false));
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
    Client::new(&config).unwrap().get(STAGES, "x").await
}

#[tokio::test]
async fn the_bundle_decides_whom_to_trust() {
    let (url, own) = tls_server("127.0.0.1").await;
    let found = get_over_tls(&url, own.clone()).await;
    assert_eq!(found, Ok(Some(json!({"pk": "x"}))));

    let (url, _) = tls_server("127.0.0.1").await;
    let error = get_over_tls(&url, own).await.unwrap_err();
    let text = "TLS: the certificate is not trusted (set caBundle)";
    assert_eq!(error, Error::unavailable(text, false));

    let (url, other) = tls_server("other.example").await;
    let error = get_over_tls(&url, other).await.unwrap_err();
    let text = "TLS: the certificate is for another host name";
    assert_eq!(error, Error::unavailable(text, false));
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
    assert_eq!(error, Error::unavailable(text, false));
}

#[tokio::test]
async fn an_unknown_host_is_told() {
    let client = Client::new(&config("http://no-such-host.invalid")).unwrap();
    let error = client.create(STAGES, &json!({})).await.unwrap_err();
    assert_eq!(
        error,
        Error::unavailable("the host's name does not resolve", false)
    );
}

#[tokio::test]
async fn silence_ends_with_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(&format!("http://{}", listener.local_addr().unwrap()));
    config.timeout = Duration::from_millis(200);
    let client = Client::new(&config).unwrap();
    let error = client.create(STAGES, &json!({})).await.unwrap_err();
    assert_eq!(error, Error::unavailable("no answer within 200ms", true));
}

#[tokio::test]
async fn secrets_that_a_server_repeats_are_withheld() {
    let echo = |_: &str| {
        let message = format!("\"hunter2\" and {TOKEN} are bad");
        json_answer(
            "400 Bad Request",
            &json!({"client_secret": [message], "hunter2": ["x"]}),
        )
    };
    let client = Server::start(echo).await.client();
    let body = json!({"client_secret": "hunter2"});
    let error = client
        .create(Collection::DUO_STAGES, &body)
        .await
        .unwrap_err();
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(!text.contains("hunter2") && !text.contains(TOKEN), "{text}");
        assert!(text.contains("withheld"), "{text}");
    }
    let denial = json!({"detail": format!("Token {TOKEN} is bad")});
    let error = get_fails(json_answer("403 Forbidden", &denial)).await;
    assert!(!format!("{error:?}").contains(TOKEN));
}

/// A log writer that keeps everything.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_log_level_shows_what_a_request_carries() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // For all threads: with a subscriber of its own, a thread may find a call site already switched off by another.
    tracing::subscriber::set_global_default(subscriber).expect("no other test sets one");
    let server = Server::always(json_answer("201 Created", &json!({"pk": "x"}))).await;
    let body = json!({"client_secret": "hunter2"});
    let client = server.client();
    client.create(Collection::DUO_STAGES, &body).await.unwrap();

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("/api/v3/stages/authenticator/duo/"), "{text}");
    assert!(!text.contains(TOKEN) && !text.contains("hunter2"), "{text}");
}

// Lists

/// A server that answers the n-th request with the n-th of these.
async fn script(answers: Vec<String>) -> Server {
    let mut answers = answers.into_iter();
    Server::start(move |_| answers.next().unwrap_or_else(empty_405)).await
}

async fn keys(client: &Client) -> Result<Vec<String>, Error> {
    let rows: Vec<Value> = client.list(STAGES, &[("name", "a&b")]).await?;
    Ok(rows
        .iter()
        .map(|row| row["pk"].as_str().unwrap().to_owned())
        .collect())
}

#[tokio::test]
async fn lists_follow_the_pages() {
    let server = script(vec![page(2, 3, &["a", "b"]), page(0, 3, &["c"])]).await;
    assert_eq!(keys(&server.client()).await.unwrap(), ["a", "b", "c"]);
    let seen = server.seen();
    let path =
        "GET /api/v3/stages/authenticator/validate/?name=a%26b&ordering=pk&page_size=100&page=";
    assert!(seen[0].starts_with(&format!("{path}1 ")), "{}", seen[0]);
    assert!(seen[1].starts_with(&format!("{path}2 ")), "{}", seen[1]);

    let empty = script(vec![page(0, 0, &[])]).await;
    assert!(keys(&empty.client()).await.unwrap().is_empty());
}

#[tokio::test]
async fn rows_created_meanwhile_are_no_trouble() {
    let server = script(vec![page(2, 3, &["b", "c"]), page(0, 4, &["c", "d"])]).await;
    assert_eq!(keys(&server.client()).await.unwrap(), ["b", "c", "d"]);
}

#[tokio::test]
async fn rows_deleted_meanwhile_start_the_list_anew() {
    let invalid_page = json_answer("404 Not Found", &json!({"detail": "Invalid page."}));
    for second in [page(0, 2, &[]), invalid_page, page(0, 3, &["b"])] {
        let server = script(vec![
            page(2, 3, &["a", "b"]),
            second,
            page(0, 2, &["b", "c"]),
        ])
        .await;
        assert_eq!(keys(&server.client()).await.unwrap(), ["b", "c"]);
    }
}

#[tokio::test]
async fn lists_that_never_settle_end() {
    let moving = [page(2, 3, &["a", "b"]), page(0, 2, &[])];
    let server = script(moving.iter().cycle().take(20).cloned().collect()).await;
    let error = keys(&server.client()).await.unwrap_err();
    assert!(error.is_unavailable());
    assert_eq!(server.seen().len(), 6);

    let circle = Server::always(page(1, 3, &["a"])).await;
    let error = keys(&circle.client()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the pages of authentik's list lead nowhere"
    );
}

#[tokio::test]
async fn a_row_that_is_not_understood_spoils_the_list() {
    #[derive(Debug, serde::Deserialize)]
    struct Row {
        #[serde(rename = "name")]
        _name: String,
    }
    for (row, key) in [
        (json!({"pk": "p", "name": 5}), "p"),
        (json!({"name": "n"}), "without a key"),
        (json!(null), "without a key"),
    ] {
        let list = json!({"pagination": {"next": 0, "count": 1}, "results": [row]});
        let client = Server::always(json_answer("200 OK", &list)).await.client();
        let error = client.list::<Row>(STAGES, &[]).await.unwrap_err();
        let key = key.to_owned();
        assert_eq!(
            error,
            Error::Malformed {
                collection: STAGES.path(),
                key
            }
        );
    }
}

// Pace

#[tokio::test]
async fn requests_are_paced() {
    let server = Server::always(json_answer("200 OK", &json!({}))).await;
    let mut config = config(&server.url);
    config.requests_per_second = Some(10);
    let client = Client::new(&config).unwrap();
    let started = std::time::Instant::now();
    for _ in 0..13 {
        client.get(STAGES, "x").await.unwrap();
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
        tokio::spawn(async move { client.get(STAGES, "x").await });
    }
    let mut open = Vec::new();
    while let Ok(accepted) =
        tokio::time::timeout(Duration::from_millis(300), listener.accept()).await
    {
        open.push(accepted.unwrap());
    }
    assert_eq!(open.len(), 2);
}

// Anything at all

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("pk".to_owned()),
        Just("detail".to_owned()),
        Just("non_field_errors".to_owned()),
        "[0-9]{1,3}",
        ".*"
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_decoding_panic(value in any_json(), text in ".*") {
        let messages = error::messages(&value, &Redactor::new(&text, Some(&value)));
        let shown = Error::Rejected { messages }.to_string();
        prop_assert!(!shown.is_empty() && shown.chars().count() <= 1001);
        UsedBy::from_value(&value);
        prop_assert_eq!(Version::parse(&text).to_string(), text.trim());
    }
}
