//! The picture: all lines in one column, which moves up behind a window, and a cover over those that are to come.

use std::fmt::Write;
use std::time::Duration;

use super::Line;

/// What the window shows, in characters and in lines.
const COLUMNS: usize = 110;
const ROWS: usize = 28;

/// A character and a line, in pixels. The font is told how wide a character is, so that every font fits.
const CHARACTER: f32 = 7.25;
const ROW: usize = 17;
const MARGIN: usize = 14;

/// The shortest and the longest time between two lines.
const SHORTEST: Duration = Duration::from_millis(70);
const LONGEST: Duration = Duration::from_millis(1500);
/// How long the end of a step stands, and that of all.
const STEP: Duration = Duration::from_millis(2500);
const END: Duration = Duration::from_secs(6);

/// Browsers set `white-space` for `text` by themselves, so an `xml:space` around it is not enough.
const STYLE: &str = "\
text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#d8dee9;white-space:pre}\
.step{fill:#ffd166;font-weight:bold}.command{fill:#8fd694}\
.all,.cover{animation-duration:var(--time);animation-iteration-count:infinite;animation-timing-function:step-end}\
.all{animation-name:all}.cover{animation-name:cover}\
@media (prefers-reduced-motion:reduce){.all,.cover{animation:none}}";

/// A line of the window: a printed line, or a part of one that is too long.
struct Row<'a> {
    at: Duration,
    text: &'a str,
    class: &'static str,
    goes_on: bool,
}

pub(super) fn render(lines: &[Line]) -> String {
    let rows = rows(lines);
    let time = rows.last().map_or(Duration::ZERO, |row| row.at) + END;
    let width = (COLUMNS as f32)
        .mul_add(CHARACTER, 2.0 * MARGIN as f32)
        .ceil();
    let height = ROWS * ROW + 2 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <title>A recording of make demo</title>\n<style>{STYLE}svg{{--time:{:.1}s}}{}</style>\n\
         <rect x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"8\" fill=\"#1b1f27\" stroke=\"#6b7280\"/>\n\
         <svg xml:space=\"preserve\" x=\"{MARGIN}\" y=\"{MARGIN}\" width=\"{}\" height=\"{}\">\n<g class=\"all\" transform=\"translate(0 -{})\">\n",
        time.as_secs_f32(),
        keyframes(&rows, time),
        width - 1.0,
        height - 1,
        width - 2.0 * MARGIN as f32,
        ROWS * ROW,
        rows.len().saturating_sub(ROWS) * ROW,
    );
    for (number, row) in rows.iter().enumerate() {
        if let Err(error) = text(&mut svg, number, row) {
            unreachable!("a String takes every text: {error}");
        }
    }
    let covered = ROWS * ROW;
    svg + &format!(
        "<rect class=\"cover\" width=\"100%\" height=\"{covered}\" fill=\"#1b1f27\" transform=\"translate(0 {})\"/>\n</g>\n</svg>\n</svg>\n",
        rows.len() * ROW
    )
}

fn text(svg: &mut String, number: usize, row: &Row<'_>) -> std::fmt::Result {
    let y = number * ROW + 13;
    let goes_on = if row.goes_on {
        " data-goes-on=\"\""
    } else {
        ""
    };
    let class = match row.class {
        "" => String::new(),
        class => format!(" class=\"{class}\""),
    };
    let length = row.text.chars().count() as f32 * CHARACTER;
    // The text length makes columns stand one below the other in every font.
    let length = match row.text.trim() {
        "" => String::new(),
        _ => format!(" textLength=\"{length}\""),
    };
    let text = escaped(row.text);
    writeln!(svg, "<text y=\"{y}\"{length}{class}{goes_on}>{text}</text>")
}

/// The rows of the window, at the times at which they are shown.
fn rows(lines: &[Line]) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    let mut at = Duration::ZERO;
    let mut before = Duration::ZERO;
    for line in lines {
        let class = match line.text.get(..2) {
            Some("==") => "step",
            Some("$ ") => "command",
            _ => "",
        };
        at += (line.at.saturating_sub(before)).clamp(SHORTEST, LONGEST);
        before = line.at;
        // The first step has nothing before it.
        if class == "step" && rows.len() > 1 {
            at += STEP;
        }
        let parts = parts(&line.text);
        let last = parts.len() - 1;
        rows.extend(parts.into_iter().enumerate().map(|(number, text)| Row {
            at,
            text,
            class,
            goes_on: number < last,
        }));
    }
    rows
}

/// A line as a terminal breaks it.
fn parts(line: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = line;
    while let Some((end, _)) = rest.char_indices().nth(COLUMNS) {
        let (part, more) = rest.split_at(end);
        parts.push(part);
        rest = more;
    }
    parts.push(rest);
    parts
}

/// When the text moves up, and the cover down.
fn keyframes(rows: &[Row<'_>], time: Duration) -> String {
    let (mut all, mut cover) = (String::from("0%{transform:none}"), String::new());
    cover += &all;
    for (number, row) in rows.iter().enumerate() {
        let shown = number + 1;
        if rows.get(shown).is_some_and(|next| next.at <= row.at) {
            continue;
        }
        let share = 100.0 * row.at.as_secs_f32() / time.as_secs_f32();
        let move_by = |frames: &mut String, pixels: String| {
            *frames += &format!("{share:.2}%{{transform:translateY({pixels}px)}}");
        };
        move_by(&mut cover, (shown * ROW).to_string());
        if shown > ROWS {
            move_by(&mut all, format!("-{}", (shown - ROWS) * ROW));
        }
    }
    format!("@keyframes all{{{all}}}@keyframes cover{{{cover}}}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(milliseconds: u64, text: &str) -> Line {
        let at = Duration::from_millis(milliseconds);
        Line {
            at,
            text: text.to_owned(),
        }
    }

    #[test]
    fn long_pauses_are_shortened_and_steps_stand() {
        let lines = [
            line(0, "a"),
            line(60_000, "b"),
            line(60_000, "== c"),
            line(60_500, "d"),
        ];
        let at: Vec<_> = rows(&lines).iter().map(|row| row.at.as_millis()).collect();
        assert_eq!(at, [70, 1570, 4140, 4640]);
    }

    #[test]
    fn a_long_line_is_broken_and_markup_in_it_is_text() {
        let long = "é".repeat(COLUMNS) + "<&>";
        let svg = render(&[line(0, &long)]);
        assert!(svg.contains("data-goes-on"), "{svg}");
        assert!(svg.contains(">&lt;&amp;&gt;</text>"), "{svg}");
    }
}
