//! What went through a gateway.

use crate::template::template;
use serde::Serialize;
use serde_json::Value;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// A request and, once there is one, its answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exchange {
    /// Its place in the order of arrival, from 1.
    pub n: u64,
    /// The request's method.
    pub method: String,
    /// The path as the server behind the gateway sees it.
    pub path: String,
    /// The query as it was sent, without `?`.
    pub query: String,
    /// The request's body, if it was JSON.
    pub body: Option<Value>,
    /// The answer's status; `None` while there is none, or if the client was left without one.
    pub status: Option<u16>,
    /// The body that the client got, if it was JSON.
    pub response: Option<Value>,
    /// The request's `User-Agent`.
    pub user_agent: Option<String>,
    /// The request's W3C trace context, its `traceparent`.
    pub traceparent: Option<String>,
}

impl Exchange {
    /// Whether the request could change anything.
    pub fn is_write(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }

    /// The path with `{uuid}` for every UUID in it.
    pub fn template(&self) -> String {
        template(&self.path)
    }
}

#[derive(Default)]
struct Log {
    exchanges: Vec<Exchange>,
    /// Where the present audit begins.
    begin: usize,
}

impl Log {
    fn begin_anew(&mut self) {
        self.begin = self.exchanges.len();
    }

    fn present(&self) -> &[Exchange] {
        &self.exchanges[self.begin..]
    }
}

/// The list of all exchanges. Whoever waits for one is woken by it.
pub(super) struct Audit {
    log: Mutex<Log>,
    changes: watch::Sender<u64>,
    last: std::sync::atomic::AtomicU64,
}

impl Audit {
    pub(super) fn new() -> Self {
        Self {
            log: Mutex::default(),
            changes: watch::Sender::new(0),
            last: std::sync::atomic::AtomicU64::new(0),
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request that has arrived, and returns its number.
    pub(super) fn arrived(&self, mut exchange: Exchange) -> u64 {
        let n = self.last.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        exchange.n = n;
        self.log().exchanges.push(exchange);
        self.changed();
        n
    }

    /// Notes what the client got.
    pub(super) fn answered(&self, n: u64, status: u16, response: Option<Value>) {
        if let Some(exchange) = self
            .log()
            .exchanges
            .iter_mut()
            .rev()
            .find(|exchange| exchange.n == n)
        {
            exchange.status = Some(status);
            exchange.response = response;
        }
        self.changed();
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn all(&self) -> Vec<Exchange> {
        self.log().present().to_vec()
    }

    pub(super) fn history(&self) -> Vec<Exchange> {
        self.log().exchanges.clone()
    }

    pub(super) fn clear(&self) {
        self.log().begin_anew();
        self.changed();
    }

    pub(super) async fn wait_for(
        &self,
        predicate: impl Fn(&[Exchange]) -> bool,
        timeout: Duration,
    ) -> bool {
        let mut changes = self.changes.subscribe();
        let satisfied = changes.wait_for(|_| predicate(self.log().present()));
        tokio::time::timeout(timeout, satisfied)
            .await
            .is_ok_and(|outcome| outcome.is_ok())
    }
}
