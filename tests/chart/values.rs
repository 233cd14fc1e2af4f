//! The values: each is explained and has a default, and a wrong one is refused with a message.

use std::fs;

use devkit::kubernetes::helm_command;
use serde_json::{Value, json};

use crate::rendering::{chart, kubectl, objects, only, prepared, run, said, template};

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

/// What Kubernetes checks and the schema does not: types of its own that are large and grow. Helm applies on the server's
/// side, which refuses a field that there is not, with its name.
const LEFT_TO_KUBERNETES: [&str; 5] = [
    ".affinity.nodeAffinity",
    ".affinity.podAffinity",
    ".affinity.podAntiAffinity",
    ".extraEnv[].valueFrom",
    ".extraVolumes[]",
];

/// What is shared with other charts.
const OF_OTHERS: &str = ".global";

/// The paths at which a schema takes any key, or entries of any kind.
fn open_ended(root: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let pointer = name.strip_prefix('#').expect("a reference into the schema");
        let schema = root.pointer(pointer).expect("it is there");
        return open_ended(root, schema, path, found);
    }
    let is = |name: &str| match &schema["type"] {
        Value::Array(types) => types.contains(&json!(name)),
        one => one == name,
    };
    if is("object") {
        match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => {}
            // A map, whose values have a type.
            Some(Value::Object(of)) if of.contains_key("type") => {}
            _ => found.push(path.to_owned()),
        }
        for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
            open_ended(root, schema, &format!("{path}.{key}"), found);
        }
    }
    if is("array") {
        let items = schema.get("items").unwrap_or(&Value::Null);
        match items.is_object() {
            true => open_ended(root, items, &format!("{path}[]"), found),
            false => found.push(path.to_owned()),
        }
    }
}

#[test]
fn no_level_takes_a_key_that_there_is_not() {
    let text = fs::read_to_string(chart().join("values.schema.json")).expect("it can be read");
    let schema: Value = serde_json::from_str(&text).expect("it is JSON");
    let mut found = Vec::new();
    open_ended(&schema, &schema, "", &mut found);
    let mut expected = LEFT_TO_KUBERNETES.map(str::to_owned).to_vec();
    expected.push(OF_OTHERS.to_owned());
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn a_typing_error_is_refused_by_its_name() {
    for values in [
        json!({"typo": 1}),
        json!({"podDisruptionBudget": {"typo": 1}}),
        json!({"metrics": {"serviceMonitor": {"typo": 1}}}),
        json!({"connection": {"caBundleFrom": {"typo": {}}}}),
        json!({"connection": {"headers": [{"name": "a", "typo": 1}]}}),
        json!({"connection": {"allowedNamespaces": {"typo": {}}}}),
        json!({"networkPolicy": {"egress": [{"to": [{"typo": {}}]}]}}),
        json!({"resources": {"typo": {}}}),
        json!({"podSecurityContext": {"typo": true}}),
        json!({"securityContext": {"capabilities": {"typo": []}}}),
        json!({"readinessProbe": {"typo": 1}}),
        json!({"tolerations": [{"typo": 1}]}),
        json!({"affinity": {"typo": {}}}),
        json!({"extraEnv": [{"name": "A", "typo": "b"}]}),
    ] {
        let lint = ["lint", "--strict", "--values", "-"];
        for command in [&mut template(), helm_command(lint).arg(chart())] {
            let refused = run(command, &values.to_string());
            assert!(!refused.status.success(), "{values}");
            let message = "additional properties 'typo' not allowed";
            assert!(said(&refused).contains(message), "{}", said(&refused));
        }
    }
}

#[test]
fn what_is_left_to_kubernetes_is_refused_there_by_its_name() {
    prepared();
    for values in [
        json!({"affinity": {"nodeAffinity": {"typo": {}}}}),
        json!({"affinity": {"podAffinity": {"typo": {}}}}),
        json!({"affinity": {"podAntiAffinity": {"typo": {}}}}),
        json!({"extraEnv": [{"name": "A", "valueFrom": {"typo": {}}}]}),
        json!({"extraVolumes": [{"name": "a", "typo": {}}]}),
    ] {
        let deployment = only(&objects(&values), "Deployment").to_string();
        let apply = ["apply", "--server-side", "--dry-run=server", "--filename=-"];
        let refused = run(&mut kubectl(apply), &deployment);
        assert!(!refused.status.success(), "{values}");
        assert!(said(&refused).contains("typo"), "{}", said(&refused));
    }
}

/// Values whose fields are Kubernetes' own.
const OF_KUBERNETES: [&str; 3] = [".resources", ".podSecurityContext", ".securityContext"];

/// What is allowed where values are written, by path.
fn properties(schema: &Value, values: &Value, path: &str, missing: &mut Vec<String>) {
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        // What is shared with other charts is not this one's to explain.
        if path == OF_OTHERS {
            continue;
        }
        match values.get(key) {
            // The comment of a value that is empty or null says what it takes.
            Some(Value::Null) => {}
            Some(Value::Object(fields)) if fields.is_empty() => {}
            // These are Kubernetes' own types; what the defaults leave out of them is explained there.
            Some(_) if OF_KUBERNETES.contains(&path.as_str()) => {}
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
