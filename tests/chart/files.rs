//! The files of values in the chart's `examples/`.

use std::{fs, path::PathBuf, process::Command};

use devkit::{
    kubernetes::helm_command,
    simulator::{Simulator, Version},
};
use serde_json::{Value, json};

use crate::{
    release::{Release, listening},
    rendering::{
        NAME, NAMESPACE, chart, file_of_values, list, namespace, objects, of_kind, only, run, said,
        succeed,
    },
};

fn files() -> Vec<PathBuf> {
    let entries = fs::read_dir(chart().join("examples")).expect("it can be read");
    let paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert!(paths.len() >= 2);
    paths
}

#[test]
fn helm_finds_no_fault_in_them_and_the_readme_lists_them() {
    let readme = fs::read_to_string(chart().join("README.md")).expect("it can be read");
    for file in files() {
        let lint = ["lint", "--strict", "--values"];
        succeed(helm_command(lint).arg(&file).arg(chart()), "");
        let name = file.file_name().expect("a name").to_string_lossy();
        assert!(readme.contains(&format!("(examples/{name})")), "{name}");
    }
}

#[test]
fn high_availability_spreads_pods_that_may_be_replaced_one_at_a_time() {
    let objects = objects(&file_of_values("high-availability.yaml"));
    let deployment = only(&objects, "Deployment");
    assert!(deployment["spec"]["replicas"].as_u64() >= Some(2));
    let pod = &deployment["spec"]["template"];
    let spread = pod["spec"]["topologySpreadConstraints"].as_array();
    for (constraint, place) in spread
        .expect("a list")
        .iter()
        .zip(["kubernetes.io/hostname", "topology.kubernetes.io/zone"])
    {
        assert_eq!(constraint["topologyKey"], place);
        // With what Kubernetes adds to the pods of one version, an upgrade finds room.
        assert_eq!(constraint["matchLabelKeys"], json!(["pod-template-hash"]));
        let counted = constraint["labelSelector"]["matchLabels"].as_object();
        for (label, value) in counted.expect("labels") {
            assert_eq!(pod["metadata"]["labels"][label], *value);
        }
    }
    assert_eq!(spread.map(Vec::len), Some(2));
    assert_eq!(
        only(&objects, "PodDisruptionBudget")["spec"]["maxUnavailable"],
        1
    );
}

#[test]
fn a_single_namespace_needs_nothing_in_the_cluster() {
    let objects = objects(&file_of_values("single-namespace.yaml"));
    for kind in [
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "Namespace",
    ] {
        assert_eq!(of_kind(&objects, kind), Vec::<Value>::new());
    }
    for object in &objects {
        assert_eq!(object["metadata"]["namespace"], NAMESPACE, "{object}");
    }
}

/// A user who may do everything in the release's namespace, and nothing elsewhere.
fn installer(release: &Release) -> PathBuf {
    let everything = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]});
    let name = json!({"name": "installer", "namespace": NAMESPACE});
    let rbac = "rbac.authorization.k8s.io";
    let objects = [
        namespace(NAMESPACE, &json!({})),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": name}),
        json!({"apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": name, "rules": [everything]}),
        json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": name,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "installer"},
            "subjects": [{"kind": "ServiceAccount", "name": "installer", "namespace": NAMESPACE}],
        }),
    ];
    let mut create = release.0.kubectl_command(["create", "--filename=-"]);
    succeed(&mut create, &list(&objects));
    release.kubeconfig("installer")
}

/// What a cluster administrator does.
fn apply_crds(release: &Release) {
    let crds = chart().join("../../crds");
    let mut apply = release
        .0
        .kubectl_command(["apply", "--server-side", "--filename"]);
    succeed(apply.arg(crds), "");
    let wait = [
        "wait",
        "--for=condition=Established",
        "crd",
        "--all",
        "--timeout=60s",
    ];
    succeed(&mut release.0.kubectl_command(wait), "");
}

fn manifests(simulator: &Simulator) -> String {
    let api = "authentik-operator.io/v1alpha1";
    list(&[
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "authentik"},
            "stringData": {"token": simulator.token()},
        }),
        json!({
            "apiVersion": api, "kind": "AuthentikConnection", "metadata": {"name": "default"},
            "spec": {"url": simulator.url(), "tokenSecretRef": {"name": "authentik", "key": "token"}},
        }),
        json!({
            "apiVersion": api, "kind": "AuthenticatorValidateStage", "metadata": {"name": "mfa"},
            "spec": {"deviceClasses": ["totp"], "notConfiguredAction": "deny"},
        }),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_namespace_works_without_any_right_in_the_cluster() {
    let release = Release::new().await;
    let simulator = Simulator::start(Version::V2026_5).await;
    apply_crds(&release);
    let kubeconfig = installer(&release);
    let as_installer =
        |mut command: Command, input: &str| succeed(command.env("KUBECONFIG", &kubeconfig), input);
    let mut values = file_of_values("single-namespace.yaml");
    listening(&mut values);

    // They may do nothing in the cluster: not what the chart does otherwise.
    let mut refused = release.command(&chart(), &["install"]);
    refused.env("KUBECONFIG", &kubeconfig);
    let refused = run(&mut refused, "{}");
    assert!(said(&refused).contains("forbidden"), "{}", said(&refused));

    let install = ["upgrade", "--install"];
    as_installer(release.command(&chart(), &install), &values.to_string());
    let _program = release.program(&values);
    let kubectl = |args: &[&str]| {
        let mut command = release.0.kubectl_command(["--namespace", NAMESPACE]);
        command.args(args).args(["--kubeconfig"]).arg(&kubeconfig);
        command
    };
    as_installer(
        kubectl(&["apply", "--server-side", "--filename=-"]),
        &manifests(&simulator),
    );
    let ready = [
        "wait",
        "--for=condition=Ready",
        "--timeout=60s",
        "avs/mfa",
        "akc/default",
    ];
    as_installer(kubectl(&ready), "");
    assert!(release.get(&["lease", NAME]).contains(NAME));
    let cluster_wide = [
        "clusterroles,clusterrolebindings",
        "--selector=app.kubernetes.io/instance",
    ];
    assert_eq!(release.get(&cluster_wide), "");
}
