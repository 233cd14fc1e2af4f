//! What the cluster is given.
use std::fs;
use std::path::Path;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::runtime::{conditions, wait::await_condition};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{MODULE, NAMESPACE, kind};
use crate::gitops::{Result, file};

/// Gives the cluster what Argo CD's own installation does, as far as these components need it, and our settings.
///
/// # Errors
/// When Argo CD's own manifests are missing or the cluster refuses one.
pub(super) async fn install(client: &Client) -> Result<()> {
    let files = tokio::task::spawn_blocking(|| MODULE.files("argocd"));
    let manifests = files.await??.join("manifests");
    let params = PatchParams::apply("devkit").force();
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .patch(NAMESPACE, &params, &Patch::Apply(namespace))
        .await?;

    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for name in ["application", "appproject"] {
        let crd = read(&manifests.join(format!("crds/{name}-crd.yaml")))?;
        let name = format!("{name}s.argoproj.io");
        crds.patch(&name, &params, &Patch::Apply(crd)).await?;
        await_condition(crds.clone(), &name, conditions::is_crd_established()).await?;
    }

    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let secret = read(&manifests.join("base/config/argocd-secret.yaml"))?;
    secrets
        .patch("argocd-secret", &params, &Patch::Apply(secret))
        .await?;

    // As the documentation says: a patch of what is there.
    let settings: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let theirs = read(&manifests.join("base/config/argocd-cm.yaml"))?;
    settings
        .patch("argocd-cm", &params, &Patch::Apply(theirs))
        .await?;
    let ours = read(&file("argocd/argocd-cm.yaml"))?;
    settings
        .patch("argocd-cm", &PatchParams::default(), &Patch::Merge(ours))
        .await?;

    // Argo CD's API server would make it.
    let projects: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), NAMESPACE, &kind("AppProject"));
    let project = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "default"},
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        },
    });
    projects
        .patch("default", &params, &Patch::Apply(project))
        .await?;
    Ok(())
}

fn read(manifest: &Path) -> Result<Value> {
    let text =
        fs::read_to_string(manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
    Ok(serde_saphyr::from_str(&text)?)
}
