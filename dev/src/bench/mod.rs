//! The benchmark: what the operator needs for many stages, beside what the bare requests need.
//!
//! The Kubernetes API and the operator's release build are real; authentik is simulated, with the latencies that
//! were measured on a real server and without any. Every figure's floor is measured in the same run: the requests
//! that can't be done without, sent by a client that does nothing else, as many at a time as the operator sends.
//!
//! - `authentik`: the bare client of authentik.
//! - `cluster`: the Kubernetes side: stages, writes and their floor.
//! - `operator`: the operator's process: memory, CPU, metrics.
//! - `scenario`: one number of stages, phase by phase.
//! - `report`: the figures as a table and as JSON.

mod authentik;
mod cluster;
mod operator;
mod report;
mod scenario;

use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::simulator::Latency;
use report::Report;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How the benchmark is run.
#[derive(Args, Debug)]
pub struct Settings {
    /// How many stages there are, one run each.
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000")]
    sizes: Vec<usize>,
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
    let mut reports: Vec<Report> = Vec::new();
    for latency in latencies {
        for stages in &settings.sizes {
            let report = scenario::run(&operator, *stages, *latency).await?;
            println!("{report}");
            reports.push(report);
            if let Some(folder) = settings.output.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&settings.output, serde_json::to_vec_pretty(&reports)?)?;
        }
    }
    println!("{}", settings.output.display());
    let missed: usize = reports.iter().map(Report::missed).sum();
    if settings.check && missed > 0 {
        return Err(format!("{missed} targets are missed").into());
    }
    Ok(())
}
