//! One number of stages, from the first start of the operator to its second.
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Result;
use super::authentik::{Bare, VALIDATE};
use super::cluster::Cluster;
use super::operator::Operator;
use super::report::{Figure, Report, Unit};
use crate::simulator::{Latency, Simulator, Version};

/// With what a connection is probed, once a resync.
const PROBE: &str = "/api/v3/admin/version/";

/// How often authentik is listed in an hour, at the interval that a connection has when it names none.
const RESYNCS_AN_HOUR: u64 = 12;

/// The shortest interval that a connection takes.
const SHORTEST_INTERVAL: &str = "1s";

/// How often the simulator is asked what it has answered.
const POLL: Duration = Duration::from_millis(5);

/// How long the operator is left alone to see what it needs when nothing happens.
const IDLE: Duration = Duration::from_secs(20);

/// How many stages are applied one by one.
const NEWCOMERS: usize = 9;

/// The metric that counts reconciles, and the label of those that found or made everything equal.
const IN_SYNC: (&str, &str) = ("reconciles_total", "result=\"InSync\"");

const HOUR: f64 = 3600.0;

/// What a new stage may take beside its POST, in milliseconds.
const BESIDE_ITS_POST: f64 = 100.0;

/// What a cold start may take, of what the POSTs take.
const OF_THE_POSTS: f64 = 1.1;

/// Runs all phases.
pub(super) async fn run(program: &Path, stages: usize, latency: Option<Latency>) -> Result<Report> {
    let cluster = Cluster::start(program).await?;
    let simulator = simulator(latency).await;
    let mut scenario = Scenario {
        report: Report::new(stages, latency.is_some()),
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

async fn simulator(latency: Option<Latency>) -> Simulator {
    let simulator = Simulator::start(Version::V2026_5).await;
    simulator.set_latency(latency.unwrap_or_default());
    simulator
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}-{n}")).collect()
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

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

struct Scenario<'a> {
    report: Report,
    names: Vec<String>,
    latency: Option<Latency>,
    authentik: Bare<'a>,
    simulator: &'a Simulator,
    cluster: &'a Cluster,
    /// CPU seconds a second.
    idle_cpu: f64,
}

/// What had been done at one moment.
struct Mark {
    at: Instant,
    cpu: f64,
    answered: BTreeMap<(String, String), u64>,
    kubernetes_writes: usize,
}

impl Scenario<'_> {
    async fn all(&mut self, program: &Path) -> Result<()> {
        self.cluster.connect(self.simulator).await?;
        self.tell("applying the resources");
        self.cluster.apply(&self.names).await?;
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
            Bare::new(&simulator).create(&self.names).await?
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
        let mut posts = Vec::new();
        for name in names("bare", NEWCOMERS) {
            posts.push(milliseconds(self.authentik.create(&[name]).await?));
        }
        let mut ready = Vec::new();
        for name in names("newcomer", NEWCOMERS) {
            let took = self.cluster.time_to_ready(&name).await?;
            ready.push(milliseconds(took));
            self.names.push(name);
        }
        posts.sort_by(f64::total_cmp);
        ready.sort_by(f64::total_cmp);
        let floor = posts[NEWCOMERS / 2];
        let unit = Unit::Milliseconds;
        self.add(
            Figure::new(
                "one new stage, from apply to Ready (median)",
                ready[NEWCOMERS / 2],
                unit,
            )
            .floor(floor)
            .target(floor + BESIDE_ITS_POST),
        );
        self.add(
            Figure::new(
                "one new stage, from apply to Ready (slowest)",
                ready[NEWCOMERS - 1],
                unit,
            )
            .floor(floor),
        );
        Ok(())
    }

    /// One in a hundred stages is changed by hand, and the operator is asked to look.
    async fn drift(&mut self, operator: &mut Operator) -> Result<()> {
        self.tell("drift");
        let (listed, rows) = self.authentik.list().await?;
        let managed = rows.iter().filter(|row| {
            let name = row["name"].as_str().unwrap_or_default();
            name.starts_with("stage-")
        });
        let uuids: Vec<String> = managed
            .filter_map(|row| row["pk"].as_str())
            .map(str::to_owned)
            .take((self.names.len() / 100).max(1))
            .collect();
        let patched = self.authentik.set_action(&uuids, "deny").await?;
        let begun = Instant::now();
        self.cluster.resync_now().await?;
        operator
            .until("drift_repaired_total", "", uuids.len())
            .await?;
        let took = begun.elapsed();
        self.add(
            Figure::new(
                "repair of 1 % drifted, from the request to look",
                took.as_secs_f64(),
                Unit::Seconds,
            )
            .floor((listed + patched).as_secs_f64()),
        );
        Ok(())
    }

    /// The resyncs of an hour, one a second and as fast as authentik can be listed; the idle time between them is
    /// added as measured.
    async fn steady_hour(&mut self, operator: &mut Operator) -> Result<()> {
        self.tell("a steady hour");
        let (floor, rows) = self.authentik.list().await?;
        let pages = rows.len().div_ceil(100);
        self.resync_every(SHORTEST_INTERVAL, operator).await?;
        let rest = self.ahead_at_rest(pages).await;
        self.resyncs(1, pages, rest).await;
        let before = self.mark(operator)?;
        self.resyncs(RESYNCS_AN_HOUR, pages, rest).await;
        let after = self.mark(operator)?;
        let pages = pages as f64;
        let asked = difference(&before.answered, &after.answered);
        let lists = asked
            .get(&("GET".to_owned(), VALIDATE.to_owned()))
            .copied()
            .unwrap_or_default();
        let resyncs = RESYNCS_AN_HOUR as f64;
        self.add(
            Figure::new(
                "steady: lists a resync",
                lists as f64 / resyncs,
                Unit::Requests,
            )
            .floor(pages)
            .target(pages),
        );
        let methods = by_method(&asked);
        let reads = methods.get("GET").copied().unwrap_or_default();
        self.add(
            Figure::new("steady hour: GET", reads as f64, Unit::Requests).floor(pages * resyncs),
        );
        let written: u64 = methods.values().sum::<u64>() - reads;
        self.add(
            Figure::new(
                "steady hour: requests that write",
                written as f64,
                Unit::Requests,
            )
            .floor(0.0)
            .target(0.0),
        );
        let written = (after.kubernetes_writes - before.kubernetes_writes) as f64;
        self.add(
            Figure::new("steady hour: Kubernetes writes", written, Unit::Writes)
                .floor(0.0)
                .target(0.0),
        );
        let window = after.at - before.at;
        self.add(
            Figure::new(
                "steady: from one resync to the next, a second's pause with it",
                window.as_secs_f64() / resyncs,
                Unit::Seconds,
            )
            .floor(floor.as_secs_f64()),
        );
        let busy = after.cpu - before.cpu;
        let hour = busy + self.idle_cpu * (HOUR - window.as_secs_f64()).max(0.0);
        let target = (self.names.len() > 1_000).then_some(30.0);
        self.add(Figure::new("steady hour: CPU", hour, Unit::CpuSeconds).target(target));
        self.add(Figure::new(
            "steady hour: CPU of its 12 resyncs",
            busy,
            Unit::CpuSeconds,
        ));
        self.memory("after the steady hour", operator)?;
        self.resync_every("1h", operator).await
    }

    /// Changes how often authentik is listed. A connection that is changed is another: everything is looked at once.
    async fn resync_every(&self, interval: &str, operator: &mut Operator) -> Result<()> {
        let (metric, label) = IN_SYNC;
        let done = operator.metric(metric, label).await?;
        self.cluster.resync_every(interval).await?;
        let all = done as usize + self.names.len();
        operator.until(metric, label, all).await
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
        let (floor, rows) = self.authentik.list().await?;
        self.add(
            Figure::new("cold start in step", took.as_secs_f64(), Unit::Seconds)
                .floor(floor.as_secs_f64()),
        );
        for (method, count) in by_method(&asked) {
            self.add(
                Figure::new(
                    format!("cold start in step: {method}"),
                    count as f64,
                    Unit::Requests,
                )
                .floor(rows.len().div_ceil(100) as f64),
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

    async fn start(&self, program: &Path, name: &'static str) -> Result<Operator> {
        let cluster = self.cluster;
        Operator::start(&cluster.kubernetes, program, name, &cluster.namespace).await
    }

    async fn all_ready(&self) -> Result<()> {
        match self.cluster.ready().await? {
            ready if ready == self.names.len() => Ok(()),
            ready => Err(format!("{ready} of {} stages are Ready", self.names.len()).into()),
        }
    }

    /// Waits for so many resyncs from now, and until the last of them is complete. Each is a probe and a list of so
    /// many pages, so that the probes are ahead of the lists as they are at rest.
    async fn resyncs(&self, count: u64, pages: usize, rest: i64) {
        let all = self.answered(PROBE) + count;
        while self.answered(PROBE) < all || self.ahead(pages) != rest {
            tokio::time::sleep(POLL).await;
        }
    }

    /// By how many pages the probes are ahead of the lists while nothing is read, as seen over two resyncs.
    async fn ahead_at_rest(&self, pages: usize) -> i64 {
        let end = self.answered(PROBE) + 2;
        let mut least = i64::MAX;
        while self.answered(PROBE) < end {
            least = least.min(self.ahead(pages));
            tokio::time::sleep(POLL).await;
        }
        least
    }

    fn ahead(&self, pages: usize) -> i64 {
        (self.answered(PROBE) * pages as u64) as i64 - self.answered(VALIDATE) as i64
    }

    /// How often this was read.
    fn answered(&self, path: &str) -> u64 {
        let request = ("GET".to_owned(), path.to_owned());
        let answered = self.simulator.answered();
        answered.get(&request).copied().unwrap_or_default()
    }

    fn mark(&self, operator: &Operator) -> Result<Mark> {
        Ok(Mark {
            at: Instant::now(),
            cpu: operator.cpu()?,
            answered: self.simulator.answered(),
            kubernetes_writes: self.cluster.writes(),
        })
    }

    fn memory(&mut self, when: &str, operator: &Operator) -> Result<()> {
        let target = memory_target(self.names.len() - self.newcomers_so_far());
        let figure = Figure::new(format!("resident {when}"), operator.resident()?, Unit::MiB);
        self.add(figure.target(target));
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

fn by_method(answered: &BTreeMap<(String, String), u64>) -> BTreeMap<String, u64> {
    let mut methods = BTreeMap::new();
    for ((method, _), count) in answered {
        *methods.entry(method.clone()).or_default() += count;
    }
    methods
}

/// How often each request was answered between two moments.
fn difference(
    before: &BTreeMap<(String, String), u64>,
    after: &BTreeMap<(String, String), u64>,
) -> BTreeMap<(String, String), u64> {
    let mut difference = after.clone();
    for (request, count) in &mut difference {
        *count -= before.get(request).copied().unwrap_or_default();
    }
    difference.retain(|_, count| *count > 0);
    difference
}
