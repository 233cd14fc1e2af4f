//! What the chart makes of values.

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use devkit::kubernetes::{Kubernetes, helm_command};
use serde_json::{Value, json};

pub const RELEASE: &str = "stages";
pub const NAMESPACE: &str = "authentik-operator";
/// What the chart's names begin with.
pub const NAME: &str = "stages-authentik-stage-operator";

pub fn chart() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("charts/authentik-stage-operator")
}

/// Runs a command with this input; returns what it ended with.
pub fn run(command: &mut Command, input: &str) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A command that ends early has said why.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it can be awaited")
}

pub fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

pub fn succeed(command: &mut Command, input: &str) -> String {
    let output = run(command, input);
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("the output is text")
}

pub fn template() -> Command {
    let mut command = helm_command(["template", RELEASE, "--namespace", NAMESPACE]);
    // JSON is YAML.
    command.arg(chart()).args(["--values", "-"]);
    command
}

/// What the chart makes of these values, as text.
pub fn rendered(values: &Value) -> String {
    succeed(&mut template(), &values.to_string())
}

/// What the chart makes of these values.
pub fn objects(values: &Value) -> Vec<Value> {
    let text = rendered(values);
    let documents = text.split("\n---\n").filter(|text| text.contains("kind:"));
    documents
        .map(|text| serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}")))
        .collect()
}

/// The objects of this kind.
pub fn of_kind(objects: &[Value], kind: &str) -> Vec<Value> {
    let found = objects.iter().filter(|object| object["kind"] == kind);
    found.cloned().collect()
}

pub fn only(objects: &[Value], kind: &str) -> Value {
    let mut found = of_kind(objects, kind);
    assert_eq!(found.len(), 1, "{kind}");
    found.remove(0)
}

pub fn connection() -> Value {
    json!({
        "url": "https://authentik.example.com/sso", "name": "company", "allowedNamespaces": {"matchLabels": {"a": "b"}},
        "tokenSecret": {"namespace": "authentik", "name": "token", "key": "api-token"},
        "caBundle": "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n",
        "resyncInterval": "10m", "timeout": "1m", "requestsPerSecond": 5, "maxConcurrentRequests": 2,
    })
}

pub fn everything() -> Value {
    json!({
        "commonLabels": {"team": "identity"},
        "image": {"repository": "registry.example.com/operator", "digest": format!("sha256:{}", "0".repeat(64))},
        "imagePullSecrets": [{"name": "registry"}],
        "watchNamespaces": ["team-a", "team-b"],
        "allowedServers": ["https://authentik.example.com/sso", "http://authentik.login:9000"],
        "leaderElection": {"leaseName": "ours"},
        "hostUsers": false,
        "secrets": {"tokens": [{"namespace": "authentik", "names": ["other"]}]},
        "replicas": 3,
        "serviceAccount": {"name": "operator", "annotations": {"a": "b"}},
        "connection": connection(),
        "metrics": {
            "port": 9090, "service": {"annotations": {"a": "b"}},
            "serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}, "interval": "1m"},
            "prometheusRule": {"enabled": true, "labels": {"release": "prometheus"}},
            "dashboard": {"enabled": true, "annotations": {"folder": "identity"}},
        },
        "networkPolicy": {
            "enabled": true,
            "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
            "egress": [{"ports": [{"port": 443}, {"port": 6443}]}],
        },
        "deploymentAnnotations": {"a": "b"}, "podAnnotations": {"a": "b"}, "podLabels": {"a": "b"},
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {}}},
        ]}},
        "tracing": {"otlpEndpoint": "http://collector.monitoring:4318"},
        "extraArgs": ["--log=debug"],
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.com"}],
        "extraEnvFrom": [{"configMapRef": {"name": "environment", "optional": true}}],
        "extraVolumes": [{"name": "extra", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "extra", "mountPath": "/extra"}],
    })
}

/// A connection whose token, CA and header are in other namespaces than those that are watched.
pub fn ca_elsewhere() -> Value {
    let mut connection = connection();
    connection["caBundle"] = json!("");
    let key = json!({"namespace": "authentik", "name": "ca", "key": "ca.crt"});
    connection["caBundleFrom"] = json!({"configMapKeyRef": key});
    let key = json!({"namespace": "authentik", "name": "access", "key": "secret"});
    connection["headers"] = json!([
        {"name": "CF-Access-Client-Id", "value": "stages"},
        {"name": "CF-Access-Client-Secret", "valueFrom": {"secretKeyRef": key}},
    ]);
    json!({"watchNamespaces": ["team-a"], "connection": connection})
}

/// What a file of the chart's `examples/` says.
pub fn file_of_values(name: &str) -> Value {
    let path = chart().join("examples").join(name);
    let text = fs::read_to_string(path).expect("it can be read");
    serde_saphyr::from_str(&text).expect("it is YAML")
}

/// Values that differ in which objects they make.
pub fn matrix() -> Vec<Value> {
    vec![
        json!({}),
        everything(),
        json!({"watchNamespaces": ["team-a"], "rbac": {"clusterConnections": false}}),
        json!({"replicas": 1, "leaderElection": {"enabled": false}}),
        json!({"secrets": {"watch": false}}),
        json!({"crds": {"install": false}, "connection": connection()}),
        json!({"crds": {"keep": false}, "serviceAccount": {"create": false, "name": "mine"}}),
        json!({"connection": {"url": "http://authentik", "tokenSecret": {"name": "token"}}}),
        json!({"connection": {"url": "http://authentik", "tokenSecret": {"name": "token"}, "allowedNamespaces": {}}}),
        ca_elsewhere(),
        file_of_values("high-availability.yaml"),
        file_of_values("single-namespace.yaml"),
        json!({
            "rbac": {"create": false}, "podDisruptionBudget": {"enabled": false}, "nameOverride": "other",
            "metrics": {"service": {"enabled": false}}, "networkPolicy": {"enabled": true, "egress": [{}]},
            "resources": {}, "topologySpreadConstraints": [], "log": {"format": "text"},
        }),
    ]
}

pub fn kubectl<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    Kubernetes::shared().kubectl_command(args)
}

/// Kinds of the Prometheus operator, as far as to be known.
pub fn foreign_crd(plural: &str, kind: &str) -> Value {
    let group = "monitoring.coreos.com";
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            }}}],
        },
    })
}

pub fn namespace(name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

pub fn list(items: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// Gives the shared Kubernetes what the objects of the chart need to be there.
pub fn prepared() {
    static PREPARED: OnceLock<()> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let mut crds = of_kind(&objects(&json!({})), "CustomResourceDefinition");
        crds.push(foreign_crd("servicemonitors", "ServiceMonitor"));
        crds.push(foreign_crd("prometheusrules", "PrometheusRule"));
        let apply = ["apply", "--server-side", "-f", "-"];
        succeed(&mut kubectl(apply), &list(&crds));
        let wait = [
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "-f",
            "-",
        ];
        succeed(&mut kubectl(wait), &list(&crds));
        let names = [NAMESPACE, "authentik", "team-a", "team-b"];
        let restricted = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let namespaces = names.map(|name| namespace(name, &restricted));
        succeed(&mut kubectl(apply), &list(&namespaces));
    });
}

/// The value of this variable of the operator's container.
pub fn variable(values: &Value, name: &str) -> Option<String> {
    let deployment = only(&objects(values), "Deployment");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let variables = container["env"].as_array().expect("a list");
    let variable = variables.iter().find(|variable| variable["name"] == name)?;
    variable["value"].as_str().map(str::to_owned)
}
