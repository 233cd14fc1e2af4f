//! A report as text, as Markdown and as JSON: the difference first.

use std::fmt::{self, Write};

use serde_json::Value;

use super::{outcome::Outcome, report::Report};

/// For a person at a terminal.
///
/// # Errors
/// Where `out` can't be written to.
pub fn text(report: &Report, names: bool, out: &mut impl Write) -> fmt::Result {
    for sentence in difference(report) {
        writeln!(out, "{sentence}")?;
    }
    writeln!(out, "\n{:<34}{:>8}{:>8}", "", "now", "then")?;
    for outcome in Outcome::ALL {
        let (now, then) = (report.before[&outcome], report.after[&outcome]);
        writeln!(out, "{:<34}{now:>8}{then:>8}", called(outcome))?;
    }
    if names && !report.changes.is_empty() {
        writeln!(out)?;
        for change in &report.changes {
            let (now, then) = (called(change.before), called(change.after));
            writeln!(out, "{}: {now} -> {then}", change.username)?;
        }
        if report.more_changes > 0 {
            writeln!(out, "and {} more", report.more_changes)?;
        }
    }
    writeln!(out)?;
    for note in notes(report) {
        writeln!(out, "{note}")?;
    }
    Ok(())
}

/// For a comment on a change.
///
/// # Errors
/// Where `out` can't be written to.
pub fn markdown(report: &Report, names: bool, out: &mut impl Write) -> fmt::Result {
    let sentences = difference(report);
    let (first, rest) = sentences
        .split_first()
        .map_or(("", &[][..]), |(first, rest)| (first, rest));
    writeln!(out, "**{}**\n", escaped(first))?;
    for sentence in rest {
        writeln!(out, "- {}", escaped(sentence))?;
    }
    writeln!(out, "\n| people | now | then |\n|---|---:|---:|")?;
    for outcome in Outcome::ALL {
        let (now, then) = (report.before[&outcome], report.after[&outcome]);
        writeln!(out, "| {} | {now} | {then} |", called(outcome))?;
    }
    if names && !report.changes.is_empty() {
        writeln!(out, "\n| person | now | then |\n|---|---|---|")?;
        for change in &report.changes {
            let (now, then) = (called(change.before), called(change.after));
            let name = escaped(change.username.as_str());
            writeln!(out, "| {name} | {now} | {then} |")?;
        }
        if report.more_changes > 0 {
            writeln!(out, "\nand {} more", report.more_changes)?;
        }
    }
    writeln!(out)?;
    for note in notes(report) {
        writeln!(out, "{}\n", escaped(&note))?;
    }
    Ok(())
}

/// For another program.
#[must_use]
pub fn json(report: &Report, names: bool) -> Value {
    let mut body = serde_json::json!(report);
    body["notes"] = notes(report).into();
    if let (false, Value::Object(fields)) = (names, &mut body) {
        fields.remove("changes");
        fields.remove("more_changes");
    }
    body
}

/// What the change does, the worst first.
fn difference(report: &Report) -> Vec<String> {
    let of = format!("of {}", people(report.people));
    let stage = &report.stage;
    let mut sentences = vec![match report.locked_out {
        0 => format!(
            "Nobody {of} is known to be locked out by {stage:?}.",
            stage = stage.as_str()
        ),
        locked => format!(
            "{locked} {of} would be locked out by {stage:?}.",
            stage = stage.as_str()
        ),
    }];
    let mut say = |count: u64, what: &str| {
        if count > 0 {
            sentences.push(format!("{count} {what}"));
        }
    };
    say(
        report.perhaps_locked_out,
        "may be locked out: it can't be told whether they have a device that counts.",
    );
    say(
        report.to_enrol,
        "would be asked to enrol a device, and are not now.",
    );
    say(
        report.let_through,
        "would pass without a device, and do not now.",
    );
    sentences
}

fn people(count: u64) -> String {
    match count {
        1 => "1 person".to_owned(),
        count => format!("{count} people"),
    }
}

fn called(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::HasDevice => "asked for a device they have",
        Outcome::Enrols => "asked to enrol a device",
        Outcome::Refused => "refused",
        Outcome::Passes => "pass without a device",
        Outcome::Unknown => "can't be told",
    }
}

/// What the figures don't take into account.
fn notes(report: &Report) -> Vec<String> {
    let unseen = &report.unseen;
    let mut notes = Vec::new();
    if !report.exists {
        notes.push("There is no such stage now: everybody passes.".to_owned());
    }
    notes.extend(report.notes.iter().cloned());
    if unseen.recovery_codes {
        notes.push(
            "Nothing proves that the token is shown recovery codes, and nobody's were seen: who may have some can't be told. \
             A superuser's token is shown them; another needs authentik_stages_authenticator_static.view_staticdevice."
                .to_owned(),
        );
    }
    if unseen.gone > 0 {
        notes.push(format!(
            "{} went away meanwhile and are left out.",
            people(unseen.gone)
        ));
    }
    if unseen.unreadable > 0 {
        notes.push(format!(
            "{} can't be read and are left out.",
            people(unseen.unreadable)
        ));
    }
    if unseen.perhaps_more {
        notes.push("Users changed while they were listed, so some may be missing.".to_owned());
    }
    notes.push("Service accounts and users who are not active are left out.".to_owned());
    notes.push(
        "Policies on the stage's bindings are not looked at: they can make it not run for some, and which flows it is in \
         decides whom it meets."
            .to_owned(),
    );
    notes
}

/// A text that Markdown shows as it is.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() && !matches!(c, '.' | ',' | ':' | ';' | '\'' | '"' | '-' | '/')
        {
            out.push('\\');
        }
        out.push(c);
        // Nobody is called by it.
        if c == '@' {
            out.push('\u{200b}');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        authentik::Shown,
        impact::report::{Assessed, Unseen},
    };

    fn report(people: &[(&'static str, Outcome, Outcome)]) -> Report {
        let people: Vec<_> = people
            .iter()
            .map(|(name, before, after)| Assessed {
                username: Shown::fixed(name),
                seen: (*before, *after),
                unseen: (*before, *after),
            })
            .collect();
        let stage = Shown::fixed("mfa");
        Report::of(stage, true, &people, Outcome::Refused, Unseen::default())
    }

    fn rendered(report: &Report, names: bool) -> [String; 2] {
        let (mut plain, mut marked) = (String::new(), String::new());
        text(report, names, &mut plain).unwrap();
        markdown(report, names, &mut marked).unwrap();
        [plain, marked]
    }

    #[test]
    fn the_difference_comes_first() {
        let report = report(&[
            ("ada", Outcome::HasDevice, Outcome::Refused),
            ("bob", Outcome::HasDevice, Outcome::HasDevice),
        ]);
        let [plain, marked] = rendered(&report, false);
        assert!(
            plain.starts_with("1 of 2 people would be locked out by \"mfa\".\n"),
            "{plain}"
        );
        assert!(
            marked.starts_with("**1 of 2 people would be locked out"),
            "{marked}"
        );
        assert!(plain.contains("Policies on the stage's bindings are not looked at"));
    }

    #[test]
    fn names_are_shown_where_they_are_asked_for() {
        let report = report(&[("ada|@all", Outcome::HasDevice, Outcome::Refused)]);
        for text in rendered(&report, false) {
            assert!(!text.contains("ada"), "{text}");
        }
        let [plain, marked] = rendered(&report, true);
        assert!(
            plain.contains("ada|@all: asked for a device they have -> refused"),
            "{plain}"
        );
        assert!(marked.contains("| ada\\|\\@\u{200b}all | "), "{marked}");
        assert_eq!(json(&report, false).get("changes"), None);
        assert_eq!(json(&report, true)["changes"][0]["after"], "refused");
        assert_eq!(json(&report, false)["locked_out"], 1);
    }

    #[test]
    fn what_is_not_known_is_said() {
        let mut report = report(&[("ada", Outcome::Passes, Outcome::Unknown)]);
        report.exists = false;
        report.unseen = Unseen {
            gone: 1,
            unreadable: 2,
            perhaps_more: true,
            recovery_codes: true,
        };
        for text in rendered(&report, false) {
            for part in [
                "no such stage",
                "went away",
                "2 people can",
                "may be missing",
                "recovery codes",
                "1 may be locked out",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }
}
