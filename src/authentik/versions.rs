//! Everything that differs between authentik's releases and that this operator has to know.
//!
//! Measured on authentik 2024.2.2, 2024.8.3, 2025.10.4 and 2026.5.0-rc1, and read from the published API schemas of the releases between.
//! A version that can't be read counts as the newest.

use std::fmt;

/// Rows to ask for in one page: the most that every release grants. From 2025.12 on larger numbers are cut to it without a word.
pub(super) const PAGE_SIZE: u32 = 100;

/// The oldest release that is supported.
pub const OLDEST: (u16, u16) = (2024, 2);

/// The newest release that was measured.
pub const NEWEST: (u16, u16) = (2026, 5);

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

    /// Year and minor, where the text names them.
    pub fn release(&self) -> Option<(u16, u16)> {
        self.release
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

/// A value that not every supported release knows.
#[derive(Debug)]
pub struct ValueSince {
    /// The value.
    pub value: &'static str,
    /// Since when authentik knows it.
    pub since: Since,
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
    fn what_a_version_may_know() {
        let known = |since: Since, version| since.may_be_known(&Version::parse(version));
        assert!(!known(Since::Release(2024, 6), "2024.4.1"));
        assert!(known(Since::Release(2024, 6), "2024.6.0"));
        assert!(!known(Since::After(2026, 5), "2026.5.0"));
        assert!(known(Since::After(2026, 5), "2026.8.0"));
        assert_eq!(
            Since::After(2026, 5).to_string(),
            "an authentik newer than 2026.5"
        );
    }
}
