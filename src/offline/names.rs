//! What the kinds of ours are called.

use std::collections::BTreeMap;

use kube::Resource;

use super::desk::Name;
use crate::{
    api::{AuthentikConnection, ClusterAuthentikConnection},
    kinds::{ForEachKind, Kind, for_each_kind},
    manifests::Manifest,
};

/// The name of a kind.
pub fn kind_of<R: Resource<DynamicType = ()>>() -> String {
    R::kind(&()).into_owned()
}

/// The plural of each kind.
pub fn plurals() -> BTreeMap<String, String> {
    struct Plurals(BTreeMap<String, String>);
    impl Plurals {
        fn add<R: Resource<DynamicType = ()>>(&mut self) {
            self.0.insert(kind_of::<R>(), R::plural(&()).into_owned());
        }
    }
    impl ForEachKind for Plurals {
        fn kind<K: Kind>(&mut self) {
            self.add::<K>();
        }
    }
    let mut plurals = Plurals(BTreeMap::new());
    plurals.add::<AuthentikConnection>();
    plurals.add::<ClusterAuthentikConnection>();
    for_each_kind(&mut plurals);
    plurals.0
}

/// Whether this kind is one of connections.
pub fn is_connection(kind: &str) -> bool {
    kind == AuthentikConnection::kind(&()) || kind == ClusterAuthentikConnection::kind(&())
}

/// Whether this plural is that of a kind of connections.
pub fn is_plural_of_connections(plural: &str) -> bool {
    plural == AuthentikConnection::plural(&()) || plural == ClusterAuthentikConnection::plural(&())
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
