//! What the changelog says of a release.

/// The part of a changelog, in the form of Keep a Changelog, that is about a version; without its heading.
///
/// # Errors
///
/// When there is none, or nothing in it.
pub fn section<'a>(changelog: &'a str, version: &str) -> Result<&'a str, String> {
    let heading = format!("\n## [{version}]");
    let (_, rest) = changelog
        .split_once(&heading)
        .ok_or_else(|| format!("CHANGELOG.md has no heading `## [{version}]`: add it, with the date, below [Unreleased]"))?;
    let (_, below) = rest.split_once('\n').unwrap_or_default();
    let section = below.split("\n## ").next().unwrap_or_default().trim();
    if section.is_empty() {
        return Err(format!("CHANGELOG.md says nothing below `## [{version}]`"));
    }
    Ok(section)
}

/// The same for a tag, such as `v0.1.0`.
///
/// # Errors
///
/// When the tag is not that of this version of the program, too.
pub fn notes<'a>(changelog: &'a str, tag: &str) -> Result<&'a str, String> {
    let version = env!("CARGO_PKG_VERSION");
    if tag.strip_prefix('v') != Some(version) {
        return Err(format!(
            "the tag is `{tag}`, but Cargo.toml and so the program say {version}: tag it v{version}, or change the version first"
        ));
    }
    section(changelog, version)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-02-03\n\n### Added\n\n- A kind.\n\n\
                             ## [0.1.0] - 2026-01-02\n\n- The first.\n";

    #[test]
    fn a_version_has_a_section() {
        assert_eq!(
            section(CHANGELOG, "0.2.0").unwrap(),
            "### Added\n\n- A kind."
        );
        assert_eq!(section(CHANGELOG, "0.1.0").unwrap(), "- The first.");
    }

    #[test]
    fn what_has_no_section_is_not_released() {
        let error = section(CHANGELOG, "0.3.0").unwrap_err();
        assert!(error.contains("no heading `## [0.3.0]`"), "{error}");
        let error = section(CHANGELOG, "Unreleased").unwrap_err();
        assert!(error.contains("says nothing below"), "{error}");
    }

    #[test]
    fn a_tag_is_of_the_version_that_is_built() {
        let version = env!("CARGO_PKG_VERSION");
        let changelog = format!("\n## [{version}]\n\nText\n");
        assert_eq!(notes(&changelog, &format!("v{version}")), Ok("Text"));
        for tag in [version, "v99.0.0", "v"] {
            let error = notes(&changelog, tag).unwrap_err();
            assert!(error.contains(&format!("tag it v{version}")), "{error}");
        }
    }
}
