//! The pages: links lead somewhere, and what they tell people to make can be made.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use regex::Regex;

/// The most lines of the README: one that is longer is not read.
const MOST_LINES_OF_README: usize = 199;

/// Folders that hold what others wrote or what is built.
const NOT_OURS: [&str; 2] = ["target", "node_modules"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Markdown files below a folder.
fn pages(folder: &Path, found: &mut BTreeMap<PathBuf, Page>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        if path.is_dir() && !name.starts_with('.') && !NOT_OURS.contains(&&*name) {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(&path).expect("the page can be read");
            found.insert(path, Page::read(&text));
        }
    }
}

fn all() -> BTreeMap<PathBuf, Page> {
    let mut found = BTreeMap::new();
    pages(root(), &mut found);
    assert!(found.len() > 20, "{:?}", found.keys());
    found
}

/// What is looked at of a page.
#[derive(Default)]
struct Page {
    /// What a link may name behind `#`.
    anchors: Vec<String>,
    links: Vec<String>,
    /// What is set in a code's letters, within lines and in blocks.
    code: Vec<String>,
}

impl Page {
    fn read(text: &str) -> Self {
        let mut page = Self::default();
        let mut heading: Option<String> = None;
        let mut in_block = false;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    page.add_anchor(&heading.take().unwrap_or_default())
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::CodeBlock(_)) => in_block = true,
                Event::End(TagEnd::CodeBlock) => in_block = false,
                Event::Text(text) if in_block => page.code.push(text.into_string()),
                Event::Code(text) => {
                    heading
                        .iter_mut()
                        .for_each(|heading| heading.push_str(&text));
                    page.code.push(text.into_string());
                }
                Event::Text(text) => heading
                    .iter_mut()
                    .for_each(|heading| heading.push_str(&text)),
                _ => {}
            }
        }
        page
    }

    /// The anchor that forges give a heading. A second one of the same name is numbered.
    fn add_anchor(&mut self, heading: &str) {
        let kept = |letter: &char| letter.is_alphanumeric() || "-_ ".contains(*letter);
        let kept: String = heading.to_lowercase().chars().filter(kept).collect();
        let anchor = kept.replace(' ', "-");
        let numbered = |number: usize| match number {
            0 => anchor.clone(),
            number => format!("{anchor}-{number}"),
        };
        let free = (0..)
            .map(numbered)
            .find(|anchor| !self.anchors.contains(anchor));
        self.anchors.extend(free);
    }
}

/// A path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            part => normal.push(part),
        }
    }
    normal
}

/// Pages of the forge itself, seen from a file at the top of the repository: they are no files.
const FORGE: [&str; 1] = ["../../security/advisories/new"];

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let pages = all();
    let mut wrong = Vec::new();
    let mut followed = 0;
    for (path, page) in &pages {
        let inside = |link: &&String| !link.contains("://") && !FORGE.contains(&link.as_str());
        for link in page.links.iter().filter(inside) {
            followed += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = path.parent().expect("a folder");
            let target = match file {
                "" => path.clone(),
                file => normal(&folder.join(file)),
            };
            let has_anchor = anchor.is_empty()
                || pages
                    .get(&target)
                    .is_some_and(|page| page.anchors.iter().any(|one| one == anchor));
            if !target.exists() || !has_anchor {
                wrong.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(followed > 100, "{followed}");
    assert_eq!(wrong, Vec::<String>::new(), "these links lead nowhere");
}

#[test]
fn every_target_of_make_that_is_named_is_there() {
    let makefile = fs::read_to_string(root().join("Makefile")).expect("it can be read");
    let targets: Vec<_> = makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', '.']))
        .filter_map(|line| Some(line.split_once(':')?.0))
        .collect();
    let mut missing = Vec::new();
    let mut named = 0;
    for (path, page) in all() {
        for line in page.code.iter().flat_map(|code| code.lines()) {
            let mut words = line
                .split_whitespace()
                .skip_while(|word| word.contains('='));
            let target = words.next().filter(|word| *word == "make");
            let target = target.and_then(|_| words.find(|word| !word.contains('=')));
            let Some(target) = target else { continue };
            named += 1;
            if !targets.contains(&target) {
                missing.push(format!("{}: make {target}", path.display()));
            }
        }
    }
    assert!(named > 20, "{named}");
    assert_eq!(
        missing,
        Vec::<String>::new(),
        "the Makefile has no such target"
    );
}

#[test]
fn the_version_that_pages_install_is_this_one() {
    let version = Regex::new(r"\d+\.\d+\.\d+").expect("it is one");
    let of_the_release = ["registry.example.com", "tag: ", "newTag: "];
    let mut found = 0;
    for (path, page) in all() {
        let lines = page.code.iter().flat_map(|code| code.lines());
        for line in lines.filter(|line| of_the_release.iter().any(|text| line.contains(text))) {
            for named in version.find_iter(line) {
                found += 1;
                let named = named.as_str();
                assert_eq!(
                    named,
                    env!("CARGO_PKG_VERSION"),
                    "{}: {line}",
                    path.display()
                );
            }
        }
    }
    assert!(found > 8, "{found}");
}

#[test]
fn the_readme_is_short() {
    let readme = fs::read_to_string(root().join("README.md")).expect("it can be read");
    assert!(readme.lines().count() <= MOST_LINES_OF_README);
}

#[test]
fn anchors_are_those_of_forges() {
    let page = Page::read("# With kustomize, or `kubectl`\n\n## A_b-c?\n\n## A_b-c\n");
    assert_eq!(
        page.anchors,
        ["with-kustomize-or-kubectl", "a_b-c", "a_b-c-1"]
    );
}
