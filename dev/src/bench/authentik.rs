//! The bare client of authentik, whose times are the floor of the operator's.
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::Result;
use super::mix::{Kind, Kinds, Object, objects};
use crate::simulator::Simulator;

/// With what a connection is probed, once a resync.
pub(super) const PROBE: &str = "/api/v3/admin/version/";

/// How many requests are under way at one time: what a connection allows that says nothing about it.
const CONCURRENCY: usize = 4;

/// How many rows a page of a list has.
const PAGE: usize = 100;

/// What there is of some kinds.
pub(super) struct Lists {
    /// How long reading it took.
    pub(super) took: Duration,
    pub(super) rows: Vec<(&'static Kind, Vec<Value>)>,
}

impl Lists {
    /// How many pages the list of each kind has. One that is empty has a page too.
    pub(super) fn pages(&self) -> impl Iterator<Item = (&'static Kind, usize)> {
        let lists = self.rows.iter();
        lists.map(|(kind, rows)| (*kind, rows.len().div_ceil(PAGE).max(1)))
    }

    pub(super) fn all_pages(&self) -> usize {
        self.pages().map(|(_, pages)| pages).sum()
    }
}

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

    /// Creates a validation stage. Returns how long that took.
    pub(super) async fn create_stage(&self, name: &str) -> Result<Duration> {
        let stage = objects(Kinds::Validate, &[name.to_owned()]);
        self.create(&stage).await
    }

    /// Creates these. Returns how long that took.
    pub(super) async fn create(&self, objects: &[Object]) -> Result<Duration> {
        let begun = Instant::now();
        stream::iter(objects)
            .map(Ok)
            .try_for_each_concurrent(CONCURRENCY, |(kind, name)| async move {
                let request = self.request(Method::POST, kind.path);
                self.send(request.json(&kind.body(name))).await.map(drop)
            })
            .await?;
        Ok(begun.elapsed())
    }

    /// Changes one field of each of these, which are named by their rows. Returns how long that took.
    pub(super) async fn drift(&self, rows: &[(&Kind, &Value)]) -> Result<Duration> {
        let begun = Instant::now();
        stream::iter(rows)
            .map(Ok)
            .try_for_each_concurrent(CONCURRENCY, |(kind, row)| async move {
                let request = self.request(Method::PATCH, &kind.path_of(row));
                let (field, value) = kind.drift;
                let body = json!({field: value});
                self.send(request.json(&body)).await.map(drop)
            })
            .await?;
        Ok(begun.elapsed())
    }

    /// Reads all there is of these kinds, page by page.
    pub(super) async fn list(&self, kinds: Kinds) -> Result<Lists> {
        let begun = Instant::now();
        let mut rows = Vec::new();
        for kind in kinds.list() {
            rows.push((kind, self.list_kind(kind).await?));
        }
        Ok(Lists {
            took: begun.elapsed(),
            rows,
        })
    }

    async fn list_kind(&self, kind: &Kind) -> Result<Vec<Value>> {
        let mut rows = Vec::new();
        let mut page = 1;
        while page != 0 {
            let query = format!("{}?ordering=pk&page_size={PAGE}&page={page}", kind.path);
            let mut answer = self.send(self.request(Method::GET, &query)).await?;
            if let Value::Array(more) = answer["results"].take() {
                rows.extend(more);
            }
            page = answer["pagination"]["next"].as_u64().unwrap_or_default();
        }
        Ok(rows)
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
