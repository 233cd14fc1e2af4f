//! The rest that a server has asked for. Until it is over nothing is sent there.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{error::Error, shown::Shown};

/// The rest that one server has asked for with `Retry-After`. Clones share it, so that it also holds for the next client
/// of the same server.
#[derive(Clone, Debug, Default)]
pub struct Pause(Arc<Mutex<Option<Rest>>>);

#[derive(Clone, Debug)]
struct Rest {
    until: Instant,
    /// What the server said.
    cause: Shown,
}

impl Pause {
    /// Begins or prolongs the rest where this error asks for one.
    pub(super) fn heed(&self, error: &Error) {
        let Error::Unavailable {
            cause,
            retry_after: Some(asked),
            ..
        } = error
        else {
            return;
        };
        let until = Instant::now() + *asked;
        let mut rest = self.0.lock();
        if rest.as_ref().is_none_or(|rest| rest.until < until) {
            let cause = cause.clone();
            *rest = Some(Rest { until, cause });
        }
    }

    /// # Errors
    /// As the server has failed that asked for the rest, while that lasts: with what is left of it.
    pub(super) fn is_over(&self) -> Result<(), Error> {
        let mut rest = self.0.lock();
        let now = Instant::now();
        match &*rest {
            Some(Rest { until, cause }) if *until > now => Err(Error::Unavailable {
                cause: cause.clone(),
                retry_after: Some(*until - now),
                outcome_unknown: false,
            }),
            _ => {
                *rest = None;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn asks(seconds: Option<u64>) -> Error {
        Error::Unavailable {
            cause: Shown::fixed("too many requests (429)"),
            retry_after: seconds.map(Duration::from_secs),
            outcome_unknown: true,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_rest_counts_and_ends() {
        let pause = Pause::default();
        for error in [asks(None), asks(Some(0)), Error::NotFound] {
            pause.heed(&error);
            assert_eq!(pause.is_over(), Ok(()), "{error:?}");
        }
        pause.heed(&asks(Some(5)));
        pause.heed(&asks(Some(3)));
        tokio::time::advance(Duration::from_secs(4)).await;
        let error = pause.clone().is_over().unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
        assert!(!error.outcome_unknown(), "nothing was sent");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(pause.is_over(), Ok(()));
    }
}
