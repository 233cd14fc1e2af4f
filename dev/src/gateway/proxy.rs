//! What happens to one request.

use super::Builder;
use super::answer::{
    Answer, Cut, ERROR_PAGE, HTML, JSON, THROTTLED, Upstream, full, huge, page, typed,
};
use super::audit::{Audit, Exchange};
use super::fault::{FaultKind, Faults, Strike};
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// How many requests are being answered.
#[derive(Default)]
pub(super) struct InFlight {
    now: AtomicUsize,
    greatest: AtomicUsize,
}

impl InFlight {
    fn enter(&self) -> Entered<'_> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.greatest.fetch_max(now, Ordering::SeqCst);
        Entered(self)
    }

    pub(super) fn greatest(&self) -> usize {
        self.greatest.load(Ordering::SeqCst)
    }

    pub(super) fn reset(&self) {
        self.greatest
            .store(self.now.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

/// Counts a request for as long as it is there, however it ends.
struct Entered<'a>(&'a InFlight);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The requests that hang in a fault.
#[derive(Default)]
pub(super) struct Hung {
    pub(super) now: usize,
    /// How many clients did not wait for the end of the fault.
    pub(super) given_up: usize,
}

/// Counts a request for as long as it hangs, however that ends.
struct Hanging<'a> {
    count: &'a watch::Sender<Hung>,
    given_up: bool,
}

impl<'a> Hanging<'a> {
    fn enter(count: &'a watch::Sender<Hung>) -> Self {
        count.send_modify(|hung| hung.now += 1);
        Self {
            count,
            given_up: true,
        }
    }

    /// Waits until the fault is removed.
    async fn wait(mut self, strike: &mut Strike) {
        strike.removed().await;
        self.given_up = false;
    }
}

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.count.send_modify(|hung| {
            hung.now -= 1;
            hung.given_up += usize::from(self.given_up);
        });
    }
}

/// Hands requests on to a server.
pub(super) struct Proxy {
    upstream: String,
    prefix: String,
    record_bodies: bool,
    streams: bool,
    client: reqwest::Client,
    pub(super) hanging: watch::Sender<Hung>,
    pub(super) audit: Audit,
    pub(super) faults: Faults,
    pub(super) in_flight: InFlight,
}

/// A request that has come in whole.
struct Received {
    method: Method,
    /// Path and query as the server is to see them.
    target: String,
    headers: hyper::HeaderMap,
    body: Bytes,
}

impl Proxy {
    pub(super) fn new(builder: Builder) -> Self {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let client = match builder.upstream_ca {
            None => client,
            Some(ca) => client.tls_certs_only([ca]),
        };
        Self {
            upstream: builder.upstream,
            prefix: builder.prefix,
            record_bodies: builder.record_bodies,
            streams: builder.streams,
            client: client.build().expect("a client from constant settings"),
            hanging: watch::Sender::default(),
            audit: Audit::new(),
            faults: Faults::default(),
            in_flight: InFlight::default(),
        }
    }

    /// Answers a request, or cuts its connection.
    pub(super) async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let _entered = self.in_flight.enter();
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        let target = parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let Some(target) = target.strip_prefix(&self.prefix) else {
            return Ok(page(StatusCode::NOT_FOUND, HTML, "nothing here"));
        };
        let (method, target) = (parts.method, target.to_owned());
        let received = Received {
            method,
            target,
            headers: parts.headers,
            body,
        };
        let n = self.audit.arrived(self.exchange(&received));
        let path = received.target.split('?').next().unwrap_or_default();
        let mut strike = self.faults.strike(&received.method, path);
        tokio::time::sleep(strike.latency).await;
        match strike.kind.take() {
            None => self.pass(n, &received).await,
            Some(kind) => self.strike(n, &received, kind, strike).await,
        }
    }

    fn exchange(&self, received: &Received) -> Exchange {
        let (path, query) = received
            .target
            .split_once('?')
            .unwrap_or((&received.target, ""));
        let text = |name| {
            let value: Option<&HeaderValue> = received.headers.get(name);
            value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Exchange {
            n: 0,
            method: received.method.to_string(),
            path: path.to_owned(),
            query: query.to_owned(),
            body: self.recorded(&received.body),
            status: None,
            response: None,
            user_agent: text(header::USER_AGENT),
            traceparent: text(HeaderName::from_static("traceparent")),
        }
    }

    fn recorded(&self, body: &[u8]) -> Option<Value> {
        if self.record_bodies {
            serde_json::from_slice(body).ok()
        } else {
            None
        }
    }

    /// Answers with what the server answers.
    async fn pass(&self, n: u64, received: &Received) -> Answer {
        if self.streams {
            return self.stream(n, received).await;
        }
        let Some(upstream) = self.forward(received).await else {
            return self.answer(n, 502, HTML, "no answer from behind");
        };
        self.audit
            .answered(n, upstream.status.as_u16(), self.recorded(&upstream.body));
        Ok(upstream.with(full(upstream.body.clone())))
    }

    /// Answers with what the server answers, as it comes.
    async fn stream(&self, n: u64, received: &Received) -> Answer {
        let upstream = self.send(received).await.ok_or(Cut)?;
        let (status, mut headers) = (upstream.status(), upstream.headers().clone());
        for name in HOP_BY_HOP {
            headers.remove(name);
        }
        self.audit.answered(n, status.as_u16(), None);
        let frames = stream::try_unfold(upstream, |mut upstream| async {
            let chunk = upstream.chunk().await.map_err(|_| Cut)?;
            Ok(chunk.map(|chunk| (Frame::data(chunk), upstream)))
        });
        let head = Upstream {
            status,
            headers,
            body: Bytes::new(),
        };
        Ok(head.with(BodyExt::boxed(StreamBody::new(frames))))
    }

    /// Sends the request to the server and reads the whole answer; `None` if there is none. Of an answer that may have
    /// no end only the head is read.
    async fn forward(&self, received: &Received) -> Option<Upstream> {
        let response = self.send(received).await?;
        let (status, mut headers) = (response.status(), response.headers().clone());
        let body = if self.streams {
            Bytes::new()
        } else {
            response.bytes().await.ok()?
        };
        for name in HOP_BY_HOP {
            headers.remove(name);
        }
        Some(Upstream {
            status,
            headers,
            body,
        })
    }

    async fn send(&self, received: &Received) -> Option<reqwest::Response> {
        let url = format!("{}{}", self.upstream, received.target);
        let mut headers = received.headers.clone();
        for name in HOP_BY_HOP {
            headers.remove(name);
        }
        let request = self
            .client
            .request(received.method.clone(), url)
            .headers(headers);
        request.body(received.body.clone()).send().await.ok()
    }

    /// Answers as a fault has it, after the server has done its work where the fault lets it.
    async fn strike(
        &self,
        n: u64,
        received: &Received,
        kind: FaultKind,
        mut strike: Strike,
    ) -> Answer {
        let upstream = if kind.takes_effect() {
            Some(self.forward(received).await.ok_or(Cut)?)
        } else {
            None
        };
        match (kind, upstream) {
            (FaultKind::Hang | FaultKind::HangAfter, _) => {
                Hanging::enter(&self.hanging).wait(&mut strike).await;
                Err(Cut)
            }
            (FaultKind::Hold, _) => {
                Hanging::enter(&self.hanging).wait(&mut strike).await;
                self.pass(n, received).await
            }
            (FaultKind::MalformedBody, Some(upstream)) => {
                self.audit.answered(n, upstream.status.as_u16(), None);
                let half = upstream.body.slice(..upstream.body.len() / 2);
                Ok(upstream.with(full(half)))
            }
            (FaultKind::Replace { this, by }, Some(upstream)) => {
                let body = String::from_utf8_lossy(&upstream.body).replace(&this, &by);
                let status = upstream.status.as_u16();
                self.audit
                    .answered(n, status, self.recorded(body.as_bytes()));
                Ok(upstream.with(full(body.into())))
            }
            (FaultKind::TruncatedBody, Some(upstream)) => {
                self.audit.answered(n, upstream.status.as_u16(), None);
                Ok(upstream.broken_off())
            }
            (FaultKind::HugeBody(length), _) => {
                self.audit.answered(n, 200, None);
                Ok(typed(StatusCode::OK, JSON, huge(length)))
            }
            (kind, _) => self.canned(n, kind, is_read(&received.method)),
        }
    }

    /// Answers that owe nothing to the server. The other faults leave the client without one.
    fn canned(&self, n: u64, kind: FaultKind, read: bool) -> Answer {
        let (status, content_type, body, extra) = match kind {
            FaultKind::InternalError { .. } if read => (500, HTML, ERROR_PAGE, None),
            FaultKind::InternalError { .. } => (405, HTML, "", None),
            FaultKind::TooManyRequests { retry_after } => {
                let retry_after = retry_after.map(|s| (header::RETRY_AFTER, s.to_string()));
                (429, JSON, THROTTLED, retry_after)
            }
            FaultKind::ServiceUnavailable => (503, HTML, ERROR_PAGE, None),
            FaultKind::WrongJson => (200, JSON, "{\"unexpected\":[true,null,0]}", None),
            FaultKind::Redirect(to) => (302, HTML, "", Some((header::LOCATION, to))),
            FaultKind::Respond {
                status,
                content_type,
                body,
                ..
            } => {
                return self.answer(n, status, &content_type, &body);
            }
            _ => return Err(Cut),
        };
        let mut answer = self.answer(n, status, content_type, body)?;
        if let Some((name, value)) = extra {
            answer
                .headers_mut()
                .insert(name, value.parse().map_err(|_| Cut)?);
        }
        Ok(answer)
    }

    /// Answers in the client's sight, and in the audit.
    fn answer(&self, n: u64, status: u16, content_type: &str, body: &str) -> Answer {
        let code = StatusCode::from_u16(status).map_err(|_| Cut)?;
        self.audit
            .answered(n, status, self.recorded(body.as_bytes()));
        Ok(page(code, content_type, body))
    }
}

/// Headers that belong to one connection, and those that are made anew.
const HOP_BY_HOP: [HeaderName; 5] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    HeaderName::from_static("keep-alive"),
];

impl FaultKind {
    /// Whether the server does its work first.
    fn takes_effect(&self) -> bool {
        match self {
            Self::CutAfter
            | Self::HangAfter
            | Self::MalformedBody
            | Self::Replace { .. }
            | Self::TruncatedBody => true,
            Self::InternalError { effect } => *effect,
            Self::Respond { forward, .. } => *forward,
            _ => false,
        }
    }
}

/// Whether a method cannot change anything.
pub(super) fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
