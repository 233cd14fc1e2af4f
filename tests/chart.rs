//! The Helm chart: what it renders is accepted by a real kube-apiserver, allows the operator what its code needs and
//! no more, and can be installed, upgraded and removed with a real Helm.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

use authentik_stage_operator::ops::{
    metrics::{Asked, Count, Metrics},
    rbac,
};
use devkit::kubernetes::{self, Kubernetes, User, helm_command};
use k8s_openapi::{
    api::rbac::v1::PolicyRule,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use serde_json::{Value, json};

const RELEASE: &str = "stages";
const NAMESPACE: &str = "authentik-operator";
/// What the chart's names begin with.
const NAME: &str = "stages-authentik-stage-operator";

fn chart() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("charts/authentik-stage-operator")
}

/// Runs a command with this input; returns what it ended with.
fn run(command: &mut Command, input: &str) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A command that ends early has said why.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it can be awaited")
}

fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn succeed(command: &mut Command, input: &str) -> String {
    let output = run(command, input);
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("the output is text")
}

fn template() -> Command {
    let mut command = helm_command(["template", RELEASE, "--namespace", NAMESPACE]);
    // JSON is YAML.
    command.arg(chart()).args(["--values", "-"]);
    command
}

/// What the chart makes of these values, as text.
fn rendered(values: &Value) -> String {
    succeed(&mut template(), &values.to_string())
}

/// What the chart makes of these values.
fn objects(values: &Value) -> Vec<Value> {
    let text = rendered(values);
    let documents = text.split("\n---\n").filter(|text| text.contains("kind:"));
    documents
        .map(|text| serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}")))
        .collect()
}

/// The objects of this kind.
fn of_kind(objects: &[Value], kind: &str) -> Vec<Value> {
    let found = objects.iter().filter(|object| object["kind"] == kind);
    found.cloned().collect()
}

fn only(objects: &[Value], kind: &str) -> Value {
    let mut found = of_kind(objects, kind);
    assert_eq!(found.len(), 1, "{kind}");
    found.remove(0)
}

fn connection() -> Value {
    json!({
        "url": "https://authentik.example.com/sso", "name": "company", "allowedNamespaces": {"matchLabels": {"a": "b"}},
        "tokenSecret": {"namespace": "authentik", "name": "token", "key": "api-token"},
        "caBundle": "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n",
        "resyncInterval": "10m", "timeout": "1m", "requestsPerSecond": 5, "maxConcurrentRequests": 2,
    })
}

fn everything() -> Value {
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

/// Values that differ in which objects they make.
fn matrix() -> Vec<Value> {
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
        json!({
            "rbac": {"create": false}, "podDisruptionBudget": {"enabled": false}, "nameOverride": "other",
            "metrics": {"service": {"enabled": false}}, "networkPolicy": {"enabled": true, "egress": [{}]},
            "resources": {}, "topologySpreadConstraints": [], "log": {"format": "text"},
        }),
    ]
}

fn kubectl<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    Kubernetes::shared().kubectl_command(args)
}

/// Kinds of the Prometheus operator, as far as to be known.
fn foreign_crd(plural: &str, kind: &str) -> Value {
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

fn namespace(name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

fn list(items: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// Gives the shared Kubernetes what the objects of the chart need to be there.
fn prepared() {
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

#[test]
fn kubernetes_accepts_every_object() {
    prepared();
    let dry_run = [
        "apply",
        "--server-side",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
    ];
    for values in matrix() {
        let applied = run(&mut kubectl(dry_run), &rendered(&values));
        assert!(applied.status.success(), "{values:#}: {}", said(&applied));
        assert!(
            !said(&applied).contains("Warning"),
            "{values:#}: {}",
            said(&applied)
        );
    }
}

/// What kustomize makes of a folder.
fn kustomized(folder: &Path) -> Vec<Value> {
    let text = succeed(kubectl(["kustomize"]).arg(folder), "");
    let documents = text.split("\n---\n");
    documents
        .map(|text| serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}")))
        .collect()
}

/// The files of `deploy/`, and beside them the kustomization that `docs/install.md` shows.
fn overlay() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let overlay = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("overlay");
    let base = overlay.join("base");
    fs::create_dir_all(&base).expect("the folder can be made");
    for file in ["kustomization.yaml", "operator.yaml"] {
        let copied = fs::copy(root.join("deploy").join(file), base.join(file));
        copied.expect("the file can be copied");
    }
    let page = fs::read_to_string(root.join("docs/install.md")).expect("the page can be read");
    let (_, example) = page
        .split_once("# kustomization.yaml\n")
        .expect("an example");
    let (example, _) = example.split_once("```").expect("it ends");
    let example = example.replace("../authentik-stage-operator/deploy", "base");
    fs::write(overlay.join("kustomization.yaml"), example).expect("the file can be written");
    overlay
}

#[test]
fn the_manifests_are_those_of_the_chart() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/operator.yaml");
    let text = fs::read_to_string(path).expect("the file can be read");
    assert!(
        text == devkit::chart::manifests().expect("Helm renders the chart"),
        "deploy/operator.yaml is out of date; run `make generate`"
    );
}

#[test]
fn the_manifests_are_a_base_for_kustomize() {
    let objects = kustomized(&overlay());
    let deployment = only(&objects, "Deployment");
    assert_eq!(deployment["metadata"]["namespace"], "login");
    assert_eq!(
        deployment["spec"]["template"]["spec"]["containers"][0]["image"],
        "registry.example.com/authentik-stage-operator:0.1.0"
    );
    let binding = only(&objects, "ClusterRoleBinding");
    assert_eq!(binding["subjects"][0]["namespace"], "login");
    prepared();
    let namespace = namespace("login", &json!({})).to_string();
    succeed(&mut kubectl(["apply", "--filename", "-"]), &namespace);
    let apply = [
        "apply",
        "--server-side",
        "--dry-run=server",
        "--filename",
        "-",
    ];
    succeed(&mut kubectl(apply), &list(&objects));
}

#[test]
fn helm_finds_no_fault() {
    for values in matrix() {
        let mut lint = helm_command(["lint", "--strict", "--values", "-"]);
        succeed(lint.arg(chart()), &values.to_string());
    }
}

/// The value of this variable of the operator's container.
fn variable(values: &Value, name: &str) -> Option<String> {
    let deployment = only(&objects(values), "Deployment");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let variables = container["env"].as_array().expect("a list");
    let variable = variables.iter().find(|variable| variable["name"] == name)?;
    variable["value"].as_str().map(str::to_owned)
}

#[test]
fn what_is_not_set_is_not_named() {
    for (name, value) in [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://collector.monitoring:4318",
        ),
        (
            "ALLOWED_SERVERS",
            "https://authentik.example.com/sso,http://authentik.login:9000",
        ),
    ] {
        assert_eq!(variable(&everything(), name).as_deref(), Some(value));
        assert_eq!(variable(&json!({}), name), None);
    }
    let host_users = |values| {
        let deployment = only(&objects(&values), "Deployment");
        deployment["spec"]["template"]["spec"]
            .get("hostUsers")
            .cloned()
    };
    assert_eq!(host_users(json!({})), None);
    for chosen in [true, false] {
        assert_eq!(
            host_users(json!({"hostUsers": chosen})),
            Some(json!(chosen))
        );
    }
}

#[test]
fn a_network_policy_limits_both_ways() {
    let policy = only(&objects(&everything()), "NetworkPolicy");
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    let dns = json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]);
    let named = json!([{"port": 443}, {"port": 6443}]);
    assert_eq!(
        policy["spec"]["egress"],
        json!([{"ports": dns}, {"ports": named}])
    );
}

#[test]
fn the_pods_pass_the_restricted_standard() {
    prepared();
    let create = [
        "create",
        "--dry-run=server",
        "--namespace",
        NAMESPACE,
        "-f",
        "-",
    ];
    for values in [json!({}), everything()] {
        let deployment = only(&objects(&values), "Deployment");
        let template = &deployment["spec"]["template"];
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "operator", "labels": template["metadata"]["labels"]}, "spec": template["spec"],
        });
        succeed(&mut kubectl(create), &pod.to_string());
        pod["spec"]["containers"][0]["securityContext"] = json!({});
        let refused = run(&mut kubectl(create), &pod.to_string());
        assert!(
            said(&refused).contains("violates PodSecurity \"restricted"),
            "{}",
            said(&refused)
        );
    }
}

/// The CRDs by name.
fn by_name(crds: impl IntoIterator<Item = Value>) -> BTreeMap<String, CustomResourceDefinition> {
    let typed = crds.into_iter().map(|crd| {
        // The type also makes 1 and 1.0 the same.
        let crd = serde_json::from_value(crd).expect("it is a CRD");
        let CustomResourceDefinition { metadata, .. } = &crd;
        (metadata.name.clone().unwrap_or_default(), crd)
    });
    typed.collect()
}

#[test]
fn the_crds_are_those_of_the_code() {
    let committed = fs::read_dir(chart().join("../../crds")).expect("it can be read");
    let committed = by_name(committed.map(|entry| {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("it can be read");
        serde_saphyr::from_str(&text).expect("it is YAML")
    }));
    for keep in [true, false] {
        let objects = objects(&json!({"crds": {"keep": keep}}));
        let rendered = by_name(of_kind(&objects, "CustomResourceDefinition"));
        assert!(
            rendered.keys().eq(committed.keys()),
            "{:?}",
            rendered.keys()
        );
        for (name, crd) in rendered {
            assert!(
                crd.spec == committed[&name].spec,
                "the chart's {name} is out of date; run `make generate`"
            );
            let policy = crd.metadata.annotations.unwrap_or_default();
            let policy = policy.get("helm.sh/resource-policy").cloned();
            assert_eq!(policy, keep.then(|| "keep".to_owned()));
        }
    }
    let none = objects(&json!({"crds": {"install": false}}));
    assert_eq!(
        of_kind(&none, "CustomResourceDefinition"),
        Vec::<Value>::new()
    );
}

/// All rules by the namespace of their role, empty for ClusterRoles; each role has to be bound to the operator.
fn rules(values: &Value) -> BTreeMap<String, Vec<Value>> {
    let objects = objects(values);
    let account =
        only(&objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"].clone();
    let mut rules = BTreeMap::<_, Vec<_>>::new();
    for kind in ["Role", "ClusterRole"] {
        let bindings = of_kind(&objects, &format!("{kind}Binding"));
        for role in of_kind(&objects, kind) {
            let place = &role["metadata"]["namespace"];
            let bound = |binding: &&Value| {
                binding["metadata"]["namespace"] == *place
                    && binding["roleRef"]["kind"] == kind
                    && binding["roleRef"]["name"] == role["metadata"]["name"]
            };
            let binding = bindings.iter().find(bound).expect("the role is bound");
            let subject =
                json!({"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE});
            assert_eq!(binding["subjects"], json!([subject]));
            let place = place.as_str().unwrap_or_default().to_owned();
            let more = role["rules"].as_array().expect("a list").iter().cloned();
            rules.entry(place).or_default().extend(more);
        }
    }
    rules
}

fn expected<const N: usize>(
    by_place: [(&str, Vec<Vec<PolicyRule>>); N],
) -> BTreeMap<String, Vec<Value>> {
    let values = |rules: Vec<Vec<PolicyRule>>| {
        let rules = rules.concat().into_iter();
        rules
            .map(|rule| serde_json::to_value(rule).expect("a rule is JSON"))
            .collect()
    };
    by_place
        .map(|(place, rules)| (place.to_owned(), values(rules)))
        .into()
}

#[test]
fn the_operator_is_allowed_what_its_code_needs() {
    use rbac::{cluster_rules, event_rules, leader_election_rules, namespaced_rules, secret_rules};
    let everywhere = |watched| vec![namespaced_rules(), event_rules(), secret_rules(watched)];
    let election = || (NAMESPACE, vec![leader_election_rules(NAME)]);
    for watched in [true, false] {
        let all = [everywhere(watched), vec![cluster_rules()]].concat();
        let values = json!({"secrets": {"watch": watched}});
        assert_eq!(rules(&values), expected([("", all), election()]));

        let values =
            json!({"secrets": {"watch": watched}, "watchNamespaces": ["team-a", "team-b"]});
        let some = expected([
            ("", vec![cluster_rules()]),
            ("team-a", everywhere(watched)),
            ("team-b", everywhere(watched)),
            // Where Kubernetes keeps the events of cluster connections.
            ("default", vec![event_rules()]),
            election(),
        ]);
        assert_eq!(rules(&values), some);
    }
    let own = json!({"watchNamespaces": [NAMESPACE], "rbac": {"clusterConnections": false}});
    let in_own = [everywhere(true), vec![leader_election_rules(NAME)]].concat();
    assert_eq!(rules(&own), expected([(NAMESPACE, in_own)]));
    let alone = json!({"replicas": 1, "leaderElection": {"enabled": false}});
    assert_eq!(rules(&alone).keys().collect::<Vec<_>>(), [""]);
    assert_eq!(rules(&json!({"rbac": {"create": false}})), BTreeMap::new());
}

#[test]
fn one_lease_may_be_written_and_it_is_that_of_the_program() {
    for (values, lease) in [(json!({}), NAME), (everything(), "ours")] {
        assert_eq!(variable(&values, "LEASE_NAME").as_deref(), Some(lease));
        let expected = expected([(NAMESPACE, vec![rbac::leader_election_rules(lease)])]);
        assert_eq!(rules(&values)[NAMESPACE], expected[NAMESPACE]);
    }
    let named = |rule: &PolicyRule| rule.resource_names.as_deref() == Some(&["ours".to_owned()]);
    let (by_name, by_any) = rbac::leader_election_rules("ours")
        .into_iter()
        .partition::<Vec<_>, _>(named);
    assert!(by_name.iter().any(|rule| rule.verbs == ["get", "update"]));
    assert!(by_any.iter().all(|rule| rule.verbs == ["create"]));
}

#[test]
fn tokens_elsewhere_may_be_read_by_name_alone() {
    let mut tokens = rbac::secret_rules(false);
    tokens[0].resource_names = Some(vec!["other".to_owned(), "token".to_owned()]);
    let expected = expected([("authentik", vec![tokens])]);
    assert_eq!(rules(&everything())["authentik"], expected["authentik"]);
}

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

#[test]
fn the_rules_are_those_of_the_code() {
    let folder = chart().join("files/rbac");
    let names = fs::read_dir(&folder).expect("it can be read");
    assert_eq!(
        names.count(),
        rbac::parts().len(),
        "files/rbac has a file too many"
    );
    for (part, rules) in rbac::parts() {
        let text = fs::read_to_string(folder.join(format!("{part}.yaml"))).expect("it can be read");
        let committed: Vec<PolicyRule> = serde_saphyr::from_str(&text).expect("it is YAML");
        assert_eq!(
            committed, rules,
            "files/rbac/{part}.yaml is out of date; run `make generate`"
        );
    }
}

/// Every metric that the operator shows once everything has happened, with its labels.
fn exposed() -> BTreeMap<String, Vec<String>> {
    let metrics = Metrics::default();
    let kind = "DuoStage";
    metrics.reconciled(kind, "InSync", Duration::ZERO);
    metrics.drift_found(kind);
    metrics.drift_repaired(kind);
    metrics.asked(&Asked {
        connection: "default",
        method: "GET",
        path: "root/config",
        status: Some(200),
        elapsed: Duration::ZERO,
    });
    let text = metrics.text(Count {
        resources: vec![(kind, "InSync".to_owned())],
        connections: vec![("default".to_owned(), "Connected".to_owned())],
        queued: vec![kind],
        listed: vec![("default".to_owned(), Duration::ZERO)],
        leads: true,
    });
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let series = line.rsplit_once(' ').expect("a value").0;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.split(',').filter_map(|label| label.split_once('='));
            (
                name.to_owned(),
                labels.map(|(name, _)| name.to_owned()).collect(),
            )
        })
        .collect()
}

/// The metrics that a query selects, each with the labels that it asks for.
fn selected(query: &str) -> Vec<(String, Vec<String>)> {
    let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let starts = query.match_indices("authentik_operator_");
    starts
        .map(|(at, _)| {
            let rest = &query[at..];
            let (name, rest) = rest.split_at(
                rest.find(|character| !word(character))
                    .unwrap_or(rest.len()),
            );
            let matchers = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let matchers = matchers.map_or("", |(matchers, _)| matchers).split(',');
            let labels = matchers.filter_map(|matcher| matcher.split_once(['=', '!']));
            (
                name.to_owned(),
                labels.map(|(label, _)| label.to_owned()).collect(),
            )
        })
        .collect()
}

#[test]
fn alerts_and_dashboard_ask_for_what_is_exposed() {
    let objects = objects(&everything());
    let rule = only(&objects, "PrometheusRule");
    let alerts = rule["spec"]["groups"][0]["rules"]
        .as_array()
        .expect("a list");
    let mut queries: Vec<_> = alerts.iter().map(|alert| alert["expr"].clone()).collect();
    let dashboards = only(&objects, "ConfigMap");
    let dashboard = dashboards["data"]["authentik-stage-operator.json"]
        .as_str()
        .expect("text");
    let dashboard: Value = serde_json::from_str(dashboard).expect("the dashboard is JSON");
    for panel in dashboard["panels"].as_array().expect("a list") {
        let targets = panel["targets"].as_array().expect("a list").iter();
        queries.extend(targets.map(|target| target["expr"].clone()));
    }
    let exposed = exposed();
    for query in &queries {
        let query = query.as_str().expect("a query is text");
        let selected = selected(query);
        assert!(!selected.is_empty(), "{query}");
        for (name, labels) in selected {
            let has = exposed
                .get(&name)
                .unwrap_or_else(|| panic!("{query}: there is no {name}"));
            for label in labels {
                let given = ["namespace", "job"].contains(&label.as_str());
                assert!(
                    given || has.contains(&label),
                    "{query}: {name} has no {label}"
                );
            }
        }
    }
    assert_eq!(alerts.len(), 6);
}

/// A release on a Kubernetes of its own.
struct Release(Kubernetes);

impl Release {
    async fn new() -> Self {
        let options = kubernetes::Options {
            controller_manager: false,
        };
        Self(Kubernetes::start(options).await.expect("Kubernetes starts"))
    }

    fn helm(&self, args: &[&str], values: &Value) -> String {
        let mut command = helm_command(args);
        command
            .args(["--namespace", NAMESPACE])
            .env("KUBECONFIG", self.0.kubeconfig(User::Admin));
        if ["install", "upgrade"].contains(&args[0]) {
            command.arg(RELEASE).arg(chart()).args(["--values", "-"]);
        }
        succeed(&mut command, &values.to_string())
    }

    /// What `kubectl get` tells of these, in the release's namespace or in none.
    fn get(&self, what: &[&str]) -> String {
        let mut command =
            self.0
                .kubectl_command(["get", "--ignore-not-found", "--namespace", NAMESPACE]);
        succeed(command.args(what), "")
    }

    /// A kubeconfig file of the release's ServiceAccount.
    fn kubeconfig(&self) -> PathBuf {
        let mut token = self
            .0
            .kubectl_command(["create", "token", NAME, "--namespace", NAMESPACE]);
        let token = succeed(&mut token, "");
        let admin = self.0.kubeconfig(User::Admin);
        let text = fs::read_to_string(&admin).expect("it can be read");
        let mut config: Value = serde_saphyr::from_str(&text).expect("it is YAML");
        config["users"][0]["user"] = json!({"token": token});
        let path = admin.with_file_name("release.kubeconfig");
        fs::write(&path, config.to_string()).expect("it can be written");
        path
    }

    /// The program, run as the Deployment says.
    fn program(&self, values: &Value) -> tokio::process::Child {
        let deployment = only(&objects(values), "Deployment");
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let texts = |list: &Value| -> Vec<String> {
            serde_json::from_value(list.clone()).expect("a list of texts")
        };
        let program = env!("CARGO_BIN_EXE_authentik-stage-operator");
        let mut command = tokio::process::Command::new(program);
        command.args(texts(&container["args"])).env_clear();
        for variable in container["env"].as_array().expect("a list") {
            let name = variable["name"].as_str().expect("a name");
            // Where there is no value, Kubernetes takes it from the pod.
            let of_pod = if name == "POD_NAMESPACE" {
                NAMESPACE
            } else {
                "pod"
            };
            command.env(name, variable["value"].as_str().unwrap_or(of_pod));
        }
        command
            .env("KUBECONFIG", self.kubeconfig())
            .kill_on_drop(true);
        command
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts")
    }

    fn connection_url(&self) -> String {
        self.get(&[
            "clusterauthentikconnections",
            "company",
            "--output=jsonpath={.spec.url}",
        ])
    }
}

#[tokio::test]
async fn a_release_is_installed_upgraded_removed_and_installed_again() {
    let release = Release::new().await;
    let mut values = json!({"connection": connection()});
    let notes = release.helm(&["install", "--create-namespace"], &values);
    assert!(
        notes.contains("kubectl get clusterauthentikconnection company"),
        "{notes}"
    );
    assert_eq!(
        release.connection_url(),
        "https://authentik.example.com/sso"
    );
    let uid = [
        "clusterauthentikconnections",
        "company",
        "--output=jsonpath={.metadata.uid}",
    ];
    let made = release.get(&uid);

    for url in ["https://new.example.com", "https://newer.example.com"] {
        values["connection"]["url"] = json!(url);
        release.helm(&["upgrade"], &values);
        assert_eq!(release.connection_url(), url);
    }
    assert_eq!(
        release.get(&uid),
        made,
        "the connection is changed, not made anew"
    );

    release.helm(&["uninstall", RELEASE], &values);
    assert_eq!(
        release.get(&[
            "deployments,services,roles,serviceaccounts",
            "--selector=app.kubernetes.io/instance"
        ]),
        ""
    );
    assert_eq!(
        release.get(&[
            "clusterroles,clusterrolebindings",
            "--selector=app.kubernetes.io/instance"
        ]),
        ""
    );
    assert_eq!(
        release.get(&uid),
        made,
        "connections stay, and the CRDs with them"
    );

    release.helm(&["install"], &values);
    assert_eq!(release.get(&uid), made);
    assert!(release.get(&["deployment", NAME]).contains(NAME));
}

#[tokio::test]
async fn the_program_works_with_the_settings_and_rights_of_the_chart() {
    let release = Release::new().await;
    let namespaces = ["authentik", "team-a"].map(|name| namespace(name, &json!({})));
    let mut create = release.0.kubectl_command(["create", "-f", "-"]);
    succeed(&mut create, &list(&namespaces));
    let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = free.local_addr().expect("it has an address");
    drop(free);
    let values = json!({
        "connection": connection(), "watchNamespaces": ["team-a"], "secrets": {"watch": false},
        "listenAddress": "127.0.0.1", "metrics": {"port": address.port()},
    });
    release.helm(&["install", "--create-namespace"], &values);
    let _program = release.program(&values);
    // It was elected, has seen all there is, may look for the Secret and may write the status.
    let said = "--for=jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}=SecretNotFound";
    let wait = [
        "wait",
        said,
        "--timeout=60s",
        "clusterauthentikconnection",
        "company",
    ];
    succeed(&mut release.0.kubectl_command(wait), "");
    let event = [
        "wait",
        "--for=create",
        "--timeout=60s",
        "--namespace=default",
        "events",
    ];
    let of_it = "--field-selector=involvedObject.kind=ClusterAuthentikConnection";
    succeed(release.0.kubectl_command(event).arg(of_it), "");
    let path = format!("http://{address}/readyz");
    let ready = reqwest::get(path).await.expect("health is served");
    assert_eq!(ready.status(), 200);
    assert!(release.get(&["lease", NAME]).contains(NAME));
}
