//! Writes resources as a table, as lines, or for a program.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use serde_json::json;
use unicode_width::UnicodeWidthStr;

use super::row::Row;

/// Between two columns.
const GAP: &str = "  ";

const HEAD: [&str; COLUMNS] = [
    "KIND",
    "RESOURCE",
    "READY",
    "REASON",
    "STAGE",
    "SERVER",
    "CHANGED",
    "DRIFT",
    "WAITS FOR",
];

const COLUMNS: usize = 9;

/// The column that tells well from ill.
const READY: usize = 2;

/// All in one table, and how many there are below it.
pub fn table(out: &mut impl Write, rows: &[Row], now: Timestamp) -> io::Result<()> {
    let cells: Vec<_> = rows.iter().map(|row| cells(row, now)).collect();
    if !rows.is_empty() {
        let mut widths = HEAD.map(UnicodeWidthStr::width);
        for cells in &cells {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.width());
            }
        }
        line(out, &HEAD.map(str::to_owned), &widths, Style::new())?;
        for (cells, row) in cells.iter().zip(rows) {
            line(out, cells, &widths, style(row))?;
        }
    }
    writeln!(out, "{}", counts(rows))
}

fn line(
    out: &mut impl Write,
    cells: &[String; COLUMNS],
    widths: &[usize; COLUMNS],
    style: Style,
) -> io::Result<()> {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let padding = " ".repeat(width.saturating_sub(cell.width()));
        let shown = match column {
            READY => format!("{style}{cell}{style:#}"),
            _ => cell.clone(),
        };
        let gap = if column == 0 { "" } else { GAP };
        text += &format!("{gap}{shown}{padding}");
    }
    writeln!(out, "{}", text.trim_end())
}

fn cells(row: &Row, now: Timestamp) -> [String; COLUMNS] {
    let or_dash = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
    let drift = match row.drift {
        0 => String::new(),
        fields => fields.to_string(),
    };
    [
        row.kind.clone(),
        row.path(),
        or_dash(&row.ready),
        or_dash(&row.reason),
        or_dash(&row.stage),
        or_dash(&row.server),
        or_dash(&row.last_change.map(|at| age(at, now)).unwrap_or_default()),
        or_dash(&drift),
        or_dash(row.waits_for.as_deref().unwrap_or_default()),
    ]
}

fn style(row: &Row) -> Style {
    let color = match row.ready.as_str() {
        "True" => AnsiColor::Green,
        "False" => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    };
    Style::new().fg_color(Some(color.into()))
}

/// How long ago that was, as kubectl says it.
fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = (now.as_second() - at.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How many there are, and how they stand.
fn counts(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "no resources; -A looks in all namespaces".to_owned();
    }
    let count = |is: fn(&Row) -> bool| rows.iter().filter(|row| is(row)).count();
    let ready = count(|row| row.ready == "True");
    let not_ready = count(|row| row.ready == "False");
    let mut text = format!(
        "{} resources: {ready} ready, {not_ready} not ready, {} not known yet",
        rows.len(),
        rows.len() - ready - not_ready
    );
    for (count, what) in [
        (count(|row| row.waits_for.is_some()), "waiting"),
        (count(|row| row.drift > 0), "with drift"),
    ] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    text
}

/// For a program.
pub fn json(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    let report = json!({ "resources": rows });
    writeln!(out, "{report:#}")
}

/// One change, as a line.
pub fn change(out: &mut impl Write, row: &Row, is_gone: bool, is_json: bool) -> io::Result<()> {
    if is_json {
        return writeln!(out, "{}", json!({"deleted": is_gone, "resource": row}));
    }
    let style = style(row);
    let state = match (is_gone, row.reason.as_str()) {
        (true, _) => "deleted".to_owned(),
        (false, "") => "not known yet".to_owned(),
        (false, reason) => format!("Ready={} {reason}", row.ready),
    };
    let waits = row.waits_for.as_ref().filter(|_| !is_gone);
    let waits = waits.map(|what| format!(", waits for {what}"));
    let drift = match row.drift {
        0 => String::new(),
        fields => format!(", {fields} fields differ"),
    };
    writeln!(
        out,
        "{} {}: {style}{state}{style:#}{drift}{}",
        row.kind,
        row.path(),
        waits.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, ready: &str) -> Row {
        Row {
            kind: "Flow".to_owned(),
            name: name.to_owned(),
            ready: ready.to_owned(),
            ..Row::default()
        }
    }

    #[test]
    fn columns_stay_below_each_other_whatever_the_script() {
        let rows = [row("登録", "True"), row("ab", "False")];
        let mut out = Vec::new();
        table(&mut out, &rows, Timestamp::UNIX_EPOCH).unwrap();
        let text = anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string();
        let at = |line: &str, word: &str| line[..line.find(word).unwrap()].width();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(at(lines[1], "True"), at(lines[2], "False"), "{text}");
        assert_eq!(
            lines[3],
            "2 resources: 1 ready, 1 not ready, 0 not known yet"
        );
    }

    #[test]
    fn ages_are_short() {
        let ago = |seconds| {
            age(
                Timestamp::UNIX_EPOCH,
                Timestamp::from_second(seconds).unwrap(),
            )
        };
        assert_eq!(
            [ago(5), ago(600), ago(7_200), ago(200_000)],
            ["5s", "10m", "2h", "2d"]
        );
        assert_eq!(ago(-5), "0s");
    }
}
