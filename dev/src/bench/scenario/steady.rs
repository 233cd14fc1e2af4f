//! A steady hour: nothing changes, and authentik is listed as often as in an hour.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::counts::{by_method, difference};
use super::{IN_SYNC, Scenario};
use crate::bench::Result;
use crate::bench::authentik::PROBE;
use crate::bench::operator::Operator;
use crate::bench::report::{Figure, Unit};

/// How often authentik is listed in an hour, at the interval that a connection has when it names none.
const RESYNCS_AN_HOUR: u64 = 12;

/// The shortest interval that a connection takes.
const SHORTEST_INTERVAL: &str = "1s";

/// How often the simulator is asked what it has answered.
const POLL: Duration = Duration::from_millis(5);

const HOUR: f64 = 3600.0;

/// What had been done at one moment.
struct Mark {
    at: Instant,
    cpu: f64,
    answered: BTreeMap<(String, String), u64>,
    kubernetes_writes: usize,
}

impl Scenario<'_> {
    /// The resyncs of an hour, one a second and as fast as authentik can be listed; the idle time between them is
    /// added as measured.
    pub(super) async fn steady_hour(&mut self, operator: &mut Operator) -> Result<()> {
        self.tell("a steady hour");
        let lists = self.authentik.list(self.kinds).await?;
        let floor = lists.took;
        let pages = lists.all_pages();
        self.resync_every(SHORTEST_INTERVAL, operator).await?;
        let rest = self.ahead_at_rest(pages).await;
        self.resyncs(1, pages, rest).await;
        let before = self.mark(operator)?;
        self.resyncs(RESYNCS_AN_HOUR, pages, rest).await;
        let after = self.mark(operator)?;
        let pages = pages as f64;
        let asked = difference(&before.answered, &after.answered);
        let resyncs = RESYNCS_AN_HOUR as f64;
        let reads = |path: &str| {
            let of_path = asked.get(&("GET".to_owned(), path.to_owned()));
            of_path.copied().unwrap_or_default() as f64
        };
        let all = self.kinds.list().iter().map(|kind| reads(kind.path));
        let all: f64 = all.sum();
        self.add(
            Figure::new("steady: lists a resync", all / resyncs, Unit::Requests)
                .floor(pages)
                .target(pages),
        );
        for (kind, pages) in lists.pages() {
            let pages = pages as f64;
            self.add(
                Figure::new(
                    format!("steady: lists a resync of {}", kind.kind),
                    reads(kind.path) / resyncs,
                    Unit::Requests,
                )
                .floor(pages)
                .target(pages),
            );
        }
        let other = asked
            .iter()
            .filter(|((method, path), _)| method == "GET" && path != PROBE)
            .map(|(_, count)| *count as f64)
            .sum::<f64>()
            - all;
        self.add(
            Figure::new(
                "steady hour: reads of kinds that are not in use",
                other,
                Unit::Requests,
            )
            .floor(0.0)
            .target(0.0),
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
        (self.answered(PROBE) * pages as u64) as i64 - self.listed() as i64
    }

    /// How many pages of the kinds in use were read.
    fn listed(&self) -> u64 {
        let kinds = self.kinds.list().iter();
        kinds.map(|kind| self.answered(kind.path)).sum()
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
}
