//! The one table of failures: what each means for conditions, events and the next try.

use std::time::Duration;

use crate::{api::conditions, authentik};

/// How long a resource waits for something that is missing before it looks again by itself.
pub const MISSING_RETRY: Duration = Duration::from_secs(30);

/// The classes of failure, named as the reasons of the `Ready` condition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(missing_docs)] // the names are the reasons that `docs/troubleshooting.md` explains
pub enum Reason {
    InvalidSpec,
    Rejected,
    FieldUnsupported,
    AdoptionRefused,
    NameConflict,
    ReferenceAmbiguous,
    ReferenceNotFound,
    SecretNotFound,
    ConnectionNotReady,
    AccessDenied,
    AuthentikUnavailable,
    DeletionBlocked,
    /// Kubernetes refused a read or a write, or a reconcile panicked: nothing about the resource is known.
    Internal,
    /// The resource has changed since it was read; the watch is about to show it. Never reported.
    Stale,
    /// The operator is ending, and the next one goes on. Never reported.
    Ending,
}

/// When to try again, unless something that the resource depends on changes first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retry {
    /// Once a resync interval.
    Resync,
    /// After [`MISSING_RETRY`].
    Missing,
    /// With exponential backoff.
    Backoff,
    /// When the connection comes back, which probes by itself.
    Connection,
}

impl Reason {
    /// The reason as conditions and events spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidSpec => "InvalidSpec",
            Self::Rejected => "Rejected",
            Self::FieldUnsupported => "FieldUnsupported",
            Self::AdoptionRefused => "AdoptionRefused",
            Self::NameConflict => "NameConflict",
            Self::ReferenceAmbiguous => "ReferenceAmbiguous",
            Self::ReferenceNotFound => "ReferenceNotFound",
            Self::SecretNotFound => "SecretNotFound",
            Self::ConnectionNotReady => "ConnectionNotReady",
            Self::AccessDenied => "AccessDenied",
            Self::AuthentikUnavailable => "AuthentikUnavailable",
            Self::DeletionBlocked => "DeletionBlocked",
            Self::Internal | Self::Stale | Self::Ending => "Progressing",
        }
    }

    /// The condition that stands beside `Ready`.
    #[must_use]
    pub fn progress(self) -> &'static str {
        let (stalled, _) = self.policy();
        if stalled {
            conditions::STALLED
        } else {
            conditions::RECONCILING
        }
    }

    /// Whether it is usual for what is applied together: whatever is missing may be on its way.
    #[must_use]
    pub fn may_pass_at_once(self) -> bool {
        matches!(
            self,
            Self::ReferenceNotFound | Self::SecretNotFound | Self::ConnectionNotReady
        )
    }

    /// Whether this says something about the resource, which its status and its events should show.
    #[must_use]
    pub fn is_reported(self) -> bool {
        !matches!(self, Self::Stale | Self::Ending)
    }

    /// Whether a person has to act (`Stalled`), rather than something to come by (`Reconciling`); and when
    /// the next try is due.
    #[must_use]
    pub fn policy(self) -> (bool, Retry) {
        match self {
            Self::InvalidSpec
            | Self::Rejected
            | Self::FieldUnsupported
            | Self::AdoptionRefused
            | Self::NameConflict
            | Self::ReferenceAmbiguous => (true, Retry::Resync),
            Self::ReferenceNotFound | Self::SecretNotFound | Self::DeletionBlocked => {
                (false, Retry::Missing)
            }
            Self::ConnectionNotReady => (false, Retry::Connection),
            Self::AccessDenied
            | Self::AuthentikUnavailable
            | Self::Internal
            | Self::Stale
            | Self::Ending => (false, Retry::Backoff),
        }
    }
}

/// Why a resource is not in sync.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// Its class.
    pub reason: Reason,
    /// What is wrong and what to do; deterministic, without secrets.
    pub message: String,
    /// How long the server asked to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether the server as a whole is known to be out of reach, so that its own probe decides when to try again.
    pub connection_down: bool,
}

impl Failure {
    /// A failure of this class.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            retry_after: None,
            connection_down: false,
        }
    }

    /// A failure of this class that ends when the connection comes back.
    pub fn down(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            connection_down: true,
            ..Self::new(reason, message)
        }
    }

    /// When the next try is due.
    #[must_use]
    pub fn retry(&self) -> Retry {
        if self.connection_down {
            Retry::Connection
        } else {
            self.reason.policy().1
        }
    }
}

impl From<authentik::Error> for Failure {
    fn from(error: authentik::Error) -> Self {
        use authentik::Error;
        let reason = match &error {
            Error::Rejected { .. } => Reason::Rejected,
            Error::AccessDenied { .. } => Reason::AccessDenied,
            Error::Closed => Reason::Ending,
            Error::NotFound
            | Error::Unavailable { .. }
            | Error::TooMuch { .. }
            | Error::NotAuthentik { .. }
            | Error::EndpointMissing { .. }
            | Error::Unexpected { .. } => Reason::AuthentikUnavailable,
        };
        Self {
            retry_after: error.retry_after(),
            ..Self::new(reason, error.to_string())
        }
    }
}
