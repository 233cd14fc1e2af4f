//! One server is well and another is sick, with many stages and with dead connections beside it: what that costs a stage
//! and a connection of the one that is well.
use std::path::Path;
use std::time::Duration;

use hyper::Method;
use serde_json::json;

use super::Result;
use super::authentik::{Bare, PROBE};
use super::cluster::{self, CONNECTION, Cluster, STAGE};
use super::operator::Operator;
use super::report::{Figure, Report, Unit};
use super::samples::{SAMPLES, Samples};
use crate::gateway::{Exchange, Fault, FaultKind, Gateway};
use crate::hostile::{Hostile, Manner, Requests};
use crate::simulator::{Latency, Simulator};

/// How many stages the sick server has.
const STAGES: usize = 200;

/// How many connections lead to a server that never answers.
const DEAD: usize = 100;

/// The longest that a connection may wait for an answer, so that nobody gives up while others are measured.
const TIMEOUT: &str = "60s";

/// How late the answers of a server come that is late.
const LATE: Duration = Duration::from_secs(25);

/// How long it may take until a server is asked.
const ASKED_WITHIN: Duration = Duration::from_secs(120);

/// How long the operator is watched while nothing but the sick and the dead have to do with it.
const AFTERWARDS: Duration = Duration::from_secs(20);

/// What may be added to the bare request, in milliseconds.
const BESIDE_ITS_REQUEST: f64 = 100.0;

/// The most that may be resident, in MiB: what as many healthy stages may need.
const RESIDENT: f64 = 40.0;

/// The name of the sick server's connection, and of the stage that it has had since it was well.
const SICK: &str = "sick";

/// What is the matter with a server.
#[derive(Clone, Copy)]
pub(super) enum Sickness {
    /// It never answers a read of stages.
    HangsOnLists,
    /// It never answers a write.
    HangsOnWrites,
    /// It answers everything late.
    AnswersLate,
}

impl Sickness {
    pub(super) const ALL: [Self; 3] = [Self::HangsOnLists, Self::HangsOnWrites, Self::AnswersLate];

    fn text(self) -> &'static str {
        match self {
            Self::HangsOnLists => "hangs on lists",
            Self::HangsOnWrites => "hangs on writes",
            Self::AnswersLate => "answers after 25 s",
        }
    }

    fn fault(self) -> Fault {
        match self {
            Self::HangsOnLists => Fault::new(FaultKind::Hang)
                .method(Method::GET)
                .path("/stages/"),
            Self::HangsOnWrites => Fault::new(FaultKind::Hang).writes(),
            Self::AnswersLate => Fault::new(FaultKind::Latency(LATE)),
        }
    }
}

/// Measures alone first, and then beside a server with this sickness.
pub(super) async fn run(
    program: &Path,
    sickness: Sickness,
    latency: Option<Latency>,
) -> Result<Report> {
    let subject = format!(
        "beside a server that {}, with {STAGES} stages, and {DEAD} dead connections",
        sickness.text()
    );
    eprintln!("{subject}");
    let cluster = Cluster::start(program).await?;
    let well = super::simulator(latency).await;
    cluster.connect(&well.url(), well.token()).await?;
    let mut isolation = Isolation {
        report: Report::new(subject, STAGES, latency.is_some()),
        cluster: &cluster,
        bare: Bare::new(&well),
        well: &well,
    };
    isolation.all(program, sickness).await?;
    Ok(isolation.report)
}

struct Isolation<'a> {
    report: Report,
    cluster: &'a Cluster,
    bare: Bare<'a>,
    well: &'a Simulator,
}

/// What was measured of the server that is well.
#[derive(Default)]
struct Measured {
    post: Samples,
    stage: Samples,
    probe: Samples,
    connection: Samples,
}

impl Isolation<'_> {
    async fn all(&mut self, program: &Path, sickness: Sickness) -> Result<()> {
        let Cluster {
            kubernetes,
            namespace,
            ..
        } = self.cluster;
        let operator = Operator::start(kubernetes, program, "operator", namespace).await?;
        let first = cluster::stage_on("default");
        self.cluster.time_to_ready(STAGE, "first", first).await?;
        // Connections of the operator, its API server and the simulator are warm after this.
        self.measure("warm").await?;
        let alone = self.measure("alone").await?;
        let resident = operator.resident()?;
        let sick = Sick::fall_ill(self.cluster, sickness).await?;
        let beside = self.measure("beside").await?;
        self.compare("stage", &alone.stage, &beside.stage, "POST", &beside.post);
        let (with, without) = (&beside.connection, &alone.connection);
        self.compare("connection", without, with, "probe", &beside.probe);
        if sick.has_stage {
            let gone = self.cluster.time_until_gone(STAGE, SICK).await?;
            self.report.add(
                Figure::new(
                    "deletion of the sick server's stage under Orphan",
                    gone.as_secs_f64() * 1000.0,
                    Unit::Milliseconds,
                )
                .target(BESIDE_ITS_REQUEST),
            );
        }
        self.resources(&operator, resident).await
    }

    /// Makes stages and connections of the server that is well, and beside each the request that it can't do without.
    async fn measure(&self, prefix: &str) -> Result<Measured> {
        eprintln!("new stages and connections, one by one, {prefix}");
        let mut measured = Measured::default();
        for n in 0..SAMPLES {
            let name = format!("{prefix}-{n}");
            let bare = self.bare.create_stage(&format!("{name}-bare")).await?;
            measured.post.add(bare);
            let stage = cluster::stage_on("default");
            let stage = self.cluster.time_to_ready(STAGE, &name, stage).await?;
            measured.stage.add(stage);
            measured.probe.add(self.bare.probe().await?);
            let connection = cluster::connection(&self.well.url());
            let connection = self.cluster.time_to_ready(CONNECTION, &name, connection);
            measured.connection.add(connection.await?);
        }
        Ok(measured)
    }

    fn compare(
        &mut self,
        what: &str,
        alone: &Samples,
        beside: &Samples,
        request: &str,
        bare: &Samples,
    ) {
        let floor = bare.median();
        let unit = Unit::Milliseconds;
        let figure = |when: &str, value| {
            Figure::new(format!("one new {what}, {when}"), value, unit).floor(floor)
        };
        let report = &mut self.report;
        report.add(figure("alone (median)", alone.median()));
        report.add(figure("beside (median)", beside.median()).target(floor + BESIDE_ITS_REQUEST));
        report.add(figure("beside (slowest)", beside.slowest()));
        report.add(
            Figure::new(
                format!("one new {what}, beside: more than its own {request}"),
                beside.median() - floor,
                unit,
            )
            .target(BESIDE_ITS_REQUEST),
        );
        report.add(Figure::new(
            format!("one new {what}, beside, of what it takes alone"),
            beside.median() / alone.median(),
            Unit::Times,
        ));
    }

    /// What the operator needs, at once and after a while.
    async fn resources(&mut self, operator: &Operator, alone: f64) -> Result<()> {
        let resident =
            |when: &str, value| Figure::new(format!("resident {when}"), value, Unit::MiB);
        let report = &mut self.report;
        report.add(resident("alone", alone).target(RESIDENT));
        report.add(resident("beside", operator.resident()?).target(RESIDENT));
        let before = operator.cpu()?;
        tokio::time::sleep(AFTERWARDS).await;
        let cpu = operator.cpu()? - before;
        report.add(Figure::new("CPU of the next 20 s", cpu, Unit::CpuSeconds));
        report.add(resident("after them", operator.resident()?).target(RESIDENT));
        report.add(resident("at most", operator.peak()?).target(RESIDENT));
        Ok(())
    }
}

/// The server that is sick, and the one that is dead.
struct Sick {
    _simulator: Simulator,
    _gateway: Gateway,
    _dead: Hostile,
    /// Whether it has a stage from the time when it was well.
    has_stage: bool,
}

impl Sick {
    /// Returns once both servers have been asked what they don't answer.
    async fn fall_ill(cluster: &Cluster, sickness: Sickness) -> Result<Self> {
        eprintln!("a server falls ill");
        let simulator = super::simulator(None).await;
        let gateway = Gateway::in_front_of(&simulator.url())
            .without_bodies()
            .launch()
            .await;
        cluster.secret(SICK, simulator.token()).await?;
        let mut connection = cluster::connection(&gateway.url());
        connection["timeout"] = json!(TIMEOUT);
        connection["tokenSecretRef"]["name"] = json!(SICK);
        // A list that was read once is not missed.
        let has_stage = !matches!(sickness, Sickness::HangsOnLists);
        if has_stage {
            cluster.create(CONNECTION, SICK, connection).await?;
            let stage = cluster::stage_on(SICK);
            cluster.time_to_ready(STAGE, SICK, stage).await?;
            gateway.inject(sickness.fault());
        } else {
            gateway.inject(sickness.fault());
            cluster.create(CONNECTION, SICK, connection).await?;
        }
        gateway.clear();
        let stages = super::names("sick", STAGES);
        cluster
            .create_all(STAGE, &stages, &cluster::stage_on(SICK))
            .await?;
        let dead = dead(cluster).await?;
        let is_waited_for =
            |exchange: &Exchange| exchange.status.is_none() && exchange.path != PROBE;
        let ill = gateway.wait_for(|audit| audit.iter().any(is_waited_for), ASKED_WITHIN);
        if !ill.await {
            return Err("the sick server was asked for nothing".into());
        }
        Ok(Self {
            _simulator: simulator,
            _gateway: gateway,
            _dead: dead,
            has_stage,
        })
    }
}

/// Connections to a server that accepts and never answers.
async fn dead(cluster: &Cluster) -> Result<Hostile> {
    let silent = Hostile::builder().on(Requests::All, Manner::Never);
    let silent = silent.launch().await;
    let mut connection = cluster::connection(&silent.url());
    connection["timeout"] = json!(TIMEOUT);
    let names = super::names("dead", DEAD);
    cluster.create_all(CONNECTION, &names, &connection).await?;
    // More than half of them are enough to fill a queue that all share.
    match silent.asked(Requests::All, DEAD / 2, ASKED_WITHIN).await {
        true => Ok(silent),
        false => Err("the dead connections were not tried".into()),
    }
}
