//! What the pages show is what the code has.
use std::fs;
use std::path::{Path, PathBuf};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_field_reference_is_that_of_the_crds() {
    assert!(
        read("docs/reference.md") == devkit::reference::render().unwrap(),
        "docs/reference.md is out of date; run `make generate`"
    );
}

#[test]
fn the_image_has_the_public_cas_that_are_locked() {
    assert!(
        read("dev/image/ca-certificates.crt") == devkit::release::certificates(),
        "dev/image/ca-certificates.crt is out of date; run `make generate`"
    );
}

#[test]
fn what_gitops_tools_are_told_is_that_of_the_code() {
    for (path, text) in devkit::gitops::files().unwrap() {
        assert!(
            fs::read_to_string(&path).is_ok_and(|written| written == text),
            "{} is out of date; run `make generate`",
            path.display()
        );
    }
}

#[test]
fn the_readme_shows_examples_as_they_are() {
    let readme = read("README.md");
    let blocks: Vec<_> = readme
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect();
    assert!(!blocks.is_empty());
    let examples: Vec<_> = fs::read_dir(project().join("examples"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    for block in blocks {
        assert!(
            examples.iter().any(|example| example.contains(block)),
            "no file of examples/ holds this of the README:\n{block}"
        );
    }
}
