//! Reads the resources from Kubernetes.

use kube::{Api, Client, core::DynamicObject};

use super::row::Row;
use crate::{
    api::ClusterAuthentikConnection,
    offline::{all, kind_of, objects_of, plurals},
};

/// What is said of a cluster that the operator was never installed in.
const NO_CRDS: &str = "the cluster has none of the operator's CRDs: install its chart, or apply what `authentik-stage-operator \
    crds` prints; or choose another cluster with KUBECONFIG";

/// Where resources are looked for.
#[derive(Debug)]
pub enum Scope {
    /// In all namespaces, and in none.
    All,
    /// In this one.
    Namespace(String),
}

/// Resources of one kind.
#[derive(Debug)]
pub struct OfKind {
    /// The kind.
    pub kind: String,
    /// Where they are.
    pub api: Api<DynamicObject>,
}

/// All kinds, within this scope.
pub fn kinds(client: &Client, scope: &Scope) -> Vec<OfKind> {
    let namespace = match scope {
        Scope::All => None,
        Scope::Namespace(name) => Some(name.as_str()),
    };
    let of_the_cluster = kind_of::<ClusterAuthentikConnection>();
    let all = plurals().into_iter();
    let all = all.filter(|(kind, _)| namespace.is_none() || *kind != of_the_cluster);
    all.map(|(kind, plural)| OfKind {
        api: objects_of(client, &kind, &plural, namespace),
        kind,
    })
    .collect()
}

/// The kinds whose CRDs are there, each with its rows.
///
/// # Errors
/// Where Kubernetes does not answer, or refuses, or has none of the CRDs.
pub async fn listed(kinds: Vec<OfKind>) -> Result<Vec<(OfKind, Vec<Row>)>, String> {
    let mut listed = Vec::new();
    for of in kinds {
        let rows = all(&of.api, |object| Row::of(&of.kind, &object)).await;
        if let Some(rows) = rows.map_err(|error| of.refused(&error))? {
            listed.push((of, rows));
        }
    }
    match listed.is_empty() {
        true => Err(NO_CRDS.to_owned()),
        false => Ok(listed),
    }
}

impl OfKind {
    fn refused(&self, error: &kube::Error) -> String {
        match error {
            kube::Error::Api(status) if status.code == 403 => format!(
                "you may not list resources of the kind {}: {}; choose a namespace with -n, or ask for the right",
                self.kind, status.message
            ),
            kube::Error::Api(status) => format!(
                "{} can't be read: Kubernetes answered {}: {}",
                self.kind, status.code, status.message
            ),
            other => format!(
                "Kubernetes can't be reached: {other}; see whether the kubeconfig names the right cluster"
            ),
        }
    }
}
