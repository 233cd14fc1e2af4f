//! One request and its answer: paced, bounded in size and time, and logged without what it carries.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::stream;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::{Method, RequestBuilder, Response, Url};
use secrecy::SecretString;
use serde_json::{Map, Value};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};
use tracing::Instrument;
use uuid::Uuid;

use super::{
    answer::{Answer, Success},
    broken::{Sent, broken},
    budget::Purse,
    collection::{Collection, model_permission},
    config::{Config, Gate, Observed, Observer},
    error::{ConfigError, Error},
    header::Header,
    pause::Pause,
    receive::{Bound, Broken, FREE, receive},
    refusal::{Asked, refusal},
    shown::Redactor,
    trace,
};

/// The fields of a request, and the values among them that are secret.
#[derive(Clone, Default)]
pub struct Body {
    /// What is sent, by authentik's names.
    pub fields: Map<String, Value>,
    /// The values among the fields that no error may repeat.
    pub secrets: Vec<SecretString>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.fields.keys()).finish()
    }
}

/// One server, ready to be asked.
pub(super) struct Transport {
    http: reqwest::Client,
    pub(super) api_root: Url,
    pub(super) redactor: Redactor,
    timeout: Duration,
    rate: Option<DefaultDirectRateLimiter>,
    slots: Semaphore,
    purse: Purse,
    pause: Pause,
    observer: Observer,
    gate: Gate,
}

/// One request.
pub(super) struct Request<'a> {
    pub method: Method,
    pub url: Url,
    /// What is asked for, to name the permission that a refusal shows to be missing.
    pub collection: Option<Collection>,
    pub body: Option<&'a Body>,
    /// Most bytes of a 2xx answer. Of others no more than [`FREE`] are read.
    pub most: usize,
    /// Whether one object is asked for, which may be gone.
    pub object: bool,
    /// Whether it waits for its turn among the others.
    pub queues: bool,
    /// Adds up how long the server takes.
    pub meter: Meter,
}

/// Adds up how long a server takes to answer, without the waits for turns.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<AtomicU64>);

impl Meter {
    /// What has been added up so far.
    #[must_use]
    pub fn spent(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn add(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.fetch_add(micros, Ordering::Relaxed);
    }
}

/// Knows the token, and what was given for headers.
fn redactor(config: &Config) -> Redactor {
    let headers = config.headers.iter().filter_map(Header::secret);
    Redactor::new(config.token()).and(&headers.collect::<Vec<_>>())
}

impl Request<'_> {
    fn is_write(&self) -> bool {
        self.method != Method::GET && self.method != Method::OPTIONS
    }
}

impl Transport {
    pub fn new(config: &Config) -> Result<Transport, ConfigError> {
        let api_root = config.api_root()?;
        Ok(Transport {
            http: config.http(&api_root)?,
            api_root,
            redactor: redactor(config),
            timeout: config.timeout(),
            rate: config
                .rate()?
                .map(|rate| RateLimiter::direct(Quota::per_second(rate))),
            slots: Semaphore::new(config.concurrency()?),
            purse: Purse::new(&config.budget),
            pause: config.pause.clone(),
            observer: config.observer.clone(),
            gate: config.gate.clone(),
        })
    }

    #[cfg(test)]
    pub(super) fn purse(&self) -> &Purse {
        &self.purse
    }

    /// Sends nothing more. What has been sent is waited for as ever.
    pub fn close(&self) {
        self.slots.close();
    }

    /// Sends the request, and reads a 2xx answer; any other is an error.
    pub async fn call<T>(
        &self,
        request: &Request<'_>,
        read: impl FnOnce(&Success<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let _turn = self.turn(request).await?;
        let started = Instant::now();
        let path = self.template(request);
        let span = trace::request(&request.method, &request.url, self.api_root.path(), &path);
        let redactor = match request.body {
            Some(body) => self.redactor.and(&body.secrets),
            None => self.redactor.clone(),
        };
        let answer = self.exchange(request, &redactor);
        let answer = answer.instrument(span.clone()).await;
        let status = answer.as_ref().ok().map(|answer| answer.status);
        let elapsed = started.elapsed();
        request.meter.add(elapsed);
        tracing::debug!(
            method = %request.method,
            path = request.url.path(),
            status = status.map(|status| status.as_u16()),
            elapsed_ms = elapsed.as_millis() as u64,
            "asked authentik"
        );
        let result = answer.and_then(|answer| {
            let result = judge(request, &answer, &redactor, read);
            if answer.is_large() {
                self.purse.prove(result.is_ok());
            }
            result
        });
        let error = result.as_ref().err();
        if let Some(error) = error {
            self.pause.heed(error);
        }
        trace::ended(&span, status, error);
        self.observer.tell(&Observed {
            method: &request.method,
            path: &path,
            collection: request.collection,
            status: status.map(|status| status.as_u16()),
            elapsed,
            error,
        });
        result
    }

    /// Waits until the request may be sent. Where the server has asked for a rest it is not: waiting for that would keep
    /// a turn that whoever asks can use better.
    async fn turn(&self, request: &Request<'_>) -> Result<Option<SemaphorePermit<'_>>, Error> {
        let mut slot = None;
        if request.queues {
            slot = Some(self.slots.acquire().await.map_err(|_| Error::Closed)?);
            // Who may not be sent takes nothing of the pace.
            self.pause.is_over()?;
            if let Some(rate) = &self.rate {
                rate.until_ready().await;
            }
        }
        if self.slots.is_closed() || !self.gate.is_open() {
            return Err(Error::Closed);
        }
        self.pause.is_over()?;
        Ok(slot)
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

    async fn exchange(&self, request: &Request<'_>, redactor: &Redactor) -> Result<Answer, Error> {
        let answer = self.send(request).await;
        answer.map_err(|error| {
            let sent = Sent {
                write: request.is_write(),
                url: &request.url,
                timeout: self.timeout,
                most: request.most,
                redactor,
            };
            broken(&sent, error)
        })
    }

    async fn send(&self, request: &Request<'_>) -> Result<Answer, Broken<reqwest::Error>> {
        let deadline = Instant::now() + self.timeout;
        let response = timeout_at(deadline, self.build(request).send()).await;
        let response = response
            .map_err(|_| Broken::TimedOut)?
            .map_err(Broken::Connection)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let bound = match status.is_success() {
            true => Bound {
                bytes: request.most,
                cut: false,
            },
            // What a refusal says is told by its beginning or not at all.
            false => Bound {
                bytes: FREE,
                cut: true,
            },
        };
        let expected = response.content_length();
        let body = receive(chunks(response), expected, bound, &self.purse, deadline).await;
        let body = body.inspect_err(|_| self.purse.prove(false))?;
        Ok(Answer::new(status, &headers, body))
    }

    fn build(&self, request: &Request<'_>) -> RequestBuilder {
        let builder = self
            .http
            .request(request.method.clone(), request.url.clone())
            .headers(trace::headers());
        match request.body {
            Some(body) => builder.json(&body.fields),
            None => builder,
        }
    }
}

fn chunks(
    response: Response,
) -> impl futures::Stream<Item = Result<impl AsRef<[u8]>, reqwest::Error>> {
    stream::try_unfold(response, async |mut response| {
        let chunk = response.chunk().await?;
        Ok(chunk.map(|chunk| (chunk, response)))
    })
}

fn judge<T>(
    request: &Request<'_>,
    answer: &Answer,
    redactor: &Redactor,
    read: impl FnOnce(&Success<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let write = request.is_write();
    if answer.status.is_success() {
        return read(&Success {
            answer,
            write,
            redactor,
        });
    }
    let asked = Asked {
        write,
        object: request.object,
        url: &request.url,
        permission: request
            .collection
            .and_then(|collection| model_permission(collection, &request.method)),
        redactor,
    };
    Err(refusal(asked, answer))
}
