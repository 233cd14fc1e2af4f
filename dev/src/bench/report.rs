//! The figures, as a table and as JSON.
use std::fmt;

use serde::{Serialize, Serializer};

/// One figure.
#[derive(Serialize)]
pub(super) struct Figure {
    measured: String,
    value: f64,
    unit: Unit,
    /// What the bare requests needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<f64>,
    /// The most that the value is to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
}

/// What a figure counts.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
    CpuSeconds,
    MiB,
    Requests,
    Writes,
    Reconciles,
    /// How many times as much.
    Times,
}

impl Unit {
    fn text(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::CpuSeconds => "CPU s",
            Self::MiB => "MiB",
            Self::Requests => "requests",
            Self::Writes => "writes",
            Self::Reconciles => "reconciles",
            Self::Times => "times",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Requests | Self::Writes | Self::Reconciles => format!("{value:.0}"),
            Self::Milliseconds | Self::MiB => format!("{value:.1}"),
            Self::Seconds | Self::CpuSeconds | Self::Times => format!("{value:.2}"),
        }
    }
}

impl Serialize for Unit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

impl Figure {
    pub(super) fn new(measured: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self {
            measured: measured.into(),
            value,
            unit,
            floor: None,
            target: None,
            met: None,
        }
    }

    pub(super) fn floor(self, floor: f64) -> Self {
        Self {
            floor: Some(floor),
            ..self
        }
    }

    /// The most that the value is to be; nothing where it is not judged.
    pub(super) fn target(self, target: impl Into<Option<f64>>) -> Self {
        let target = target.into();
        Self {
            met: target.map(|target| self.value <= target),
            target,
            ..self
        }
    }
}

/// All figures of one run.
#[derive(Serialize)]
pub(super) struct Report {
    /// What was run.
    subject: String,
    stages: usize,
    latency: bool,
    figures: Vec<Figure>,
}

impl Report {
    pub(super) fn new(subject: String, stages: usize, latency: bool) -> Self {
        Self {
            subject,
            stages,
            latency,
            figures: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// How many targets are missed.
    pub(super) fn missed(&self) -> usize {
        let figures = self.figures.iter();
        figures.filter(|figure| figure.met == Some(false)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = if self.latency { "with" } else { "without" };
        writeln!(f, "\n{}, authentik {latency} latency\n", self.subject)?;
        writeln!(f, "| measured | value | floor | at most | |")?;
        writeln!(f, "|---|--:|--:|--:|---|")?;
        for figure in &self.figures {
            let unit = figure.unit;
            let show = |value: Option<f64>| value.map(|value| unit.show(value)).unwrap_or_default();
            let judged = match figure.met {
                Some(true) => "met",
                Some(false) => "missed",
                None => "",
            };
            writeln!(
                f,
                "| {} | {} {} | {} | {} | {judged} |",
                figure.measured,
                unit.show(figure.value),
                unit.text(),
                show(figure.floor),
                show(figure.target),
            )?;
        }
        Ok(())
    }
}
