//! Metrics in OpenMetrics text. No label has more values than there are kinds, reasons, connections or endpoints.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use parking_lot::Mutex;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

/// The prefix of every metric.
const PREFIX: &str = "authentik_operator";

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Kind {
    kind: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct KindAndResult {
    kind: String,
    result: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct KindAndReason {
    kind: String,
    reason: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Endpoint {
    connection: String,
    method: String,
    path: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct EndpointAndStatus {
    connection: String,
    method: String,
    path: String,
    status: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ConnectionAndReason {
    connection: String,
    reason: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Watch {
    kind: String,
    namespace: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OfConnection {
    connection: String,
}

/// A request to authentik that has ended.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The connection, `namespace/name` or `name`.
    pub connection: &'a str,
    /// The method.
    pub method: &'a str,
    /// The path below `/api/v3/`, with `{uuid}` or `{slug}` for what differs from object to object.
    pub path: &'a str,
    /// The answer's status; nothing where there was no answer.
    pub status: Option<u16>,
    /// How long it took.
    pub elapsed: Duration,
}

/// What the resources are like at one moment.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Kind and `Ready` reason of every resource, once each.
    pub resources: Vec<(&'static str, String)>,
    /// Name and `Ready` reason of every connection.
    pub connections: Vec<(String, String)>,
    /// Kind of every resource that is due and not yet looked at, once each.
    pub queued: Vec<&'static str>,
    /// Name of every connection that has listed its server, and how long ago.
    pub listed: Vec<(String, Duration)>,
    /// Kind and namespace (empty: all) of each watch that Kubernetes refuses.
    pub refused_watches: Vec<(&'static str, String)>,
    /// Whether this replica leads.
    pub leads: bool,
}

/// All metrics.
pub struct Metrics {
    registry: Mutex<Registry>,
    reconciles: Family<KindAndResult, Counter>,
    durations: Family<Kind, Histogram>,
    drift_found: Family<Kind, Counter>,
    drift_repaired: Family<Kind, Counter>,
    requests: Family<EndpointAndStatus, Counter>,
    latencies: Family<Endpoint, Histogram>,
    resources: Family<KindAndReason, Gauge>,
    connections: Family<ConnectionAndReason, Gauge>,
    queued: Family<Kind, Gauge>,
    inventory_age: Family<OfConnection, Gauge<f64, std::sync::atomic::AtomicU64>>,
    refused_watches: Family<Watch, Gauge>,
    leader: Gauge,
    /// What the requests of each connection are counted under, to be forgotten with it.
    counted: Mutex<HashMap<String, HashSet<EndpointAndStatus>>>,
}

fn histogram() -> Histogram {
    // From a millisecond to about half a minute.
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix(PREFIX)),
            reconciles: Family::default(),
            durations: Family::new_with_constructor(histogram),
            drift_found: Family::default(),
            drift_repaired: Family::default(),
            requests: Family::default(),
            latencies: Family::new_with_constructor(histogram),
            resources: Family::default(),
            connections: Family::default(),
            queued: Family::default(),
            inventory_age: Family::default(),
            refused_watches: Family::default(),
            leader: Gauge::default(),
            counted: Mutex::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&self) {
        let mut registry = self.registry.lock();
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The operator's version", build);
        registry.register(
            "reconciles",
            "Reconciles, by kind and by the Ready reason they ended with",
            self.reconciles.clone(),
        );
        registry.register_with_unit(
            "reconcile_duration",
            "How long a reconcile took",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register(
            "drift_found",
            "Reconciles that found authentik changed by others",
            self.drift_found.clone(),
        );
        registry.register(
            "drift_repaired",
            "Writes that put drift right",
            self.drift_repaired.clone(),
        );
        registry.register(
            "authentik_requests",
            "Requests to authentik; status is none where there was no answer",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "authentik_request_duration",
            "How long a request to authentik took",
            Unit::Seconds,
            self.latencies.clone(),
        );
        registry.register(
            "resources",
            "Resources, by kind and Ready reason",
            self.resources.clone(),
        );
        registry.register(
            "connections",
            "Connections, by Ready reason",
            self.connections.clone(),
        );
        registry.register(
            "queue_depth",
            "Resources that are due and not yet looked at",
            self.queued.clone(),
        );
        registry.register_with_unit(
            "inventory_age",
            "How long ago authentik was last listed",
            Unit::Seconds,
            self.inventory_age.clone(),
        );
        registry.register(
            "watches_refused",
            "1 for each watch that Kubernetes refuses; namespace is empty for all",
            self.refused_watches.clone(),
        );
        registry.register("leader", "1 where this replica leads", self.leader.clone());
    }

    /// A reconcile has ended.
    pub fn reconciled(&self, kind: &str, result: &str, elapsed: Duration) {
        let labels = KindAndResult {
            kind: kind.to_owned(),
            result: result.to_owned(),
        };
        self.reconciles.get_or_create(&labels).inc();
        self.durations
            .get_or_create(&of(kind))
            .observe(elapsed.as_secs_f64());
    }

    /// A reconcile has found authentik changed by others.
    pub fn drift_found(&self, kind: &str) {
        self.drift_found.get_or_create(&of(kind)).inc();
    }

    /// A write has put drift right.
    pub fn drift_repaired(&self, kind: &str) {
        self.drift_repaired.get_or_create(&of(kind)).inc();
    }

    /// A request to authentik has ended.
    pub fn asked(&self, asked: &Asked<'_>) {
        let endpoint = Endpoint {
            connection: asked.connection.to_owned(),
            method: asked.method.to_owned(),
            path: asked.path.to_owned(),
        };
        self.latencies
            .get_or_create(&endpoint)
            .observe(asked.elapsed.as_secs_f64());
        let Endpoint {
            connection,
            method,
            path,
        } = endpoint;
        let status = asked
            .status
            .map_or_else(|| "none".to_owned(), |status| status.to_string());
        let labels = EndpointAndStatus {
            connection,
            method,
            path,
            status,
        };
        self.requests.get_or_create(&labels).inc();
        let mut counted = self.counted.lock();
        let of_connection = counted.entry(labels.connection.clone()).or_default();
        of_connection.insert(labels);
    }

    /// A connection is gone, and with it what was counted of it: connections come and go without end.
    pub fn forget_connection(&self, connection: &str) {
        for labels in self.counted.lock().remove(connection).into_iter().flatten() {
            self.requests.remove(&labels);
            self.latencies.remove(&Endpoint {
                connection: labels.connection,
                method: labels.method,
                path: labels.path,
            });
        }
    }

    /// All metrics as OpenMetrics text, with what is counted only when asked for.
    #[must_use]
    pub fn text(&self, count: Gauges) -> String {
        self.set(count);
        let registry = self.registry.lock();
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = encode(&mut text, &registry);
        text
    }

    fn set(&self, count: Gauges) {
        self.leader.set(i64::from(count.leads));
        self.resources.clear();
        for (kind, reason) in count.resources {
            let kind = kind.to_owned();
            self.resources
                .get_or_create(&KindAndReason { kind, reason })
                .inc();
        }
        self.connections.clear();
        for (connection, reason) in count.connections {
            self.connections
                .get_or_create(&ConnectionAndReason { connection, reason })
                .set(1);
        }
        self.queued.clear();
        for kind in count.queued {
            self.queued.get_or_create(&of(kind)).inc();
        }
        self.refused_watches.clear();
        for (kind, namespace) in count.refused_watches {
            let kind = kind.to_owned();
            self.refused_watches
                .get_or_create(&Watch { kind, namespace })
                .set(1);
        }
        self.inventory_age.clear();
        for (connection, age) in count.listed {
            self.inventory_age
                .get_or_create(&OfConnection { connection })
                .set(age.as_secs_f64());
        }
    }
}

fn of(kind: &str) -> Kind {
    Kind {
        kind: kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::default();
        metrics.reconciled("DuoStage", "InSync", Duration::from_millis(3));
        metrics.asked(&Asked {
            connection: "login/default",
            method: "PATCH",
            path: "stages/authenticator/duo/{uuid}",
            status: Some(200),
            elapsed: Duration::from_millis(110),
        });
        let count = Gauges {
            resources: vec![
                ("DuoStage", "InSync".to_owned()),
                ("DuoStage", "InSync".to_owned()),
            ],
            leads: true,
            ..Gauges::default()
        };
        let text = metrics.text(count);
        for line in [
            r#"authentik_operator_reconciles_total{kind="DuoStage",result="InSync"} 1"#,
            r#"authentik_operator_authentik_requests_total{connection="login/default",method="PATCH",path="stages/authenticator/duo/{uuid}",status="200"} 1"#,
            r#"authentik_operator_resources{kind="DuoStage",reason="InSync"} 2"#,
            "authentik_operator_leader 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(
            !metrics.text(Gauges::default()).contains("resources{"),
            "what is gone is not shown"
        );
        metrics.forget_connection("login/default");
        assert!(!metrics.text(Gauges::default()).contains("login/default"));
    }
}
