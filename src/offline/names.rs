//! What the kinds of ours are called.

use std::collections::BTreeMap;

use kube::CustomResourceExt;

use super::desk::Name;
use crate::{
    api::{AuthentikConnection, ClusterAuthentikConnection},
    kinds::crds,
    manifests::Manifest,
};

/// The name of a kind.
pub fn kind_of<C: CustomResourceExt>() -> String {
    C::crd().spec.names.kind
}

/// The plural of each kind.
pub fn plurals() -> BTreeMap<String, String> {
    let crds = crds().into_iter();
    crds.map(|crd| (crd.spec.names.kind, crd.spec.names.plural))
        .collect()
}

/// Whether this kind is one of connections.
pub fn is_connection(kind: &str) -> bool {
    [
        kind_of::<AuthentikConnection>(),
        kind_of::<ClusterAuthentikConnection>(),
    ]
    .iter()
    .any(|known| known == kind)
}

/// What the object of a manifest is called on the desk.
pub fn name_of(manifest: &Manifest, plurals: &BTreeMap<String, String>) -> Name {
    let plural = plurals.get(&manifest.kind).cloned();
    (
        plural.unwrap_or_default(),
        manifest.namespace.clone(),
        manifest.name.clone(),
    )
}
