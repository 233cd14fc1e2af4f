//! The files of `src/` use each other in one direction only.
//!
//! Read from the text: every `use`, and every path that begins with `crate`, `super`, `self` or with a module that a `use` has
//! brought in, is an arrow from the file that says it to the file that defines what it names. A name that a `mod.rs`
//! passes on leads to the file behind it. Tests within `src/` don't count.

mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use source::{Source, sources};

/// The rooms of `src/`, and which others each of them uses.
const ROOMS: [(&str, &[&str]); 12] = [
    ("main", &["cli"]),
    (
        "cli",
        &[
            "offline",
            "manifests",
            "impact",
            "controller",
            "export",
            "ops",
            "plan",
            "kinds",
            "api",
            "authentik",
        ],
    ),
    ("impact", &["kinds", "authentik"]),
    ("controller", &["ops", "plan", "kinds", "api", "authentik"]),
    (
        "export",
        &["manifests", "plan", "kinds", "api", "authentik"],
    ),
    ("ops", &["kinds", "api", "authentik"]),
    ("plan", &["kinds", "api", "authentik"]),
    ("kinds", &["api", "authentik"]),
    (
        "offline",
        &[
            "controller",
            "manifests",
            "ops",
            "plan",
            "kinds",
            "api",
            "authentik",
        ],
    ),
    ("manifests", &["kinds", "api"]),
    ("api", &[]),
    ("authentik", &[]),
];

/// The most lines of a file.
const MOST_LINES: usize = 400;

type Arrows = BTreeMap<String, BTreeSet<String>>;

fn read() -> BTreeMap<String, Source> {
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

fn arrows(sources: &BTreeMap<String, Source>) -> Arrows {
    let from = sources.iter().map(|(file, source)| {
        let to = source.uses(sources).into_iter().filter(|to| to != file);
        (file.clone(), to.collect())
    });
    from.collect()
}

/// All files that are reached from this one.
fn reached<'a>(arrows: &'a Arrows, from: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut left = vec![from];
    while let Some(file) = left.pop() {
        for to in &arrows[file] {
            if reached.insert(to.as_str()) {
                left.push(to);
            }
        }
    }
    reached
}

/// The files that reach themselves.
fn in_circles(arrows: &Arrows) -> Vec<&str> {
    let files = arrows.keys().map(String::as_str);
    files
        .filter(|file| reached(arrows, file).contains(file))
        .collect()
}

fn room(file: &str) -> &str {
    let room = file.split('/').next().unwrap_or_default();
    room.trim_end_matches(".rs")
}

#[test]
fn no_file_uses_one_that_uses_it() {
    let arrows = arrows(&read());
    let circles = in_circles(&arrows);
    let way = |from: &&str| {
        let back = |to: &&String| reached(&arrows, to).contains(from) || to == from;
        let to: Vec<_> = arrows[*from].iter().filter(back).cloned().collect();
        format!("{from} -> {}", to.join(", "))
    };
    let ways: Vec<_> = circles.iter().map(way).collect();
    assert!(circles.is_empty(), "{circles:?}\n{}", ways.join("\n"));
}

#[test]
fn no_room_uses_one_above_it() {
    let sources = read();
    let arrows = arrows(&sources);
    for (from, all) in arrows.iter().filter(|(from, _)| *from != "lib.rs") {
        let allowed = ROOMS.iter().find(|(name, _)| *name == room(from));
        let (name, allowed) = allowed
            .unwrap_or_else(|| panic!("{from} is in a room of its own; say what it may use"));
        for to in all {
            let is_allowed = room(to) == *name || allowed.contains(&room(to));
            assert!(is_allowed, "{from} uses {to}, which is not below it");
        }
    }
}

#[test]
fn every_room_that_is_named_is_there_and_is_used_by_the_one_above() {
    let arrows = arrows(&read());
    for (name, below) in ROOMS {
        for below in below {
            let mut from = arrows.iter().filter(|(from, _)| room(from) == name);
            let uses = from.any(|(_, to)| to.iter().any(|to| room(to) == *below));
            assert!(uses, "{name} does not use {below}; take it out of the list");
        }
    }
}

#[test]
fn no_file_is_longer_than_can_be_overlooked() {
    let sources = read();
    let long = sources
        .iter()
        .filter(|(_, source)| source.lines > MOST_LINES);
    let long: Vec<_> = long.map(|(file, _)| file.as_str()).collect();
    assert!(long.is_empty(), "{long:?}");
}

/// A reader that sees nothing would find no circle either.
#[test]
fn a_circle_would_be_found() {
    let files = [
        ("lib.rs", "pub mod high; pub mod low;"),
        (
            "low.rs",
            "pub struct Low; const TEXT: &str = \"use crate::high\"; // use crate::high;",
        ),
        (
            "high/mod.rs",
            "mod one; mod two; pub use self::{one::One, two::Two as Second};",
        ),
        (
            "high/one.rs",
            "use super::Second; use crate::low::{self, Low}; pub struct One(Second);",
        ),
        (
            "high/two.rs",
            "use super::one; pub struct Two; fn f() { one::f() }",
        ),
        (
            "high/three.rs",
            "#[cfg(test)] mod tests { use crate::high::One; }",
        ),
    ];
    let mut sources: BTreeMap<_, _> = files
        .map(|(file, text)| (file.to_owned(), Source::new(file, text)))
        .into();
    let to = |from: &str, sources: &BTreeMap<String, Source>| {
        arrows(sources)[from].iter().cloned().collect::<Vec<_>>()
    };
    assert_eq!(to("high/one.rs", &sources), ["high/two.rs", "low.rs"]);
    assert_eq!(to("high/two.rs", &sources), ["high/one.rs"]);
    for empty in ["lib.rs", "low.rs", "high/mod.rs", "high/three.rs"] {
        assert_eq!(to(empty, &sources), Vec::<String>::new(), "{empty}");
    }
    let circle = ["high/one.rs", "high/two.rs"];
    assert_eq!(in_circles(&arrows(&sources)), circle);
    let two = Source::new("high/two.rs", "pub struct Two;");
    sources.insert("high/two.rs".to_owned(), two);
    assert_eq!(in_circles(&arrows(&sources)), Vec::<&str>::new());
}
