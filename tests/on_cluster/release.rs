//! A release from its installation to its removal, with the manifests of `examples/`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    cluster::{AUTHENTIK, Cluster, NAMESPACE, RELEASE, TEAM, ended, start, succeed, test},
    simulator::{Simulator, TOKEN},
};

/// The Lease of the release's pods.
const LEASE: &str = "lease/stages-authentik-stage-operator";

/// How many stages there are beside those of `examples/`.
const CROWD: usize = 20;

pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The chart's package, as it is released.
fn package() -> PathBuf {
    let name = format!("authentik-stage-operator-{}.tgz", env!("CARGO_PKG_VERSION"));
    repository("target/release-artefacts").join(name)
}

/// Installs the operator from this chart, or upgrades it.
fn install_from(cluster: &Cluster, chart: &Path) -> Command {
    let chart = chart.to_string_lossy();
    cluster.helm(["upgrade", "--install", RELEASE, &*chart])
}

/// Installs the operator.
pub fn install(cluster: &Cluster) {
    succeed(&mut install_from(cluster, &package()));
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let text = fs::read_to_string(path).expect("it can be read");
    let mut value: Value = serde_saphyr::from_str(&text).expect("it is YAML");
    change(&mut value);
    let text = serde_saphyr::to_string(&value).expect("it can be written as YAML");
    fs::write(path, text).expect("it can be written");
}

/// The kinds that the older chart knows.
const OLDER_KINDS: [&str; 4] = [
    "authenticatorvalidatestages",
    "duostages",
    "authentikconnections",
    "clusterauthentikconnections",
];

/// The example of kinds that it does not know.
const NEWER_EXAMPLE: &str = "complete.yaml";

/// The chart as an older release of it could be: it lacks kinds, and a CRD lacks a field.
fn older_chart() -> PathBuf {
    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).join("older-chart");
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked).expect("it can be removed");
    }
    fs::create_dir_all(&unpacked).expect("it can be made");
    let mut unpack = Command::new("tar");
    unpack.arg("-xzf").arg(package()).arg("-C").arg(&unpacked);
    succeed(&mut unpack);
    let folder = unpacked.join("authentik-stage-operator");
    edit(&folder.join("Chart.yaml"), |chart| {
        chart["version"] = json!("0.0.1");
        chart["appVersion"] = json!("0.0.1");
    });
    for crd in fs::read_dir(folder.join("files/crds")).expect("it can be read") {
        let crd = crd.expect("an entry").path();
        let kind = crd.file_stem().expect("a name").to_string_lossy();
        if !OLDER_KINDS.contains(&&*kind) {
            fs::remove_file(&crd).expect("it can be removed");
        }
    }
    edit(&folder.join("files/rbac/namespaced.yaml"), |rules| {
        for rule in rules.as_array_mut().expect("rules") {
            let resources = rule["resources"].as_array_mut().expect("resources");
            resources.retain(|resource| {
                let kind = resource.as_str().and_then(|name| name.split('/').next());
                OLDER_KINDS.contains(&kind.expect("a kind"))
            });
        }
    });
    let crd = folder.join("files/crds/authenticatorvalidatestages.yaml");
    edit(&crd, |crd| {
        let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
        let fields = crd.pointer_mut(spec).and_then(Value::as_object_mut);
        let removed = fields.expect("the spec has fields").remove("webauthnHints");
        removed.expect("the field is there");
    });
    folder
}

/// A manifest of `examples/`, with the placeholders for the server and the token filled in.
pub fn filled_in(text: &str, host: &str) -> String {
    text.replace("https://authentik.example.com", &format!("http://{host}"))
        .replace("REPLACE-WITH-AN-API-TOKEN", TOKEN)
}

/// Applies the examples whose names are chosen.
fn apply_examples(cluster: &Cluster, chosen: impl Fn(&str) -> bool) {
    let files = fs::read_dir(repository("examples")).expect("it can be read");
    let files = files.map(|file| file.expect("an entry").file_name());
    let names = files.map(|name| name.to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| chosen(name)).collect();
    names.sort();
    for name in names {
        let file = repository("examples").join(name);
        let text = fs::read_to_string(file).expect("it can be read");
        let names_namespaces = text.contains("kind: Namespace");
        // Once the whole name, and once one that the resolver has to complete.
        let host = if names_namespaces {
            "simulator.authentik.svc.cluster.local"
        } else {
            "simulator.authentik"
        };
        let text = filled_in(&text, host);
        cluster.apply((!names_namespaces).then_some(TEAM), &text);
    }
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

/// What authentik is to hold of the older examples, and of all.
const OLDER_STAGES: &[&str] = &["company-duo", "company-mfa"];
const ALL_STAGES: &[&str] = &[
    "company-confirm",
    "company-duo",
    "company-mfa",
    "company-recovery-codes",
    "company-security-key",
    "company-totp",
];

/// Checks that authentik holds each stage once, as it is declared, and nothing else beside what it had.
fn check_holdings(
    before: &BTreeMap<String, Value>,
    now: &BTreeMap<String, Value>,
    stages: &[&str],
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
    let expected = stages.iter().map(|name| (*name).to_owned());
    let expected: Vec<_> = expected.chain((0..CROWD).map(crowd_name)).collect();
    assert_eq!(names, expected);
    let bound = stages.iter().filter(|name| **name != "company-duo").count();
    assert_eq!(bindings, bound, "each stands in one flow, and Duo in none");
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
        succeed(&mut install_from(cluster, &older_chart()));
        apply_examples(cluster, |name| name != NEWER_EXAMPLE);
        apply_crowd(cluster, 1);
        await_ready(cluster);
        check_holdings(&before, &simulator.holdings().await, OLDER_STAGES, 1);

        kill_the_leader(cluster, 2..=4);
        await_ready(cluster);
        check_holdings(&before, &simulator.holdings().await, OLDER_STAGES, 4);

        let declared = resources(cluster);
        let hints = ["patch", "avs", "mfa", "--namespace", TEAM, "--type=merge"];
        let hints = [
            &hints[..],
            &[r#"--patch={"spec":{"webauthnHints":["hybrid"]}}"#],
        ]
        .concat();
        cluster.kubectl(&hints);
        let known = [
            "get",
            "avs",
            "mfa",
            "--namespace",
            TEAM,
            "--output=jsonpath={.spec.webauthnHints}",
        ];
        assert_eq!(
            cluster.kubectl(&known),
            "",
            "the older release has no such field"
        );
        let upgrade = start(&mut install_from(cluster, &package()));
        apply_crowd(cluster, 5);
        ended(upgrade);
        apply_crowd(cluster, 6);
        cluster.kubectl(&hints);
        await_ready(cluster);
        assert_eq!(resources(cluster), declared);
        let held = simulator.holdings().await;
        check_holdings(&before, &held, OLDER_STAGES, 6);
        let hinted = held
            .values()
            .filter(|row| row["webauthn_hints"] == json!(["hybrid"]));
        assert_eq!(hinted.count(), 1, "the newer release has the field");

        apply_examples(cluster, |name| name == NEWER_EXAMPLE);
        await_ready(cluster);
        let declared = resources(cluster);
        let held = simulator.holdings().await;
        check_holdings(&before, &held, ALL_STAGES, 6);

        let crds = cluster.crds();
        let uninstall = || succeed(&mut cluster.helm(["uninstall", RELEASE]));
        uninstall();
        assert_eq!(resources(cluster), declared);
        assert_eq!(cluster.crds(), crds);
        assert_eq!(simulator.holdings().await, held);

        install(cluster);
        apply_crowd(cluster, 7);
        await_ready(cluster);
        assert_eq!(resources(cluster), declared);
        check_holdings(&before, &simulator.holdings().await, ALL_STAGES, 7);

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
