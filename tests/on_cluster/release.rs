//! A release from its installation to its removal, with the manifests of `examples/`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    cluster::{AUTHENTIK, Cluster, NAMESPACE, RELEASE, TEAM, ended, start, succeed, test},
    examples::{Example, examples},
    previous,
    simulator::Simulator,
};

/// The Lease of the release's pods.
const LEASE: &str = "lease/stages-authentik-stage-operator";

/// How many stages there are beside those of `examples/`.
const CROWD: usize = 20;

pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A file of the release.
pub fn artefact(name: &str) -> PathBuf {
    repository("target/release-artefacts").join(name)
}

/// The chart's package, as it is released.
fn package() -> PathBuf {
    artefact(&format!(
        "authentik-stage-operator-{}.tgz",
        env!("CARGO_PKG_VERSION")
    ))
}

/// Installs the operator from this chart, or upgrades it.
pub fn install_from(cluster: &Cluster, chart: &Path) -> Command {
    let chart = chart.to_string_lossy();
    cluster.helm(["upgrade", "--install", RELEASE, &*chart])
}

/// Installs the operator.
pub fn install(cluster: &Cluster) {
    succeed(&mut install_from(cluster, &package()));
}

/// Installs it with a file of values of the chart's `examples/`.
pub fn install_with(cluster: &Cluster, values: &str) {
    let values = repository("charts/authentik-stage-operator/examples").join(values);
    succeed(
        install_from(cluster, &package())
            .arg("--values")
            .arg(values),
    );
}

fn crowd_name(n: usize) -> String {
    format!("crowd-{n:02}")
}

/// Declares the crowd, or changes all of it.
fn apply_crowd(cluster: &Cluster, hours: u32) {
    let stages = (0..CROWD).map(|n| {
        let stage = json!({
            "apiVersion": "authentik-operator.io/v1alpha1", "kind": "AuthenticatorValidateStage",
            "metadata": {"name": crowd_name(n)},
            "spec": {
                "connectionRef": {"kind": "ClusterAuthentikConnection", "name": "company"},
                "deviceClasses": ["totp"], "lastAuthThreshold": format!("hours={hours}"),
            },
        });
        stage.to_string()
    });
    let stages: Vec<_> = stages.collect();
    cluster.apply(Some(TEAM), &stages.join("\n---\n"));
}

fn await_ready(cluster: &Cluster) {
    cluster.wait("condition=Ready", &cluster.kinds());
}

/// Name and UID of each resource; none may be on its way out.
fn resources(cluster: &Cluster) -> Vec<String> {
    let list = cluster.kubectl(&[
        "get",
        &cluster.kinds(),
        "--namespace",
        TEAM,
        "--output=json",
    ]);
    let list: Value = serde_json::from_str(&list).expect("it is JSON");
    let items = list["items"].as_array().expect("a list").iter();
    let items = items.map(|item| {
        let metadata = &item["metadata"];
        assert_eq!(metadata["deletionTimestamp"], Value::Null, "{item}");
        format!("{} {} {}", item["kind"], metadata["name"], metadata["uid"])
    });
    items.collect()
}

/// A row without what it repeats of bindings.
fn unbound(row: &Value) -> Value {
    let mut row = row.clone();
    if let Some(fields) = row.as_object_mut() {
        fields.remove("stages");
    }
    row
}

/// Checks that authentik holds each stage once, as it is declared, and nothing else beside what it had.
fn check_holdings(
    before: &BTreeMap<String, Value>,
    now: &BTreeMap<String, Value>,
    examples: &[&Example],
    hours: u32,
) {
    let news = now.iter().filter(|(key, _)| !before.contains_key(*key));
    let mut names = Vec::new();
    let mut bindings = 0;
    for (key, row) in news {
        let name = row["name"].as_str().unwrap_or_default();
        if key.starts_with("stages/all/") {
            names.push(name.to_owned());
        } else if key.starts_with("flows/bindings/") {
            bindings += 1;
        } else if name.starts_with("crowd-") {
            let threshold = format!("hours={hours}");
            assert_eq!(row["last_auth_threshold"], threshold, "{name}");
        }
    }
    names.sort();
    let declared = examples.iter().flat_map(|example| example.stage_names());
    let mut declared: Vec<_> = declared.chain((0..CROWD).map(crowd_name)).collect();
    declared.sort();
    assert_eq!(names, declared);
    let bound: usize = examples.iter().map(|example| example.bindings()).sum();
    assert_eq!(bindings, bound);
    for (key, row) in before {
        let (was, is) = (unbound(row), now.get(key).map(unbound));
        assert_eq!(is, Some(was), "{key} is nobody's to change");
    }
}

/// Kills the pod that works while the crowd changes.
fn kill_the_leader(cluster: &Cluster, hours: std::ops::RangeInclusive<u32>) {
    let of_lease = |field: &str| {
        let output = format!("--output=jsonpath={{.spec.{field}}}");
        cluster.kubectl(&["get", LEASE, "--namespace", NAMESPACE, &output])
    };
    let holder = of_lease("holderIdentity");
    let pod = holder.split('_').next().expect("a pod's name comes first");
    let transitions: u32 = of_lease("leaseTransitions").parse().expect("a number");
    let mut kill = cluster.kubectl_command(&["delete", "pod", pod, "--namespace", NAMESPACE]);
    let kill = start(kill.args(["--grace-period=0", "--force"]));
    for hours in hours {
        apply_crowd(cluster, hours);
    }
    ended(kill);
    let taken_over = format!(
        "--for=jsonpath={{.spec.leaseTransitions}}={}",
        transitions + 1
    );
    cluster.kubectl(&[
        "wait",
        &taken_over,
        "--timeout=180s",
        "--namespace",
        NAMESPACE,
        LEASE,
    ]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster that runs pods: `make test-cluster`"]
async fn a_release_is_installed_loses_its_leader_is_upgraded_and_removed() {
    test(async |cluster| {
        let simulator = Simulator::start(cluster).await;
        let before = simulator.holdings().await;

        // Kubernetes itself sees to it that the pods need no rights.
        let restricted = "pod-security.kubernetes.io/enforce=restricted";
        cluster.kubectl(&["label", "namespace", NAMESPACE, restricted]);
        previous::install(cluster);
        let (examples, known) = (examples(), cluster.kind_names());
        let all: Vec<_> = examples.iter().collect();
        let is_older = |example: &&Example| example.is_of(&known);
        let (older, newer): (Vec<_>, Vec<_>) = examples.iter().partition(is_older);
        older.iter().for_each(|example| example.apply(cluster));
        apply_crowd(cluster, 1);
        await_ready(cluster);
        check_holdings(&before, &simulator.holdings().await, &older, 1);

        kill_the_leader(cluster, 2..=4);
        await_ready(cluster);
        check_holdings(&before, &simulator.holdings().await, &older, 4);

        let declared = resources(cluster);
        let upgrade = start(install_from(cluster, &package()).arg("--reset-values"));
        apply_crowd(cluster, 5);
        ended(upgrade);
        apply_crowd(cluster, 6);
        let hints = r#"--patch={"spec":{"webauthnHints":["hybrid"]}}"#;
        let of = ["--namespace", TEAM, "--type=merge", hints];
        cluster.kubectl(&[&["patch", "avs", "mfa"][..], &of].concat());
        await_ready(cluster);
        assert_eq!(resources(cluster), declared);
        let held = simulator.holdings().await;
        check_holdings(&before, &held, &older, 6);
        let hinted = held
            .values()
            .filter(|row| row["webauthn_hints"] == json!(["hybrid"]));
        assert_eq!(hinted.count(), 1, "the newer release has the field");

        newer.iter().for_each(|example| example.apply(cluster));
        await_ready(cluster);
        let declared = resources(cluster);
        let held = simulator.holdings().await;
        check_holdings(&before, &held, &all, 6);

        let crds = cluster.crds();
        let uninstall = || succeed(&mut cluster.helm(["uninstall", RELEASE]));
        uninstall();
        assert_eq!(resources(cluster), declared);
        assert_eq!(cluster.crds(), crds);
        assert_eq!(simulator.holdings().await, held);

        install_with(cluster, "high-availability.yaml");
        apply_crowd(cluster, 7);
        // Only then the Lease names one of the new pods.
        await_ready(cluster);
        kill_the_leader(cluster, 8..=9);
        await_ready(cluster);
        assert_eq!(resources(cluster), declared);
        check_holdings(&before, &simulator.holdings().await, &all, 9);

        // As docs/install.md says: first what has finalizers, then the rest.
        cluster.kubectl(&[
            "delete",
            "authentik",
            "--all",
            "--all-namespaces",
            "--timeout=180s",
        ]);
        let left = simulator.holdings().await;
        uninstall();
        let delete: Vec<_> = ["delete", "--timeout=180s"]
            .into_iter()
            .chain(crds.iter().map(String::as_str))
            .collect();
        cluster.kubectl(&delete);
        assert_eq!(simulator.holdings().await, left);
        let named = |name: &str| left.values().any(|row| row["name"] == name);
        assert!(!named("company-duo"), "it has `deletionPolicy: Delete`");
        assert!(named("company-mfa") && named("crowd-00"), "they are left");
        // What the namespaces hold, and they themselves, are deleted without an operator.
        cluster.kubectl(&["delete", "namespace", TEAM, AUTHENTIK, "--timeout=180s"]);
    })
    .await;
}
