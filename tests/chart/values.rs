//! The values: each is explained and has a default, and a wrong one is refused with a message.

use std::fs;

use serde_json::{Value, json};

use crate::rendering::{chart, run, said, template};

#[test]
fn what_is_wrong_is_refused_with_a_message() {
    for (values, message) in [
        (
            json!({"replica": 1}),
            "additional properties 'replica' not allowed",
        ),
        (
            json!({"image": {"name": "x"}}),
            "additional properties 'name' not allowed",
        ),
        (
            json!({"replicas": "two"}),
            "at '/replicas': got string, want integer",
        ),
        (
            json!({"watchNamespaces": "team-a"}),
            "at '/watchNamespaces': got string, want array",
        ),
        (
            json!({"watchNamespaces": ["Team A"]}),
            "at '/watchNamespaces/0': 'Team A' does not match pattern",
        ),
        (
            json!({"log": {"format": "xml"}}),
            "at '/log/format': value must be one of 'text', 'json'",
        ),
        (
            json!({"metrics": {"port": 0}}),
            "at '/metrics/port': minimum: got 0, want 1",
        ),
        (
            json!({"image": {"pullPolicy": "Sometimes"}}),
            "at '/image/pullPolicy': value must be one of",
        ),
        (
            json!({"connection": {"url": "authentik.example.com"}}),
            "at '/connection/url': 'authentik.example.com' does not match",
        ),
        (
            json!({"connection": {"resyncInterval": "soon"}}),
            "at '/connection/resyncInterval': 'soon' does not match",
        ),
        (
            json!({"replicas": 2, "leaderElection": {"enabled": false}}),
            "replicas: more than one pod needs leaderElection.enabled: true",
        ),
        (
            json!({"rbac": {"clusterConnections": false}}),
            "rbac.clusterConnections: false needs watchNamespaces",
        ),
        (
            json!({"connection": {"url": "https://x"}}),
            "connection.tokenSecret.name: name the Secret",
        ),
        (
            json!({
                "watchNamespaces": ["a"], "rbac": {"clusterConnections": false},
                "connection": {"url": "https://x", "tokenSecret": {"name": "x"}},
            }),
            "connection.url: a ClusterAuthentikConnection needs rbac.clusterConnections: true",
        ),
        (
            json!({"secrets": {"tokens": [{"namespace": "a", "names": ["b"]}]}}),
            "secrets.tokens: only with watchNamespaces",
        ),
        (
            json!({"allowedServers": ["authentik.example.com"]}),
            "at '/allowedServers/0': 'authentik.example.com' does not match",
        ),
        (
            json!({"allowedServers": ["https://a.example.com,https://b.example.com"]}),
            "at '/allowedServers/0': 'https://a.example.com,https://b.example.com' does not match",
        ),
        (
            json!({"hostUsers": "no"}),
            "at '/hostUsers': got string, want null or boolean",
        ),
        (
            json!({"networkPolicy": {"enabled": true}}),
            "networkPolicy.egress: name what the operator may reach",
        ),
        (
            json!({"metrics": {"service": {"enabled": false}, "serviceMonitor": {"enabled": true}}}),
            "metrics.serviceMonitor.enabled: needs metrics.service.enabled: true",
        ),
    ] {
        let refused = run(&mut template(), &values.to_string());
        assert!(!refused.status.success(), "{values}");
        assert!(
            said(&refused).contains(message),
            "{values}: {}",
            said(&refused)
        );
    }
}

/// What is allowed where values are written, by path.
fn properties(schema: &Value, values: &Value, path: &str, missing: &mut Vec<String>) {
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        // What is shared with other charts is not this one's to explain; a selector is Kubernetes'.
        if [".global", ".connection.allowedNamespaces"].contains(&path.as_str()) {
            continue;
        }
        match values.get(key) {
            Some(values) => properties(value, values, &path, missing),
            None => missing.push(path),
        }
    }
}

#[test]
fn every_value_that_is_allowed_has_a_default() {
    let read = |name| fs::read_to_string(chart().join(name)).expect("it can be read");
    let schema: Value = serde_json::from_str(&read("values.schema.json")).expect("it is JSON");
    let values: Value = serde_saphyr::from_str(&read("values.yaml")).expect("it is YAML");
    let mut missing = Vec::new();
    properties(&schema, &values, "", &mut missing);
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_chart_is_for_this_version() {
    let text = fs::read_to_string(chart().join("Chart.yaml")).expect("it can be read");
    let chart: Value = serde_saphyr::from_str(&text).expect("it is YAML");
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_readme_has_every_value() {
    let readme = fs::read_to_string(chart().join("README.md")).expect("it can be read");
    assert!(
        readme == devkit::chart::readme().expect("every value has a comment"),
        "the chart's README.md is out of date; run `make generate`"
    );
}
