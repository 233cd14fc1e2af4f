//! What is made of the list of all kinds.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition,
};
use kube::CustomResourceExt;
use serde_json::{Map, Value};

use super::{field::Compare, kind::Kind, usage::Users, validate};
use crate::{
    api::{AuthentikConnection, ClusterAuthentikConnection, schema::polished},
    authentik::Collection,
};

/// Does something for every kind.
pub trait ForEachKind {
    /// Called once a kind.
    fn kind<K: Kind>(&mut self);
}

/// The registry: makes the module of each kind known, and the function that visits them all. Everything else about the kinds is
/// made from that.
macro_rules! kinds {
    ($($module:ident::$kind:ident,)*) => {
        $(pub mod $module;)*
        $(pub use self::$module::$kind;)*

        /// Calls `visitor` for every kind.
        pub fn for_each_kind(visitor: &mut impl ForEachKind) {
            $(visitor.kind::<$kind>();)*
        }
    };
}
pub(super) use kinds;

/// What a reference to a resource has to know of its kind.
#[derive(Clone, Copy, Debug)]
pub struct KindName {
    /// Its name.
    pub kind: &'static str,
    /// Where authentik keeps what its resources stand for.
    pub collection: Collection,
    /// Where a reference finds what its resources stand for, by its label.
    pub names: Collection,
    /// What messages call that.
    pub noun: &'static str,
}

static NAMES: LazyLock<Vec<KindName>> = LazyLock::new(|| {
    struct Names(Vec<KindName>);
    impl ForEachKind for Names {
        fn kind<K: Kind>(&mut self) {
            self.0.push(KindName {
                kind: K::KIND,
                collection: K::COLLECTION,
                names: K::NAMES,
                noun: K::NOUN,
            });
        }
    }
    let mut names = Names(Vec::new());
    super::for_each_kind(&mut names);
    names.0
});

/// The names of all kinds.
#[must_use]
pub fn kind_names() -> &'static [KindName] {
    &NAMES
}

/// The kind of this name, if it is one of ours.
#[must_use]
pub fn kind_named(name: &str) -> Option<KindName> {
    NAMES.iter().copied().find(|known| known.kind == name)
}

/// What may use objects of this kind and is not among the entries of `used_by/`, or only for some tokens. Of our own kinds
/// those are that hold sets of references: authentik leaves them out (measured on 2024.2 to 2026.5).
#[must_use]
pub fn users_of<K: Kind>() -> Vec<Users> {
    struct Of {
        names: Collection,
        users: Vec<Users>,
    }
    impl ForEachKind for Of {
        fn kind<K: Kind>(&mut self) {
            let fields = K::FIELDS.iter().map(|row| &row.field);
            let sets = fields.filter(|field| {
                field.compare == Compare::Set && field.refers_to == Some(self.names)
            });
            self.users.extend(sets.map(|field| Users {
                collection: K::COLLECTION,
                fields: std::slice::from_ref(&field.api),
                filter: Some(field.api),
                noun: K::TITLE,
            }));
        }
    }
    let mut of = Of {
        names: K::NAMES,
        users: K::USAGE.users.to_vec(),
    };
    super::for_each_kind(&mut of);
    of.users
}

/// Where stages are made that nobody meets, to find out whether two URLs lead to one server.
pub const STAGES_TO_TELL_APART: Collection = validate::COLLECTION;

/// What such a stage of this name is made of.
#[must_use]
pub fn stage_to_tell_apart(name: &str) -> Map<String, Value> {
    validate::denying(name)
}

/// The CRDs of all kinds, connections first.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    struct Crds(Vec<CustomResourceDefinition>);
    impl ForEachKind for Crds {
        fn kind<K: Kind>(&mut self) {
            self.0.push(crd::<K>());
        }
    }
    let mut crds = Crds(vec![
        polished(AuthentikConnection::crd(), |_| false),
        polished(ClusterAuthentikConnection::crd(), |_| false),
    ]);
    super::for_each_kind(&mut crds);
    crds.0
}

/// The CRD of a kind.
#[must_use]
pub fn crd<K: Kind>() -> CustomResourceDefinition {
    let mut crd = polished(K::crd(), null_means_something::<K>);
    for version in &mut crd.spec.versions {
        version.additional_printer_columns = Some(columns::<K>());
    }
    crd
}

/// Whether an explicit null in this field of the spec is told from an absent field.
fn null_means_something<K: Kind>(field: &str) -> bool {
    let spec = serde_json::to_value(K::Spec::default());
    let Ok(Value::Object(mut spec)) = spec else {
        return false;
    };
    spec.insert(field.to_owned(), Value::Null);
    let read = serde_json::from_value::<K::Spec>(Value::Object(spec));
    let written = read.ok().and_then(|spec| serde_json::to_value(spec).ok());
    written.is_some_and(|spec| spec.get(field).is_some())
}

/// The columns of `kubectl get`.
fn columns<K: Kind>() -> Vec<CustomResourceColumnDefinition> {
    let column = |name: &str, type_: &str, json_path: String| CustomResourceColumnDefinition {
        name: name.to_owned(),
        type_: type_.to_owned(),
        json_path,
        ..CustomResourceColumnDefinition::default()
    };
    let ready = |of: &str| format!(".status.conditions[?(@.type==\"Ready\")].{of}");
    let identity = |of: &str| format!(".status.{}.{of}", K::NOUN);
    let mut noun = K::NOUN.to_owned();
    noun[..1].make_ascii_uppercase();
    vec![
        column("Ready", "string", ready("status")),
        column("Reason", "string", ready("reason")),
        column(&noun, "string", identity(K::LABEL.spec)),
        column("Server", "string", identity("server")),
        column("Age", "date", ".metadata.creationTimestamp".to_owned()),
    ]
}

#[cfg(test)]
mod tests;
