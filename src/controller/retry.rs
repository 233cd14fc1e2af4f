//! Per-object backoff. The runtime's scheduler keeps the earlier of two times, so an event from our own
//! status write would cut a backoff short; the reconcile itself asks here whether it is time.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Mutex,
    time::Duration,
};

use tokio::time::Instant;

use super::failure::{Failure, Retry};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// The delay before try number `failures` + 1: doubling from a second to five minutes, less up to a quarter
/// so that many resources don't come at once.
#[must_use]
pub fn backoff(failures: u32) -> Duration {
    let full = FIRST
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(LONGEST);
    full.mul_f64(1.0 - jitter() / 4.0)
}

/// A time spread over its last tenth, so that what started together does not stay together.
#[must_use]
pub fn spread(time: Duration) -> Duration {
    time.mul_f64(1.0 - jitter() / 10.0)
}

/// From 0 to 1. The standard library's hasher has random keys, which is random enough to spread load.
fn jitter() -> f64 {
    f64::from(RandomState::new().hash_one(()) as u32) / f64::from(u32::MAX)
}

/// What a person may change to ask for another try at once.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Request {
    /// The spec's generation.
    pub generation: Option<i64>,
    /// The annotation that asks for a reconcile.
    pub requested_at: Option<String>,
    /// Whether the resource is being deleted.
    pub deleting: bool,
}

#[derive(Debug)]
struct Entry {
    request: Request,
    failures: u32,
    not_before: Instant,
    /// Waits for the connection; its recovery ends the wait, a dependency's change does not shorten a backoff.
    retry: Retry,
}

/// The backoffs of all resources that are not in sync.
#[derive(Debug)]
pub struct Retries<Id>(Mutex<HashMap<Id, Entry>>);

impl<Id> Default for Retries<Id> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Id: Eq + std::hash::Hash + Clone> Retries<Id> {
    /// How long this resource still has to wait; nothing when it is due or when a person asks for it.
    pub fn wait(&self, id: &Id, request: &Request) -> Option<Duration> {
        let entries = self.0.lock().expect("no panic while held");
        let entry = entries.get(id).filter(|entry| entry.request == *request)?;
        Some(entry.not_before.saturating_duration_since(Instant::now()))
            .filter(|wait| !wait.is_zero())
    }

    /// Notes a failure; returns when the next try is due.
    pub fn failed(
        &self,
        id: &Id,
        request: Request,
        failure: &Failure,
        resync: Duration,
    ) -> Duration {
        let mut entries = self.0.lock().expect("no panic while held");
        let failures = entries
            .get(id)
            .filter(|entry| entry.request == request)
            .map_or(1, |entry| entry.failures.saturating_add(1));
        let retry = failure.retry();
        let delay = match retry {
            Retry::Resync => spread(resync),
            Retry::Missing => super::failure::MISSING_RETRY,
            Retry::Backoff => {
                backoff(failures).max(failure.retry_after.unwrap_or_default().min(LONGEST))
            }
            Retry::Connection => LONGEST,
        };
        entries.insert(
            id.clone(),
            Entry {
                request,
                failures,
                not_before: Instant::now() + delay,
                retry,
            },
        );
        delay
    }

    /// Something that the resource depends on has changed: it is due at once, unless authentik itself failed
    /// it. Then only time helps: a server that fails one request and answers the next would otherwise be
    /// asked again without end.
    pub fn dependency_changed(&self, id: &Id) {
        if let Some(entry) = self.0.lock().expect("no panic while held").get_mut(id)
            && entry.retry != Retry::Backoff
        {
            entry.not_before = Instant::now();
        }
    }

    /// The resource's credentials have changed, so whatever was refused is due at once.
    pub fn credentials_changed(&self, id: &Id) {
        if let Some(entry) = self.0.lock().expect("no panic while held").get_mut(id) {
            entry.not_before = Instant::now();
        }
    }

    /// The resource is in sync, or gone.
    pub fn forget(&self, id: &Id) {
        self.0.lock().expect("no panic while held").remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::failure::Reason;

    #[test]
    fn backoff_doubles_up_to_five_minutes() {
        let mut longest = Duration::ZERO;
        for failures in 1..40 {
            let delay = backoff(failures);
            assert!(
                delay >= FIRST.mul_f64(0.75) && delay <= LONGEST,
                "{delay:?}"
            );
            longest = longest.max(delay);
        }
        assert!(longest >= LONGEST.mul_f64(0.75));
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_person_or_time_ends_a_backoff() {
        let retries = Retries::default();
        let request = Request::default();
        let failure = Failure::new(Reason::AuthentikUnavailable, "down");
        let delay = retries.failed(&1, request.clone(), &failure, Duration::from_secs(300));
        retries.dependency_changed(&1);
        assert!(retries.wait(&1, &request).is_some());
        let edited = Request {
            generation: Some(2),
            ..Request::default()
        };
        assert_eq!(retries.wait(&1, &edited), None);
        tokio::time::advance(delay).await;
        assert_eq!(retries.wait(&1, &request), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_arrival_ends_a_wait() {
        let retries = Retries::default();
        let request = Request::default();
        let failure = Failure::new(Reason::SecretNotFound, "missing");
        retries.failed(&1, request.clone(), &failure, Duration::from_secs(300));
        assert!(retries.wait(&1, &request).is_some());
        retries.dependency_changed(&1);
        assert_eq!(retries.wait(&1, &request), None);
    }
}
