//! What a connection's object says, of either kind.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{
    CustomResourceExt, Resource, ResourceExt,
    core::{ObjectMeta, Selector, SelectorExt},
};
use serde::{Serialize, de::DeserializeOwned};

use super::sources::Sources;
use crate::{
    api::{
        AuthentikConnection, ClusterAuthentikConnection, ConnectionKind, ConnectionSettings,
        ConnectionStatus, RECONCILE_ANNOTATION,
    },
    controller::{keys::ConnectionKey, kubernetes::Target, namespaces::Namespaces},
    plan::failure::{Failure, Reason},
};

/// A kind of connection.
pub trait Connection:
    Resource<DynamicType = ()>
    + CustomResourceExt
    + Clone
    + std::fmt::Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
    /// Which kind it is.
    const KIND: ConnectionKind;
    /// How to reach the server.
    fn settings(&self) -> &ConnectionSettings;
    /// What it takes from Secrets and ConfigMaps.
    fn sources(&self) -> Sources;
    /// The namespaces that may use it.
    fn allowed(&self) -> Allowed;
    /// The status as last written.
    fn status(&self) -> Option<&ConnectionStatus>;
}

impl Connection for AuthentikConnection {
    const KIND: ConnectionKind = ConnectionKind::AuthentikConnection;

    fn settings(&self) -> &ConnectionSettings {
        &self.spec.settings
    }

    fn sources(&self) -> Sources {
        let namespace = self.namespace().unwrap_or_default();
        let (bundle, headers) = (
            &self.spec.ca_bundle_from,
            self.spec.headers.iter().flatten(),
        );
        Sources {
            token: self.spec.token_secret_ref.within(&namespace),
            ca_bundle: bundle.as_ref().map(|from| from.within(&namespace)),
            headers: headers.map(|header| header.within(&namespace)).collect(),
        }
    }

    fn allowed(&self) -> Allowed {
        Allowed::Own
    }

    fn status(&self) -> Option<&ConnectionStatus> {
        self.status.as_ref()
    }
}

impl Connection for ClusterAuthentikConnection {
    const KIND: ConnectionKind = ConnectionKind::ClusterAuthentikConnection;

    fn settings(&self) -> &ConnectionSettings {
        &self.spec.settings
    }

    fn sources(&self) -> Sources {
        Sources {
            token: self.spec.token_secret_ref.clone(),
            ca_bundle: self.spec.ca_bundle_from.clone(),
            headers: self.spec.headers.clone().unwrap_or_default(),
        }
    }

    fn allowed(&self) -> Allowed {
        Allowed::Labels(self.spec.allowed_namespaces.clone())
    }

    fn status(&self) -> Option<&ConnectionStatus> {
        self.status.as_ref()
    }
}

/// The namespaces that may use a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Allowed {
    /// Its own.
    Own,
    /// Those with these labels; nothing: none.
    Labels(Option<LabelSelector>),
}

impl Allowed {
    /// Whether resources of this namespace may use the connection.
    ///
    /// # Errors
    /// Why not. A namespace whose labels are not known is not allowed, unless every namespace is.
    pub fn check(
        &self,
        key: &ConnectionKey,
        namespaces: &Namespaces,
        namespace: &str,
    ) -> Result<(), Failure> {
        let refuse = |why: String| Err(Failure::down(Reason::ConnectionNotReady, why));
        let selector = match self {
            Self::Own => return Ok(()),
            Self::Labels(Some(selector)) if *selector == LabelSelector::default() => return Ok(()),
            Self::Labels(selector) => selector.clone().and_then(|s| Selector::try_from(s).ok()),
        };
        match (selector, namespaces.labels(namespace)) {
            (Some(selector), Some(labels)) if selector.matches(&labels) => Ok(()),
            (Some(_), None) => refuse(format!(
                "{key} may not be used: the labels of namespace {namespace} are not known; see that the operator may list and watch namespaces"
            )),
            _ => refuse(format!(
                "{key} does not allow namespace {namespace}; add the namespace to its allowedNamespaces, or name another connection"
            )),
        }
    }
}

/// What a connection's object says.
#[derive(Clone, Debug)]
pub struct Declared {
    /// The object.
    pub target: Target,
    /// How to reach the server; or why the object can't be read.
    pub settings: Result<ConnectionSettings, Failure>,
    /// What it takes from Secrets and ConfigMaps.
    pub sources: Sources,
    /// The namespaces that may use it.
    pub allowed: Allowed,
    /// The spec's generation.
    pub generation: Option<i64>,
    /// The annotation that asks for a look at once.
    pub requested_at: Option<String>,
    /// Whether it is being deleted.
    pub is_deleted: bool,
    /// Its finalizers, and whatever else others have put there.
    pub finalizers: Vec<String>,
    /// The status as the watch shows it.
    pub status: ConnectionStatus,
    /// The version of the object.
    pub version: Option<u64>,
}

impl Declared {
    /// What this object says.
    pub fn of<C: Connection>(connection: &C) -> Self {
        let status = connection.status().cloned().unwrap_or_default();
        Self {
            settings: Ok(connection.settings().clone()),
            sources: connection.sources(),
            allowed: connection.allowed(),
            ..Self::from_meta::<C>(connection.meta(), status)
        }
    }

    /// What an object says that the operator can't read: nothing, and nobody is turned away by it.
    pub fn unreadable<C: Connection>(meta: &ObjectMeta, failure: Failure) -> Self {
        Self {
            settings: Err(failure),
            ..Self::from_meta::<C>(meta, ConnectionStatus::default())
        }
    }

    fn from_meta<C: Connection>(meta: &ObjectMeta, status: ConnectionStatus) -> Self {
        let annotations = meta.annotations.as_ref();
        let requested_at = annotations.and_then(|all| all.get(RECONCILE_ANNOTATION));
        Self {
            target: Target::new::<C>(meta),
            settings: Err(Failure::new(Reason::InvalidSpec, "not read")),
            sources: Sources::default(),
            allowed: Allowed::Own,
            generation: meta.generation,
            requested_at: requested_at.cloned(),
            is_deleted: meta.deletion_timestamp.is_some(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
            status,
            version: meta
                .resource_version
                .as_deref()
                .and_then(|version| version.parse().ok()),
        }
    }

    /// Whether this asks for something else than another state of the object, or for another look.
    pub fn differs(&self, other: &Self) -> bool {
        self.settings != other.settings
            || self.sources != other.sources
            || self.allowed != other.allowed
            || self.generation != other.generation
            || self.requested_at != other.requested_at
            || self.is_deleted != other.is_deleted
            || self.finalizers != other.finalizers
    }
}

/// The key of the connection of this kind with this metadata.
pub fn key<C: Connection>(meta: &ObjectMeta) -> ConnectionKey {
    ConnectionKey {
        kind: C::KIND,
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
    }
}
