//! A release that has no right in the cluster.

use crate::{
    cluster::{Cluster, NAMESPACE, RELEASE, TEAM, succeed, test},
    examples::example,
    release::{artefact, install_with},
    simulator::Simulator,
};

/// Whether the operator may do this.
fn may(cluster: &Cluster, what: &[&str]) -> bool {
    let account =
        format!("--as=system:serviceaccount:{NAMESPACE}:{RELEASE}-authentik-stage-operator");
    let asked = [&["auth", "can-i"], what, &[&*account]].concat();
    let answer = cluster
        .kubectl_command(&asked)
        .output()
        .expect("kubectl runs");
    match String::from_utf8_lossy(&answer.stdout).trim() {
        "yes" => true,
        "no" => false,
        other => panic!("{other}: {}", String::from_utf8_lossy(&answer.stderr)),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster that runs pods: `make test-cluster`"]
async fn one_namespace_is_served_without_any_right_in_the_cluster() {
    test(async |cluster| {
        let simulator = Simulator::start(cluster).await;
        let crds = artefact("crds.yaml");
        let crds = crds.to_str().expect("text");
        cluster.kubectl(&["apply", "--server-side", "--filename", crds]);
        install_with(cluster, "single-namespace.yaml");
        let (own, others) = (
            format!("--namespace={NAMESPACE}"),
            format!("--namespace={TEAM}"),
        );
        assert!(may(
            cluster,
            &["patch", "avs", "--subresource=status", &own]
        ));
        for what in [
            &["get", "secrets", &others][..],
            &["list", "avs", "--all-namespaces"],
            &["get", "cakc"],
        ] {
            assert!(!may(cluster, what), "{what:?}");
        }

        for namespace in [NAMESPACE, TEAM] {
            for name in ["connection.yaml", "mfa.yaml"] {
                cluster.apply(Some(namespace), &example(name));
            }
        }
        cluster.kubectl(&[
            "wait",
            "--for=condition=Ready",
            "--timeout=180s",
            &own,
            "--all",
            "akc,avs",
        ]);
        let holdings = simulator.holdings().await;
        let named = holdings.values().filter(|row| row["name"] == "company-mfa");
        // As a row of its kind, and one of all stages.
        assert_eq!(named.count(), 2);
        let status =
            cluster.kubectl(&["get", "avs", "mfa", &others, "--output=jsonpath={.status}"]);
        assert_eq!(status, "", "another namespace is not served");

        cluster.kubectl(&["delete", "authentik", "--all", &own, "--timeout=180s"]);
        succeed(&mut cluster.helm(["uninstall", RELEASE]));
    })
    .await;
}
