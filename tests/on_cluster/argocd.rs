//! A real Argo CD syncs a Git repository to the cluster, where the operator runs in pods.

use devkit::gitops::{ArgoCd, Repository, Status, Verdict};

use crate::{
    cluster::{Cluster, TEAM, test},
    examples::example,
    release::install,
    simulator::Simulator,
};

/// The Application.
const STAGES: &str = "stages";

/// Commits the connection, the Duo stage and this validation stage, and lets Argo CD look at once.
async fn push(argo_cd: &ArgoCd, repository: &Repository, mfa: &str, health: &str) -> Status {
    // There before stages and gone after them.
    let wave = "metadata:\n  annotations:\n    argocd.argoproj.io/sync-wave: \"-1\"";
    let connection = example("connection.yaml").replace("metadata:", wave);
    let files = [
        ("connection.yaml", &*connection),
        ("duo.yaml", &*example("duo.yaml")),
        ("mfa.yaml", mfa),
    ];
    let revision = repository.commit(&files).expect("a commit is made");
    let applied = argo_cd.apply(STAGES, repository, TEAM, &[]).await;
    applied.expect("the Application is accepted");
    let refreshed = argo_cd.refresh(STAGES).await;
    refreshed.unwrap_or_else(|error| panic!("{error}"));
    let synced = argo_cd.synced(STAGES, &revision, health).await;
    synced.unwrap_or_else(|error| panic!("{error}"))
}

/// What Argo CD shows of the validation stage.
fn health(status: &Status) -> Verdict {
    let mut resources = status.resources.iter();
    let mfa = resources.find(|resource| resource.name == "mfa");
    let health = mfa.and_then(|resource| resource.health.clone());
    health.expect("it has a health")
}

/// The message of the validation stage's condition `Ready`.
fn message(cluster: &Cluster) -> String {
    let message = "--output=jsonpath={.status.conditions[?(@.type==\"Ready\")].message}";
    cluster.kubectl(&["get", "avs", "mfa", "--namespace", TEAM, message])
}

/// The threshold of the stage in authentik.
async fn threshold(simulator: &Simulator) -> Option<String> {
    let holdings = simulator.holdings().await;
    let mut stages = holdings.values().filter(|row| row["name"] == "company-mfa");
    let threshold = stages.find_map(|row| row["last_auth_threshold"].as_str());
    threshold.map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster that runs pods: `make test-cluster`"]
async fn argo_cd_keeps_stages_as_a_repository_says() {
    test(async |cluster| {
        let simulator = Simulator::start(cluster).await;
        install(cluster);
        let argo_cd = ArgoCd::start(cluster.kubeconfig()).await;
        let argo_cd = argo_cd.unwrap_or_else(|error| panic!("{error}"));
        let repository = Repository::init().expect("a repository is made");

        let mfa = example("mfa.yaml");
        push(&argo_cd, &repository, &mfa, "Healthy").await;
        assert_eq!(threshold(&simulator).await.as_deref(), Some("hours=12"));

        let stricter = mfa.replace("hours=12", "hours=1");
        push(&argo_cd, &repository, &stricter, "Healthy").await;
        assert_eq!(threshold(&simulator).await.as_deref(), Some("hours=1"));

        // The Duo stage has this name, and names are unique across kinds.
        let wrong = stricter.replace("name: company-mfa", "name: company-duo");
        let status = push(&argo_cd, &repository, &wrong, "Degraded").await;
        let shown = health(&status);
        assert_eq!(shown.status, "Degraded");
        assert_eq!(shown.message, message(cluster));
        assert!(shown.message.contains("company-duo"), "{}", shown.message);
        assert_eq!(threshold(&simulator).await.as_deref(), Some("hours=1"));
        push(&argo_cd, &repository, &mfa, "Healthy").await;

        let before = argo_cd.refresh(STAGES).await.expect("it looks");
        let again = argo_cd.refresh(STAGES).await.expect("it looks again");
        assert_eq!(again, before, "nothing is synced where nothing changed");

        let deleted = argo_cd.delete(STAGES).await;
        deleted.unwrap_or_else(|error| panic!("{error}"));
        let left = cluster.kubectl(&["get", "authentik", "--namespace", TEAM, "--output=name"]);
        assert_eq!(left, "");
    })
    .await;
}
