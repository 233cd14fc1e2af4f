//! What a server's audit log is asked.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::authentik::{Client, Error, audit::Entry};

/// For how long a log is waited for: who waits for it has put things right already and is to tell so.
const PATIENCE: Duration = Duration::from_secs(5);
/// For how long a log is left alone that the token may not view.
const DENIED: Duration = Duration::from_secs(600);
/// For how long a log is left alone that has not answered in time.
const SLOW: Duration = Duration::from_secs(60);

/// A server's audit log. What it does not tell is not missed.
#[derive(Debug)]
pub struct Audit {
    /// What this operator calls itself there.
    pub agent: String,
    user: Mutex<Option<u64>>,
    /// Until when it is left alone.
    closed_until: Mutex<Option<Instant>>,
}

impl Audit {
    /// The log in which this operator calls itself so.
    pub(super) fn new(agent: String) -> Self {
        Self {
            agent,
            user: Mutex::default(),
            closed_until: Mutex::default(),
        }
    }

    /// The newest entries about an object; none where the log can't be read.
    pub async fn log_of(&self, client: &Client, object: Uuid) -> Vec<Entry> {
        let closed_until = *self.closed_until.lock();
        if closed_until.is_some_and(|until| Instant::now() < until) {
            return Vec::new();
        }
        let pause = match timeout(PATIENCE, client.log_of(object)).await {
            Ok(Ok(log)) => return log,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the audit log can't be read");
                match error {
                    Error::AccessDenied { .. } => DENIED,
                    _ => return Vec::new(),
                }
            }
            Err(_) => SLOW,
        };
        *self.closed_until.lock() = Some(Instant::now() + pause);
        Vec::new()
    }

    /// The number of the token's user: the one that is known from the log or, where none is, as authentik answers once.
    pub async fn own_user(&self, client: &Client, known: Option<u64>) -> Option<u64> {
        let known = known.or(*self.user.lock());
        let user = match known {
            Some(user) => Some(user),
            None => match timeout(PATIENCE, client.whoami()).await {
                Ok(Ok(account)) => Some(account.pk),
                _ => None,
            },
        };
        *self.user.lock() = user;
        user
    }
}
