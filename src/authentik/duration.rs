//! authentik's durations: `weeks=1;days=2;hours=3`, keywords of Python's `timedelta`.

/// The keywords that authentik knows, in microseconds. It compares them in lower case.
const UNITS: [(&str, f64); 7] = [
    ("weeks", 604_800_000_000.0),
    ("days", 86_400_000_000.0),
    ("hours", 3_600_000_000.0),
    ("minutes", 60_000_000.0),
    ("seconds", 1_000_000.0),
    ("milliseconds", 1_000.0),
    ("microseconds", 1.0),
];

/// A day, in microseconds.
const DAY: f64 = 86_400_000_000.0;
/// Python's `timedelta` ends just short of 1,000,000,000 days and at -999,999,999; beyond, authentik answers with an
/// internal error.
const END: f64 = 1_000_000_000.0 * DAY;
const BEGINNING: f64 = -999_999_999.0 * DAY;

/// A pair that counts: which of the units, how many of it, and the text of both.
type Pair<'a> = (usize, f64, &'a str);

/// The pairs that count; nothing where authentik would refuse the text.
///
/// As authentik does (`authentik/lib/utils/time.py`), pairs with an unknown keyword (one with spaces around
/// it, too) are passed over.
fn pairs(text: &str) -> Option<Vec<Pair<'_>>> {
    let mut pairs = Vec::new();
    for pair in text.trim().split(';') {
        let (keyword, value) = pair
            .split_once('=')
            .filter(|(_, value)| !value.contains('='))?;
        let Some(unit) = UNITS
            .iter()
            .position(|(name, _)| keyword.eq_ignore_ascii_case(name))
        else {
            continue;
        };
        let value = value.trim().parse::<f64>().ok();
        pairs.push((unit, value.filter(|value| value.is_finite())?, pair.trim()));
    }
    Some(pairs)
}

/// The text without what authentik passes over; nothing where it would refuse it.
#[must_use]
pub fn understood(text: &str) -> Option<String> {
    microseconds(text)?;
    let pairs: Vec<_> = pairs(text)?.into_iter().map(|(.., pair)| pair).collect();
    Some(pairs.join(";"))
}

/// What authentik makes of this text, in microseconds; nothing where it would refuse it. A keyword given
/// twice counts once, with its last value.
#[must_use]
pub fn microseconds(text: &str) -> Option<i128> {
    let mut values: [Option<f64>; UNITS.len()] = [None; UNITS.len()];
    for (unit, value, _) in pairs(text)? {
        values[unit] = Some(value);
    }
    let total = values
        .iter()
        .zip(UNITS)
        .filter_map(|(value, (_, microseconds))| Some((*value)? * microseconds))
        .reduce(|total, part| total + part)?;
    #[allow(clippy::cast_possible_truncation)] // bounded just above
    (BEGINNING..END)
        .contains(&total)
        .then(|| total.round() as i128)
}

#[cfg(test)]
mod tests {
    use super::{microseconds, understood};

    #[test]
    fn the_same_time_in_other_words_is_equal() {
        for (one, other) in [
            ("hours=1", "minutes=60"),
            ("hours=1", "Hours=1"),
            ("hours=1.5", "minutes=90"),
            ("hours=1;minutes=5", "minutes=5;hours=1"),
            ("hours=01", "hours=+1"),
            ("weeks=1", "days=7"),
            ("hours=1;hours=2", "hours=2"),
            ("seconds=0", "microseconds=-0"),
            (" hours=1 ", "hours=1"),
        ] {
            assert_eq!(microseconds(one), microseconds(other), "{one} and {other}");
            assert!(microseconds(one).is_some(), "{one}");
        }
    }

    #[test]
    fn a_keyword_with_a_space_is_passed_over_as_authentik_does() {
        assert_eq!(microseconds("hours=1; minutes=5"), microseconds("hours=1"));
        let text = "hours=1; minutes=5;Days=2 ;fortnights=1";
        assert_eq!(understood(text).as_deref(), Some("hours=1;Days=2"));
    }

    #[test]
    fn what_authentik_refuses_is_no_duration() {
        for text in [
            "",
            "hours=",
            "=5",
            "hours=abc",
            "5",
            "hours=1;",
            ";hours=1",
            "PT1H",
            "hours:1",
            "hours=1=2",
            "months=1",
            "days=99999999999",
            "days=999999999;hours=24",
            "days=-999999999;hours=-1",
            "hours=inf",
            "hours=nan",
        ] {
            assert_eq!(microseconds(text), None, "{text}");
            assert_eq!(understood(text), None, "{text}");
        }
    }
}
