//! A report for comments of pull requests.

use std::fmt::Write;

use super::row::{Action, Row, Summary};

/// The most bytes of a report. GitHub takes comments of 65,536 characters, and a workflow may add some of its own.
const LONGEST: usize = 60_000;

/// The report.
pub fn report(rows: &[Row]) -> String {
    let mut text = format!("### authentik: {}\n", Summary::of(rows));
    let told = rows.iter().filter(|row| row.action != Action::None);
    let mut left = told.clone().count();
    for row in told {
        let section = section(row);
        if text.len() + section.len() > LONGEST {
            // A String can be written to without an error.
            let _ = writeln!(text, "\nand {left} more, for which there is no room here");
            break;
        }
        text.push_str(&section);
        left -= 1;
    }
    text
}

fn section(row: &Row) -> String {
    let what = match row.action {
        Action::None => "no difference",
        Action::Adopt => "would be taken over as it is",
        Action::Create => "would be **created**",
        Action::Update => "would be **changed**",
        Action::Observe => "differs, and is only observed",
        Action::Suspended => "is suspended",
        Action::Refuse => "**can't be reconciled**",
    };
    let mut text = format!("\n{} {what}\n", code(&row.to_string()));
    if row.action == Action::Refuse {
        text.push_str(&format!("\n> {}: {}\n", row.reason, escaped(&row.message)));
    }
    if !row.changes.is_empty() {
        text.push_str("\n| field | now | then |\n|---|---|---|\n");
        for change in &row.changes {
            let found = change.found.as_deref().map(code).unwrap_or_default();
            let line = format!(
                "| {} | {found} | {} |\n",
                code(&change.field),
                code(&change.wanted)
            );
            text.push_str(&line);
        }
    }
    for field in &row.unknown {
        text.push_str(&format!(
            "\n{} is unknown, for its Secret can't be had here\n",
            code(field)
        ));
    }
    text
}

/// A text that is shown as it is, wherever it stands: also in a table.
fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            // Marks of Markdown, mentions and references of a forge among them.
            '|' | '`' | '*' | '_' | '[' | ']' | '#' | '@' | '\\' | '~' | '!' | ':' => {
                // A String can be written to without an error.
                let _ = write!(escaped, "&#{};", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}
