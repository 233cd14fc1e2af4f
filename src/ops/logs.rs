//! Logs: to standard error, for people or as JSON.

use std::io::{IsTerminal, stderr};

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use super::traces::Traces;

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// One line an event, for people.
    #[default]
    Human,
    /// One JSON object an event, for machines.
    Json,
}

/// Starts logging, and tracing with `traces`. `filter` is a level or a list of `target=level`, as
/// `tracing_subscriber::EnvFilter` reads it; it is for the logs alone.
///
/// # Errors
/// When the filter can't be read.
pub fn init(format: Format, filter: &str, traces: &Traces) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| format!("--log {filter:?} can't be read: {error}"))?;
    let logs = fmt::layer()
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr);
    let logs = match format {
        Format::Human => logs.boxed(),
        Format::Json => logs.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(logs.with_filter(filter))
        .with(traces.layer())
        .init();
    Ok(())
}
