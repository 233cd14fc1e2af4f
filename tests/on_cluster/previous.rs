//! The release before this one: `releases/` keeps the packages of charts, and `dev/image/previous` builds the newest one's image.

use std::{fs, path::PathBuf};

use crate::{
    cluster::{Cluster, succeed},
    release::{install_from, repository},
};

/// What `make test-cluster` calls its image.
const IMAGE: [&str; 3] = [
    "--set=image.repository=localhost/authentik-stage-operator",
    "--set=image.tag=previous",
    "--set=image.digest=",
];

/// The newest chart that is kept.
fn chart() -> PathBuf {
    let folder = repository("tests/on_cluster/releases");
    let files = fs::read_dir(&folder).expect("it can be read");
    let paths = files.map(|file| file.expect("an entry").path());
    let newest =
        paths.max_by_key(|path| numbers(&path.file_stem().unwrap_or_default().to_string_lossy()));
    newest.expect("a chart is kept")
}

/// The numbers of a version at the end of this name, such as `chart-1.2.3`.
fn numbers(name: &str) -> Vec<u32> {
    let (_, version) = name.rsplit_once('-').expect("a name and a version");
    let numbers = version.split('.').map(str::parse);
    numbers.collect::<Result<_, _>>().expect("numbers")
}

/// Installs it.
pub fn install(cluster: &Cluster) {
    succeed(install_from(cluster, &chart()).args(IMAGE));
}

#[test]
fn a_greater_number_is_newer() {
    assert!(numbers("chart-0.10.0") > numbers("chart-0.9.1"));
}

#[test]
fn the_newest_release_is_kept() {
    let changelog = fs::read_to_string(repository("CHANGELOG.md")).expect("it can be read");
    let mut sections = changelog.split("\n## [").skip(1);
    let unreleased = sections
        .next()
        .expect("there is a section of what is not released");
    // What makes a release can't have its chart yet.
    let newest = if unreleased.contains("\n- ") { 1 } else { 2 };
    let versions = sections.filter_map(|section| Some(section.split_once(']')?.0));
    let mut newest = versions
        .take(newest)
        .map(|version| numbers(&format!("-{version}")));
    let kept = chart();
    let name = kept.file_stem().expect("a name").to_string_lossy();
    assert!(
        newest.any(|version| version == numbers(&name)),
        "{name} is not the newest release: keep its chart's package as CONTRIBUTING.md says"
    );
}
