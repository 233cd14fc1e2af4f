//! What is known of every resource of every stage kind, whatever its kind: who claims which stage, and which
//! stage a resource stands for. Kept current by the watches and by our own status writes.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    hash::Hash,
    sync::{Arc, Mutex},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    api::{ConnectionReference, RECONCILE_ANNOTATION, StageIdentity, StageStatus, conditions},
    stages::{ResourceId, StageKind},
};

/// One resource.
#[derive(Clone, Debug)]
pub struct Known {
    /// When it was created; the older of two has the better claim.
    pub created: Option<Timestamp>,
    /// The name that it wants its stage to have.
    pub name: String,
    /// The connection that it names.
    pub connection: Option<ConnectionReference>,
    /// What it stands for.
    pub stage: Option<StageIdentity>,
    /// The reason of its `Ready` condition, empty while there is none.
    pub reason: String,
    /// The generation that was last found in sync.
    pub in_sync: Option<i64>,
    /// The annotation with which a person asks for a reconcile.
    request: Option<String>,
    /// When that annotation was last seen to change.
    asked: Option<Instant>,
    /// When the stage was last looked at, at the earliest.
    looked: Option<Instant>,
    /// The generation of the spec, and when it was first seen.
    edited: (Option<i64>, Instant),
    /// The resourceVersion that the watch has shown last.
    version: Option<u64>,
}

/// A status that the watch may not have shown yet.
#[derive(Debug)]
struct Fresh {
    /// Of the write; none where it failed, and Kubernetes does not have this status.
    resource_version: Option<u64>,
    status: StageStatus,
}

/// The resources with one name or UUID: hardly ever more than one.
type Ids = Vec<Arc<ResourceId>>;

#[derive(Debug, Default)]
struct Inner {
    resources: HashMap<Arc<ResourceId>, Known>,
    names: HashMap<String, Ids>,
    uuids: HashMap<Uuid, Ids>,
    fresh: HashMap<ResourceId, Fresh>,
}

/// All resources of all stage kinds.
#[derive(Debug, Default)]
pub struct Resources(Mutex<Inner>);

/// The name that a resource wants its stage to have: authentik strips names, so does this.
pub fn stage_name<K: StageKind>(resource: &K) -> String {
    let name = resource.common().name.as_deref().map(str::trim);
    name.map_or_else(|| resource.name_any(), str::to_owned)
}

impl Known {
    /// When a look was asked for that there has not been yet.
    fn wants_a_look(&self) -> Option<Instant> {
        self.asked.filter(|asked| self.looked < Some(*asked))
    }
}

impl Fresh {
    fn is_newer_than(&self, shown: Option<u64>) -> bool {
        self.resource_version.is_none() || shown < self.resource_version
    }
}

fn version<K: StageKind>(resource: &K) -> Option<u64> {
    resource.resource_version()?.parse().ok()
}

impl Resources {
    /// Whether the watch has shown a newer version meanwhile, and so has queued the resource again. What this one
    /// says of its status may be from before our own last write.
    pub fn is_outdated<K: StageKind>(&self, resource: &K) -> bool {
        let inner = self.lock();
        let known = inner.resources.get(&ResourceId::of(resource));
        known.is_some_and(|known| version(resource) < known.version)
    }

    /// Notes what a watch shows.
    pub fn seen<K: StageKind>(&self, resource: &K) {
        let id = ResourceId::of(resource);
        let (status, _) = self.latest_status(resource);
        let mut inner = self.lock();
        let old = inner.resources.get(&id);
        let in_sync = synced_generation(&status).or_else(|| old?.in_sync);
        let request = resource.annotations().get(RECONCILE_ANNOTATION).cloned();
        // The annotation that a resource comes with asks for nothing that its first reconcile would not do.
        let asked = match old {
            Some(old) if old.request != request => Some(Instant::now()),
            old => old.and_then(|old| old.asked),
        };
        let generation = resource.meta().generation;
        let edited = match old {
            Some(old) if old.edited.0 == generation => old.edited,
            _ => (generation, Instant::now()),
        };
        let known = Known {
            created: resource.creation_timestamp().map(|time| time.0),
            name: stage_name(resource),
            connection: resource.common().connection_ref.clone(),
            reason: status.ready_reason().to_owned(),
            stage: status.stage,
            in_sync,
            request,
            asked,
            looked: old.and_then(|old| old.looked),
            edited,
            version: version(resource),
        };
        let caught_up = |fresh: &Fresh| !fresh.is_newer_than(known.version);
        if inner.fresh.get(&id).is_some_and(caught_up) {
            inner.fresh.remove(&id);
        }
        inner.put(id, known);
    }

    /// Notes a status that was written, until the watch shows it or a newer one; or one that could not be
    /// written (no resourceVersion), until it is: what authentik was made to hold is not to be forgotten.
    pub fn wrote(&self, id: &ResourceId, resource_version: Option<&str>, status: StageStatus) {
        let mut inner = self.lock();
        if let Some(mut known) = inner.resources.get(id).cloned() {
            known.stage.clone_from(&status.stage);
            status.ready_reason().clone_into(&mut known.reason);
            known.in_sync = synced_generation(&status).or(known.in_sync);
            inner.put(id.clone(), known);
        }
        let resource_version = resource_version.and_then(|version| version.parse().ok());
        let fresh = Fresh {
            resource_version,
            status,
        };
        inner.fresh.insert(id.clone(), fresh);
    }

    /// The resource's status: what the watch shows or, where that lags behind, what was written; and whether
    /// Kubernetes has it.
    pub fn latest_status<K: StageKind>(&self, resource: &K) -> (StageStatus, bool) {
        let id = ResourceId::of(resource);
        let inner = self.lock();
        if let Some(fresh) = inner.fresh.get(&id)
            && fresh.is_newer_than(version(resource))
        {
            return (fresh.status.clone(), fresh.resource_version.is_some());
        }
        (resource.status().cloned().unwrap_or_default(), true)
    }

    /// The resource is gone. Returns those that wanted what it had.
    pub fn forget(&self, id: &ResourceId) -> Vec<ResourceId> {
        let mut inner = self.lock();
        inner.fresh.remove(id);
        let Some(known) = inner.remove(id) else {
            return Vec::new();
        };
        inner.rivals(id, &known)
    }

    /// What is known of this resource.
    pub fn get(&self, id: &ResourceId) -> Option<Known> {
        self.lock().resources.get(id).cloned()
    }

    /// How long ago a person last asked for a look at authentik itself; nothing older may answer that.
    pub fn asked_since(&self, id: &ResourceId) -> Duration {
        let asked = self.get(id).and_then(|known| known.asked);
        asked.map_or(Duration::MAX, |asked| asked.elapsed())
    }

    /// As [`Self::asked_since`], for as long as the stage has not been looked at after that.
    pub fn looks_since(&self, id: &ResourceId) -> Duration {
        let known = self.get(id);
        let asked = known.and_then(|known| known.wants_a_look());
        asked.map_or(Duration::MAX, |asked| asked.elapsed())
    }

    /// The stage was looked at no earlier than this.
    pub fn looked(&self, id: &ResourceId, at: Instant) {
        if let Some(known) = self.lock().resources.get_mut(id) {
            known.looked = Some(at);
        }
    }

    /// How many resources of this kind want their stages to be looked at, of those that asked after `age` ago.
    pub fn looks(&self, kind: &str, age: Duration) -> usize {
        let inner = self.lock();
        let of_kind = inner.resources.iter().filter(|(id, _)| id.kind == kind);
        of_kind
            .filter_map(|(_, known)| known.wants_a_look())
            .filter(|asked| asked.elapsed() < age)
            .count()
    }

    /// How long ago the spec was first seen as it is: what it names may have come to be just before.
    pub fn edited_since(&self, id: &ResourceId) -> Duration {
        let known = self.get(id);
        known.map_or(Duration::MAX, |known| known.edited.1.elapsed())
    }

    /// Every resource.
    pub fn all(&self) -> Vec<ResourceId> {
        let inner = self.lock();
        inner.resources.keys().map(|id| (**id).clone()).collect()
    }

    /// Kind and `Ready` reason of every resource, once each.
    pub fn count(&self) -> Vec<(&'static str, String)> {
        let inner = self.lock();
        let resources = inner.resources.iter();
        resources
            .map(|(id, known)| (id.kind, known.reason.clone()))
            .collect()
    }

    /// Every resource of this kind in these namespaces (none: all), to find those that have gone unseen.
    pub fn ids(&self, kind: &str, namespace: Option<&str>) -> Vec<ResourceId> {
        let inner = self.lock();
        let ids = inner.resources.keys();
        ids.filter(|id| {
            id.kind == kind && namespace.is_none_or(|namespace| id.namespace == namespace)
        })
        .map(|id| (**id).clone())
        .collect()
    }

    /// Every other resource that wants this name or stands for one of these stages, on any server.
    pub fn claimants(
        &self,
        id: &ResourceId,
        name: &str,
        uuids: &[Uuid],
    ) -> Vec<(ResourceId, Known)> {
        let inner = self.lock();
        let by_uuid = uuids.iter().filter_map(|uuid| inner.uuids.get(uuid));
        let ids: BTreeSet<_> = inner
            .names
            .get(name)
            .into_iter()
            .chain(by_uuid)
            .flatten()
            .collect();
        ids.into_iter()
            .filter(|other| ***other != *id)
            .filter_map(|other| Some(((**other).clone(), inner.resources.get(other)?.clone())))
            .collect()
    }

    /// Every resource that has to do with this stage: by its UUID, or by wanting its name.
    pub fn concerned(&self, uuid: Uuid, name: &str) -> Vec<ResourceId> {
        let inner = self.lock();
        let ids = inner
            .uuids
            .get(&uuid)
            .into_iter()
            .chain(inner.names.get(name));
        ids.flatten().map(|id| (**id).clone()).collect()
    }

    /// Every resource that wants what this one wants or has.
    pub fn rivals(&self, id: &ResourceId) -> Vec<ResourceId> {
        let inner = self.lock();
        inner
            .resources
            .get(id)
            .map(|known| inner.rivals(id, known))
            .unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().expect("no panic while held")
    }
}

/// The generation of which this status says that it is in sync. A suspended resource's status has seen later ones.
fn synced_generation(status: &StageStatus) -> Option<i64> {
    let ready = status.condition(conditions::READY);
    ready
        .filter(|ready| ready.reason == "InSync")?
        .observed_generation
}

impl Inner {
    fn put(&mut self, id: ResourceId, known: Known) {
        self.remove(&id);
        let id = Arc::new(id);
        for name in names(&known) {
            add_to(&mut self.names, name.to_owned(), &id);
        }
        if let Some(stage) = &known.stage {
            add_to(&mut self.uuids, stage.uuid, &id);
        }
        self.resources.insert(id, known);
    }

    fn remove(&mut self, id: &ResourceId) -> Option<Known> {
        let known = self.resources.remove(id)?;
        for name in names(&known) {
            remove_from(&mut self.names, name, id);
        }
        if let Some(stage) = &known.stage {
            remove_from(&mut self.uuids, &stage.uuid, id);
        }
        Some(known)
    }

    fn rivals(&self, id: &ResourceId, known: &Known) -> Vec<ResourceId> {
        let by_uuid = known
            .stage
            .as_ref()
            .and_then(|stage| self.uuids.get(&stage.uuid));
        let by_name = names(known).filter_map(|name| self.names.get(name));
        let ids: BTreeSet<_> = by_uuid.into_iter().chain(by_name).flatten().collect();
        ids.into_iter()
            .filter(|other| ***other != *id)
            .map(|other| (**other).clone())
            .collect()
    }
}

/// The name that it wants and, while a rename is under way, the name that it still holds.
fn names(known: &Known) -> impl Iterator<Item = &str> {
    let held = known.stage.as_ref().map(|stage| stage.name.as_str());
    std::iter::once(known.name.as_str()).chain(held.filter(|held| *held != known.name))
}

fn add_to<T: Eq + Hash>(index: &mut HashMap<T, Ids>, key: T, id: &Arc<ResourceId>) {
    match index.entry(key) {
        Entry::Occupied(mut ids) => ids.get_mut().push(id.clone()),
        Entry::Vacant(none) => {
            none.insert(vec![id.clone()]);
        }
    }
}

fn remove_from<Q, T>(index: &mut HashMap<T, Ids>, key: &Q, id: &ResourceId)
where
    T: std::borrow::Borrow<Q> + Eq + Hash,
    Q: Eq + Hash + ?Sized,
{
    if let Some(ids) = index.get_mut(key) {
        ids.retain(|other| **other != *id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}
