//! A real Argo CD keeps our resources as a Git repository says: it sees when they are done and what is wrong, and the
//! operator and it leave each other's work alone.

use authentik_stage_operator::api::conditions;
use devkit::gitops::{ArgoCd, Repository, Status, Verdict};
use kube::core::DynamicObject;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::{
    gitops::example,
    harness::{DUO, Test, VALIDATE, condition, message, test, text},
};

const CONNECTION: &str = "AuthentikConnection";

/// The one Argo CD of this process.
async fn argo_cd(test: &Test) -> &'static ArgoCd {
    static ARGO_CD: OnceCell<ArgoCd> = OnceCell::const_new();
    let start = || async {
        let started = ArgoCd::start(&test.admin_kubeconfig()).await;
        started.expect("Argo CD starts")
    };
    ARGO_CD.get_or_init(start).await
}

/// A repository, and an Application that keeps the test's namespace as it says.
struct World<'a> {
    test: &'a Test,
    argo_cd: &'static ArgoCd,
    repository: Repository,
}

impl<'a> World<'a> {
    /// With the connection and these manifests in sync.
    async fn new(test: &'a Test, options: &[&str], manifests: &[&str]) -> World<'a> {
        test.flow("login").await;
        let world = Self {
            test,
            argo_cd: argo_cd(test).await,
            repository: Repository::init().expect("a repository is made"),
        };
        let revision = world.commit(manifests);
        let applied =
            world
                .argo_cd
                .apply(&test.namespace, &world.repository, &test.namespace, options);
        applied.await.expect("the Application is accepted");
        world.synced(&revision, "Healthy").await;
        world
    }

    /// Commits the connection and these manifests; returns the revision.
    fn commit(&self, manifests: &[&str]) -> String {
        let files: Vec<_> = (0..manifests.len()).map(|n| format!("{n}.yaml")).collect();
        let connection = connection(self.test);
        let mut all = vec![("connection.yaml", &*connection)];
        all.extend(
            files
                .iter()
                .map(String::as_str)
                .zip(manifests.iter().copied()),
        );
        self.repository.commit(&all).expect("a commit is made")
    }

    async fn refresh(&self) -> Status {
        let refreshed = self.argo_cd.refresh(&self.test.namespace).await;
        refreshed.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Commits the connection and these manifests, and waits until Argo CD has brought them into the cluster and
    /// finds them in this health.
    async fn push(&self, manifests: &[&str], health: &str) -> Status {
        let revision = self.commit(manifests);
        self.refresh().await;
        self.synced(&revision, health).await
    }

    async fn synced(&self, revision: &str, health: &str) -> Status {
        let name = &self.test.namespace;
        let synced = self.argo_cd.synced(name, revision, health).await;
        synced.unwrap_or_else(|error| panic!("{error}"))
    }
}

/// The example of a connection, which finds drift soon, and which is there before stages and goes after them.
fn connection(test: &Test) -> String {
    let wave = "metadata:\n  annotations:\n    argocd.argoproj.io/sync-wave: \"-1\"";
    let connection = example(test, "connection.yaml").replace("metadata:", wave);
    connection + "  resyncInterval: 1s\n"
}

/// The name in authentik of an example's stage.
fn company(test: &Test, name: &str) -> String {
    test.name(&format!("company-{name}"))
}

/// What Argo CD shows of a resource.
fn health(status: &Status, kind: &str, name: &str) -> Verdict {
    let mut found = status
        .resources
        .iter()
        .filter(|it| it.kind == kind && it.name == name);
    let resource = found.next().expect("the resource is part of it");
    resource.health.clone().expect("it has a health")
}

fn verdict(status: &str, message: String) -> Verdict {
    Verdict {
        status: status.to_owned(),
        message,
    }
}

async fn follows_the_repository(test: &Test, options: &[&str]) {
    let [duo, mfa] = ["duo.yaml", "mfa.yaml"].map(|name| example(test, name));
    let world = World::new(test, options, &[&duo, &mfa]).await;
    let status = world.refresh().await;
    for (kind, name) in [(CONNECTION, "default"), (DUO, "duo"), (VALIDATE, "mfa")] {
        let words = message(&test.get(kind, name).await);
        assert_eq!(health(&status, kind, name), verdict("Healthy", words));
    }

    let stricter = mfa.replace("hours=12", "hours=1");
    let status = world.push(&[&duo, &stricter], "Healthy").await;
    let stage = test
        .authentik
        .stage("validate", &company(test, "mfa"))
        .await;
    assert_eq!(
        stage.expect("the stage is there")["last_auth_threshold"],
        "hours=1"
    );
    assert_eq!(status.history.len(), 2, "{:#?}", status.history);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the first time it builds Argo CD; `make test-gitops` runs it"]
async fn argo_cd_syncs_what_is_committed() {
    test(async |test| follows_the_repository(test, &[]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the first time it builds Argo CD; `make test-gitops` runs it"]
async fn argo_cd_syncs_what_is_committed_by_server_side_apply() {
    test(async |test| follows_the_repository(test, &["ServerSideApply=true"]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the first time it builds Argo CD; `make test-gitops` runs it"]
async fn argo_cd_sends_nulls_by_server_side_apply() {
    test(async |test| {
        let mfa = example(test, "mfa.yaml");
        let duo = example(test, "duo.yaml");
        let world = World::new(test, &["ServerSideApply=true"], &[&duo, &mfa]).await;
        let named = test.authentik.stage("duo", &company(test, "duo")).await;
        assert_eq!(named.expect("it is there")["friendly_name"], "Duo push");
        let nameless = duo.replace("friendlyName: Duo push", "friendlyName: null");
        world.push(&[&nameless, &mfa], "Healthy").await;
        let spec = &test.in_sync(DUO, "duo").await.data["spec"];
        assert_eq!(spec.get("friendlyName"), Some(&json!(null)));
        let stage = test.authentik.stage("duo", &company(test, "duo")).await;
        let name = &stage.expect("it is there")["friendly_name"];
        assert!(name.is_null() || name == "", "{name}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the first time it builds Argo CD; `make test-gitops` runs it"]
async fn argo_cd_shows_what_is_wrong_and_what_is_suspended() {
    test(async |test| {
        let mfa = example(test, "mfa.yaml");
        let by_hand = json!({"name": test.name("by-hand"), "not_configured_action": "deny"});
        let stages = "stages/authenticator/validate/";
        test.authentik.create(stages, by_hand).await;
        let other = mfa.replace("name: mfa", "name: other");
        let other = other.replace(&company(test, "mfa"), &test.name("by-hand"));
        let other = &other[..other.find("  # The flows").expect("it has flows")];

        let world = World::new(test, &[], &[&mfa]).await;
        let status = world.push(&[&mfa, other], "Degraded").await;
        let words = message(&test.reason(VALIDATE, "other", "AdoptionRefused").await);
        let seen = health(&status, VALIDATE, "other");
        assert_eq!(seen, verdict("Degraded", words));
        assert_eq!(health(&status, VALIDATE, "mfa").status, "Healthy");

        world.push(&[&mfa], "Healthy").await;
        test.gone(VALIDATE, "other").await;

        let held = mfa.replace("spec:", "spec:\n  suspend: true");
        let status = world.push(&[&held], "Suspended").await;
        let resource = test.get(VALIDATE, "mfa").await;
        let suspended = condition(&resource, conditions::SUSPENDED).expect("it is suspended");
        let words = text(&suspended["message"]).to_owned();
        let seen = health(&status, VALIDATE, "mfa");
        assert_eq!(seen, verdict("Suspended", words));
    })
    .await;
}

/// What there is of the resources and the Application, and how often was written to the namespace.
async fn state(world: &World<'_>) -> (Vec<DynamicObject>, Status, usize) {
    let test = world.test;
    let resources = vec![
        test.get(CONNECTION, "default").await,
        test.get(DUO, "duo").await,
        test.get(VALIDATE, "mfa").await,
    ];
    let status = world.refresh().await;
    let writes = test.all_kubernetes_writes().len();
    (resources, status, writes)
}

/// Looks that both take at what is steady, several times, find nothing to do.
async fn is_left_alone(world: &World<'_>) {
    world.test.resyncs(1).await;
    let before = state(world).await;
    let sent = world.test.writes().len();
    for _ in 0..3 {
        world.refresh().await;
        world.test.resyncs(2).await;
    }
    assert_eq!(state(world).await, before);
    assert_eq!(world.test.writes().len(), sent);
}

/// The writes of Argo CD to a resource so far.
fn applied(test: &Test, name: &str) -> usize {
    let writes = test.all_kubernetes_writes().into_iter();
    writes
        .filter(|write| write.name == name && write.user_agent.starts_with("argocd-"))
        .count()
}

async fn do_not_fight(test: &Test, options: &[&str]) {
    let [duo, mfa] = ["duo.yaml", "mfa.yaml"].map(|name| example(test, name));
    let world = World::new(test, options, &[&duo, &mfa]).await;
    is_left_alone(&world).await;

    // Argo CD puts right what somebody changes in the cluster, with one change.
    let before = test.get(VALIDATE, "mfa").await;
    let edit = json!({"spec": {"lastAuthThreshold": "hours=2"}});
    let edited = test.patch(VALIDATE, "mfa", edit).await;
    let is_healed = |found: Option<&DynamicObject>| {
        found.is_some_and(|it| it.data["spec"]["lastAuthThreshold"] == "hours=12")
    };
    let healed = test.until(VALIDATE, "mfa", "healed", is_healed).await;
    let healed = healed.expect("it is there");
    assert_eq!(healed.data["spec"], before.data["spec"]);
    assert_eq!(
        healed.metadata.generation,
        edited.metadata.generation.map(|it| it + 1)
    );
    test.in_sync(VALIDATE, "mfa").await;
    is_left_alone(&world).await;
    let now = test.get(VALIDATE, "mfa").await;
    assert_eq!(now.metadata.generation, healed.metadata.generation);

    // The operator puts right what somebody changes in authentik, and Argo CD does nothing.
    let applied_before = applied(test, "mfa");
    let stage = test
        .authentik
        .stage("validate", &company(test, "mfa"))
        .await;
    let stage = stage.expect("the stage is there");
    let path = format!("stages/authenticator/validate/{}/", text(&stage["pk"]));
    let drift = json!({"last_auth_threshold": "hours=3"});
    test.authentik.patch(&path, drift).await;
    let is_back = |stage: Option<&serde_json::Value>| {
        stage.is_some_and(|stage| stage["last_auth_threshold"] == "hours=12")
    };
    test.stage_until("validate", &company(test, "mfa"), is_back)
        .await;
    test.event("mfa", "DriftCorrected").await;
    test.in_sync(VALIDATE, "mfa").await;
    is_left_alone(&world).await;
    assert_eq!(applied(test, "mfa"), applied_before);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the first time it builds Argo CD; `make test-gitops` runs it"]
async fn argo_cd_and_the_operator_do_not_fight() {
    test(async |test| do_not_fight(test, &[]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the first time it builds Argo CD; `make test-gitops` runs it"]
async fn argo_cd_and_the_operator_do_not_fight_by_server_side_apply() {
    test(async |test| do_not_fight(test, &["ServerSideApply=true"]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the first time it builds Argo CD; `make test-gitops` runs it"]
async fn argo_cd_deletes_an_application_with_its_stages() {
    test(async |test| {
        let [duo, mfa] = ["duo.yaml", "mfa.yaml"].map(|name| example(test, name));
        let world = World::new(test, &[], &[&duo, &mfa]).await;
        let deleted = world.argo_cd.delete(&test.namespace).await;
        deleted.unwrap_or_else(|error| panic!("{error}"));
        for (kind, name) in [(CONNECTION, "default"), (DUO, "duo"), (VALIDATE, "mfa")] {
            test.gone(kind, name).await;
        }
        // As the policies of the two say.
        let stage = async |kind, name| test.authentik.stage(kind, &company(test, name)).await;
        assert_eq!(stage("duo", "duo").await, None);
        assert!(stage("validate", "mfa").await.is_some());
    })
    .await;
}
