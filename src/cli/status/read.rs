//! Reads the resources from Kubernetes, page by page.

use kube::{
    Api, Client,
    api::ListParams,
    core::{ApiResource, DynamicObject},
};

use super::row::Row;
use crate::{
    api::{GROUP, VERSION},
    kinds::crds,
};

/// How many resources are asked for at one time.
pub const PAGE: u32 = 500;

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
    let all = crds().into_iter().filter_map(|crd| {
        let names = crd.spec.names;
        let resource = ApiResource {
            group: GROUP.to_owned(),
            version: VERSION.to_owned(),
            api_version: format!("{GROUP}/{VERSION}"),
            kind: names.kind.clone(),
            plural: names.plural,
        };
        let api = match scope {
            Scope::All => Api::all_with(client.clone(), &resource),
            Scope::Namespace(_) if crd.spec.scope == "Cluster" => return None,
            Scope::Namespace(name) => Api::namespaced_with(client.clone(), name, &resource),
        };
        Some(OfKind {
            kind: names.kind,
            api,
        })
    });
    all.collect()
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
        let mut rows = Vec::new();
        let mut parameters = ListParams::default().limit(PAGE);
        loop {
            let page = match self.api.list(&parameters).await {
                Ok(page) => page,
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
                // The list has become too old to go on with.
                Err(kube::Error::Api(status)) if status.code == 410 && !rows.is_empty() => {
                    rows.clear();
                    parameters = ListParams::default().limit(PAGE);
                    continue;
                }
                Err(error) => return Err(self.refused(&error)),
            };
            rows.extend(page.items.iter().map(|object| Row::of(&self.kind, object)));
            match page.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => parameters.continue_token = Some(next),
                None => return Ok(Some(rows)),
            }
        }
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
