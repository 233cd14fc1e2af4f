//! One file of Rust, as far as it says what it uses.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    slice::Iter,
};

/// The crate's own name, by which the program calls it.
const CRATE: &str = "authentik_stage_operator";

/// The files below this folder, by their path in it. Tests are left out.
pub fn sources(folder: &Path) -> BTreeMap<String, Source> {
    let mut found = BTreeMap::new();
    let mut left = vec![String::new()];
    while let Some(path) = left.pop() {
        for entry in fs::read_dir(folder.join(&path)).expect("the folder can be read") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a name");
            let path = format!("{path}{name}");
            if name == "tests" || name == "tests.rs" {
                continue;
            } else if entry.path().is_dir() {
                left.push(format!("{path}/"));
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(entry.path()).expect("the file can be read");
                found.insert(path.clone(), Source::new(&path, &text));
            }
        }
    }
    found
}

/// A path as the code writes it, such as `crate::plan::Live`.
type Names = Vec<String>;

/// One file.
pub struct Source {
    /// How many lines it has.
    pub lines: usize,
    /// Its path in the folder.
    file: String,
    /// Its module, from the crate's root on.
    module: Names,
    brought_in: Vec<BroughtIn>,
    /// The modules of which it brings in all names.
    globs: Vec<Names>,
    /// Every other path in it, single names too.
    paths: Vec<Names>,
}

/// A name that a `use` brings in.
struct BroughtIn {
    name: String,
    /// What it stands for.
    path: Names,
    /// Whether others may use it from here.
    is_passed_on: bool,
}

impl Source {
    pub fn new(file: &str, text: &str) -> Self {
        let module = file.trim_end_matches(".rs").split('/');
        let module = module.filter(|name| !matches!(*name, "mod" | "lib"));
        let mut source = Self {
            lines: text.lines().count(),
            file: file.to_owned(),
            module: module.map(str::to_owned).collect(),
            brought_in: Vec::new(),
            globs: Vec::new(),
            paths: Vec::new(),
        };
        source.read(&without_tests(&tokens(text)));
        source
    }

    fn read(&mut self, tokens: &[String]) {
        let mut at = 0;
        while at < tokens.len() {
            let before = at.checked_sub(1).map_or("", |at| &tokens[at]);
            if tokens[at] == "use" {
                let length = tokens[at..].iter().take_while(|token| *token != ";");
                let end = at + length.count();
                let is_passed_on = matches!(before, "pub" | ")");
                self.read_use(&mut tokens[at + 1..end].iter(), &[], is_passed_on);
                at = end;
            } else if is_name(&tokens[at]) && !matches!(before, "::" | "." | "mod") {
                let mut path = vec![tokens[at].clone()];
                while let [colons, name, ..] = &tokens[at + 1..]
                    && colons == "::"
                    && is_name(name)
                {
                    path.push(name.clone());
                    at += 2;
                }
                self.paths.push(path);
            }
            at += 1;
        }
    }

    /// Reads what stands behind `use`, or between two braces there.
    fn read_use(&mut self, tokens: &mut Iter<'_, String>, before: &[String], is_passed_on: bool) {
        let mut path = before.to_vec();
        let mut alias = None;
        while let Some(token) = tokens.next() {
            match token.as_str() {
                "{" => {
                    self.read_use(tokens, &path, is_passed_on);
                    path = before.to_vec();
                }
                "," | "}" => {
                    self.bring_in(
                        std::mem::replace(&mut path, before.to_vec()),
                        before,
                        alias.take(),
                        is_passed_on,
                    );
                    if token == "}" {
                        return;
                    }
                }
                "as" => alias = tokens.next().cloned(),
                "::" => {}
                name => path.push(name.to_owned()),
            }
        }
        self.bring_in(path, before, alias, is_passed_on);
    }

    fn bring_in(
        &mut self,
        mut path: Names,
        before: &[String],
        alias: Option<String>,
        is_passed_on: bool,
    ) {
        if path == before {
            return;
        }
        if path.last().is_some_and(|last| last == "*") {
            path.pop();
            self.globs.push(path);
            return;
        }
        // `a::{self}` is `a`.
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        if let Some(last) = path.last() {
            self.brought_in.push(BroughtIn {
                name: alias.unwrap_or_else(|| last.clone()),
                path,
                is_passed_on,
            });
        }
    }

    fn stands_for(&self, name: &str) -> Option<&[String]> {
        let mut all = self.brought_in.iter();
        Some(&all.find(|of| of.name == name)?.path)
    }

    /// The files that define what this one uses.
    pub fn uses(&self, all: &BTreeMap<String, Source>) -> BTreeSet<String> {
        let all = All(all.values().map(|of| (of.module.as_slice(), of)).collect());
        let is_used = |name: &String| self.paths.iter().any(|path| path[0] == *name);
        // What is only passed on is not used here.
        let brought_in = self.brought_in.iter();
        let brought_in = brought_in.filter(|of| !of.is_passed_on || is_used(&of.name));
        let brought_in = brought_in.map(|of| &of.path);
        let paths = self.paths.iter().filter(|path| path.len() > 1);
        let definers = brought_in
            .chain(paths)
            .filter_map(|path| all.definer(self, path, 0));
        let globs = self.globs.iter().filter_map(|path| all.module(self, path));
        definers.chain(globs).map(|of| of.file.clone()).collect()
    }
}

/// All files by their modules.
struct All<'a>(BTreeMap<&'a [String], &'a Source>);

impl<'a> All<'a> {
    /// The file that defines what this path stands for in this file; nothing where that is a module or of another crate.
    fn definer(&self, from: &'a Source, path: &[String], depth: u32) -> Option<&'a Source> {
        // A misread text must not make the test run for ever.
        assert!(depth < 32, "{path:?} in {} leads nowhere", from.file);
        let (mut at, rest) = self.start(from, path)?;
        for (passed, name) in rest.iter().enumerate() {
            if let Some(child) = self.child(at, name) {
                at = child;
            } else if let Some(behind) = at.stands_for(name) {
                let path = [behind, &rest[passed + 1..]].concat();
                return self.definer(at, &path, depth + 1);
            } else {
                return Some(at);
            }
        }
        None
    }

    /// The module that this path stands for, if it stands for one.
    fn module(&self, from: &'a Source, path: &[String]) -> Option<&'a Source> {
        let (at, rest) = self.start(from, path)?;
        rest.iter().try_fold(at, |at, name| self.child(at, name))
    }

    /// The module that a path begins in, and what is left of it; nothing where it begins in another crate.
    fn start<'b>(
        &self,
        from: &'a Source,
        path: &'b [String],
    ) -> Option<(&'a Source, &'b [String])> {
        match path[0].as_str() {
            "crate" | CRATE => Some((self.0.get([].as_slice())?, &path[1..])),
            "self" => Some((from, &path[1..])),
            "super" => {
                let supers = path.iter().take_while(|name| *name == "super").count();
                let kept = from.module.len().checked_sub(supers)?;
                Some((self.0.get(&from.module[..kept])?, &path[supers..]))
            }
            name if self.child(from, name).is_some() => Some((from, path)),
            name => {
                // A module that was brought in, and what is named in it.
                let behind = from.stands_for(name).filter(|behind| behind[0] != name)?;
                Some((self.module(from, behind)?, &path[1..]))
            }
        }
    }

    fn child(&self, at: &Source, name: &str) -> Option<&'a Source> {
        let module = [at.module.as_slice(), &[name.to_owned()]].concat();
        self.0.get(module.as_slice()).copied()
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The names and signs of a text, without comments and without the contents of its texts.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = length(rest, first);
        let (token, after) = rest.split_at(length);
        rest = after;
        let is_skipped = token.starts_with("//") || token.starts_with("/*");
        if !is_skipped && !first.is_whitespace() {
            let is_text = token.len() > 1 && token.ends_with(['"', '\'', '#']);
            tokens.push(if is_text {
                "\"\"".to_owned()
            } else {
                token.to_owned()
            });
        }
    }
    tokens
}

/// How long the token is that the text begins with.
fn length(text: &str, first: char) -> usize {
    if let Some((begins, end)) = raw_text(text) {
        return up_to(text, begins, &end);
    }
    match first {
        '/' if text.starts_with("//") => up_to(text, 0, "\n"),
        '/' if text.starts_with("/*") => up_to(text, 0, "*/"),
        '"' => quoted(text, '"'),
        // A lifetime is no character.
        '\'' if text[1..].starts_with('\\') || text.chars().nth(2) == Some('\'') => {
            quoted(text, '\'')
        }
        ':' if text.starts_with("::") => 2,
        '.' if text.starts_with("..") => 2,
        _ if is_name(text) => {
            let ends = |c: char| !c.is_alphanumeric() && c != '_';
            text.find(ends).unwrap_or(text.len())
        }
        other => other.len_utf8(),
    }
}

/// Where the contents of the raw text begin that this text begins with, and what ends it.
fn raw_text(text: &str) -> Option<(usize, String)> {
    let behind = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = behind.len() - behind.trim_start_matches('#').len();
    behind[hashes..].strip_prefix('"').map(|contents| {
        let end = format!("\"{}", "#".repeat(hashes));
        (text.len() - contents.len(), end)
    })
}

fn up_to(text: &str, from: usize, end: &str) -> usize {
    let found = text[from..].find(end);
    found.map_or(text.len(), |at| from + at + end.len())
}

fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    let end = text.char_indices().find(|&(at, c)| {
        let ends = at > 0 && c == quote && !is_escaped;
        is_escaped = at > 0 && c == '\\' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// The tokens without what is compiled for tests only.
fn without_tests(mut tokens: &[String]) -> Vec<String> {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    while let Some(first) = tokens.first() {
        let is_test = tokens.len() > TEST.len() && tokens.iter().zip(TEST).all(|(a, b)| a == b);
        if is_test {
            tokens = &tokens[TEST.len()..];
            tokens = &tokens[item(tokens)..];
        } else {
            kept.push(first.clone());
            tokens = &tokens[1..];
        }
    }
    kept
}

/// How many tokens the item has that these begin with: it ends with a semicolon or with the brace that its first one opens.
fn item(tokens: &[String]) -> usize {
    let mut depth = 0;
    let end = tokens.iter().position(|token| {
        depth += match token.as_str() {
            "{" => 1,
            "}" => -1,
            _ => 0,
        };
        depth == 0 && matches!(token.as_str(), "}" | ";")
    });
    end.map_or(tokens.len(), |at| at + 1)
}
