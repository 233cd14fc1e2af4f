//! What is known of every resource of every stage kind: one memory a resource, by its uid. A resource that was deleted and
//! made anew is another one, and inherits nothing.
//!
//! Kept current by the watches, by our own status writes, and by what each reconcile has learned.

mod backoff;
mod census;
mod entry;
mod indices;
mod inner;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use kube::ResourceExt;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;
use uuid::Uuid;

pub use self::{
    backoff::{News, Request},
    entry::{Creation, Standing, View},
    inner::Concerned,
};
use self::{entry::Entry, inner::Inner};
use super::keys::{ConnectionKey, Dependency, Uid};
use crate::{
    api::{Identity, Status},
    authentik::Collection,
    kinds::{Kind, ResourceId},
    plan::{Note, failure::Failure},
};

/// The memory of all resources.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Inner>);

impl Memory {
    /// Notes what a watch shows.
    pub fn seen<K: Kind>(&self, resource: &K, depends: Vec<Dependency>) -> Concerned {
        let id = ResourceId::of(resource);
        let Some(uid) = resource.uid().map(Uid::from) else {
            return Concerned::default();
        };
        let mut inner = self.lock();
        inner.unreadable.remove(&id);
        let mut concerned = Concerned::default();
        if inner.ids.get(&id).is_some_and(|known| *known != uid) {
            concerned = inner.forget(&id);
        }
        concerned.rivals.extend(inner.rivals_of(&uid));
        let needed = inner.needs_connection(&uid);
        match inner.entries.remove(&uid) {
            Some(mut entry) => {
                inner.indices.remove(&uid, &entry);
                let named = entry.standing.connection.clone();
                entry.shows(resource);
                if entry.standing.connection != named {
                    concerned.left = entry.uses.take();
                }
                inner.put(uid.clone(), entry);
            }
            None => {
                let entry = Entry::new(Arc::new(id), resource);
                inner.put(uid.clone(), Box::new(entry));
            }
        }
        inner.indices.depends(&uid, depends);
        concerned.rivals.extend(inner.rivals_of(&uid));
        concerned.need_changed |= needed != inner.needs_connection(&uid);
        concerned
    }

    /// Notes a resource that can't be read.
    pub fn seen_unreadable(&self, id: ResourceId, uid: String) -> Concerned {
        let mut inner = self.lock();
        let concerned = inner.forget(&id);
        inner.unreadable.insert(id, uid);
        concerned
    }

    /// The resource is gone: nothing is kept of it.
    pub fn forget(&self, id: &ResourceId) -> Concerned {
        let mut inner = self.lock();
        inner.unreadable.remove(id);
        inner.forget(id)
    }

    /// Begins a reconcile of a resource as the queue shows it. Returns nothing where the watch has shown a newer
    /// version, or that it is gone, and so has queued it again.
    pub fn begin<K: Kind>(&self, resource: &K) -> Option<View> {
        let uid = resource.uid()?;
        let mut inner = self.lock();
        let entry = inner.entries.get_mut(uid.as_str())?;
        (!entry.is_newer_than(resource)).then(|| entry.view(resource))
    }

    /// How long the resource has to wait before the next try; nothing when that is due, which is when it begins.
    pub fn wait(&self, uid: &str, request: &Request) -> Option<Duration> {
        self.with(uid, |entry| entry.backoff.wait(request))
            .flatten()
    }

    /// Notes a failure. Returns when the next try is due, which is after `at_most` where that is given.
    pub fn failed(
        &self,
        uid: &str,
        request: Request,
        failure: &Failure,
        resync: Duration,
        at_most: Option<Duration>,
    ) -> Duration {
        let failed = |entry: &mut Entry| {
            let backoff = &mut entry.backoff;
            backoff.failed(request, failure, resync, at_most)
        };
        self.with(uid, failed).unwrap_or(resync)
    }

    /// The last try succeeded.
    pub fn succeeded(&self, uid: &str) {
        self.with(uid, |entry| entry.backoff.reset());
    }

    /// How long the resource has failed in just this way, and whether it was warned of that. `is_old` is whether its
    /// status said so before this process began to fail it.
    pub fn failing(&self, uid: &str, note: &Note, is_old: bool) -> (Duration, bool) {
        self.with(uid, |entry| entry.failing(note, is_old))
            .unwrap_or_default()
    }

    /// The resource was warned of what it fails for.
    pub fn warned(&self, uid: &str) {
        self.with(uid, Entry::warned);
    }

    /// The resource does not fail any more.
    pub fn recovered(&self, uid: &str) {
        self.with(uid, Entry::recovered);
    }

    /// Something that these resources depend on has changed. Returns them.
    pub fn changed(&self, dependency: &Dependency) -> Vec<ResourceId> {
        let what = match dependency {
            Dependency::Secret(..) => News::Credentials,
            _ => News::Dependency,
        };
        self.changed_by(dependency, what)
    }

    /// What this connection leads to has changed, so that whatever was refused is due. Returns who uses it.
    pub fn reconnected(&self, key: &ConnectionKey) -> Vec<ResourceId> {
        self.changed_by(&Dependency::Connection(key.clone()), News::Credentials)
    }

    fn changed_by(&self, dependency: &Dependency, what: News) -> Vec<ResourceId> {
        let mut inner = self.lock();
        let uids: Vec<_> = inner.indices.dependents(dependency).cloned().collect();
        let mut ids = Vec::with_capacity(uids.len());
        for uid in uids {
            if let Some(entry) = inner.entries.get_mut(&uid) {
                entry.backoff.changed(what);
                ids.push((*entry.id).clone());
            }
        }
        ids
    }

    /// A list that was last read then, and has been read again, shows the stages of these resources changed.
    pub fn changed_after(&self, ids: &[ResourceId], look: Instant) {
        self.each(ids, |entry| {
            let look = entry.seen_at.map_or(look, |seen_at| seen_at.max(look));
            entry.changed_after.get_or_insert(look);
        });
    }

    /// These resources are due.
    pub fn due(&self, ids: &[ResourceId]) {
        self.each(ids, |entry| entry.backoff.changed(News::Dependency));
    }

    /// Changes what is kept of each of these resources that is there still.
    fn each(&self, ids: &[ResourceId], change: impl Fn(&mut Entry)) {
        let mut inner = self.lock();
        for id in ids {
            let uid = inner.ids.get(id).cloned();
            if let Some(entry) = uid.and_then(|uid| inner.entries.get_mut(&uid)) {
                change(entry);
            }
        }
    }

    /// Who uses this connection and names a Secret.
    pub fn with_secrets(&self, key: &ConnectionKey) -> Vec<ResourceId> {
        let inner = self.lock();
        let connection = Dependency::Connection(key.clone());
        let users = inner.indices.dependents(&connection);
        users
            .filter(|uid| inner.indices.names_a_secret(uid))
            .filter_map(|uid| Some((*inner.entries.get(uid)?.id).clone()))
            .collect()
    }

    /// Notes a status that was written, until the watch shows it or a newer one; or one that could not be written (no
    /// resourceVersion), until it is: what authentik was made to hold is not to be forgotten.
    pub fn wrote_status(
        &self,
        uid: &str,
        resource_version: Option<&str>,
        status: &Status,
    ) -> Concerned {
        let mut inner = self.lock();
        let Some((uid, mut entry)) = inner.entries.remove_entry(uid) else {
            return Concerned::default();
        };
        let mut concerned = Concerned {
            rivals: inner.indices.rivals(&uid, &entry),
            ..Concerned::default()
        };
        inner.indices.remove(&uid, &entry);
        let needed = entry.needs_connection();
        entry.wrote_status(resource_version, status.clone());
        concerned.need_changed = needed != entry.needs_connection();
        inner.put(uid.clone(), entry);
        concerned.rivals.extend(inner.rivals_of(&uid));
        concerned
    }

    /// Notes the stage that a reconcile under way has come to manage, so that no other takes it for nobody's, and its
    /// connection is kept, before the status says so.
    pub fn found(&self, uid: &str, stage: &Identity) -> Concerned {
        let mut inner = self.lock();
        let Some((uid, mut entry)) = inner.entries.remove_entry(uid) else {
            return Concerned::default();
        };
        inner.indices.remove(&uid, &entry);
        let needed = entry.needs_connection();
        entry.found(stage);
        let need_changed = needed != entry.needs_connection();
        inner.put(uid.clone(), entry);
        Concerned {
            rivals: inner.rivals_of(&uid),
            need_changed,
            left: None,
        }
    }

    /// Changes what is kept of a resource, if it is there still.
    pub fn with<T>(&self, uid: &str, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let mut inner = self.lock();
        inner.entries.get_mut(uid).map(|entry| change(entry))
    }

    /// What the watch and our own writes tell of the resource of this name.
    pub fn standing(&self, id: &ResourceId) -> Option<Standing> {
        let inner = self.lock();
        let uid = inner.ids.get(id)?;
        Some(inner.entries.get(uid)?.standing.clone())
    }

    /// The resources that this one refers to, by their own names or by those of their objects in authentik.
    pub fn targets(&self, id: &ResourceId) -> Vec<ResourceId> {
        let inner = self.lock();
        let uid = inner.ids.get(id);
        let used = uid.map(|uid| inner.indices.targets(uid));
        used.into_iter().flatten().collect()
    }

    /// Every other resource that wants this name, of those that have to be free there, or stands for one of these objects, on
    /// any server.
    pub fn claimants(
        &self,
        id: &ResourceId,
        names: Collection,
        name: &str,
        uuids: &[Uuid],
    ) -> Vec<(ResourceId, Standing)> {
        let inner = self.lock();
        let uids = inner.indices.claimants(name, uuids);
        let entries = uids.iter().filter_map(|uid| inner.entries.get(uid));
        entries
            .filter(|entry| *entry.id != *id && entry.standing.names == names)
            .map(|entry| ((*entry.id).clone(), entry.standing.clone()))
            .collect()
    }

    /// Every resource that has to do with this stage: by its UUID, or by its name.
    pub fn concerned(&self, uuid: Uuid, name: &str) -> Vec<ResourceId> {
        let inner = self.lock();
        let uids = inner.indices.claimants(name, &[uuid]);
        let entries = uids.iter().filter_map(|uid| inner.entries.get(uid));
        entries.map(|entry| (*entry.id).clone()).collect()
    }

    /// Whether any resource wants a stage of this name, or stands for this one.
    pub fn wants_stage(&self, uuid: Uuid, name: &str) -> bool {
        self.lock().indices.has_claimant(name, uuid)
    }

    /// Whether any resource stands for this stage.
    pub fn has_stage(&self, uuid: Uuid) -> bool {
        self.lock().indices.has_stage(uuid)
    }

    /// Whether a resource of this namespace manages this object of that server.
    pub fn manages(&self, namespace: &str, server: &str, uuid: Uuid) -> bool {
        let inner = self.lock();
        let uids = inner.indices.standing_for(uuid);
        let mut entries = uids.filter_map(|uid| inner.entries.get(uid));
        entries.any(|entry| {
            let identity = entry.standing.stage.as_ref();
            let manages = identity.is_some_and(|of| of.managed && of.server == server);
            manages && entry.id.namespace == namespace
        })
    }

    /// Whether any resource refers to this object of authentik, by its UUID or by that name.
    pub fn refers_to(&self, collection: Collection, uuid: Uuid, label: &str) -> bool {
        let inner = self.lock();
        let is_named = |text: String| {
            let object = Dependency::Object(collection, text);
            inner.indices.dependents(&object).next().is_some()
        };
        is_named(label.to_owned()) || is_named(uuid.to_string())
    }

    /// The resources that need this connection to delete their stages, or may: which connection a resource uses is not
    /// known before its first reconcile.
    pub fn needing(&self, key: &ConnectionKey) -> Vec<ResourceId> {
        let inner = self.lock();
        let mut ids: Vec<_> = inner
            .needing(key)
            .map(|entry| (*entry.id).clone())
            .collect();
        ids.sort_unstable();
        ids
    }

    /// Whether there are any of them.
    pub fn is_needed(&self, key: &ConnectionKey) -> bool {
        self.lock().needing(key).next().is_some()
    }

    /// The resources through which this one waits for itself, if its references lead in a circle.
    pub fn circle(&self, id: &ResourceId) -> Option<Vec<ResourceId>> {
        let inner = self.lock();
        let next = |id: &ResourceId| inner.waits_for(id);
        indices::circle(id, next)
    }

    /// How many resources of this kind on this connection want their stages to be looked at, of those that asked after
    /// `since`.
    pub fn looks(&self, kind: &str, key: &ConnectionKey, since: Instant) -> usize {
        let inner = self.lock();
        let asking = inner
            .entries
            .values()
            .filter(|entry| entry.id.kind == kind && entry.uses.as_ref() == Some(key));
        asking
            .filter_map(|entry| entry.wants_a_look())
            .filter(|asked| *asked > since)
            .count()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock()
    }
}
