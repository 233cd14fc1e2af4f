//! When a resource that is not in sync is tried again. Pure: chance comes in as a number from 0 to 1.

use std::time::Duration;

use super::failure::{Failure, MISSING_RETRY, Retry};

/// The delay after the first failure.
pub const FIRST: Duration = Duration::from_secs(1);
/// The longest delay between two tries.
pub const LONGEST: Duration = Duration::from_secs(300);

/// The delay after this many failures in a row: doubling from a second to five minutes, less up to a quarter so
/// that many resources don't come at once.
#[must_use]
pub fn backoff(failures: u32, chance: f64) -> Duration {
    let full = FIRST
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(LONGEST);
    full.mul_f64(1.0 - chance / 4.0)
}

/// A time less up to a tenth of it, so that what started together does not stay together.
#[must_use]
pub fn spread(time: Duration, chance: f64) -> Duration {
    time.mul_f64(1.0 - chance / 10.0)
}

/// How long after this failure, the last of `failures` in a row of its class, the next try is due by itself.
#[must_use]
pub fn after(failure: &Failure, failures: u32, resync: Duration, chance: f64) -> Duration {
    match failure.retry() {
        Retry::Resync => spread(resync, chance),
        Retry::Missing => MISSING_RETRY,
        Retry::Backoff => {
            let asked = failure.retry_after.unwrap_or_default().min(LONGEST);
            backoff(failures, chance).max(asked)
        }
        Retry::Connection => LONGEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::failure::Reason;

    #[test]
    fn backoff_doubles_up_to_five_minutes() {
        let mut before = Duration::ZERO;
        for failures in 1..40 {
            let longest = backoff(failures, 0.0);
            assert!(longest >= before && longest <= LONGEST, "{longest:?}");
            assert_eq!(backoff(failures, 1.0), longest.mul_f64(0.75));
            before = longest;
        }
        assert_eq!(backoff(1, 0.0), FIRST);
        assert_eq!(before, LONGEST);
    }

    #[test]
    fn each_class_has_its_pause() {
        let resync = Duration::from_secs(600);
        for (reason, failures, pause) in [
            (Reason::InvalidSpec, 9, resync),
            (Reason::NameConflict, 1, resync),
            (Reason::SecretNotFound, 9, MISSING_RETRY),
            (Reason::AccessDenied, 3, FIRST * 4),
            (Reason::AuthentikUnavailable, 1, FIRST),
            (Reason::ConnectionNotReady, 1, LONGEST),
        ] {
            let failure = Failure::new(reason, "failed");
            assert_eq!(after(&failure, failures, resync, 0.0), pause, "{reason:?}");
        }
    }

    #[test]
    fn a_server_that_asks_for_a_pause_gets_it_within_bounds() {
        for (asked, pause) in [(0, FIRST), (90, Duration::from_secs(90)), (9999, LONGEST)] {
            let failure = Failure {
                retry_after: Some(Duration::from_secs(asked)),
                ..Failure::new(Reason::AuthentikUnavailable, "busy")
            };
            assert_eq!(after(&failure, 1, FIRST, 0.0), pause);
        }
    }
}
