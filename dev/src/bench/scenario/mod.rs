//! One number of stages, from the first start of the operator to its second.

mod counts;
mod steady;

use std::path::Path;
use std::time::{Duration, Instant};

use super::authentik::Bare;
use super::cluster::{self, Cluster, STAGE};
use super::mix::{Kinds, Object, objects};
use super::operator::Operator;
use super::report::{Figure, Report, Unit};
use super::samples::{SAMPLES, Samples};
use super::{Result, names, simulator};
use crate::simulator::{Latency, Simulator};
use counts::{by_method, difference};

/// How long the operator is left alone to see what it needs when nothing happens.
const IDLE: Duration = Duration::from_secs(20);

/// The metric that counts reconciles, and the label of those that found or made everything equal.
const IN_SYNC: (&str, &str) = ("reconciles_total", "result=\"InSync\"");

/// What a new stage may take beside its POST, in milliseconds.
const BESIDE_ITS_POST: f64 = 100.0;

/// What a cold start may take, of what the POSTs take.
const OF_THE_POSTS: f64 = 1.1;

/// Runs all phases.
pub(super) async fn run(
    program: &Path,
    kinds: Kinds,
    stages: usize,
    latency: Option<Latency>,
) -> Result<Report> {
    let cluster = Cluster::start(program).await?;
    let simulator = simulator(latency).await;
    let mut scenario = Scenario {
        report: Report::new(
            format!("{stages} {}", kinds.text()),
            stages,
            latency.is_some(),
        ),
        kinds,
        names: names("stage", stages),
        latency,
        authentik: Bare::new(&simulator),
        simulator: &simulator,
        cluster: &cluster,
        idle_cpu: 0.0,
    };
    scenario.all(program).await?;
    Ok(scenario.report)
}

/// The most that may be resident, in MiB, where that is said.
fn memory_target(stages: usize) -> Option<f64> {
    match stages {
        0..=100 => Some(20.0),
        101..=1_000 => Some(40.0),
        1_001..=10_000 => Some(120.0),
        _ => None,
    }
}

struct Scenario<'a> {
    report: Report,
    kinds: Kinds,
    names: Vec<String>,
    latency: Option<Latency>,
    authentik: Bare<'a>,
    simulator: &'a Simulator,
    cluster: &'a Cluster,
    /// CPU seconds a second.
    idle_cpu: f64,
}

impl Scenario<'_> {
    async fn all(&mut self, program: &Path) -> Result<()> {
        let simulator = self.simulator;
        self.cluster
            .connect(&simulator.url(), simulator.token())
            .await?;
        self.tell("applying the resources");
        self.cluster.create_each(&self.objects()).await?;
        {
            let mut operator = self.cold_start(program).await?;
            self.idle(&operator).await?;
            self.newcomers().await?;
            self.drift(&mut operator).await?;
            self.steady_hour(&mut operator).await?;
        }
        self.restart(program).await
    }

    /// Nothing is in authentik, and all resources are in Kubernetes.
    async fn cold_start(&mut self, program: &Path) -> Result<Operator> {
        self.tell("measuring what the bare writes need");
        let kubernetes = self.cluster.floor_of_writes(&self.names).await?;
        let posts = {
            let simulator = simulator(self.latency).await;
            Bare::new(&simulator).create(&self.objects()).await?
        };
        self.tell("cold start with nothing in authentik");
        let begun = Instant::now();
        let mut operator = self.start(program, "operator-first").await?;
        operator
            .until("resources", "reason=\"InSync\"", self.names.len())
            .await?;
        let took = begun.elapsed();
        self.all_ready().await?;
        let floor = posts.as_secs_f64();
        self.add(
            Figure::new("cold start", took.as_secs_f64(), Unit::Seconds)
                .floor(floor)
                .target(floor * OF_THE_POSTS),
        );
        self.add(Figure::new(
            "cold start: what its Kubernetes writes alone need",
            kubernetes.as_secs_f64(),
            Unit::Seconds,
        ));
        let stages = self.names.len() as f64;
        for (method, count) in by_method(&self.simulator.answered()) {
            let figure = Figure::new(
                format!("cold start: {method}"),
                count as f64,
                Unit::Requests,
            );
            self.add(match method.as_str() {
                "POST" => figure.floor(stages),
                _ => figure.floor(0.0),
            });
        }
        let writes = self.cluster.writes() as f64;
        self.add(
            Figure::new("cold start: Kubernetes writes", writes, Unit::Writes).floor(stages * 3.0),
        );
        let reconciles = operator.metric(IN_SYNC.0, "").await?;
        self.add(Figure::new(
            "cold start: reconciles",
            reconciles,
            Unit::Reconciles,
        ));
        self.add(Figure::new(
            "cold start: CPU",
            operator.cpu()?,
            Unit::CpuSeconds,
        ));
        Ok(operator)
    }

    async fn idle(&mut self, operator: &Operator) -> Result<()> {
        self.tell("idle");
        let before = operator.cpu()?;
        tokio::time::sleep(IDLE).await;
        self.idle_cpu = (operator.cpu()? - before) / IDLE.as_secs_f64();
        self.memory("after the cold start", operator)
    }

    /// One stage after another is applied while all others are in sync.
    async fn newcomers(&mut self) -> Result<()> {
        self.tell("new stages, one by one");
        let mut posts = Samples::default();
        for name in names("bare", SAMPLES) {
            posts.add(self.authentik.create_stage(&name).await?);
        }
        let mut ready = Samples::default();
        for name in names("newcomer", SAMPLES) {
            let took = self.cluster.time_to_ready(STAGE, &name, cluster::stage());
            ready.add(took.await?);
            self.names.push(name);
        }
        let floor = posts.median();
        let unit = Unit::Milliseconds;
        self.add(
            Figure::new(
                "one new stage, from apply to Ready (median)",
                ready.median(),
                unit,
            )
            .floor(floor)
            .target(floor + BESIDE_ITS_POST),
        );
        self.add(
            Figure::new(
                "one new stage, from apply to Ready (slowest)",
                ready.slowest(),
                unit,
            )
            .floor(floor),
        );
        Ok(())
    }

    /// One in a hundred stages is changed by hand, and the operator is asked to look.
    async fn drift(&mut self, operator: &mut Operator) -> Result<()> {
        self.tell("drift");
        let lists = self.authentik.list(self.kinds).await?;
        let share = (self.names.len() / 100).max(1);
        let of_each = share.div_ceil(lists.rows.len());
        let managed = lists.rows.iter().flat_map(|(kind, rows)| {
            let managed = rows.iter().filter(|row| {
                let name = row["name"].as_str().unwrap_or_default();
                name.starts_with("stage-")
            });
            managed.take(of_each).map(|row| (*kind, row))
        });
        let drifted: Vec<_> = managed.take(share).collect();
        let patched = self.authentik.drift(&drifted).await?;
        let begun = Instant::now();
        self.cluster.resync_now().await?;
        operator
            .until("drift_repaired_total", "", drifted.len())
            .await?;
        let took = begun.elapsed();
        self.add(
            Figure::new(
                "repair of 1 % drifted, from the request to look",
                took.as_secs_f64(),
                Unit::Seconds,
            )
            .floor((lists.took + patched).as_secs_f64()),
        );
        Ok(())
    }

    /// The operator is started again, and all it finds is in step.
    async fn restart(&mut self, program: &Path) -> Result<()> {
        self.tell("cold start with everything in step");
        let answered = self.simulator.answered();
        let writes = self.cluster.writes();
        let begun = Instant::now();
        let mut operator = self.start(program, "operator-second").await?;
        let (metric, label) = IN_SYNC;
        operator.until(metric, label, self.names.len()).await?;
        let took = begun.elapsed();
        let asked = difference(&answered, &self.simulator.answered());
        let lists = self.authentik.list(self.kinds).await?;
        self.add(
            Figure::new("cold start in step", took.as_secs_f64(), Unit::Seconds)
                .floor(lists.took.as_secs_f64()),
        );
        for (method, count) in by_method(&asked) {
            self.add(
                Figure::new(
                    format!("cold start in step: {method}"),
                    count as f64,
                    Unit::Requests,
                )
                .floor(lists.all_pages() as f64),
            );
        }
        let written = (self.cluster.writes() - writes) as f64;
        self.add(
            Figure::new(
                "cold start in step: Kubernetes writes",
                written,
                Unit::Writes,
            )
            .floor(0.0)
            .target(0.0),
        );
        self.add(Figure::new(
            "cold start in step: CPU",
            operator.cpu()?,
            Unit::CpuSeconds,
        ));
        tokio::time::sleep(IDLE).await;
        self.memory("after a cold start in step", &operator)
    }

    /// The resources that are there from the beginning.
    fn objects(&self) -> Vec<Object> {
        objects(self.kinds, &self.names)
    }

    async fn start(&self, program: &Path, name: &'static str) -> Result<Operator> {
        let cluster = self.cluster;
        Operator::start(&cluster.kubernetes, program, name, &cluster.namespace).await
    }

    async fn all_ready(&self) -> Result<()> {
        match self.cluster.ready(self.kinds).await? {
            ready if ready == self.names.len() => Ok(()),
            ready => Err(format!("{ready} of {} stages are Ready", self.names.len()).into()),
        }
    }

    fn memory(&mut self, when: &str, operator: &Operator) -> Result<()> {
        let target = memory_target(self.names.len() - self.newcomers_so_far());
        let figure = |what: &str, value| Figure::new(format!("{what} {when}"), value, Unit::MiB);
        self.add(figure("resident", operator.resident()?).target(target));
        self.add(figure("resident, at most,", operator.peak()?));
        Ok(())
    }

    fn newcomers_so_far(&self) -> usize {
        let names = self.names.iter();
        names.filter(|name| name.starts_with("newcomer")).count()
    }

    fn add(&mut self, figure: Figure) {
        self.report.add(figure);
    }

    fn tell(&self, phase: &str) {
        let latency = self.latency.map_or("without", |_| "with");
        eprintln!("{} stages, {latency} latency: {phase}", self.names.len());
    }
}
