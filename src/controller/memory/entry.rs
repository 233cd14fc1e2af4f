//! What is kept of one resource.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;
use tokio::{sync::oneshot, time::Instant};
use uuid::Uuid;

use super::backoff::Backoff;
use crate::{
    api::{
        ConnectionReference, DeletionPolicy, Identity, ManagementPolicy, RECONCILE_ANNOTATION,
        Status, conditions,
    },
    authentik::Collection,
    controller::keys::ConnectionKey,
    kinds::{Kind, ResourceId},
    plan::{Desired, Ignored, Note, SecretVersion, bindings::Binding},
};

/// What others ask about a resource.
#[derive(Clone, Debug)]
pub struct Standing {
    /// When it was created; the older of two has the better claim.
    pub created: Option<Timestamp>,
    /// Where its name has to be free.
    pub names: Collection,
    /// The name that it wants its object to have: its label.
    pub name: String,
    /// The connection that it names.
    pub connection: Option<ConnectionReference>,
    /// What it stands for.
    pub stage: Option<Identity>,
    /// The stage that it managed already when this operator first saw it.
    pub restored: Option<Uuid>,
    /// The reason of its `Ready` condition, empty while there is none.
    pub reason: String,
    /// Whether it writes to authentik: it neither observes nor is suspended.
    pub is_active: bool,
    /// Whether its deletion deletes the stage.
    pub deletes: bool,
}

/// A creation whose answer was lost.
#[derive(Debug)]
pub struct Creation {
    /// The URL of the server that was asked.
    pub server: String,
    /// What the stage was to be.
    pub desired: Desired,
}

/// What a reconcile knows of its resource when it begins.
#[derive(Debug)]
pub struct View {
    /// The status: what the watch shows or, where that lags behind, what was written.
    pub status: Status,
    /// Whether Kubernetes has that status.
    pub is_written: bool,
    /// Whether only authentik can have changed since the resource was last in sync.
    pub was_in_sync: bool,
    /// Whether it has never been in sync, as far as is known.
    pub is_new: bool,
    /// The stage that it managed already when this operator first saw it.
    pub restored: Option<Uuid>,
    /// What the server is known to ignore.
    pub ignored: Vec<Ignored>,
    /// Whether the outcome of the last write is not known.
    pub is_uncertain: bool,
    /// The creation of which no answer came, if that was the last write.
    pub lost: Option<Arc<Creation>>,
    /// When a person asked for a look that there has not been yet.
    pub asked: Option<Instant>,
    /// When the spec was first seen as it is: what it names may have come to be just before.
    pub edited: Instant,
    /// Since when it has waited for what its connection was asked for.
    pub waits_since: Option<Instant>,
    /// What held up its deletion last: where that is, and its primary key.
    pub blockers: Vec<(Collection, Uuid)>,
    /// When its stage was last seen to be as it should, at the earliest.
    pub seen_at: Option<Instant>,
    /// When a list was last read before one has shown its stage changed.
    pub changed_after: Option<Instant>,
    seals: Vec<(SecretVersion, Value)>,
}

impl View {
    /// The seal of what this version of a Secret holds, where that was read before.
    pub fn seal_of(&self, version: &SecretVersion) -> Option<Value> {
        let mut known = self.seals.iter();
        let known = known.find(|(known, _)| known == version);
        known.map(|(_, seal)| seal.clone())
    }
}

/// A status that the watch may not have shown yet.
#[derive(Debug)]
struct Written {
    /// Of the write; none where it failed, and Kubernetes does not have this status.
    resource_version: Option<u64>,
    status: Status,
}

/// What a resource fails for.
#[derive(Debug)]
struct Failing {
    note: Note,
    since: Instant,
    is_warned: bool,
}

/// What is kept of one resource.
#[derive(Debug)]
pub struct Entry {
    /// The resource.
    pub id: Arc<ResourceId>,
    /// What others ask about it.
    pub standing: Standing,
    /// The connection that it used last.
    pub uses: Option<ConnectionKey>,
    /// When it is tried again.
    pub backoff: Backoff,
    /// What the server is known to ignore.
    pub ignored: Vec<Ignored>,
    /// Whether the outcome of the last write is not known.
    pub is_uncertain: bool,
    /// The creation of which no answer came.
    pub lost: Option<Arc<Creation>>,
    /// Since when it has waited for what its connection was asked for.
    pub waits_since: Option<Instant>,
    /// When the stage was last looked at, at the earliest.
    pub looked: Option<Instant>,
    /// What held up its deletion last: where that is, and its primary key.
    pub blockers: Vec<(Collection, Uuid)>,
    /// When its stage was last seen to be as it should, at the earliest.
    pub seen_at: Option<Instant>,
    /// When a list was last read before one has shown its stage changed.
    pub changed_after: Option<Instant>,
    /// Where its stage stood in flows when it was last seen to be as it should.
    pub bound: Vec<Arc<Binding>>,
    /// Whether authentik was last seen to ask for a weaker second factor than its spec.
    pub is_weak: bool,
    /// Of the Secrets that it names, the seals of values that authentik shows.
    seals: Vec<(SecretVersion, Value)>,
    /// Told once, when its deletion is seen.
    pub on_deletion: Option<oneshot::Sender<()>>,
    /// The stage that the reconcile under way has come to manage, until its status says so.
    found: Option<Identity>,
    written: Option<Box<Written>>,
    failing: Option<Box<Failing>>,
    in_sync: Option<i64>,
    request: Option<String>,
    /// When the annotation that asks for a look was last seen to change.
    asked: Option<Instant>,
    generation: Option<i64>,
    edited: Instant,
    /// The version that the watch has shown.
    version: Option<u64>,
    /// The newest version that is known: shown by the watch, or made by our own writes.
    newest: Option<u64>,
}

fn version<K: Kind>(resource: &K) -> Option<u64> {
    resource.resource_version()?.parse().ok()
}

fn request<K: Kind>(resource: &K) -> Option<String> {
    resource.annotations().get(RECONCILE_ANNOTATION).cloned()
}

/// The generation of which this status says that it is in sync. A suspended resource's status has seen later ones.
fn synced_generation(status: &Status) -> Option<i64> {
    let ready = status.condition(conditions::READY);
    ready
        .filter(|ready| ready.reason == "InSync")?
        .observed_generation
}

/// The stage that this status says is managed.
fn managed(status: &Status) -> Option<Uuid> {
    let stage = status.stage.as_ref().filter(|stage| stage.managed);
    stage.map(|stage| stage.uuid)
}

fn standing<K: Kind>(resource: &K, status: &Status, restored: Option<Uuid>) -> Standing {
    let common = resource.common();
    let observes = common.management_policy == Some(ManagementPolicy::Observe);
    let policy = common.deletion_policy.unwrap_or_default();
    Standing {
        created: resource.creation_timestamp().map(|time| time.0),
        names: K::NAMES,
        name: resource.label(),
        connection: common.connection_ref.clone(),
        stage: status.stage.clone(),
        restored,
        reason: status.ready_reason().to_owned(),
        is_active: !observes && common.suspend != Some(true),
        deletes: policy != DeletionPolicy::Orphan,
    }
}

impl Written {
    fn is_newer_than(&self, shown: Option<u64>) -> bool {
        self.resource_version.is_none() || shown < self.resource_version
    }
}

impl Entry {
    /// The entry of a resource that is seen for the first time. The annotation that it comes with asks for nothing that
    /// its first reconcile would not do.
    pub fn new<K: Kind>(id: Arc<ResourceId>, resource: &K) -> Self {
        let status = resource.status().cloned().unwrap_or_default();
        Self {
            id,
            standing: standing(resource, &status, managed(&status)),
            uses: None,
            backoff: Backoff::default(),
            ignored: Vec::new(),
            is_uncertain: false,
            lost: None,
            waits_since: None,
            looked: None,
            seen_at: None,
            changed_after: None,
            bound: Vec::new(),
            is_weak: status.drift.iter().any(|drift| drift.weaker),
            blockers: Vec::new(),
            seals: Vec::new(),
            on_deletion: None,
            found: None,
            written: None,
            failing: None,
            in_sync: synced_generation(&status),
            request: request(resource),
            asked: None,
            generation: resource.meta().generation,
            edited: Instant::now(),
            version: version(resource),
            newest: version(resource),
        }
    }

    /// Notes what the watch shows of the resource.
    pub fn shows<K: Kind>(&mut self, resource: &K) {
        let now = Instant::now();
        self.version = version(resource);
        self.newest = self.newest.max(self.version);
        self.written
            .take_if(|written| !written.is_newer_than(version(resource)));
        let (status, _) = self.status(resource);
        let mut standing = standing(resource, &status, self.standing.restored);
        if self.found.is_some() {
            standing.stage.clone_from(&self.found);
        }
        self.standing = standing;
        self.in_sync = synced_generation(&status).or(self.in_sync);
        let request = request(resource);
        if self.request != request {
            self.request = request;
            self.asked = Some(now);
        }
        if self.generation != resource.meta().generation {
            self.generation = resource.meta().generation;
            self.edited = now;
        }
        if resource.meta().deletion_timestamp.is_some()
            && let Some(running) = self.on_deletion.take()
        {
            // Where the reconcile has just ended there is nobody to tell.
            let _ = running.send(());
        }
    }

    /// The resource's status, and whether Kubernetes has it.
    fn status<K: Kind>(&self, resource: &K) -> (Status, bool) {
        match &self.written {
            Some(written) if written.is_newer_than(version(resource)) => {
                (written.status.clone(), written.resource_version.is_some())
            }
            _ => (resource.status().cloned().unwrap_or_default(), true),
        }
    }

    /// Whether the watch has shown a newer version than this.
    pub fn is_newer_than<K: Kind>(&self, resource: &K) -> bool {
        version(resource) < self.version
    }

    /// Keeps the seal of what a version of a Secret holds, in place of that of an older version.
    pub fn keeps_seal(&mut self, version: SecretVersion, seal: Value) {
        let is_other = |(known, _): &(SecretVersion, Value)| {
            (&known.name, &known.key) != (&version.name, &version.key)
        };
        self.seals.retain(is_other);
        self.seals.push((version, seal));
    }

    /// A write of ours has made this version.
    pub fn wrote(&mut self, version: Option<u64>) {
        self.newest = self.newest.max(version);
    }

    /// The newest version that is known.
    pub fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// What a reconcile knows when it begins.
    pub fn view<K: Kind>(&self, resource: &K) -> View {
        let (status, is_written) = self.status(resource);
        View {
            status,
            is_written,
            was_in_sync: self.in_sync.is_some() && self.in_sync == resource.meta().generation,
            is_new: self.in_sync.is_none(),
            restored: self.standing.restored,
            ignored: self.ignored.clone(),
            is_uncertain: self.is_uncertain,
            lost: self.lost.clone(),
            asked: self.wants_a_look(),
            edited: self.edited,
            waits_since: self.waits_since,
            blockers: self.blockers.clone(),
            seen_at: self.seen_at,
            changed_after: self.changed_after,
            seals: self.seals.clone(),
        }
    }

    /// When a look was asked for that there has not been yet.
    pub fn wants_a_look(&self) -> Option<Instant> {
        self.asked.filter(|asked| self.looked < Some(*asked))
    }

    /// Notes the stage that the reconcile under way has come to manage.
    pub fn found(&mut self, stage: &Identity) {
        self.found = Some(stage.clone());
        self.standing.stage = Some(stage.clone());
    }

    /// Notes a status that was written, or that could not be.
    pub fn wrote_status(&mut self, resource_version: Option<&str>, status: Status) {
        self.found = None;
        self.standing.stage.clone_from(&status.stage);
        status.ready_reason().clone_into(&mut self.standing.reason);
        self.in_sync = synced_generation(&status).or(self.in_sync);
        let resource_version = resource_version.and_then(|version| version.parse().ok());
        self.wrote(resource_version);
        self.written = Some(Box::new(Written {
            resource_version,
            status,
        }));
    }

    /// Whether its deletion would need its connection.
    pub fn needs_connection(&self) -> bool {
        let standing = &self.standing;
        let stage = standing.stage.as_ref();
        let may_have_stage = stage.is_some_and(|stage| stage.managed) || self.lost.is_some();
        standing.deletes && standing.is_active && may_have_stage
    }

    /// How long it has failed in just this way, and whether it was warned of that.
    pub fn failing(&mut self, note: &Note, is_old: bool) -> (Duration, bool) {
        match &self.failing {
            Some(failing) if failing.note == *note => (failing.since.elapsed(), failing.is_warned),
            known => {
                let is_warned = known.is_none() && is_old;
                self.failing = Some(Box::new(Failing {
                    note: note.clone(),
                    since: Instant::now(),
                    is_warned,
                }));
                (Duration::ZERO, is_warned)
            }
        }
    }

    /// It was warned of what it fails for.
    pub fn warned(&mut self) {
        if let Some(failing) = &mut self.failing {
            failing.is_warned = true;
        }
    }

    /// It does not fail any more.
    pub fn recovered(&mut self) {
        self.failing = None;
    }
}
