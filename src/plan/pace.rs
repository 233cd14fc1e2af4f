//! How often a server is looked at, and how: from what a look costs it. Pure: chance comes in as a number from 0 to 1.

use std::time::Duration;

/// The shortest time between two looks.
pub const SHORTEST: Duration = Duration::from_secs(10);
/// The longest time between two looks, and between two readings of a list.
pub const LONGEST: Duration = Duration::from_secs(300);
/// By how much of it a time between two looks may be prolonged, so that what started together does not stay together.
const JITTER: f64 = 0.1;
/// A look may take one of so many parts of a server worker's time.
const PARTS: u32 = 50;

/// For how many rows of a list authentik takes as long as for one object by itself: 3.5 ms and 70 ms, as measured on a
/// server with one worker.
pub const ROWS_AN_OBJECT: usize = 20;

/// What it costs to look at a list.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Price {
    /// How long authentik took to answer, when all of it was read last.
    pub listing: Duration,
    /// How long it took when only the own rows were asked for last; nothing where they have not been.
    pub one_by_one: Option<Duration>,
    /// How many rows it has.
    pub rows: usize,
    /// How many of them somebody has to do with.
    pub own: usize,
}

impl Price {
    /// Whether so few rows are somebody's that it is cheaper to ask for each of them.
    #[must_use]
    pub fn is_cheaper_one_by_one(&self) -> bool {
        self.own.saturating_mul(ROWS_AN_OBJECT) < self.rows
    }

    /// What the next look costs.
    #[must_use]
    pub fn next(&self) -> Duration {
        if !self.is_cheaper_one_by_one() {
            return self.listing;
        }
        self.one_by_one.unwrap_or_else(|| {
            let share = self.own as f64 * ROWS_AN_OBJECT as f64 / self.rows as f64;
            self.listing.mul_f64(share)
        })
    }
}

/// The time until the next look, where one takes so long: as short as keeps the looks under two percent of the time of one
/// worker of the server, from ten seconds to five minutes.
#[must_use]
pub fn interval(look: Duration, chance: f64) -> Duration {
    let longest = LONGEST.div_f64(1.0 + JITTER);
    let interval = look.saturating_mul(PARTS).clamp(SHORTEST, longest);
    interval.mul_f64(1.0 + JITTER * chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_take_two_percent_at_most_between_the_bounds() {
        let seconds = Duration::from_secs;
        for (look, shortest) in [
            (Duration::ZERO, SHORTEST),
            (Duration::from_millis(200), SHORTEST),
            (seconds(1), seconds(50)),
            (seconds(4), seconds(200)),
        ] {
            assert_eq!(interval(look, 0.0), shortest, "{look:?}");
            assert_eq!(interval(look, 1.0), shortest.mul_f64(1.1), "{look:?}");
        }
        let whole = interval(seconds(36), 1.0);
        assert!(
            whole <= LONGEST && whole > LONGEST - seconds(1),
            "{whole:?}"
        );
        assert!(interval(Duration::MAX, 1.0) <= LONGEST);
    }

    #[test]
    fn few_rows_among_many_are_asked_for_one_by_one() {
        let price = |own, rows| Price {
            listing: Duration::from_secs(36),
            one_by_one: None,
            rows,
            own,
        };
        let few = price(3, 10_000);
        assert!(few.is_cheaper_one_by_one());
        assert_eq!(few.next(), Duration::from_millis(216));
        let measured = Price {
            one_by_one: Some(Duration::from_secs(2)),
            ..few
        };
        assert_eq!(measured.next(), Duration::from_secs(2), "it got slow");
        for all in [price(500, 10_000), price(20, 20), price(0, 0)] {
            assert!(!all.is_cheaper_one_by_one());
            assert_eq!(all.next(), all.listing);
        }
        assert!(
            price(0, 5).is_cheaper_one_by_one(),
            "nobody's rows cost nothing"
        );
    }
}
