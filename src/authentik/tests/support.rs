//! A server that answers what a test says, and a client for it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use uuid::Uuid;

use crate::authentik::{
    Body, Budget, Client, Collection, Config, Definition, Error, Gate, Listing, Observer, Pause,
    agent,
};

pub const TOKEN: &str = "t0ken-value";
pub const PK: Uuid = Uuid::from_u128(7);
pub const STAGES: Collection = Collection::of(&Definition::new(
    "stages/authenticator/validate",
    (
        "authentik_stages_authenticator_validate",
        "authenticatorvalidatestage",
    ),
));

/// A server and the requests that it saw, head and body.
pub struct Server {
    pub url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers every request with what `reply` makes of it, byte for byte, and closes the connection.
    pub async fn start(mut reply: impl FnMut(&str) -> String + Send + 'static) -> Server {
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

    pub async fn always(answer: String) -> Server {
        Server::start(move |_| answer.clone()).await
    }

    pub fn client(&self) -> Client {
        Client::new(&config(&self.url)).unwrap()
    }

    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

pub async fn read_request(socket: &mut TcpStream) -> String {
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

pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

pub fn config(url: &str) -> Config {
    Config {
        url: url.to_owned(),
        token: TOKEN.into(),
        headers: Vec::new(),
        ca_bundle: None,
        timeout: Duration::from_secs(5),
        requests_per_second: None,
        max_concurrent_requests: None,
        budget: Budget::default(),
        pause: Pause::default(),
        observer: Observer::default(),
        gate: Gate::default(),
        agent: agent("tests"),
    }
}

pub fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

pub fn json_answer(status: &str, body: &Value) -> String {
    let headers = "content-type: application/json; charset=utf-8\r\n";
    answer(status, headers, &body.to_string())
}

pub fn html(status: &str) -> String {
    let headers = "content-type: text/html; charset=utf-8\r\n";
    answer(status, headers, "<!DOCTYPE html>")
}

/// authentik's answer to a write that failed inside.
pub fn empty_405() -> String {
    answer("405 Method Not Allowed", "content-type: text/html\r\n", "")
}

/// A row's key.
pub fn key(n: u128) -> String {
    Uuid::from_u128(n).to_string()
}

/// A page with the rows of these keys.
pub fn page(next: u64, count: u64, keys: &[u128]) -> String {
    let rows = keys.iter().map(|n| json!({"pk": key(*n)})).collect();
    page_of(next, count, rows)
}

pub fn page_of(next: u64, count: u64, rows: Vec<Value>) -> String {
    let pagination = json!({"next": next, "count": count});
    json_answer(
        "200 OK",
        &json!({"pagination": pagination, "results": rows}),
    )
}

/// A body without secrets.
pub fn body(fields: Value) -> Body {
    let fields = fields.as_object().expect("an object").clone();
    Body {
        fields,
        ..Body::default()
    }
}

pub async fn get(client: &Client) -> Result<Option<Value>, Error> {
    client.page_of(STAGES, "x").await
}

pub async fn update(client: &Client) -> Result<Value, Error> {
    client.update(STAGES, PK, &Body::default()).await
}

pub async fn create(client: &Client) -> Result<Value, Error> {
    client.create(STAGES, &Body::default()).await
}

pub async fn get_fails(answer: String) -> Error {
    let client = Server::always(answer).await.client();
    get(&client).await.unwrap_err()
}

pub async fn update_fails(answer: String) -> Error {
    let client = Server::always(answer).await.client();
    update(&client).await.unwrap_err()
}

/// A server that answers the n-th request with the n-th of these.
pub async fn script(answers: Vec<String>) -> Server {
    let mut answers = answers.into_iter();
    Server::start(move |_| answers.next().unwrap_or_else(empty_405)).await
}

/// The keys of the rows of a list.
pub async fn list(client: &Client) -> Result<Listing<String>, Error> {
    let keep = |row: Value| Some(row["pk"].as_str()?.to_owned());
    client.list(STAGES, &[("name", "a&b")], keep).await
}
