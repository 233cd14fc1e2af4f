//! A real Argo CD beside a cluster: its application controller and its repo server, with a real Redis, as processes.
mod components;
mod install;

use std::path::Path;
use std::time::Duration;

use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Config, ResourceExt};
use serde::Deserialize;
use serde_json::json;

use super::{Repository, Result, Verdict};
use crate::go::Module;
use components::Components;
use install::install;

/// Where Argo CD's settings and Applications are.
const NAMESPACE: &str = "argocd";

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Lets Argo CD compare with the repository at once; it takes the annotation away when it has.
const REFRESH: &str = "argocd.argoproj.io/refresh";

/// Lets the deletion of an Application wait for that of its resources.
const CASCADE: &str = "resources-finalizer.argocd.argoproj.io";

pub(super) const MODULE: Module = Module {
    directory: "gitops/argocd",
    path: "github.com/argoproj/argo-cd/v3",
    go_mod: include_str!("../../../gitops/argocd/go.mod"),
    link_flags: |version| {
        let number = version.trim_start_matches('v');
        format!("-X github.com/argoproj/argo-cd/v3/common.version={number}")
    },
    tags: "",
};

/// What Argo CD says of an Application, as far as it is used.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// How the cluster compares to the repository.
    pub sync: SyncStatus,
    /// The worst health of the resources.
    pub health: Verdict,
    /// The resources.
    pub resources: Vec<Managed>,
    /// The complete syncs, oldest first.
    pub history: Vec<SyncStatus>,
    /// The present or else the last sync.
    pub operation_state: Option<Operation>,
}

/// A revision, and whether the cluster is as it says.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct SyncStatus {
    /// `Synced`, `OutOfSync` or `Unknown`; empty in the history.
    pub status: String,
    /// The commit.
    pub revision: String,
}

/// A resource that an Application holds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Managed {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `Synced` or `OutOfSync`.
    pub status: String,
    /// None for kinds that have no health.
    pub health: Option<Verdict>,
}

/// A sync.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Operation {
    /// Such as `Running`, `Succeeded` or `Failed`.
    pub phase: String,
    /// When it began.
    pub started_at: String,
}

/// A running Argo CD; it ends when this is dropped or the process ends.
pub struct ArgoCd {
    config: Config,
    components: Components,
}

impl ArgoCd {
    /// Installs Argo CD with the `argocd-cm` of `docs/gitops/` in the cluster, and runs it beside the cluster with the
    /// rights of this kubeconfig. Its program is built first where it is missing.
    ///
    /// # Errors
    /// When Redis is missing, the program can't be built, the cluster refuses or a component ends.
    pub async fn start(kubeconfig: &Path) -> Result<Self> {
        // An error means that the process has a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cluster = Kubeconfig::read_from(kubeconfig)?;
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(cluster, &options).await?;
        install(&Client::try_from(config.clone())?).await?;
        Ok(Self {
            components: Components::start(kubeconfig).await?,
            config,
        })
    }

    /// Applies an Application that keeps a namespace as a repository says, by itself and against changes by others.
    ///
    /// # Errors
    /// When the cluster refuses it.
    pub async fn apply(
        &self,
        name: &str,
        repository: &Repository,
        namespace: &str,
        options: &[&str],
    ) -> Result<()> {
        let application = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "finalizers": [CASCADE]},
            "spec": {
                "project": "default",
                "source": {"repoURL": repository.url(), "targetRevision": "main", "path": "."},
                "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
                "syncPolicy": {"automated": {"prune": true, "selfHeal": true}, "syncOptions": options},
            },
        });
        let patch = Patch::Apply(application);
        self.applications()?
            .patch(name, &PatchParams::apply("devkit"), &patch)
            .await?;
        Ok(())
    }

    /// Lets Argo CD compare with the repository and the cluster anew, and waits until it has.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn refresh(&self, name: &str) -> Result<Status> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {REFRESH: "hard"}}}));
        let params = PatchParams::default();
        self.applications()?.patch(name, &params, &patch).await?;
        let is_done = |found: Option<&DynamicObject>| {
            found.is_some_and(|application| !application.annotations().contains_key(REFRESH))
        };
        let refreshed = self.wait(name, "refreshed", is_done).await?;
        Ok(refreshed
            .and_then(|it| status(&it))
            .ok_or("it has no status")?)
    }

    /// Waits until the cluster is as this revision says, in this health, and the last sync is over.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn synced(&self, name: &str, revision: &str, health: &str) -> Result<Status> {
        let is = |status: &Status| {
            let last = status.operation_state.as_ref();
            status.sync.status == "Synced"
                && status.sync.revision == revision
                && status.health.status == health
                && last.is_some_and(|last| last.phase == "Succeeded")
        };
        let is_synced =
            |found: Option<&DynamicObject>| found.and_then(status).is_some_and(|it| is(&it));
        let what = format!("synced to {revision} and {health}");
        let synced = self.wait(name, &what, is_synced).await?;
        Ok(synced
            .and_then(|it| status(&it))
            .ok_or("it has no status")?)
    }

    /// Deletes an Application with its resources, and waits until they are gone.
    ///
    /// # Errors
    /// When they are not in time.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.applications()?
            .delete(name, &DeleteParams::default())
            .await?;
        self.wait(name, "gone", |found| found.is_none())
            .await
            .map(drop)
    }

    /// Waits until an Application is as the predicate says. Fails when it is not in time, with what it is and what
    /// Argo CD printed last.
    async fn wait(
        &self,
        name: &str,
        what: &str,
        predicate: impl Fn(Option<&DynamicObject>) -> bool,
    ) -> Result<Option<DynamicObject>> {
        let applications = self.applications()?;
        let awaited = await_condition(applications.clone(), name, predicate);
        if let Ok(found) = tokio::time::timeout(PATIENCE, awaited).await {
            return Ok(found?);
        }
        let now = applications.get_opt(name).await?.map(|it| it.data);
        let now = serde_json::to_string_pretty(&now)?;
        let logs = self.components.logs();
        Err(format!("the Application {name} is not {what} in time; it is {now}\n{logs}").into())
    }

    /// Made anew for each use: a client ends with the runtime that it was made in.
    fn applications(&self) -> Result<Api<DynamicObject>> {
        let client = Client::try_from(self.config.clone())?;
        Ok(Api::namespaced_with(
            client,
            NAMESPACE,
            &kind("Application"),
        ))
    }
}

/// What Argo CD says of an Application.
fn status(application: &DynamicObject) -> Option<Status> {
    serde_json::from_value(application.data["status"].clone()).ok()
}

/// A kind of Argo CD's.
fn kind(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", kind))
}
