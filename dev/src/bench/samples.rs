//! Times that are measured again and again, one after another.
use std::time::Duration;

/// How often each is measured.
pub(super) const SAMPLES: usize = 9;

/// Times in milliseconds.
#[derive(Default)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    /// Adds one more.
    pub(super) fn add(&mut self, time: Duration) {
        let time = time.as_secs_f64() * 1000.0;
        let place = self.0.partition_point(|other| *other < time);
        self.0.insert(place, time);
    }

    /// The one in the middle.
    pub(super) fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }

    /// Their sum over their number.
    pub(super) fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// The longest.
    pub(super) fn slowest(&self) -> f64 {
        self.0.last().copied().unwrap_or_default()
    }
}
