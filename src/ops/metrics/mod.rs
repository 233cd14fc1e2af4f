//! Metrics in OpenMetrics text. No label has more values than there are kinds, reasons, connections or endpoints.

mod labels;
#[cfg(test)]
mod tests;
mod told;

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::AtomicU64,
    time::Duration,
};

use parking_lot::Mutex;

use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

use self::labels::{
    ConnectionAndReason, Endpoint, EndpointAndStatus, Kind, KindAndField, KindAndReason,
    KindAndResult, OfConnection, Watch,
};
pub use self::told::{Asked, Gauges, Look};

/// The prefix of every metric.
const PREFIX: &str = "authentik_operator";

type Seconds = Gauge<f64, AtomicU64>;

/// All metrics.
pub struct Metrics {
    registry: Mutex<Registry>,
    reconciles: Family<KindAndResult, Counter>,
    durations: Family<Kind, Histogram>,
    drift_found: Family<Kind, Counter>,
    drift_repaired: Family<Kind, Counter>,
    fields_drifted: Family<KindAndField, Counter>,
    other_writers: Family<OfConnection, Counter>,
    factor_weakened: Family<Kind, Counter>,
    factors_weak: Family<Kind, Gauge>,
    requests: Family<EndpointAndStatus, Counter>,
    latencies: Family<Endpoint, Histogram>,
    resources: Family<KindAndReason, Gauge>,
    connections: Family<ConnectionAndReason, Gauge>,
    queued: Family<Kind, Gauge>,
    inventory_age: Family<OfConnection, Seconds>,
    look_duration: Family<OfConnection, Seconds>,
    look_interval: Family<OfConnection, Seconds>,
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
            fields_drifted: Family::default(),
            other_writers: Family::default(),
            factor_weakened: Family::default(),
            factors_weak: Family::default(),
            requests: Family::default(),
            latencies: Family::new_with_constructor(histogram),
            resources: Family::default(),
            connections: Family::default(),
            queued: Family::default(),
            inventory_age: Family::default(),
            look_duration: Family::default(),
            look_interval: Family::default(),
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
            "drift_fields",
            "Fields that were found changed by others, by the name in the spec",
            self.fields_drifted.clone(),
        );
        registry.register(
            "other_writers",
            "Drift that was made with the account of the connection's token, and not by this operator",
            self.other_writers.clone(),
        );
        registry.register(
            "factor_weakened",
            "How often others made a second factor weaker than its spec asks",
            self.factor_weakened.clone(),
        );
        registry.register(
            "factors_weak",
            "Resources whose stage asks for a weaker second factor than the spec",
            self.factors_weak.clone(),
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
        registry.register_with_unit(
            "look_duration",
            "How long authentik took to answer the last look at all that is managed",
            Unit::Seconds,
            self.look_duration.clone(),
        );
        registry.register_with_unit(
            "look_interval",
            "The time from the last look to the next one",
            Unit::Seconds,
            self.look_interval.clone(),
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

    /// A field was found changed by others.
    pub fn field_drifted(&self, kind: &str, field: &str) {
        let labels = KindAndField {
            kind: kind.to_owned(),
            field: field.to_owned(),
        };
        self.fields_drifted.get_or_create(&labels).inc();
    }

    /// Drift was made with the account of this connection's token, and not by this operator.
    pub fn another_wrote(&self, connection: &str) {
        self.other_writer(connection).inc();
    }

    /// Shows that a connection is there: Prometheus sees no increase to the first value of a counter.
    pub fn begins_to_count_for(&self, connection: &str) {
        drop(self.other_writer(connection));
    }

    fn other_writer(&self, connection: &str) -> impl std::ops::Deref<Target = Counter> {
        self.other_writers.get_or_create(&OfConnection {
            connection: connection.to_owned(),
        })
    }

    /// Others made a second factor weaker.
    pub fn factor_weakened(&self, kind: &str) {
        self.factor_weakened.get_or_create(&of(kind)).inc();
    }

    /// Shows what has not happened yet of this kind: Prometheus sees no increase to the first value of a counter.
    pub fn begins_to_count(&self, kind: &str) {
        for counter in [
            &self.drift_found,
            &self.drift_repaired,
            &self.factor_weakened,
        ] {
            drop(counter.get_or_create(&of(kind)));
        }
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
        self.other_writers.remove(&OfConnection {
            connection: connection.to_owned(),
        });
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
        self.factors_weak.clear();
        for kind in count.weak {
            self.factors_weak.get_or_create(&of(kind)).inc();
        }
        self.look_duration.clear();
        self.look_interval.clear();
        for look in count.looks {
            let connection = OfConnection {
                connection: look.connection,
            };
            let seconds = |family: &Family<_, Seconds>, time: Duration| {
                family.get_or_create(&connection).set(time.as_secs_f64());
            };
            seconds(&self.look_duration, look.took);
            seconds(&self.look_interval, look.interval);
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
