//! What can go wrong between a client and a server, on demand.

use hyper::Method;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// A fault and the requests that it strikes.
#[derive(Clone, Debug)]
pub struct Fault {
    method: Option<Method>,
    writes_only: bool,
    path: String,
    passed: usize,
    times: Option<usize>,
    kind: FaultKind,
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum FaultKind {
    /// It is answered as usual, later, and holds up no other. Added to whatever other fault strikes.
    Latency(Duration),
    /// It never reaches the server, and the connection is closed.
    CutBefore,
    /// It takes effect, and the connection is closed without an answer.
    CutAfter,
    /// It is answered as authentik answers internal errors: 500 for reads, an empty 405 for writes.
    InternalError {
        /// Whether it takes effect first.
        effect: bool,
    },
    /// It is answered with 429, without effect.
    TooManyRequests {
        /// Seconds in `Retry-After`.
        retry_after: Option<u64>,
    },
    /// It is answered with 503, without effect.
    ServiceUnavailable,
    /// It takes effect, and half of the answer's body comes as if it were the whole.
    MalformedBody,
    /// It takes effect, and in the answer's body one text stands for another.
    Replace {
        /// The server's text.
        this: String,
        /// What the client gets in its place.
        by: String,
    },
    /// It takes effect, and the connection breaks in the middle of the answer's body.
    TruncatedBody,
    /// It is answered with 200 and JSON that nobody expects, without effect.
    WrongJson,
    /// It is answered with 200 and a JSON string of this many bytes, without effect.
    HugeBody(usize),
    /// It is answered with 302 to this place, without effect.
    Redirect(String),
    /// It never reaches the server and is never answered; removing the fault closes the connection.
    Hang,
    /// It takes effect and is never answered; removing the fault closes the connection.
    HangAfter,
    /// It goes on when the fault is removed, as if nothing had been.
    Hold,
    /// It is answered with this.
    Respond {
        /// The answer's status.
        status: u16,
        /// The answer's content type.
        content_type: String,
        /// The answer's body.
        body: String,
        /// Whether it takes effect first.
        forward: bool,
    },
}

impl Fault {
    /// A fault that strikes every request until it is removed.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            method: None,
            writes_only: false,
            path: String::new(),
            passed: 0,
            times: None,
            kind,
        }
    }

    /// Strikes requests of one method only.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// Strikes requests that are no reads only.
    #[must_use]
    pub fn writes(mut self) -> Self {
        self.writes_only = true;
        self
    }

    /// Strikes requests with this text in their path only.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        part.clone_into(&mut self.path);
        self
    }

    /// Lets so many requests that it would strike pass first.
    #[must_use]
    pub fn after(mut self, passed: usize) -> Self {
        self.passed = passed;
        self
    }

    /// Strikes so many requests only.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    fn matches(&self, method: &Method, path: &str) -> bool {
        self.times != Some(0)
            && self.method.as_ref().is_none_or(|wanted| wanted == method)
            && !(self.writes_only && super::proxy::is_read(method))
            && path.contains(&self.path)
    }
}

/// Names an injected fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultId(u64);

struct Injected {
    id: FaultId,
    fault: Fault,
    /// Dropped with the fault, which ends the waits of requests that hang in it.
    removed: watch::Sender<()>,
}

/// What strikes one request.
pub(super) struct Strike {
    pub(super) latency: Duration,
    pub(super) kind: Option<FaultKind>,
    removed: Option<watch::Receiver<()>>,
}

impl Strike {
    /// Waits until the fault is removed.
    pub(super) async fn removed(&mut self) {
        if let Some(removed) = &mut self.removed {
            // Nothing is ever sent: the wait ends when the sender is gone.
            let _ = removed.changed().await;
        }
    }
}

/// The faults that are in force.
#[derive(Default)]
pub(super) struct Faults {
    injected: Mutex<(u64, Vec<Injected>)>,
}

impl Faults {
    fn injected(&self) -> MutexGuard<'_, (u64, Vec<Injected>)> {
        self.injected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, fault: Fault) -> FaultId {
        let (last, injected) = &mut *self.injected();
        *last += 1;
        let id = FaultId(*last);
        injected.push(Injected {
            id,
            fault,
            removed: watch::Sender::new(()),
        });
        id
    }

    pub(super) fn remove(&self, id: FaultId) {
        self.injected().1.retain(|injected| injected.id != id);
    }

    pub(super) fn clear(&self) {
        self.injected().1.clear();
    }

    /// Takes all latencies and the first other fault that match.
    pub(super) fn strike(&self, method: &Method, path: &str) -> Strike {
        let mut strike = Strike {
            latency: Duration::ZERO,
            kind: None,
            removed: None,
        };
        for injected in &mut self.injected().1 {
            let fault = &mut injected.fault;
            if !fault.matches(method, path) {
                continue;
            }
            if fault.passed > 0 {
                fault.passed -= 1;
                continue;
            }
            match &fault.kind {
                FaultKind::Latency(latency) => strike.latency += *latency,
                _ if strike.kind.is_some() => continue,
                kind => {
                    strike.kind = Some(kind.clone());
                    strike.removed = Some(injected.removed.subscribe());
                }
            }
            fault.times = fault.times.map(|times| times - 1);
        }
        strike
    }
}
