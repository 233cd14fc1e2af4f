//! All kinds of stage: the rest of the operator is built from this list.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use super::{duo::DuoStage, kind::StageKind, validate::AuthenticatorValidateStage};
use crate::api::{AuthentikConnection, ClusterAuthentikConnection, schema::polished};

/// Does something for every kind of stage.
pub trait ForEachKind {
    /// Called once a kind.
    fn kind<K: StageKind>(&mut self);
}

/// Calls `visitor` for every kind of stage. The one place that lists them: a new kind is one more line.
pub fn for_each_kind(visitor: &mut impl ForEachKind) {
    visitor.kind::<AuthenticatorValidateStage>();
    visitor.kind::<DuoStage>();
}

/// The kind of this name, if it is one of ours.
#[must_use]
pub fn kind_named(name: &str) -> Option<&'static str> {
    struct Named<'a>(&'a str, Option<&'static str>);
    impl ForEachKind for Named<'_> {
        fn kind<K: StageKind>(&mut self) {
            if K::KIND == self.0 {
                self.1 = Some(K::KIND);
            }
        }
    }
    let mut named = Named(name, None);
    for_each_kind(&mut named);
    named.1
}

/// The CRDs of all kinds, connections first.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    struct Crds(Vec<CustomResourceDefinition>);
    impl ForEachKind for Crds {
        fn kind<K: StageKind>(&mut self) {
            self.0
                .push(polished(K::crd(), &[K::NULLABLE, &["flows"]].concat()));
        }
    }
    let mut crds = Crds(vec![
        polished(AuthentikConnection::crd(), &[]),
        polished(ClusterAuthentikConnection::crd(), &[]),
    ]);
    for_each_kind(&mut crds);
    crds.0
}
