//! The names of what the controller keeps apart.

use std::{fmt, sync::Arc};

use crate::{
    api::{ConnectionKind, ConnectionReference, DEFAULT_CONNECTION},
    authentik::Collection,
    kinds::ResourceId,
};

/// A resource's `metadata.uid`: another one for a resource that was deleted and made anew.
pub type Uid = Arc<str>;

/// Names a connection; a cluster connection has no namespace.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnectionKey {
    /// The connection's kind.
    pub kind: ConnectionKind,
    /// Its namespace, empty for a cluster connection.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ConnectionKey {
    /// `namespace/name`, or `name` for a cluster connection.
    #[must_use]
    pub fn path(&self) -> String {
        if self.namespace.is_empty() {
            self.name.clone()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }
}

impl fmt::Display for ConnectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", kind_name(self.kind), self.name)
    }
}

/// The name of a connection's kind.
#[must_use]
pub fn kind_name(kind: ConnectionKind) -> &'static str {
    match kind {
        ConnectionKind::AuthentikConnection => "AuthentikConnection",
        ConnectionKind::ClusterAuthentikConnection => "ClusterAuthentikConnection",
    }
}

/// The connections that a resource of this namespace may use: the first that exists is its.
#[must_use]
pub fn candidates(namespace: &str, reference: Option<&ConnectionReference>) -> Vec<ConnectionKey> {
    let key = |kind, name: &str| ConnectionKey {
        kind,
        namespace: match kind {
            ConnectionKind::AuthentikConnection => namespace.to_owned(),
            ConnectionKind::ClusterAuthentikConnection => String::new(),
        },
        name: name.to_owned(),
    };
    match reference {
        Some(reference) => vec![key(reference.kind.unwrap_or_default(), &reference.name)],
        None => vec![
            key(ConnectionKind::AuthentikConnection, DEFAULT_CONNECTION),
            key(
                ConnectionKind::ClusterAuthentikConnection,
                DEFAULT_CONNECTION,
            ),
        ],
    }
}

/// Something that a resource depends on: a change of it makes the resource due.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Dependency {
    /// A connection.
    Connection(ConnectionKey),
    /// A Secret, by namespace and name.
    Secret(String, String),
    /// Another resource of this operator.
    Resource(ResourceId),
    /// A namespace's labels.
    Namespace(String),
    /// An object in authentik, by its UUID or by the name, slug or description that a spec names it by.
    Object(Collection, String),
}
