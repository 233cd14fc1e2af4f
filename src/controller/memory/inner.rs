//! The memory's entries, and the ways to find them.

use std::{collections::HashMap, sync::Arc};

use super::{entry::Entry, indices::Indices};
use crate::{
    controller::keys::{ConnectionKey, Dependency, Uid},
    kinds::ResourceId,
};

/// The entries, and the ways to find them.
#[derive(Debug, Default)]
pub struct Inner {
    /// Of each resource, by its uid. Boxed, for a map has room for twice what it holds.
    pub entries: HashMap<Uid, Box<Entry>>,
    /// The uids by name.
    pub ids: HashMap<Arc<ResourceId>, Uid>,
    /// By what they want, have and depend on.
    pub indices: Indices,
    /// Resources that the operator can't read, with their uid.
    pub unreadable: HashMap<ResourceId, String>,
}

/// What a change of a resource means to others.
#[derive(Debug, Default)]
pub struct Concerned {
    /// Resources that want what it wants or has, or did.
    pub rivals: Vec<ResourceId>,
    /// Whether its need of its connection for a deletion has begun or ended.
    pub need_changed: bool,
    /// The connection that it used before its spec named another.
    pub left: Option<ConnectionKey>,
}

impl Inner {
    /// Adds an entry, to the indices too.
    pub fn put(&mut self, uid: Uid, entry: Box<Entry>) {
        self.indices.add(&uid, &entry);
        self.ids.insert(entry.id.clone(), uid.clone());
        self.entries.insert(uid, entry);
    }

    /// Forgets the resource of this name.
    pub fn forget(&mut self, id: &ResourceId) -> Concerned {
        let entry = self
            .ids
            .remove(id)
            .and_then(|uid| self.entries.remove_entry(&uid));
        let Some((uid, entry)) = entry else {
            return Concerned::default();
        };
        self.indices.remove(&uid, &entry);
        self.indices.depends(&uid, Vec::new());
        let uids = self.indices.rivals(&uid, &entry);
        Concerned {
            rivals: uids,
            need_changed: entry.needs_connection(),
            left: None,
        }
    }

    /// Every other resource that wants what this one wants or has.
    pub fn rivals_of(&self, uid: &Uid) -> Vec<ResourceId> {
        let entry = self.entries.get(uid);
        entry
            .map(|entry| self.indices.rivals(uid, entry))
            .unwrap_or_default()
    }

    /// Whether the deletion of this one would need its connection.
    pub fn needs_connection(&self, uid: &Uid) -> bool {
        let entry = self.entries.get(uid);
        entry.is_some_and(|entry| entry.needs_connection())
    }

    /// The resources that need this connection for their deletion, or may.
    pub fn needing(&self, key: &ConnectionKey) -> impl Iterator<Item = &Entry> {
        let users = self
            .indices
            .dependents(&Dependency::Connection(key.clone()));
        users
            .filter_map(|uid| Some(&**self.entries.get(uid)?))
            .filter(|entry| entry.needs_connection())
            .filter(move |entry| entry.uses.as_ref().is_none_or(|uses| uses == key))
    }

    /// The resources that this one refers to, while it has no stage of its own.
    pub fn waits_for(&self, id: &ResourceId) -> Vec<ResourceId> {
        let Some(uid) = self.ids.get(id) else {
            return Vec::new();
        };
        let has_stage = |uid: &Uid| {
            let entry = self.entries.get(uid);
            entry.is_some_and(|entry| entry.standing.stage.is_some())
        };
        if has_stage(uid) {
            return Vec::new();
        }
        self.indices.references(uid)
    }
}
