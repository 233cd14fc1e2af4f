//! When a resource is tried again. The runtime's scheduler keeps the earlier of two times, so an event from our own status
//! write would cut a backoff short; the reconcile itself asks here whether it is time.

use std::time::Duration;

use tokio::time::Instant;

use crate::plan::{
    due,
    failure::{Failure, Retry},
};

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

/// What has changed of a resource's dependencies since its last try began. A try that is under way may have looked before
/// the change, so what it finds decides nothing.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum News {
    /// Something that it refers to.
    Dependency,
    /// A Secret, or its connection's token.
    Credentials,
}

impl News {
    /// Whether such a change ends this wait.
    fn ends(self, retry: Retry) -> bool {
        self == Self::Credentials || retry != Retry::Backoff
    }
}

#[derive(Debug)]
struct Wait {
    request: Request,
    /// How often in a row it has failed in this way.
    failures: u32,
    not_before: Instant,
    retry: Retry,
}

/// The wait of one resource that is not in sync.
#[derive(Debug, Default)]
pub struct Backoff {
    // Most resources wait for nothing.
    wait: Option<Box<Wait>>,
    changed: Option<News>,
}

impl Backoff {
    /// How long there is still to wait; nothing when it is due or a person asks for it, which is when a try begins.
    pub fn wait(&mut self, request: &Request) -> Option<Duration> {
        let wait = self
            .wait
            .as_ref()
            .filter(|wait| wait.request == *request)
            .map(|wait| wait.not_before.saturating_duration_since(Instant::now()))
            .filter(|wait| !wait.is_zero());
        if wait.is_none() {
            self.changed = None;
        }
        wait
    }

    /// Notes a failure. Returns when the next try is due, which is after `at_most` where that is given.
    pub fn failed(
        &mut self,
        request: Request,
        failure: &Failure,
        resync: Duration,
        at_most: Option<Duration>,
    ) -> Duration {
        let retry = failure.retry();
        // One of another class says that what failed before no longer does.
        let failures = self
            .wait
            .as_ref()
            .filter(|wait| wait.request == request && wait.retry == retry)
            .map_or(1, |wait| wait.failures.saturating_add(1));
        let is_outdated = self.changed.is_some_and(|changed| changed.ends(retry));
        let delay = match is_outdated {
            true => Duration::ZERO,
            false => due::after(failure, failures, resync, fastrand::f64()),
        };
        let delay = at_most.map_or(delay, |at_most| at_most.min(delay));
        self.wait = Some(Box::new(Wait {
            request,
            failures,
            not_before: Instant::now() + delay,
            retry,
        }));
        delay
    }

    /// Something that the resource depends on has changed: it is due at once, unless authentik itself failed it and it is
    /// no credential. Then only time helps: a server that fails one request and answers the next would otherwise be
    /// asked again without end.
    pub fn changed(&mut self, what: News) {
        self.changed = self.changed.max(Some(what));
        if let Some(wait) = &mut self.wait
            && what.ends(wait.retry)
        {
            wait.not_before = Instant::now();
        }
    }

    /// The resource is in sync.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::failure::Reason;

    const RESYNC: Duration = Duration::from_secs(300);

    fn failed(backoff: &mut Backoff, request: &Request, reason: Reason) -> Duration {
        backoff.failed(
            request.clone(),
            &Failure::new(reason, "failed"),
            RESYNC,
            None,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_person_or_time_ends_a_backoff() {
        let (mut backoff, request) = (Backoff::default(), Request::default());
        let delay = failed(&mut backoff, &request, Reason::AuthentikUnavailable);
        backoff.changed(News::Dependency);
        assert!(backoff.wait(&request).is_some());
        let edited = Request {
            generation: Some(2),
            ..Request::default()
        };
        assert_eq!(backoff.wait(&edited), None);
        tokio::time::advance(delay).await;
        assert_eq!(backoff.wait(&request), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_stalled_for_long_is_tried_again_soon_after_a_failure_of_authentik() {
        let (mut backoff, request) = (Backoff::default(), Request::default());
        for _ in 0..20 {
            failed(&mut backoff, &request, Reason::NameConflict);
        }
        let unavailable = Reason::AuthentikUnavailable;
        assert!(failed(&mut backoff, &request, unavailable) <= due::FIRST);
        assert!(failed(&mut backoff, &request, unavailable) > due::FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn what_arrives_during_a_try_is_not_missed() {
        let request = Request::default();
        for (reason, changes, at_once) in [
            (Reason::SecretNotFound, true, true),
            (Reason::SecretNotFound, false, false),
            (Reason::AuthentikUnavailable, true, false),
        ] {
            let mut backoff = Backoff::default();
            assert_eq!(backoff.wait(&request), None);
            if changes {
                backoff.changed(News::Dependency);
            }
            failed(&mut backoff, &request, reason);
            assert_eq!(
                backoff.wait(&request).is_none(),
                at_once,
                "{reason:?}, {changes}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_arrival_ends_a_wait() {
        let (mut backoff, request) = (Backoff::default(), Request::default());
        failed(&mut backoff, &request, Reason::SecretNotFound);
        assert!(backoff.wait(&request).is_some());
        backoff.changed(News::Dependency);
        assert_eq!(backoff.wait(&request), None);
    }
}
