//! What is told to the metrics.

use std::time::Duration;

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

/// The last look at a server.
#[derive(Debug)]
pub struct Look {
    /// The connection, `namespace/name` or `name`.
    pub connection: String,
    /// How long authentik took to answer.
    pub took: Duration,
    /// The time until the next look.
    pub interval: Duration,
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
    /// The last look at the server of every connection that has looked.
    pub looks: Vec<Look>,
    /// Kind of every resource whose stage asks for a weaker second factor than its spec, once each.
    pub weak: Vec<&'static str>,
    /// Kind and namespace (empty: all) of each watch that Kubernetes refuses.
    pub refused_watches: Vec<(&'static str, String)>,
    /// Whether this replica leads.
    pub leads: bool,
}
