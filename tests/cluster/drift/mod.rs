//! Drift: who made it, whether it made a second factor weaker, and how soon it is found.

mod alerts;
mod pace;
mod weaker;
mod who;

use crate::harness::Test;

/// What the audit log is asked at.
const LOG: &str = "/api/v3/events/events/";

/// How often the operator has asked the audit log.
fn questions(test: &Test) -> usize {
    let audit = test.gateway.audit();
    let asked = audit.iter().filter(|exchange| exchange.path == LOG);
    asked.count()
}

/// What this metric shows, with labels that begin so.
async fn metric(test: &Test, series: &str) -> Option<f64> {
    let metrics = test.metrics().await;
    let lines = metrics.lines().filter(|line| line.starts_with(series));
    let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    values.reduce(|one, other| one + other)
}
