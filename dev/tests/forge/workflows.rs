//! The workflows are sound, and do little beside calling `make`.
use std::path::Path;
use std::{env, fs};

use devkit::actionlint::actionlint_command;
use serde_json::Value;

use super::{files, project, read, yaml};

/// The workflows of this repository.
const OURS: &str = ".github/workflows";

/// The action of this repository that they share.
const PREPARE: &str = ".github/actions/prepare/action.yaml";

/// One that users take into theirs.
const FOR_USERS: &str = "docs/github/review.yaml";

/// What actionlint finds wrong with a workflow; nothing where it is sound.
fn complaints(workflow: &Path) -> String {
    let done = actionlint_command(workflow).output();
    let done = done.expect("actionlint runs");
    let said = String::from_utf8_lossy(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.success(), said.is_empty(), "{said}{errors}");
    assert_eq!(errors, "", "{}", workflow.display());
    said.into_owned()
}

#[test]
fn every_workflow_is_sound() {
    let ours = files(OURS);
    assert!(!ours.is_empty());
    for workflow in ours.iter().map(String::as_str).chain([FOR_USERS]) {
        assert_eq!(complaints(&project().join(workflow)), "", "{workflow}");
    }
}

#[test]
fn mistakes_in_a_workflow_are_found() {
    let sound = read(".github/workflows/checks.yaml");
    let step = "run: make check";
    let mistakes = [
        ("run: [make, check]", "[syntax-check]"),
        ("rum: make check", "[syntax-check]"),
        ("run: make ${{ matrix.nothing }}", "[expression]"),
        // Whoever names a branch chooses what is run.
        ("run: echo ${{ github.head_ref }}", "potentially untrusted"),
    ];
    for (mistake, word) in mistakes {
        let wrong = sound.replacen(step, mistake, 1);
        assert_ne!(wrong, sound, "checks.yaml has no step `{step}`");
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mistake.yaml");
        fs::write(&file, wrong).expect("a file is written");
        let said = complaints(&file);
        assert!(said.contains(word), "{mistake}: {said}");
    }
}

/// The steps of all jobs of a workflow that have some, for a job may also be another workflow.
fn steps(workflow: &Value) -> Vec<Value> {
    let jobs = workflow["jobs"].as_object().expect("there are jobs");
    let steps = jobs
        .values()
        .filter_map(|job| job["steps"].as_array())
        .flatten();
    steps.cloned().collect()
}

/// What runs on a machine of the forge has to run elsewhere, too.
#[test]
fn what_a_workflow_runs_are_targets_of_make() {
    let makefile = read("Makefile");
    for path in files(OURS) {
        let workflow = yaml(&path);
        let steps = steps(&workflow);
        let lines = steps.iter().filter_map(|step| step["run"].as_str());
        for line in lines.flat_map(str::lines) {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["make", target, ..] => assert!(
                    makefile.contains(&format!("\n{target}: ## ")),
                    "{path}: the Makefile has no target {target}"
                ),
                // What the machines lack.
                ["sudo", "apt-get", ..] | ["rustup" | "cargo", ..] => {}
                _ => panic!("{path}: `{line}` is no target of make"),
            }
        }
    }
}

/// A tag can be moved to other code; a commit can't.
#[test]
fn actions_are_pinned_by_their_commits() {
    let used_by_several = PREPARE.to_owned();
    for path in files(OURS).into_iter().chain([used_by_several]) {
        let text = read(&path);
        let used = text.lines().filter_map(|line| line.split_once("uses: "));
        for (_, action) in used.filter(|(_, action)| !action.starts_with("./")) {
            let (_, pin) = action.split_once('@').expect("an action has a version");
            let (commit, version) = pin.split_once(" # v").unwrap_or((pin, ""));
            let is_commit = commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit());
            assert!(is_commit, "{path}: {action} is not pinned by a commit");
            assert_ne!(version, "", "{path}: {action} does not say which version");
        }
    }
}

#[test]
fn a_workflow_may_do_nothing_that_it_does_not_ask_for() {
    for path in files(OURS) {
        let workflow = yaml(&path);
        let given = workflow["permissions"].as_object();
        let given = given.unwrap_or_else(|| panic!("{path} says no permissions"));
        assert!(given.values().all(|right| right == "read"), "{path}");
        for step in steps(&workflow) {
            let is_checkout = step["uses"]
                .as_str()
                .is_some_and(|action| action.starts_with("actions/checkout@"));
            let keeps = step["with"]["persist-credentials"] != false;
            assert!(!(is_checkout && keeps), "{path}: the token stays on disk");
        }
    }
}
