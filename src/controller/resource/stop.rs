//! How a step ends that is not done.

use crate::plan::failure::Failure;

/// Why a step is not done.
#[derive(Debug)]
pub(super) enum Stop {
    /// The connection's task is about to find out more, and wakes the resource then.
    NotYet,
    /// It failed.
    Failed(Failure),
}

impl<F: Into<Failure>> From<F> for Stop {
    fn from(failure: F) -> Self {
        Self::Failed(failure.into())
    }
}

/// How a step ends.
pub(super) type Steps<T> = Result<T, Stop>;
