//! Sends a recording's requests to a simulator.

use crate::compare::{Difference, Mapping, same};
use crate::recording::{Exchange, Request};
use devkit::simulator::{Simulator, Version};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use std::collections::HashMap;

pub const FLOWS: &str = "/api/v3/flows/instances/";
/// What stands for a page for people.
const HTML_MARKS: [&str; 3] = ["<!DOCTYPE html> (an HTML page)", "(HTML)", "<html>"];
/// What the recorded requests said they were sent by.
const USER_AGENT: &str = "Python-urllib/3.11";

/// A simulator and what is known about how it stands to the recorded server.
pub struct Replay {
    pub(super) simulator: Simulator,
    pub(super) client: Client,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) mapping: Mapping,
    /// Token keys by identifier.
    tokens: HashMap<String, String>,
}

impl Replay {
    pub async fn start(version: Version, exchanges: Vec<Exchange>) -> Self {
        let mut replay = Self {
            simulator: Simulator::start(version).await,
            client: Client::new(),
            exchanges,
            mapping: Mapping::default(),
            tokens: HashMap::new(),
        };
        replay.bind_defaults().await;
        replay
    }

    /// Sends one request and compares its answer.
    pub async fn run(&mut self, exchange: &Exchange) -> Result<(), Difference> {
        self.prepare(exchange).await;
        let request = self.request(&exchange.name, &exchange.request);
        let response = request.send().await.expect("the simulator answers");
        let status = response.status().as_u16();
        let content_type = response.headers().get("content-type").cloned();
        let content_type = content_type.as_ref().and_then(|value| value.to_str().ok());
        let wanted = exchange
            .response
            .headers
            .get("content-type")
            .and_then(Value::as_str);
        let bytes = response.bytes().await.expect("a whole body");
        self.remember_token(&exchange.request.path, &bytes);
        if (status, content_type) != (exchange.response.status, wanted) {
            let body = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
            let recorded = exchange.response.status;
            let what =
                format!("{status} {content_type:?} instead of {recorded} {wanted:?}: {body}");
            return Err(Difference {
                what,
                in_body: false,
            });
        }
        let actual = readable(&exchange.response.body, &bytes);
        let within = resource(&exchange.request.path);
        self.compare(within, &exchange.response.body, &actual)
            .map_err(|what| Difference {
                what,
                in_body: true,
            })
    }

    /// A difference leaves no trace in the mapping.
    fn compare(&mut self, within: &str, recorded: &Value, actual: &Value) -> Result<(), String> {
        let mut attempt = self.mapping.clone();
        same(&mut attempt, within, recorded, actual)?;
        self.mapping = attempt;
        Ok(())
    }

    fn request(&self, case: &str, request: &Request) -> RequestBuilder {
        let method: Method = request.method.parse().expect("a method");
        let mut url = format!(
            "{}{}",
            self.simulator.url(),
            self.mapping.to_simulated(&request.path)
        );
        if !request.query.is_empty() {
            url = format!("{url}?{}", self.query(request));
        }
        let mut builder = self.client.request(method, url);
        builder = builder.header("user-agent", USER_AGENT);
        if let Some(authorization) = self.authorization(&request.auth) {
            builder = builder.header("authorization", authorization);
        }
        for (name, value) in &request.headers {
            builder = builder.header(name, value.as_str().unwrap_or_default());
        }
        let Some(body) = self.body(case, request) else {
            return builder;
        };
        match &request.content_type {
            None => builder
                .header("content-type", "application/json")
                .body(body),
            Some(Some(content_type)) => builder.header("content-type", content_type).body(body),
            Some(None) => builder.body(body),
        }
    }

    fn query(&self, request: &Request) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &request.query {
            let values = value
                .as_array()
                .cloned()
                .unwrap_or_else(|| vec![value.clone()]);
            for value in values {
                let value = self.mapping.field_to_simulated(name, &value);
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                query.append_pair(name, &self.mapping.to_simulated(&text));
            }
        }
        query.finish()
    }

    fn authorization(&self, auth: &str) -> Option<String> {
        let valid = self.simulator.token();
        let token = |name: &str| self.tokens.get(name).cloned().unwrap_or_default();
        Some(match auth {
            "none" => return None,
            "valid" => format!("Bearer {valid}"),
            "lowercase-bearer" => format!("bearer {valid}"),
            "bad" => "Bearer nobody-has-this-token".to_owned(),
            "empty-bearer" => "Bearer ".to_owned(),
            "basic" => "Basic YWtib290OnNlY3JldA==".to_owned(),
            "token-scheme" => format!("Token {valid}"),
            "app-password-intent" => format!("Bearer {}", token("rec-app-pw")),
            "alice" => format!("Bearer {}", token("rec-alice-api")),
            // Some recordings have an account for it, others that of a service.
            "noperm" if !self.tokens.contains_key("rec-noperm") => {
                format!("Bearer {}", token("rec-svc-api"))
            }
            name => format!("Bearer {}", token(&format!("rec-{name}"))),
        })
    }

    /// A recording writes both a missing body and a JSON null as null.
    fn body(&self, case: &str, request: &Request) -> Option<Vec<u8>> {
        if let Some(raw) = &request.raw_body {
            return Some(raw_bytes(raw));
        }
        if request.body.is_null() {
            return case.ends_with("-json-null").then(|| b"null".to_vec());
        }
        Some(
            self.mapping
                .value_to_simulated(&request.body)
                .to_string()
                .into_bytes(),
        )
    }

    fn remember_token(&mut self, path: &str, bytes: &[u8]) {
        let Some(path) = path.strip_suffix("/view_key/") else {
            return;
        };
        let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
        if let (Some((_, identifier)), Some(key)) = (path.rsplit_once('/'), body["key"].as_str()) {
            self.tokens.insert(identifier.to_owned(), key.to_owned());
        }
    }

    /// Binds what both servers start with, by name: some answers show bare keys of it.
    async fn bind_defaults(&mut self) {
        let mut recorded = HashMap::new();
        for exchange in &self.exchanges {
            find_defaults(&exchange.response.body, &mut recorded);
        }
        // These keys are the same on every server.
        let devices = self
            .exchanges
            .iter()
            .flat_map(|exchange| aaguids(&exchange.response.body));
        for aaguid in devices.collect::<Vec<_>>() {
            assert!(self.mapping.bind(&aaguid, &aaguid));
        }
        for path in ["/api/v3/stages/all/", FLOWS] {
            for object in self
                .all(path)
                .await
                .iter()
                .filter(|object| is_default(object))
            {
                if let Some(key) = recorded.get(&identity(object)) {
                    self.bind(&json!(key), &object["pk"]);
                }
            }
        }
    }
}

/// What tells a stage or flow from others, on any server.
fn identity(object: &Value) -> (String, bool) {
    let slug = object["slug"].as_str();
    let name = slug.or(object["name"].as_str()).unwrap_or_default();
    (name.to_owned(), slug.is_some())
}

pub fn is_default(object: &Value) -> bool {
    identity(object).0.starts_with("default-")
}

/// The keys of the `WebAuthn` device types in an answer.
fn aaguids(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(aaguids).collect(),
        Value::Object(map) => {
            let own = map.get("aaguid").and_then(Value::as_str).map(str::to_owned);
            own.into_iter()
                .chain(map.values().flat_map(aaguids))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn find_defaults(value: &Value, found: &mut HashMap<(String, bool), String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| find_defaults(item, found)),
        Value::Object(map) => {
            let known = value.get("meta_model_name").is_some() || value.get("slug").is_some();
            if let (true, true, Some(key)) = (known, is_default(value), value["pk"].as_str()) {
                found.insert(identity(value), key.to_owned());
            }
            map.values().for_each(|item| find_defaults(item, found));
        }
        _ => {}
    }
}

/// What a whole answer is, for lists without an order.
fn resource(path: &str) -> &'static str {
    if path.ends_with("/used_by/") {
        "used_by"
    } else if path.ends_with("/user_settings/") {
        "user_settings"
    } else {
        ""
    }
}

/// An answer in the form that the recording has it in.
fn readable(recorded: &Value, bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        // Recordings write a missing body in either way.
        return if recorded == "" {
            recorded.clone()
        } else {
            Value::Null
        };
    }
    if HTML_MARKS.iter().any(|mark| recorded == mark) && bytes.starts_with(b"<!DOCTYPE html>") {
        return recorded.clone();
    }
    let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
    if recorded.get("results-length").is_some() {
        summary(&body)
    } else {
        body
    }
}

/// Some long lists are recorded in outline.
fn summary(body: &Value) -> Value {
    let keys = |value: &Value| -> Vec<String> {
        value
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key.clone())
            .collect()
    };
    json!({
        "pagination": body["pagination"],
        "results-length": body["results"].as_array().map_or(0, Vec::len),
        "keys": keys(body),
        "first-result-keys": keys(&body["results"][0]),
    })
}

/// Bytes that are not text are recorded as Python writes them: `b'...'`.
fn raw_bytes(raw: &str) -> Vec<u8> {
    let Some(inner) = raw
        .strip_prefix("b'")
        .and_then(|raw| raw.strip_suffix('\''))
    else {
        return raw.as_bytes().to_vec();
    };
    let mut bytes = Vec::new();
    let mut rest = inner.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'\\', [b'x', high, low, tail @ ..]) => {
                let digits = [*high, *low];
                let hex = std::str::from_utf8(&digits).unwrap_or_default();
                bytes.push(u8::from_str_radix(hex, 16).expect("a byte in hex"));
                rest = tail;
            }
            (b'\\', [escaped, tail @ ..]) => {
                bytes.push(*escaped);
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}
