//! Per-object backoff. The runtime's scheduler keeps the earlier of two times, so an event from our own
//! status write would cut a backoff short; the reconcile itself asks here whether it is time.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard},
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
    /// The resource's own identity: one that was deleted and made anew does not wait for what its namesake did.
    pub uid: Option<String>,
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
    /// How often in a row it has failed in this way.
    failures: u32,
    not_before: Instant,
    /// Waits for the connection; its recovery ends the wait, a dependency's change does not shorten a backoff.
    retry: Retry,
}

/// What has changed of a resource's dependencies since its last try began. A try that is under way may have
/// looked before the change, so what it finds decides nothing.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Changed {
    Dependency,
    Credentials,
}

#[derive(Debug)]
struct Inner<Id> {
    entries: HashMap<Id, Entry>,
    changed: HashMap<Id, Changed>,
}

/// The backoffs of all resources that are not in sync.
#[derive(Debug)]
pub struct Retries<Id>(Mutex<Inner<Id>>);

impl<Id> Default for Retries<Id> {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            entries: HashMap::new(),
            changed: HashMap::new(),
        }))
    }
}

impl Changed {
    /// Whether such a change ends this wait.
    fn ends(self, retry: Retry) -> bool {
        self == Self::Credentials || retry != Retry::Backoff
    }
}

impl<Id: Eq + std::hash::Hash + Clone> Retries<Id> {
    /// How long this resource still has to wait; nothing when it is due or when a person asks for it, which is
    /// when a try begins.
    pub fn wait(&self, id: &Id, request: &Request) -> Option<Duration> {
        let mut inner = self.lock();
        let entry = inner
            .entries
            .get(id)
            .filter(|entry| entry.request == *request);
        let wait = entry
            .map(|entry| entry.not_before.saturating_duration_since(Instant::now()))
            .filter(|wait| !wait.is_zero());
        if wait.is_none() {
            inner.changed.remove(id);
        }
        wait
    }

    /// Notes a failure; returns when the next try is due.
    pub fn failed(
        &self,
        id: &Id,
        request: Request,
        failure: &Failure,
        resync: Duration,
    ) -> Duration {
        let mut inner = self.lock();
        let retry = failure.retry();
        // One of another class says that what failed before no longer does.
        let failures = inner
            .entries
            .get(id)
            .filter(|entry| entry.request == request && entry.retry == retry)
            .map_or(1, |entry| entry.failures.saturating_add(1));
        let outdated = inner
            .changed
            .get(id)
            .is_some_and(|changed| changed.ends(retry));
        let delay = match retry {
            _ if outdated => Duration::ZERO,
            Retry::Resync => spread(resync),
            Retry::Missing => super::failure::MISSING_RETRY,
            Retry::Backoff => {
                backoff(failures).max(failure.retry_after.unwrap_or_default().min(LONGEST))
            }
            Retry::Connection => LONGEST,
        };
        inner.entries.insert(
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
        self.changed(id, Changed::Dependency);
    }

    /// The resource's credentials have changed, so whatever was refused is due at once.
    pub fn credentials_changed(&self, id: &Id) {
        self.changed(id, Changed::Credentials);
    }

    fn changed(&self, id: &Id, what: Changed) {
        let mut inner = self.lock();
        let noted = inner.changed.entry(id.clone()).or_insert(what);
        *noted = what.max(*noted);
        if let Some(entry) = inner.entries.get_mut(id)
            && what.ends(entry.retry)
        {
            entry.not_before = Instant::now();
        }
    }

    /// The resource is in sync, or gone.
    pub fn forget(&self, id: &Id) {
        let mut inner = self.lock();
        inner.entries.remove(id);
        inner.changed.remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, Inner<Id>> {
        self.0.lock().expect("no panic while held")
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
    async fn a_resource_made_anew_does_not_wait_for_its_namesake() {
        let retries = Retries::default();
        let of = |uid: &str| Request {
            uid: Some(uid.to_owned()),
            generation: Some(1),
            ..Request::default()
        };
        // A try that was under way when the resource was deleted ends after that.
        retries.forget(&1);
        let failure = Failure::down(Reason::AuthentikUnavailable, "down");
        retries.failed(&1, of("old"), &failure, Duration::from_secs(300));
        assert!(retries.wait(&1, &of("old")).is_some());
        assert_eq!(retries.wait(&1, &of("new")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_stalled_for_long_is_tried_again_soon_after_a_failure_of_authentik() {
        let retries = Retries::default();
        let resync = Duration::from_secs(300);
        let failed = |reason| {
            let failure = Failure::new(reason, "failed");
            retries.failed(&1, Request::default(), &failure, resync)
        };
        for _ in 0..20 {
            failed(Reason::NameConflict);
        }
        assert!(failed(Reason::AuthentikUnavailable) <= FIRST);
        assert!(failed(Reason::AuthentikUnavailable) > FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn what_arrives_during_a_try_is_not_missed() {
        let retries = Retries::default();
        let request = Request::default();
        let resync = Duration::from_secs(300);
        for (reason, changes, at_once) in [
            (Reason::SecretNotFound, true, true),
            (Reason::SecretNotFound, false, false),
            (Reason::AuthentikUnavailable, true, false),
        ] {
            retries.forget(&1);
            assert_eq!(retries.wait(&1, &request), None);
            if changes {
                retries.dependency_changed(&1);
            }
            let failure = Failure::new(reason, "looked too early");
            retries.failed(&1, request.clone(), &failure, resync);
            let due = retries.wait(&1, &request).is_none();
            assert_eq!(due, at_once, "{reason:?}, {changes}");
        }
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
