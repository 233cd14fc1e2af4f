//! Dependencies are kept up to date everywhere.
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{project, yaml};

/// The folders below this one that hold a Go module.
fn modules(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(project().join(folder)).expect("the folder can be read");
    let mut found = Vec::new();
    for entry in entries.map(|entry| entry.expect("an entry")) {
        let path = format!("{folder}/{}", entry.file_name().display());
        if entry.path().is_dir() {
            found.append(&mut modules(&path));
        } else if entry.file_name() == "go.mod" {
            found.push(format!("/{folder}"));
        }
    }
    found
}

/// The folders in which packages of an ecosystem are updated.
fn updated(ecosystem: &str) -> Vec<String> {
    let settings = yaml(".github/dependabot.yml");
    let updates = settings["updates"].as_array().expect("there are updates");
    let of_it = updates
        .iter()
        .filter(|update| update["package-ecosystem"] == ecosystem);
    let mut folders: Vec<_> = of_it.flat_map(folders).collect();
    folders.sort_unstable();
    folders
}

fn folders(update: &Value) -> Vec<String> {
    let several = update["directories"].as_array().cloned();
    let folders = several.unwrap_or_else(|| vec![update["directory"].clone()]);
    let texts = folders
        .iter()
        .map(|folder| folder.as_str().expect("a path"));
    texts.map(str::to_owned).collect()
}

#[test]
fn every_go_module_is_kept_up_to_date() {
    let mut modules = modules("dev");
    modules.sort_unstable();
    assert!(!modules.is_empty());
    assert_eq!(updated("gomod"), modules);
}

#[test]
fn every_cargo_workspace_is_kept_up_to_date() {
    for folder in updated("cargo") {
        let lock = Path::new(folder.trim_start_matches('/')).join("Cargo.lock");
        assert!(project().join(&lock).is_file(), "{}", lock.display());
    }
    assert_eq!(updated("cargo"), ["/", "/fuzz"]);
}

#[test]
fn actions_are_kept_up_to_date() {
    let actions = ["/", "/.github/actions/prepare", "/docs/github"];
    assert_eq!(updated("github-actions"), actions);
}

/// One pull request a week for each ecosystem, and not one for each package.
#[test]
fn updates_come_weekly_and_together() {
    let settings = yaml(".github/dependabot.yml");
    assert_eq!(settings["version"], 2);
    for update in settings["updates"].as_array().expect("there are updates") {
        assert_eq!(update["schedule"]["interval"], "weekly", "{update}");
        assert!(update["groups"].is_object(), "{update}");
    }
}
