//! One authentik server: where it is, how to log in, and how hard it may be worked.

use std::time::Duration as StdDuration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{
    CustomResource, KubeSchema,
    core::{Duration, Message, Rule},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    SecretKey,
    header::{Header, NamespacedHeader, no_header_twice},
    source::{CaBundleSource, NamespacedCaBundleSource, NamespacedSecretKey},
};

const DEFAULT_TIMEOUT: StdDuration = StdDuration::from_secs(30);
const LONGEST_TIMEOUT: StdDuration = StdDuration::from_secs(60);
const DEFAULT_CONCURRENCY: u16 = 4;

fn url_form() -> Rule {
    Rule::new(
        "isURL(self) && self.matches('^(?i:https?)://[^/]') && url(self).getHostname() != '' \
         && !self.matches('[?#@[:space:]]')",
    )
    .message("url is not the address of an authentik server; write http:// or https://, a host and, if need be, a path, without user, query or fragment")
}

fn go_duration(field: &str, longest: &str, example: &str) -> Rule {
    Rule::new(format!(
        "self.matches('^([0-9]{{1,9}}([.][0-9]{{1,9}})?(ms|s|m|h))+$') && duration(self) >= duration('1s') \
         && duration(self) <= duration('{longest}')",
    ))
    .message(Message::Message(format!(
        "{field} is not a duration from 1s to {longest}; write for example {example}"
    )))
}

fn one_ca_bundle() -> Rule {
    Rule::new("!(has(self.caBundle) && has(self.caBundleFrom))")
        .message("caBundle and caBundleFrom are both set; keep one of the two")
}

/// The settings that both kinds of connection share.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionSettings {
    /// The server's address, such as `https://auth.example.com`, with a path where authentik has one.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = url_form())]
    pub url: String,
    /// PEM certificates of private CAs to trust beside the public ones. Those that are renewed are better off in `caBundleFrom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 262144))]
    #[x_kube(validation = Rule::new("self.contains('-----BEGIN CERTIFICATE-----')").message("caBundle holds no PEM certificate; write the CA's certificate, from -----BEGIN CERTIFICATE----- on"))]
    pub ca_bundle: Option<String>,
    /// How often authentik is listed to find drift. Omitted: as often as keeps the looks under 2 % of one server worker's
    /// time, every 10s to 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = go_duration("resyncInterval", "24h", "5m"))]
    pub resync_interval: Option<Duration>,
    /// How long a request may take, at most 60s. Omitted: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = go_duration("timeout", "60s", "30s"))]
    pub timeout: Option<Duration>,
    /// The most requests a second. Omitted: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub requests_per_second: Option<u32>,
    /// The most requests at one time. Omitted: 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_concurrent_requests: Option<u16>,
}

impl ConnectionSettings {
    /// How often authentik is looked at; nothing where that follows what a look costs.
    #[must_use]
    pub fn resync_interval(&self) -> Option<StdDuration> {
        self.resync_interval.map(Into::into)
    }

    /// How long a request may take.
    #[must_use]
    pub fn timeout(&self) -> StdDuration {
        // An older CRD let longer ones pass.
        let timeout: StdDuration = self.timeout.map_or(DEFAULT_TIMEOUT, Into::into);
        timeout.min(LONGEST_TIMEOUT)
    }

    /// How many requests may be under way at one time.
    #[must_use]
    pub fn max_concurrent_requests(&self) -> u16 {
        self.max_concurrent_requests.unwrap_or(DEFAULT_CONCURRENCY)
    }
}

/// An authentik server for the resources of one namespace.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "authentik-operator.io",
    version = "v1alpha1",
    kind = "AuthentikConnection",
    namespaced,
    status = "ConnectionStatus",
    shortname = "akc",
    category = "authentik",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.url"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = one_ca_bundle())]
pub struct AuthentikConnectionSpec {
    /// How to reach the server.
    #[serde(flatten)]
    pub settings: ConnectionSettings,
    /// The key of a Secret in the same namespace that holds an API token.
    pub token_secret_ref: SecretKey,
    /// Where PEM certificates of private CAs are, to trust beside the public ones. They are read again when they change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_from: Option<CaBundleSource>,
    /// Headers of each request beside the operator's own, as for an access proxy in front of authentik.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = no_header_twice())]
    pub headers: Option<Vec<Header>>,
}

/// An authentik server for the resources of many namespaces.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "authentik-operator.io",
    version = "v1alpha1",
    kind = "ClusterAuthentikConnection",
    status = "ConnectionStatus",
    shortname = "cakc",
    category = "authentik",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.url"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = one_ca_bundle())]
pub struct ClusterAuthentikConnectionSpec {
    /// How to reach the server.
    #[serde(flatten)]
    pub settings: ConnectionSettings,
    /// The key of a Secret that holds an API token.
    pub token_secret_ref: NamespacedSecretKey,
    /// Where PEM certificates of private CAs are, to trust beside the public ones. They are read again when they change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_from: Option<NamespacedCaBundleSource>,
    /// Headers of each request beside the operator's own, as for an access proxy in front of authentik.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = no_header_twice())]
    pub headers: Option<Vec<NamespacedHeader>>,
    /// The namespaces whose resources may use this connection, by their labels. `{}` is all; omitted is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<LabelSelector>,
}

/// What the operator knows of the server.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`; and `Reconciling` or `Stalled`, present only while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// authentik's version, as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The model permissions that refused requests have shown the token to lack, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_permissions: Vec<String>,
}
