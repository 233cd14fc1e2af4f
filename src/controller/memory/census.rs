//! What there is of all resources together.

use super::Memory;
use crate::kinds::ResourceId;

impl Memory {
    /// Whether there is such a resource, readable or not.
    pub fn knows(&self, id: &ResourceId) -> bool {
        let inner = self.lock();
        inner.ids.contains_key(id) || inner.unreadable.contains_key(id)
    }

    /// Every resource, the unreadable ones included.
    pub fn all(&self) -> Vec<ResourceId> {
        let inner = self.lock();
        let readable = inner.ids.keys().map(|id| (**id).clone());
        readable.chain(inner.unreadable.keys().cloned()).collect()
    }

    /// Every resource of this kind in these namespaces (none: all), to find those that have gone unseen.
    pub fn ids(&self, kind: &str, namespace: Option<&str>) -> Vec<ResourceId> {
        let mut ids = self.all();
        ids.retain(|id| {
            id.kind == kind && namespace.is_none_or(|namespace| id.namespace == namespace)
        });
        ids
    }

    /// Whether some resource waits for what its connection was asked for.
    pub fn somebody_waits(&self) -> bool {
        let inner = self.lock();
        let mut entries = inner.entries.values();
        entries.any(|entry| entry.waits_since.is_some())
    }

    /// The kind of every resource whose stage asks for a weaker second factor than its spec, once each.
    pub fn weak(&self) -> Vec<&'static str> {
        let inner = self.lock();
        let weak = inner.entries.values().filter(|entry| entry.is_weak);
        weak.map(|entry| entry.id.kind).collect()
    }

    /// Kind and `Ready` reason of every resource, once each.
    pub fn reasons(&self) -> Vec<(&'static str, String)> {
        let inner = self.lock();
        let readable = inner
            .entries
            .values()
            .map(|entry| (entry.id.kind, entry.standing.reason.clone()));
        let unreadable = inner.unreadable.keys();
        readable
            .chain(unreadable.map(|id| (id.kind, "InvalidSpec".to_owned())))
            .collect()
    }
}
