//! The recording of the demo that the README shows: what `dev demo` prints, as an animated SVG.
//!
//! The programs that make such pictures of recordings are no longer kept, or need a browser. The demo prints lines without
//! colours and never moves back, so a picture of it is a text that is moved up behind a window.

mod svg;

use std::env;
use std::error::Error;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// A line that was printed.
#[derive(Debug, Clone)]
pub struct Line {
    /// How long after the start.
    pub at: Duration,
    /// What it says.
    pub text: String,
}

/// Runs the demo to its end and returns what it printed.
///
/// # Errors
/// When the demo can't be run or a step of it does not come about.
pub async fn lines() -> Result<Vec<Line>, Box<dyn Error + Send + Sync>> {
    let started = Instant::now();
    let mut demo = Command::new(env::current_exe()?)
        .args(["demo", "--once"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let printed = demo.stdout.take().ok_or("the demo has no output")?;
    let mut printed = BufReader::new(printed).lines();
    let mut lines = Vec::new();
    while let Some(text) = printed.next_line().await? {
        let at = started.elapsed();
        lines.push(Line { at, text });
    }
    match demo.wait().await?.success() {
        true => Ok(lines),
        false => Err("the demo failed".into()),
    }
}

/// The recording as an SVG. Its text says what the lines say; its times are made to be read: nothing stands still for more
/// than a moment, but before each step of the demo.
#[must_use]
pub fn picture(lines: &[Line]) -> String {
    svg::render(lines)
}
