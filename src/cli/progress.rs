//! A bar that shows how far a command has come, to a person at a terminal and to nobody else.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::shows_progress;

/// How far a command has come. It goes away when it is dropped.
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar that counts these things.
    pub fn of(what: &'static str) -> Self {
        let target = match shows_progress() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template("{bar:40} {pos} of {len} {msg}");
        // The template is a constant; without it there would be another style.
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(bar.with_style(style).with_message(what))
    }

    /// So many of so many are done.
    pub fn at(&self, done: usize, of: usize) {
        self.0.set_length(of as u64);
        self.0.set_position(done as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
