//! The forms for issues are ones that GitHub shows: it passes over one with a mistake, and says so to nobody who asks.
use std::collections::BTreeSet;

use serde_json::Value;

use super::{files, read, yaml};

const FORMS: &str = ".github/ISSUE_TEMPLATE";

/// The elements of a form; and whether they are given an answer, and so need an ID.
const TYPES: [(&str, bool); 5] = [
    ("markdown", false),
    ("input", true),
    ("textarea", true),
    ("dropdown", true),
    ("checkboxes", true),
];

fn text<'a>(value: &'a Value, what: &str) -> &'a str {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.unwrap_or_else(|| panic!("{what} is no text"))
}

fn forms() -> Vec<String> {
    let mut forms = files(FORMS);
    forms.retain(|path| !path.ends_with("/config.yml"));
    forms
}

/// Panics where GitHub would not take an element; returns its ID if it has to have one.
fn judge(path: &str, element: &Value) -> Option<String> {
    let kind = text(&element["type"], path);
    let known = TYPES.iter().find(|(known, _)| *known == kind);
    let (_, is_answered) = known.unwrap_or_else(|| panic!("{path}: no element is a {kind}"));
    let attributes = &element["attributes"];
    if !is_answered {
        text(&attributes["value"], path);
        return None;
    }
    let id = text(&element["id"], path);
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    assert!(id.chars().all(is_allowed), "{path}: {id}");
    text(&attributes["label"], &format!("{path}: the label of {id}"));
    let required = &element["validations"]["required"];
    assert!(required.is_boolean() || required.is_null(), "{path}: {id}");
    if kind == "dropdown" || kind == "checkboxes" {
        let options = attributes["options"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        assert!(!options.is_empty(), "{path}: {id} has no options");
        let shown: BTreeSet<_> = options.iter().map(Value::to_string).collect();
        assert_eq!(shown.len(), options.len(), "{path}: {id} repeats an option");
    }
    Some(id.to_owned())
}

#[test]
fn every_form_is_sound() {
    assert!(!forms().is_empty());
    for path in forms() {
        let form = yaml(&path);
        text(&form["name"], &format!("{path}: name"));
        text(&form["description"], &format!("{path}: description"));
        let body = form["body"].as_array().expect("a form has elements");
        let ids: Vec<_> = body
            .iter()
            .filter_map(|element| judge(&path, element))
            .collect();
        assert!(!ids.is_empty(), "{path} asks nothing");
        let unique: BTreeSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "{path}: {ids:?}");
        let labels = body
            .iter()
            .filter_map(|element| element["attributes"]["label"].as_str());
        let unique: BTreeSet<_> = labels.clone().collect();
        assert_eq!(unique.len(), labels.count(), "{path} asks the same twice");
    }
}

#[test]
fn a_report_of_a_bug_tells_what_is_needed_to_find_it() {
    let form = yaml(".github/ISSUE_TEMPLATE/bug.yaml");
    let body = form["body"].as_array().expect("a form has elements");
    let is_required = |id: &str| {
        let element = body.iter().find(|element| element["id"] == id);
        let element = element.unwrap_or_else(|| panic!("the form does not ask for {id}"));
        element["validations"]["required"] == true
    };
    for id in ["what", "operator", "authentik", "kubernetes", "installed"] {
        assert!(is_required(id), "{id}");
    }
    // What somebody may not have.
    for id in ["check", "status", "resource", "log"] {
        assert!(!is_required(id), "{id}");
    }
}

/// Whoever has found a hole must not publish it.
#[test]
fn issues_are_made_with_a_form_and_holes_are_told_in_private() {
    let settings = yaml(".github/ISSUE_TEMPLATE/config.yml");
    assert_eq!(settings["blank_issues_enabled"], false);
    for path in forms() {
        assert!(read(&path).contains("SECURITY.md"), "{path}");
    }
}
