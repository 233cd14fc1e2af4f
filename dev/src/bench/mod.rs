//! The benchmark: what the operator needs for many stages, beside what the bare requests need.
//!
//! The Kubernetes API and the operator's release build are real; authentik is simulated, with the latencies that
//! were measured on a real server and without any. Every figure's floor is measured in the same run: the requests
//! that can't be done without, sent by a client that does nothing else, as many at a time as the operator sends.
//!
//! - `authentik`: the bare client of authentik.
//! - `cluster`: the Kubernetes side: stages, writes and their floor.
//! - `operator`: the operator's process: memory, CPU, metrics.
//! - `mix`: the kinds of the resources.
//! - `scenario`: one number of stages, phase by phase.
//! - `drift`: how long a change by hand lasts.
//! - `isolation`: a server that is well beside one that is sick.
//! - `samples`: times that are measured again and again.
//! - `report`: the figures as a table and as JSON.

mod authentik;
mod cluster;
mod drift;
mod isolation;
mod mix;
mod operator;
mod report;
mod samples;
mod scenario;

use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::simulator::{Latency, Simulator, Version};
use isolation::Sickness;
use mix::Kinds;
use report::Report;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How the benchmark is run.
#[derive(Args, Debug)]
pub struct Settings {
    /// What is measured.
    #[arg(long, value_enum, default_value_t = Scenarios::All)]
    scenarios: Scenarios,
    /// How many resources there are, one run each.
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000")]
    sizes: Vec<usize>,
    /// Which kinds they are.
    #[arg(long, value_enum, default_value_t = Kinds::All)]
    kinds: Kinds,
    /// Whether authentik takes its time. With 10,000 stages and latency a run takes more than an hour.
    #[arg(long, value_enum, default_value_t = Latencies::Both)]
    latency: Latencies,
    /// The operator's program; the one beside this program when left out.
    #[arg(long)]
    operator: Option<PathBuf>,
    /// Where the figures are written as JSON.
    #[arg(long, default_value = "target/bench/results.json")]
    output: PathBuf,
    /// Fail where a target is missed.
    #[arg(long)]
    check: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Latencies {
    /// As measured on a real server.
    On,
    /// As fast as the simulator is.
    Off,
    /// First off, then on.
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Scenarios {
    /// All of it.
    All,
    /// One server with many stages.
    Stages,
    /// A server that is well beside one that is sick.
    Isolation,
    /// Changes by hand.
    Drift,
}

impl Scenarios {
    fn include(self, one: Self) -> bool {
        self == Self::All || self == one
    }
}

/// Runs the benchmark, prints each table when it is complete, and writes all figures after each.
///
/// # Errors
/// What did not work or, with `--check`, that a target was missed.
pub async fn run(settings: Settings) -> Result<()> {
    let operator = match settings.operator {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("authentik-stage-operator"),
    };
    let latencies: &[Option<Latency>] = match settings.latency {
        Latencies::Off => &[None],
        Latencies::On => &[Some(Latency::MEASURED)],
        Latencies::Both => &[None, Some(Latency::MEASURED)],
    };
    let mut results = Results {
        reports: Vec::new(),
        output: settings.output,
    };
    for latency in latencies {
        if settings.scenarios.include(Scenarios::Stages) {
            for stages in &settings.sizes {
                results.add(scenario::run(&operator, settings.kinds, *stages, *latency).await?)?;
            }
        }
        if settings.scenarios.include(Scenarios::Drift) {
            for others in drift::OTHERS {
                results.add(drift::run(&operator, others, *latency).await?)?;
            }
        }
        if settings.scenarios.include(Scenarios::Isolation) {
            for sickness in Sickness::ALL {
                results.add(isolation::run(&operator, sickness, *latency).await?)?;
            }
        }
    }
    println!("{}", results.output.display());
    match results.missed() {
        missed if settings.check && missed > 0 => {
            Err(format!("{missed} targets are missed").into())
        }
        _ => Ok(()),
    }
}

/// The figures so far, and where they are written.
struct Results {
    reports: Vec<Report>,
    output: PathBuf,
}

impl Results {
    fn add(&mut self, report: Report) -> Result<()> {
        println!("{report}");
        self.reports.push(report);
        if let Some(folder) = self.output.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&self.output, serde_json::to_vec_pretty(&self.reports)?)?;
        Ok(())
    }

    fn missed(&self) -> usize {
        self.reports.iter().map(Report::missed).sum()
    }
}

async fn simulator(latency: Option<Latency>) -> Simulator {
    let simulator = Simulator::start(Version::V2026_5).await;
    simulator.set_latency(latency.unwrap_or_default());
    simulator
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}-{n}")).collect()
}
