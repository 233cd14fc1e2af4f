//! The bare client of authentik, whose times are the floor of the operator's.
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::Result;
use crate::simulator::Simulator;

/// Where validation stages are in authentik's API.
pub(super) const VALIDATE: &str = "/api/v3/stages/authenticator/validate/";

/// With what a connection is probed, once a resync.
pub(super) const PROBE: &str = "/api/v3/admin/version/";

/// How many requests are under way at one time: what a connection allows that says nothing about it.
const CONCURRENCY: usize = 4;

/// A client that sends requests and does nothing else.
pub(super) struct Bare<'a> {
    simulator: &'a Simulator,
    http: reqwest::Client,
}

impl<'a> Bare<'a> {
    pub(super) fn new(simulator: &'a Simulator) -> Self {
        Self {
            simulator,
            http: reqwest::Client::new(),
        }
    }

    /// Creates these stages. Returns how long that took.
    pub(super) async fn create(&self, names: &[String]) -> Result<Duration> {
        let begun = Instant::now();
        stream::iter(names)
            .map(Ok)
            .try_for_each_concurrent(CONCURRENCY, |name| async move {
                let body = json!({
                    "name": name,
                    "not_configured_action": "skip",
                    "device_classes": ["totp", "webauthn"],
                    "last_auth_threshold": "hours=12",
                });
                self.send(self.request(Method::POST, VALIDATE).json(&body))
                    .await
                    .map(drop)
            })
            .await?;
        Ok(begun.elapsed())
    }

    /// Sets the action of these stages. Returns how long that took.
    pub(super) async fn set_action(&self, uuids: &[String], action: &str) -> Result<Duration> {
        let begun = Instant::now();
        stream::iter(uuids)
            .map(Ok)
            .try_for_each_concurrent(CONCURRENCY, |uuid| async move {
                let request = self.request(Method::PATCH, &format!("{VALIDATE}{uuid}/"));
                let body = json!({"not_configured_action": action});
                self.send(request.json(&body)).await.map(drop)
            })
            .await?;
        Ok(begun.elapsed())
    }

    /// Reads all stages, page by page. Returns how long that took.
    pub(super) async fn list(&self) -> Result<(Duration, Vec<Value>)> {
        let begun = Instant::now();
        let mut rows = Vec::new();
        let mut page = 1;
        while page != 0 {
            let query = format!("{VALIDATE}?ordering=pk&page_size=100&page={page}");
            let mut answer = self.send(self.request(Method::GET, &query)).await?;
            if let Value::Array(more) = answer["results"].take() {
                rows.extend(more);
            }
            page = answer["pagination"]["next"].as_u64().unwrap_or_default();
        }
        Ok((begun.elapsed(), rows))
    }

    /// Asks for the version. Returns how long that took.
    pub(super) async fn probe(&self) -> Result<Duration> {
        let begun = Instant::now();
        self.send(self.request(Method::GET, PROBE)).await?;
        Ok(begun.elapsed())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.simulator.url());
        self.http
            .request(method, url)
            .bearer_auth(self.simulator.token())
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value> {
        Ok(request.send().await?.error_for_status()?.json().await?)
    }
}
