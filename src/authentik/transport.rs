//! One request and its answer: paced, bounded in size and time, and logged without what it carries.

use std::time::{Duration, Instant, SystemTime};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::{
    Method, RequestBuilder, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER},
};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    Collection,
    config::{Config, ConfigError, Gate, Observed, Observer},
    error::{Asked, Error, broken, refusal},
    model_permission,
    redact::Redactor,
    trace,
};

/// Most bytes of one answer. A page of 100 stages with all their flows has well under one MiB.
pub(super) const MAX_BODY: usize = 32 * 1024 * 1024;

/// Longest wait taken from a server's `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// One server, ready to be asked.
pub(super) struct Transport {
    http: reqwest::Client,
    pub(super) api_root: Url,
    token: SecretString,
    timeout: Duration,
    max_body: usize,
    rate: Option<DefaultDirectRateLimiter>,
    slots: Semaphore,
    observer: Observer,
    gate: Gate,
}

/// One request.
pub(super) struct Request<'a> {
    pub method: Method,
    pub url: Url,
    /// What is asked for, to name the permission that a refusal shows to be missing.
    pub collection: Option<Collection>,
    pub body: Option<&'a Value>,
}

impl Request<'_> {
    fn is_write(&self) -> bool {
        self.method != Method::GET
    }
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    pub location: Option<String>,
    claims_json: bool,
    body: Vec<u8>,
}

impl Answer {
    /// The body where it both claims to be JSON and is. 2026.5 sends `application/json`, older ones add a charset.
    pub fn json(&self) -> Option<Value> {
        let body = self.claims_json.then_some(&self.body)?;
        serde_json::from_slice(body).ok()
    }
}

impl Transport {
    pub fn new(config: &Config, max_body: usize) -> Result<Transport, ConfigError> {
        let api_root = config.api_root()?;
        Ok(Transport {
            http: config.http(&api_root)?,
            api_root,
            token: config.token().into(),
            timeout: config.timeout,
            max_body,
            rate: config
                .rate()?
                .map(|rate| RateLimiter::direct(Quota::per_second(rate))),
            slots: Semaphore::new(config.concurrency()?),
            observer: config.observer.clone(),
            gate: config.gate.clone(),
        })
    }

    /// Sends nothing more. What has been sent is waited for as ever.
    pub fn close(&self) {
        self.slots.close();
    }

    /// Sends the request and decodes the answer.
    pub async fn call<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<T, Error> {
        let answer = self.exchange(&request).await?;
        decode(&answer, request.is_write())
    }

    /// Sends the request; any answer but 2xx is an error.
    pub async fn exchange(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let _slot = self.slots.acquire().await.map_err(|_| Error::Closed)?;
        if let Some(rate) = &self.rate {
            rate.until_ready().await;
        }
        if self.slots.is_closed() || !self.gate.is_open() {
            return Err(Error::Closed);
        }
        let started = Instant::now();
        let path = self.template(request);
        let span = trace::request(request, self.api_root.path(), &path);
        let result = self.send(request).instrument(span.clone()).await;
        trace::answered(&span, &result);
        let status = result.as_ref().ok().map(|answer| answer.status.as_u16());
        let elapsed = started.elapsed();
        tracing::debug!(
            method = %request.method,
            path = request.url.path(),
            status,
            elapsed_ms = elapsed.as_millis() as u64,
            "asked authentik"
        );
        self.observer.tell(&Observed {
            method: request.method.as_str(),
            path: &path,
            status,
            elapsed,
        });
        let answer = result?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let redactor = Redactor::new(self.token.expose_secret(), request.body);
        let asked = Asked {
            write: request.is_write(),
            url: &request.url,
            permission: request
                .collection
                .and_then(|collection| model_permission(collection, &request.method)),
            redactor: &redactor,
        };
        Err(refusal(asked, &answer))
    }

    /// The path below the API's root without what differs from object to object.
    fn template(&self, request: &Request<'_>) -> String {
        let path = request.url.path();
        let below = path.strip_prefix(self.api_root.path()).unwrap_or(path);
        let Some(collection) = request.collection.map(Collection::path) else {
            return below.trim_matches('/').to_owned();
        };
        let rest = below
            .trim_matches('/')
            .strip_prefix(collection)
            .unwrap_or_default();
        let parts = rest.split('/').filter(|part| !part.is_empty()).enumerate();
        let named = parts.map(|(place, part)| match part.parse::<Uuid>() {
            Ok(_) => "/{uuid}".to_owned(),
            Err(_) if place == 0 => "/{slug}".to_owned(),
            Err(_) => format!("/{part}"),
        });
        std::iter::once(collection.to_owned())
            .chain(named)
            .collect()
    }

    async fn send(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let write = request.is_write();
        let broken = |error: reqwest::Error| broken(&error, write, self.timeout);
        let mut response = self.build(request).send().await.map_err(broken)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > self.max_body {
                let cause = format!("an answer of more than {} bytes", self.max_body);
                return Err(Error::unavailable(cause, write));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(answer(response.status(), response.headers(), body))
    }

    fn build(&self, request: &Request<'_>) -> RequestBuilder {
        let builder = self
            .http
            .request(request.method.clone(), request.url.clone())
            .headers(trace::headers());
        match request.body {
            Some(body) => builder.json(body),
            None => builder,
        }
    }
}

pub(super) fn answer(status: StatusCode, headers: &HeaderMap, body: Vec<u8>) -> Answer {
    Answer {
        status,
        retry_after: text(headers, &RETRY_AFTER).and_then(retry_after),
        location: text(headers, &LOCATION).map(str::to_owned),
        claims_json: text(headers, &CONTENT_TYPE).is_some_and(|kind| kind.contains("json")),
        body,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Seconds or an HTTP date.
fn retry_after(value: &str) -> Option<Duration> {
    let wait = match value.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value)
            .ok()?
            .duration_since(SystemTime::now())
            .unwrap_or_default(),
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// A 2xx answer's content. After a write an answer that can't be read leaves open what became of it.
pub(super) fn decode<T: DeserializeOwned>(answer: &Answer, write: bool) -> Result<T, Error> {
    let status = answer.status.as_u16();
    let alien = |what| {
        let what = format!("answered {status} with {what}");
        if write {
            Error::unavailable(what, true)
        } else {
            Error::NotAuthentik { what }
        }
    };
    if !answer.claims_json {
        return Err(alien("something that is not JSON"));
    }
    serde_json::from_slice(&answer.body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => alien("JSON of another shape"),
        _ => Error::unavailable(format!("answered {status} with broken JSON"), write),
    })
}
