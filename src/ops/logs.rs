//! Logs: to standard error, for people or as JSON.

use std::io::{IsTerminal, stderr};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// One line an event, for people.
    #[default]
    Human,
    /// One JSON object an event, for machines.
    Json,
}

/// Starts logging. `filter` is a level or a list of `target=level`, as `tracing_subscriber::EnvFilter` reads it.
///
/// # Errors
/// When the filter can't be read.
pub fn init(format: Format, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| format!("--log {filter:?} can't be read: {error}"))?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr);
    match format {
        Format::Human => logs.init(),
        Format::Json => logs.json().init(),
    }
    Ok(())
}
