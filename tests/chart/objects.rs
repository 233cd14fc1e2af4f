//! The objects: a real kube-apiserver accepts all of them, and kustomize takes them for a base.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use devkit::kubernetes::helm_command;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use crate::rendering::{
    NAMESPACE, chart, everything, kubectl, list, matrix, namespace, objects, of_kind, only,
    prepared, rendered, run, said, succeed, variable,
};

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
