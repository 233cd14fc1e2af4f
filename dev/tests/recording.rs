//! The recording that the README shows is what the demo prints.

use std::fs;
use std::path::Path;
use std::process::Command;

use devkit::masks::masked;

/// The lines that the recording shows.
fn recorded() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/demo.svg");
    let svg = fs::read_to_string(path).unwrap();
    assert!(svg.len() < 200_000, "{}", svg.len());
    let svg = roxmltree::Document::parse(&svg).unwrap();
    let mut lines = vec![String::new()];
    for row in svg.descendants().filter(|node| node.has_tag_name("text")) {
        let line = lines.last_mut().unwrap();
        line.push_str(row.text().unwrap_or_default());
        if !row.has_attribute("data-goes-on") {
            lines.push(String::new());
        }
    }
    lines.pop();
    lines
}

#[test]
fn the_recording_shows_what_the_demo_prints() {
    let demo = Command::new(env!("CARGO_BIN_EXE_dev"))
        .args(["demo", "--once"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&demo.stderr);
    assert!(demo.status.success(), "{errors}");
    let printed = String::from_utf8(demo.stdout).unwrap();
    let recorded = recorded();
    assert_eq!(
        masked(recorded.iter().map(String::as_str)),
        masked(printed.lines()),
        "docs/demo.svg is out of date; run `make recording`"
    );
}
