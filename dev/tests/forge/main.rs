//! What a forge is told: workflows, forms, updates of dependencies, and which versions are supported.
mod forms;
mod updates;
mod versions;
mod workflows;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The paths of the files of a folder, sorted.
fn files(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(project().join(folder)).expect("the folder can be read");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut paths: Vec<_> = names
        .map(|name| format!("{folder}/{}", name.display()))
        .collect();
    paths.sort_unstable();
    paths
}
