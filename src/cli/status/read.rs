//! Reads the resources from Kubernetes.

use kube::{Api, Client, core::DynamicObject};

use super::row::Row;
use crate::{
    api::ClusterAuthentikConnection,
    offline::{all, kind_of, objects_of, plurals},
};

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

/// The rows of all resources. A kind whose CRD is not there has none.
///
/// # Errors
/// Where Kubernetes does not answer, or refuses.
pub async fn rows(kinds: &[OfKind]) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for of in kinds {
        rows.extend(of.rows().await?.unwrap_or_default());
    }
    rows.sort_by_key(Row::key);
    Ok(rows)
}

impl OfKind {
    /// The rows of this kind; nothing where its CRD is not there.
    ///
    /// # Errors
    /// As [`rows`].
    pub async fn rows(&self) -> Result<Option<Vec<Row>>, String> {
        let rows = all(&self.api, |object| Row::of(&self.kind, &object)).await;
        rows.map_err(|error| self.refused(&error))
    }

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
