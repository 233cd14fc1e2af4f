//! What catalogues of charts show, such as Artifact Hub: annotations of `Chart.yaml` that are made from the CRDs, the
//! examples and `CHANGELOG.md`.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Result, chart};
use crate::reference::crds;

/// Begins what is made; what is before it is written by hand.
const MADE: &str = "# What follows is made by `make generate`.\n";

/// What a URL must not hold as it is, beside what is no ASCII.
const NOT_IN_URLS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>');

/// The whole `Chart.yaml`.
///
/// # Errors
/// When a file can't be read, or is not as it has to be.
pub fn metadata() -> Result<String> {
    let text = fs::read_to_string(chart().join("Chart.yaml"))?;
    let (head, _) = text
        .split_once(MADE)
        .ok_or("Chart.yaml has lost the line that begins what is made")?;
    let changelog = fs::read_to_string(project().join("CHANGELOG.md"))?;
    let crds = crds()?;
    let icon = fs::read_to_string(chart().join("icon.svg"))?;
    let icon = utf8_percent_encode(icon.trim_end(), NOT_IN_URLS);
    let mut made = format!("{head}{MADE}icon: 'data:image/svg+xml,{icon}'\nannotations:\n");
    made += "  licenses: Apache-2.0\n";
    made += "  artifacthub.io/license: Apache-2.0\n";
    made += "  artifacthub.io/operator: \"true\"\n";
    // Upgrades need no step by hand. It neither backs authentik up nor restores it, so it has none of the levels above.
    made += "  artifacthub.io/operatorCapabilities: Seamless Upgrades\n";
    for (name, list) in [
        ("images", images(head)?),
        ("links", links()),
        ("crds", cards(&crds)),
        ("crdsExamples", examples(&crds)?),
        ("changes", changes(&changelog)?),
    ] {
        writeln!(made, "  artifacthub.io/{name}: |")?;
        for line in serde_saphyr::to_string(&list)?.lines() {
            writeln!(made, "    {line}")?;
        }
    }
    Ok(made)
}

/// Writes `Chart.yaml`: its part that is written by hand is read from it first.
///
/// # Errors
/// As [`metadata`], and when the file can't be written.
pub fn write_metadata() -> Result<()> {
    Ok(fs::write(chart().join("Chart.yaml"), metadata()?)?)
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The image that the chart's default values install once it is released.
fn images(head: &str) -> Result<Value> {
    let chart: Value = serde_saphyr::from_str(head)?;
    let version = chart["appVersion"].as_str().ok_or("no appVersion")?;
    Ok(json!([{
        "name": "authentik-stage-operator",
        "image": format!("registry.example.com/authentik-stage-operator:{version}"),
        "platforms": ["linux/amd64", "linux/arm64"],
    }]))
}

fn links() -> Value {
    json!([{"name": "authentik", "url": "https://goauthentik.io"}])
}

/// What is shown of each kind.
fn cards(crds: &[Value]) -> Value {
    let cards = crds.iter().map(|crd| {
        let version = &crd["spec"]["versions"][0];
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap_or_default();
        json!({
            "kind": kind,
            "version": version["name"],
            "name": crd["metadata"]["name"],
            "displayName": words(kind),
            "description": version["schema"]["openAPIV3Schema"]["description"],
        })
    });
    cards.collect()
}

/// A kind's name as words: `DuoStage` is `Duo Stage`.
fn words(kind: &str) -> String {
    let letters: Vec<char> = kind.chars().collect();
    let mut words = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| letters[at]);
        let next_is_small = letters.get(at + 1).is_some_and(char::is_ascii_lowercase);
        // A capital begins a word after a small letter, or where a small one follows: `TOTPStage`, `WebAuthn`.
        let begins = before.is_some_and(|before| before.is_ascii_lowercase() || next_is_small);
        if letter.is_ascii_uppercase() && begins {
            words.push(' ');
        }
        words.push(*letter);
    }
    words.replace("Web Authn", "WebAuthn")
}

/// The first resource of each kind in `examples/`.
fn examples(crds: &[Value]) -> Result<Value> {
    let mut files: Vec<_> = fs::read_dir(project().join("examples"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort_unstable();
    let mut documents = Vec::new();
    for file in files.iter().filter(|file| file.is_file()) {
        let more: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(file)?)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        documents.extend(more);
    }
    let first = crds.iter().filter_map(|crd| {
        let kind = &crd["spec"]["names"]["kind"];
        documents.iter().find(|document| document["kind"] == *kind)
    });
    Ok(first.cloned().collect())
}

/// The entries of the newest section that has some, each as its first sentence.
fn changes(changelog: &str) -> Result<Value> {
    let mut sections = changelog.split("\n## ").skip(1);
    let newest = sections.find(|section| section.contains("\n- "));
    let newest = newest.ok_or("CHANGELOG.md has no entry")?;
    let mut changes = Vec::new();
    for part in newest.split("\n### ").skip(1) {
        let (kind, entries) = part.split_once('\n').ok_or("a section is empty")?;
        for entry in format!("\n{entries}").split("\n- ").skip(1) {
            let description = first_sentence(entry);
            changes.push(json!({"kind": kind.to_lowercase(), "description": description}));
        }
    }
    Ok(Value::Array(changes))
}

fn first_sentence(entry: &str) -> String {
    let words: Vec<_> = entry.split_whitespace().collect();
    let text = words.join(" ");
    let end = text.find(". ").map_or(text.len(), |at| at + 1);
    text[..end].trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_shown_as_words() {
        for (kind, shown) in [
            ("AuthenticatorTOTPStage", "Authenticator TOTP Stage"),
            ("AuthenticatorWebAuthnStage", "Authenticator WebAuthn Stage"),
            ("Flow", "Flow"),
        ] {
            assert_eq!(words(kind), shown);
        }
    }

    #[test]
    fn changes_are_the_first_sentences_of_the_newest_section() {
        let text = "# Changelog\n\n## [Unreleased]\n\n## [2]\n\n### Added\n\n- One\n  thing. More.\n- Two.\n\n### Fixed\n\n- It.\n\n## [1]\n\n### Added\n\n- Old.\n";
        let wanted = json!([
            {"kind": "added", "description": "One thing"},
            {"kind": "added", "description": "Two"},
            {"kind": "fixed", "description": "It"},
        ]);
        assert_eq!(changes(text).unwrap(), wanted);
    }
}
