//! What others have changed in authentik, as people are told of it.

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::{
    authors::{Authors, by},
    desired::Desired,
    note::Note,
};
use crate::{
    api::{Author, DriftedField},
    authentik::cut,
    kinds::Kind,
};

/// Most characters of a value that an event shows.
const LONGEST_VALUE: usize = 80;

/// What others have changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drift {
    /// How authentik differed from the spec.
    pub fields: Vec<DriftedField>,
    /// Who made it so, as far as that is known.
    pub by: Option<Authors>,
    /// Whether people may be named.
    pub names: bool,
}

/// Drift that was put right. It is told once it has been asked who made it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Repair {
    /// The drift.
    pub drift: Drift,
    /// What others have changed: the object itself, the one before it, or a binding. Nothing where that is not known.
    pub object: Option<Uuid>,
    /// Whether the repair has written that; else it has put something new in its place.
    pub is_written: bool,
    /// How long it lasted, at the most; nothing where the object was not seen before.
    pub lasted: Option<Duration>,
    /// Whether it is to be warned of a weaker second factor.
    pub warns: bool,
}

impl Drift {
    /// What is told once it is put right.
    #[must_use]
    pub fn mended(&self, fields: &[String]) -> String {
        let fields: Vec<_> = fields.iter().map(|field| self.field(field)).collect();
        format!("put right {}{}", fields.join(", "), self.by())
    }

    fn field(&self, name: &str) -> String {
        let mut fields = self.fields.iter();
        match fields.find(|drift| drift.field == name) {
            Some(drift) if drift.wanted != "<secret>" => {
                format!(
                    "{name} ({} → {})",
                    plain(&drift.found),
                    plain(&drift.wanted)
                )
            }
            _ => name.to_owned(),
        }
    }

    fn by(&self) -> String {
        let by = self.by.as_ref();
        by.map_or_else(String::new, |by| format!(", {}", by.told(self.names)))
    }

    /// The fields that made the second factor weaker, each with what was found and wanted.
    fn weaker(&self) -> Vec<String> {
        let fields = self.fields.iter().filter(|drift| drift.weaker);
        fields.map(|drift| self.field(&drift.field)).collect()
    }

    /// Whether any of it made the second factor weaker.
    #[must_use]
    pub fn is_weaker(&self) -> bool {
        self.fields.iter().any(|drift| drift.weaker)
    }

    /// The warning that the second factor was made weaker: `since` is how long ago it was last seen as it should be.
    #[must_use]
    pub fn weakened(&self, since: Option<Duration>, ended: Ended) -> Note {
        let lasted = since.map(|since| format!("for {} at most", span(since)));
        let so_far = lasted.as_ref();
        let so_far = so_far.map_or_else(String::new, |lasted| format!(" ({lasted} so far)"));
        let what = match ended {
            Ended::Mended => match lasted {
                Some(lasted) => {
                    format!("{lasted}, the second factor was weaker than the spec asks")
                }
                None => "the second factor was weaker than the spec asks".to_owned(),
            },
            Ended::NotYet => format!(
                "the second factor is weaker than the spec asks{so_far}, and could not be put right yet"
            ),
            Ended::Observed => format!(
                "the second factor is weaker than the spec asks{so_far}, and managementPolicy: Observe keeps it so; set Enforce to mend it"
            ),
        };
        let note = format!("{what}: {}{}", self.weaker().join(", "), self.by());
        Note::warning("FactorWeakened", note)
    }
}

/// How it ended that authentik was found weaker than the spec.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// It is put right.
    Mended,
    /// It could not be put right.
    NotYet,
    /// It is left so.
    Observed,
}

/// The object that a resource asks for is not there.
#[must_use]
pub fn missing<K: Kind>(desired: &Desired) -> DriftedField {
    DriftedField {
        field: K::LABEL.spec.to_owned(),
        wanted: Value::from(desired.name.as_str()).to_string(),
        found: Value::Null.to_string(),
        weaker: K::ASKS_FOR_FACTOR,
    }
}

/// The warning that someone else uses the operator's own account.
#[must_use]
pub fn another_writer(found: &Author) -> Note {
    let text = format!(
        "the account of the connection's token was used{}, and not by this operator: a second operator, Terraform or a person has it too; give each an account of its own",
        by(found)
    );
    Note::warning("AnotherWriter", text)
}

/// A value of JSON as people write it, cut short.
fn plain(json: &str) -> String {
    let text = match serde_json::from_str(json) {
        Ok(Value::String(text)) => text,
        Ok(Value::Null) => "nothing".to_owned(),
        _ => json.to_owned(),
    };
    cut(&text, LONGEST_VALUE)
}

/// A time in the unit that suits it, rounded up: it is a bound.
fn span(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{authentik::audit::Deed, plan::tests::drifted};

    fn drift() -> Drift {
        let author = Author {
            username: Some("alice".to_owned()),
            client_ip: Some("10.0.0.4".to_owned()),
            user_agent: Some("Mozilla/5.0".to_owned()),
            time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                "2026-01-01T12:03:08.9Z".parse().unwrap(),
            ),
        };
        Drift {
            fields: vec![
                drifted("notConfiguredAction", "\"configure\"", "\"skip\"", true),
                drifted("webauthnHints", "[]", "[\"hybrid\"]", false),
                drifted("authPassword", "<secret>", "<secret>", false),
            ],
            by: Some(Authors {
                deed: Deed::Updated,
                last: author,
                others: Vec::new(),
            }),
            names: true,
        }
    }

    #[test]
    fn an_event_tells_what_was_put_right_and_who_had_changed_it() {
        let fields = ["authPassword", "notConfiguredAction", "webauthnHints"].map(str::to_owned);
        assert_eq!(
            drift().mended(&fields),
            "put right authPassword, notConfiguredAction (skip → configure), webauthnHints ([\"hybrid\"] → []), changed by alice from 10.0.0.4 at 2026-01-01T12:03:08Z with Mozilla/5.0"
        );
        let unknown = Drift {
            by: None,
            ..drift()
        };
        assert_eq!(
            unknown.mended(&fields[1..2]),
            "put right notConfiguredAction (skip → configure)"
        );
    }

    #[test]
    fn a_weaker_factor_is_told_with_how_long_it_was_so() {
        let since = Some(Duration::from_millis(11_200));
        let drift = Drift {
            by: None,
            ..drift()
        };
        for (since, ended, told) in [
            (
                since,
                Ended::Mended,
                "for 12 s at most, the second factor was weaker than the spec asks: ",
            ),
            (
                None,
                Ended::Mended,
                "the second factor was weaker than the spec asks: ",
            ),
            (
                since,
                Ended::NotYet,
                "the second factor is weaker than the spec asks (for 12 s at most so far), and could not be put right yet: ",
            ),
            (
                None,
                Ended::Observed,
                "the second factor is weaker than the spec asks, and managementPolicy: Observe keeps it so; set Enforce to mend it: ",
            ),
        ] {
            let note = drift.weakened(since, ended);
            assert!(note.warning && note.reason == "FactorWeakened");
            assert_eq!(
                note.text,
                format!("{told}notConfiguredAction (skip → configure)")
            );
        }
    }

    #[test]
    fn a_bound_is_rounded_up() {
        for (seconds, told) in [(0, "0 s"), (119, "119 s"), (121, "3 min"), (7201, "3 h")] {
            assert_eq!(span(Duration::from_secs(seconds)), told);
        }
    }
}
