//! How long a change by hand lasts where no resync interval is set, beside what the looks cost the server.
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Result;
use super::authentik::{Bare, PROBE};
use super::cluster::{self, CONNECTION, Cluster, DEFAULT, STAGE};
use super::mix::Kinds;
use super::operator::Operator;
use super::report::{Figure, Report, Unit};
use super::samples::Samples;
use crate::gateway::{Exchange, Gateway};
use crate::simulator::Latency;

/// How many stages are managed.
const OWN: usize = 20;

/// How many changes are made, one after the other.
const CHANGES: u32 = 12;

/// The most that a change may last on average, in seconds, where the server has no other stages.
const MEAN: f64 = 10.0;

/// How long a look may be waited for.
const PATIENCE: Duration = Duration::from_secs(330);

/// How many stages of others the server has.
pub(super) const OTHERS: [usize; 2] = [0, 1000];

/// Changes one stage after the other, at moments that have nothing to do with the looks.
pub(super) async fn run(program: &Path, others: usize, latency: Option<Latency>) -> Result<Report> {
    let subject = format!("drift of {OWN} stages among {others} others, no interval set");
    eprintln!("{subject}");
    let cluster = Cluster::start(program).await?;
    let simulator = super::simulator(None).await;
    let bare = Bare::new(&simulator);
    for name in super::names("other", others) {
        bare.create_stage(&name).await?;
    }
    simulator.set_latency(latency.unwrap_or_default());
    let gateway = Gateway::in_front_of(&simulator.url()).launch().await;
    cluster.secret(DEFAULT, simulator.token()).await?;
    let mut connection = cluster::connection(&gateway.url());
    if let Some(spec) = connection.as_object_mut() {
        spec.remove("resyncInterval");
    }
    cluster.create(CONNECTION, DEFAULT, connection).await?;
    let operator =
        Operator::start(&cluster.kubernetes, program, "operator", &cluster.namespace).await?;
    for name in super::names("own", OWN) {
        cluster
            .time_to_ready(STAGE, &name, cluster::stage())
            .await?;
    }
    let lists = bare.list(Kinds::Validate).await?;
    let rows: Vec<_> = lists
        .rows
        .iter()
        .flat_map(|(kind, rows)| rows.iter().map(move |row| (*kind, row)))
        .collect();
    let own: Vec<_> = rows.into_iter().filter(|(_, row)| is_own(row)).collect();
    // The looks before all stages were there are of no interest.
    next_look(&gateway).await?;
    let mut report = Report::new(subject, OWN + others, latency.is_some());
    let mut lasted = Samples::default();
    for change in 0..CHANGES {
        // A part of the shortest interval, another one each time.
        tokio::time::sleep(Duration::from_millis(u64::from(change) * 800)).await;
        gateway.clear();
        let begun = Instant::now();
        bare.drift(&own[change as usize..=change as usize]).await?;
        let repaired = |audit: &[Exchange]| {
            audit
                .iter()
                .any(|exchange| exchange.is_write() && exchange.status.is_some())
        };
        if !gateway.wait_for(repaired, PATIENCE).await {
            return Err("a change was not put right".into());
        }
        lasted.add(begun.elapsed());
    }
    let seconds = |what: &str, value: f64| Figure::new(what, value, Unit::Seconds);
    report.add(
        seconds("from a change to its repair (mean)", lasted.mean() / 1000.0)
            .target((others == 0).then_some(MEAN)),
    );
    report.add(seconds(
        "from a change to its repair (slowest)",
        lasted.slowest() / 1000.0,
    ));
    let metric = |name: &'static str| operator.metric(name, "");
    report.add(seconds("interval", metric("look_interval_seconds").await?));
    report.add(seconds("a look", metric("look_duration_seconds").await?));
    next_look(&gateway).await?;
    gateway.clear();
    next_look(&gateway).await?;
    let asked = gateway.audit().len() as f64;
    report.add(Figure::new(
        "requests a look, its probe included",
        asked,
        Unit::Requests,
    ));
    Ok(report)
}

fn is_own(row: &Value) -> bool {
    row["name"]
        .as_str()
        .is_some_and(|name| name.starts_with("own-"))
}

/// Waits until the next look begins, whose first request is a probe.
async fn next_look(gateway: &Gateway) -> Result<()> {
    let probes = |audit: &[Exchange]| {
        audit
            .iter()
            .filter(|exchange| exchange.path == PROBE)
            .count()
    };
    let before = probes(&gateway.audit());
    match gateway
        .wait_for(|audit| probes(audit) > before, PATIENCE)
        .await
    {
        true => Ok(()),
        false => Err("the operator does not look".into()),
    }
}
