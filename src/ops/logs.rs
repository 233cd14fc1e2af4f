//! Logs: to standard error, for people or as JSON.

use std::{
    io::{IsTerminal, stderr},
    panic::{PanicHookInfo, set_hook},
};

use clap::ValueEnum;
use tracing_subscriber::{
    Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

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

/// Starts logging, of panics too, and tracing with `traces`. `filter` is a level or a list of `target=level`, separated
/// by commas; it is for the logs alone.
///
/// # Errors
/// When the filter can't be read.
pub fn init(format: Format, filter: &str, traces: &Traces) -> Result<(), String> {
    let filter: Targets = filter
        .parse()
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
    set_hook(Box::new(panicked));
    Ok(())
}

/// Logs where a panic came from, and its message only where that is fixed in the code: one that was put together may
/// hold anything, a secret included.
pub fn panicked(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string);
    let fixed = panic.payload().downcast_ref::<&'static str>();
    let message = fixed.unwrap_or(&"the message is withheld, for it may hold a secret");
    tracing::error!(location, "panicked: {message}");
}
