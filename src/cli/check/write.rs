//! Writes the report.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::finding::{Report, Verdict};

/// For a program.
pub fn json(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    writeln!(out, "{text}")
}

/// For a person: a line a finding, and what to do below it.
pub fn text(out: &mut impl Write, report: &Report) -> io::Result<()> {
    for finding in &report.findings {
        let (word, style) = word(finding.verdict);
        writeln!(
            out,
            "{style}{word:<7}{style:#}  {:<11}  {}",
            finding.check, finding.message
        )?;
        if let Some(to_do) = &finding.to_do {
            writeln!(out, "{:22}→ {to_do}", "")?;
        }
    }
    writeln!(out, "{}", summary(report))
}

fn word(verdict: Verdict) -> (&'static str, Style) {
    let color = |color: AnsiColor| Style::new().fg_color(Some(color.into()));
    match verdict {
        Verdict::Ok => ("ok", color(AnsiColor::Green)),
        Verdict::Unknown => ("unknown", Style::new().dimmed()),
        Verdict::Warning => ("warning", color(AnsiColor::Yellow)),
        Verdict::Failure => ("failure", color(AnsiColor::Red)),
    }
}

fn summary(report: &Report) -> String {
    let count = |verdict| {
        let findings = report.findings.iter();
        findings.filter(|of| of.verdict == verdict).count()
    };
    format!(
        "{} ok, {} warnings, {} failures, {} unknown",
        count(Verdict::Ok),
        count(Verdict::Warning),
        count(Verdict::Failure),
        count(Verdict::Unknown)
    )
}
