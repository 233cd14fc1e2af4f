//! A report for people at a terminal.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::row::{Action, Row, Summary};

/// Writes what differs, and how many resources there are of each kind.
pub fn write(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    for row in rows {
        if row.action != Action::None || !row.unknown.is_empty() {
            resource(out, row)?;
        }
    }
    writeln!(out, "{}", Summary::of(rows))
}

fn resource(out: &mut impl Write, row: &Row) -> io::Result<()> {
    let (sign, color, what) = match row.action {
        Action::None => (' ', None, "no difference"),
        Action::Adopt => ('=', None, "would be taken over as it is"),
        Action::Create => ('+', Some(AnsiColor::Green), "would be created"),
        Action::Update => ('~', Some(AnsiColor::Yellow), "would be changed"),
        Action::Observe => (
            '?',
            Some(AnsiColor::Yellow),
            "differs, and is only observed",
        ),
        Action::Suspended => (' ', None, "is suspended"),
        Action::Refuse => ('!', Some(AnsiColor::Red), "can't be reconciled"),
    };
    let style = color.map_or_else(Style::new, |color| {
        Style::new().fg_color(Some(color.into()))
    });
    writeln!(out, "{style}{sign} {row}{style:#}: {what}")?;
    for change in &row.changes {
        match &change.found {
            Some(found) => writeln!(out, "    {}: {found} → {}", change.field, change.wanted)?,
            None => writeln!(out, "    {}: {}", change.field, change.wanted)?,
        }
    }
    for field in &row.unknown {
        writeln!(
            out,
            "    {field}: unknown, for its Secret can't be had here"
        )?;
    }
    if row.action == Action::Refuse {
        let reason = if row.reason.is_empty() {
            "Progressing"
        } else {
            &row.reason
        };
        writeln!(
            out,
            "    {}:{}: {reason}: {}",
            row.file, row.line, row.message
        )?;
    }
    Ok(())
}
