//! How the server reads durations.

use super::fields::{Checked, Invalid};
use super::python;
use super::texts::text;
use serde_json::Value;

/// A duration such as `hours=1;minutes=30`, kept as it is written.
pub(crate) fn duration(value: &Value) -> Checked {
    let text = text(value, false)?;
    match timedelta(&text) {
        Timedelta::Valid => Ok(text.into()),
        Timedelta::Overflow => Err(Invalid::Crash),
        Timedelta::Malformed => Err(Invalid::message(format!(
            "{text} is not in the correct format of 'hours=3;minutes=1'."
        ))),
    }
}

#[derive(Debug, PartialEq)]
enum Timedelta {
    Valid,
    Malformed,
    Overflow,
}

const DAY_IN_SECONDS: f64 = 86400.0;
const LARGEST_TIMEDELTA_IN_DAYS: f64 = 999_999_999.0;

/// Unknown units are skipped, a leading space makes a unit unknown, and one known unit is enough.
fn timedelta(text: &str) -> Timedelta {
    let mut units = std::collections::HashMap::new();
    for pair in text.split(';') {
        let parts: Vec<_> = pair.split('=').collect();
        let [unit, amount] = parts[..] else {
            return Timedelta::Malformed;
        };
        let Some(seconds) = seconds_of(&unit.to_lowercase()) else {
            continue;
        };
        let Some(amount) = python::float(amount) else {
            return Timedelta::Malformed;
        };
        units.insert(unit.to_lowercase(), seconds * amount);
    }
    let total: f64 = units.values().sum();
    if units.is_empty() || total.is_nan() {
        Timedelta::Malformed
    } else if (total / DAY_IN_SECONDS).abs() > LARGEST_TIMEDELTA_IN_DAYS {
        Timedelta::Overflow
    } else {
        Timedelta::Valid
    }
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "microseconds" => 1e-6,
        "milliseconds" => 1e-3,
        "seconds" => 1.0,
        "minutes" => 60.0,
        "hours" => 3600.0,
        "days" => DAY_IN_SECONDS,
        "weeks" => 7.0 * DAY_IN_SECONDS,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_the_server_reads_them() {
        for valid in [
            "hours=1",
            "Hours=1.5;minutes=-5",
            "hours=1; minutes=5",
            "hours=1;months=1",
        ] {
            assert_eq!(timedelta(valid), Timedelta::Valid, "{valid}");
        }
        for malformed in [
            "",
            "5",
            "hours=",
            "hours=1;",
            "months=1",
            "hours = 1",
            "hours=1=2",
        ] {
            assert_eq!(timedelta(malformed), Timedelta::Malformed, "{malformed}");
        }
        assert_eq!(timedelta("days=99999999999"), Timedelta::Overflow);
    }
}
