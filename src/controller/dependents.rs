//! Who depends on what, so that a change reaches everything that waits for it at once.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::{Arc, Mutex},
};

use crate::{api::ConnectionKind, stages::ResourceId};

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

impl std::fmt::Display for ConnectionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.kind, self.name)
    }
}

/// Something that a resource may depend on.
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
    /// Whichever stage in authentik has this name.
    StageName(String),
}

#[derive(Debug)]
struct Inner<Id> {
    by_dependency: HashMap<Arc<Dependency>, HashSet<Arc<Id>>>,
    by_dependent: HashMap<Arc<Id>, Box<[Arc<Dependency>]>>,
}

/// Dependencies and their dependents.
#[derive(Debug)]
pub struct Dependents<Id>(Mutex<Inner<Id>>);

impl<Id> Default for Dependents<Id> {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            by_dependency: HashMap::new(),
            by_dependent: HashMap::new(),
        }))
    }
}

impl<Id: Clone + Eq + Hash> Dependents<Id> {
    /// Notes all that this one depends on, in place of what it depended on before. To be called before the
    /// dependencies are looked at, so that no change falls between the look and the note.
    pub fn set(&self, id: &Id, dependencies: HashSet<Dependency>) {
        let mut inner = self.0.lock().expect("no panic while held");
        let known = inner.by_dependent.get(id).map_or(&[][..], |known| known);
        if known.len() == dependencies.len()
            && known.iter().all(|known| dependencies.contains(&**known))
        {
            return;
        }
        inner.remove(id);
        if dependencies.is_empty() {
            return;
        }
        let id = Arc::new(id.clone());
        let dependencies = dependencies.into_iter();
        let dependencies = dependencies.map(|dependency| inner.add(dependency, id.clone()));
        let dependencies = dependencies.collect();
        inner.by_dependent.insert(id, dependencies);
    }

    /// The dependent is gone.
    pub fn forget(&self, id: &Id) {
        self.0.lock().expect("no panic while held").remove(id);
    }

    /// Whether this one depends on something like that.
    pub fn depends(&self, id: &Id, like: impl Fn(&Dependency) -> bool) -> bool {
        let inner = self.0.lock().expect("no panic while held");
        let dependencies = inner.by_dependent.get(id);
        dependencies.is_some_and(|dependencies| dependencies.iter().any(|known| like(known)))
    }

    /// Everything that depends on this.
    pub fn of(&self, dependency: &Dependency) -> Vec<Id> {
        let inner = self.0.lock().expect("no panic while held");
        inner
            .by_dependency
            .get(dependency)
            .into_iter()
            .flatten()
            .map(|id| (**id).clone())
            .collect()
    }
}

impl<Id: Eq + Hash> Inner<Id> {
    /// Notes one dependency. Returns it as it is kept: once, however many depend on it.
    fn add(&mut self, dependency: Dependency, id: Arc<Id>) -> Arc<Dependency> {
        let known = self.by_dependency.get_key_value(&dependency);
        let dependency = known.map_or_else(|| Arc::new(dependency), |(known, _)| known.clone());
        let ids = self.by_dependency.entry(dependency.clone()).or_default();
        ids.insert(id);
        dependency
    }

    fn remove(&mut self, id: &Id) {
        for dependency in self.by_dependent.remove(id).into_iter().flatten() {
            if let Some(ids) = self.by_dependency.get_mut(&dependency) {
                ids.remove(id);
                if ids.is_empty() {
                    self.by_dependency.remove(&dependency);
                }
            }
        }
    }
}
