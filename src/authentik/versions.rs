//! Everything that differs between authentik's releases and that this operator has to know.
//!
//! Measured on authentik 2024.2.2, 2024.8.3, 2025.10.4 and 2026.5.0-rc1, and read from the published API schemas of the releases between.
//! A version that can't be read counts as the newest.

use std::fmt;

use serde_json::Value;

/// Rows to ask for in one page: the most that every release grants. From 2025.12 on larger numbers are cut to it without a word.
pub(super) const PAGE_SIZE: u32 = 100;

/// An authentik version, as the server names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    text: String,
    release: Option<(u16, u16)>,
}

impl Version {
    /// Reads `2024.2.2` or `2026.5.0-rc1`. Any other text is kept and counts as the newest release.
    pub fn parse(text: &str) -> Version {
        let mut parts = text.trim().splitn(3, '.').map(|part| part.parse().ok());
        let release = match (parts.next().flatten(), parts.next().flatten()) {
            (Some(year), Some(minor)) if year >= 2000 => Some((year, minor)),
            _ => None,
        };
        Version {
            text: text.trim().to_owned(),
            release,
        }
    }

    /// Whether this is the release `year.minor` or a newer one.
    pub fn at_least(&self, year: u16, minor: u16) -> bool {
        self.release.is_none_or(|release| release >= (year, minor))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// When authentik began to know something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// With this release (year, minor).
    Release(u16, u16),
    /// With some release newer than this one; which is not known.
    After(u16, u16),
}

impl Since {
    /// Whether that version can know it: `false` is certain, `true` may be wrong for [`Since::After`].
    pub fn may_be_known(self, version: &Version) -> bool {
        match self {
            Since::Release(year, minor) => version.at_least(year, minor),
            Since::After(year, minor) => version.at_least(year, minor + 1),
        }
    }
}

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Since::Release(year, minor) => write!(f, "authentik {year}.{minor}"),
            Since::After(year, minor) => write!(f, "an authentik newer than {year}.{minor}"),
        }
    }
}

/// When a stage's field, as the API names it, appeared; `None` for those that every supported release has.
///
/// An older server ignores the field and answers 200 (measured on 2024.2), so this explains what the answer has shown.
pub fn field_since(field: &str) -> Option<Since> {
    match field {
        "webauthn_allowed_device_types" => Some(Since::Release(2024, 6)),
        "webauthn_hints" => Some(Since::Release(2026, 5)),
        "email_otp_throttling_factor"
        | "sms_otp_throttling_factor"
        | "totp_otp_throttling_factor"
        | "static_otp_throttling_factor" => Some(Since::After(2026, 5)),
        _ => None,
    }
}

/// When a value in a list of a stage's field appeared; `None` for those that every supported release has. An older server answers 400.
pub fn value_since(field: &str, value: &str) -> Option<Since> {
    (field == "device_classes" && value == "email").then_some(Since::Release(2025, 2))
}

/// How a Duo stage's missing `friendly_name` is written: `""` from 2025.10 on, null before. Either kind of server refuses the other's.
pub fn no_friendly_name(version: &Version) -> Value {
    if version.at_least(2025, 10) {
        Value::from("")
    } else {
        Value::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_year_and_minor() {
        let old = Version::parse("2024.2.2");
        let candidate = Version::parse("2026.5.0-rc1");
        assert!(old.at_least(2024, 2) && !old.at_least(2024, 6));
        assert!(candidate.at_least(2026, 5) && !candidate.at_least(2026, 6));
        assert!(Version::parse("2025.10.4").at_least(2025, 9));
        assert_eq!(candidate.to_string(), "2026.5.0-rc1");
    }

    #[test]
    fn an_unreadable_version_counts_as_the_newest() {
        for text in [
            "",
            "main",
            "gh-next",
            "2024",
            "2024.x",
            "1.2.3",
            "99999.1.0",
        ] {
            assert!(Version::parse(text).at_least(9999, 12), "{text}");
        }
    }

    #[test]
    fn what_a_version_knows() {
        let known = |field, version| {
            field_since(field).is_none_or(|since| since.may_be_known(&Version::parse(version)))
        };
        assert!(!known("webauthn_allowed_device_types", "2024.4.1"));
        assert!(known("webauthn_allowed_device_types", "2024.6.0"));
        assert!(!known("sms_otp_throttling_factor", "2026.5.0"));
        assert!(known("sms_otp_throttling_factor", "2026.8.0"));
        assert!(known("name", "2024.2.2"));
        let email = value_since("device_classes", "email");
        assert_eq!(email, Some(Since::Release(2025, 2)));
        assert_eq!(value_since("device_classes", "totp"), None);
        assert_eq!(
            Since::After(2026, 5).to_string(),
            "an authentik newer than 2026.5"
        );
    }

    #[test]
    fn no_friendly_name_is_written_as_the_server_takes_it() {
        assert_eq!(no_friendly_name(&Version::parse("2025.8.4")), Value::Null);
        assert_eq!(
            no_friendly_name(&Version::parse("2025.10.0")),
            Value::from("")
        );
    }
}
