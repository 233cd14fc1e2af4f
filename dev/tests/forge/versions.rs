//! The pages name the versions that are tested.
use devkit::kubernetes::Release;
use devkit::simulator::Version;

use super::{read, yaml};

/// `1.30` of `v1.30.14`.
fn minor(release: Release) -> &'static str {
    let (minor, _) = release.version().rsplit_once('.').expect("a patch version");
    minor.trim_start_matches('v')
}

/// The cells of the rows of the table below this heading.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = page
        .split_once(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("there is no heading `{heading}`"));
    let rows = section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim))
        .map(|cells| cells.map(str::to_owned).collect())
        .collect()
}

#[test]
fn the_page_about_versions_names_the_kubernetes_that_are_tested() {
    let rows = table(&read("docs/versions.md"), "Kubernetes");
    let named: Vec<_> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(named, [minor(Release::Newest), minor(Release::Oldest)]);
}

#[test]
fn the_page_about_versions_names_the_authentik_that_are_simulated() {
    let rows = table(&read("docs/versions.md"), "authentik");
    let named: Vec<_> = rows.iter().map(|row| row[0].as_str()).collect();
    let mut newest_first = Version::ALL.map(Version::name);
    newest_first.reverse();
    assert_eq!(named, newest_first);
}

#[test]
fn chart_and_pages_ask_for_the_oldest_kubernetes_that_is_tested() {
    let oldest = minor(Release::Oldest);
    let chart = yaml("charts/authentik-stage-operator/Chart.yaml");
    assert_eq!(chart["kubeVersion"], format!(">={oldest}.0-0"));
    let said = format!("Kubernetes {oldest} or later");
    assert!(read("docs/install.md").contains(&said), "{said}");
}
