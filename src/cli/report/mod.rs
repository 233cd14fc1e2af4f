//! What would become of the resources of manifests, as text, JSON or Markdown.
//!
//! ```text
//! row       one resource
//! text      for people at a terminal
//! markdown  for comments of pull requests
//! ```

mod markdown;
mod row;
mod text;

use std::io;

use clap::ValueEnum;
use serde_json::json;

use super::output::Out;

pub use self::row::{Action, Row, Summary, rows};

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For comments of pull requests.
    Markdown,
}

/// Writes a report.
///
/// # Errors
/// Where it can't be written.
pub fn write(out: &mut Out, format: Format, rows: &[Row]) -> io::Result<()> {
    use std::io::Write;
    match format {
        Format::Text => text::write(out, rows),
        Format::Markdown => out.write_all(markdown::report(rows).as_bytes()),
        Format::Json => {
            let report = json!({"summary": Summary::of(rows), "resources": rows});
            writeln!(out, "{report:#}")
        }
    }
}
