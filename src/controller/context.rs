//! What all reconciles share.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use kube::Client;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::{
    connections::Connections,
    dependents::{ConnectionKey, Dependency, Dependents},
    events::Events,
    known::Resources,
    retry::Retries,
    secrets::{Secrets, Watched},
};
use crate::{
    ops::{leader::Leadership, metrics::Metrics},
    plan::{self, Desired, Live},
    stages::{ResourceId, StageKind},
};

/// Anything that is reconciled.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Id {
    /// A stage resource.
    Stage(ResourceId),
    /// A connection.
    Connection(ConnectionKey),
}

/// A kind, and the namespace whose objects its queue takes; none: those of all.
type Queue = (&'static str, Option<String>);

/// Namespace and name of an object; a cluster connection has no namespace.
pub type Key = (String, String);

/// A value that authentik took and did not keep: field, wanted, found.
pub type Ignored = Vec<(&'static str, Value, Value)>;

/// A creation whose answer was lost.
#[derive(Debug)]
pub struct Creation {
    /// The URL of the server that was asked.
    pub server: String,
    /// What the stage was to be.
    pub desired: Desired,
}

impl Creation {
    /// Whether this stage is what came of it: nobody else makes one of the same name and content at that moment.
    pub fn made<K: StageKind>(&self, live: &Live) -> bool {
        plan::has_become::<K>(&self.desired, live)
    }
}

/// What all reconciles share.
pub struct Context {
    /// The Kubernetes client.
    pub client: Client,
    /// Publishes events.
    pub events: Events,
    /// The connections and their servers.
    pub connections: Connections,
    /// The Secrets' versions.
    pub secrets: Secrets,
    /// The labels of the namespaces, for `allowedNamespaces`.
    pub namespaces: RwLock<HashMap<String, BTreeMap<String, String>>>,
    /// All stage resources.
    pub resources: Resources,
    /// Who depends on what.
    pub dependents: Dependents<Id>,
    /// Who waits for the next try.
    pub retries: Retries<Id>,
    /// Values that a server took and did not keep, so that they are not sent again and again.
    pub ignored: Mutex<HashMap<ResourceId, Ignored>>,
    /// Resources whose last write has an unknown outcome; where it was to create the stage, with what it said.
    pub uncertain: Mutex<HashMap<ResourceId, Option<Arc<Creation>>>>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Whether this replica works; a standby only watches.
    pub leadership: Leadership,
    /// What is due and not yet looked at.
    queued: Mutex<HashSet<(&'static str, Key)>>,
    queues: RwLock<HashMap<Queue, mpsc::UnboundedSender<Key>>>,
    unsynced: AtomicUsize,
    synced: watch::Sender<bool>,
}

impl Context {
    /// A context for `watches` watches, of which all have to be synced before anything is reconciled.
    pub fn new(
        client: Client,
        watched: Watched,
        watches: usize,
        leadership: Leadership,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            events: Events::new(client.clone()),
            connections: Connections::default(),
            secrets: Secrets::new(client.clone(), watched),
            namespaces: RwLock::default(),
            resources: Resources::default(),
            dependents: Dependents::default(),
            retries: Retries::default(),
            ignored: Mutex::default(),
            uncertain: Mutex::default(),
            metrics,
            leadership,
            queued: Mutex::default(),
            queues: RwLock::default(),
            unsynced: AtomicUsize::new(watches),
            synced: watch::Sender::new(watches == 0),
            client,
        })
    }

    /// Opens the queue through which resources of this kind (in this namespace, or in all) are asked to be
    /// looked at again: namespace and name.
    pub fn open_queue(
        &self,
        kind: &'static str,
        namespace: Option<String>,
    ) -> mpsc::UnboundedReceiver<Key> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.queues
            .write()
            .expect("no panic while held")
            .insert((kind, namespace), sender);
        receiver
    }

    /// Asks for this one to be looked at again.
    pub fn enqueue(&self, id: &Id) {
        let (kind, namespace, name) = match id {
            Id::Stage(id) => (id.kind, id.namespace.clone(), id.name.clone()),
            Id::Connection(key) => (
                super::connections::kind_name(key.kind),
                key.namespace.clone(),
                key.name.clone(),
            ),
        };
        let queues = self.queues.read().expect("no panic while held");
        let queue = queues
            .get(&(kind, Some(namespace.clone())))
            .or_else(|| queues.get(&(kind, None)));
        if let Some(queue) = queue {
            // A closed queue means that the operator is ending.
            let _ = queue.send((namespace, name));
        }
    }

    /// A stage resource is gone: nothing is kept of it, and whoever wanted what it had is due.
    pub fn forget(&self, id: &ResourceId) {
        let rivals = self.resources.forget(id);
        let key = Id::Stage(id.clone());
        self.dependents.forget(&key);
        self.retries.forget(&key);
        self.ignored.lock().expect("no panic while held").remove(id);
        self.uncertain
            .lock()
            .expect("no panic while held")
            .remove(id);
        self.due(rivals);
        self.changed(&Dependency::Resource(id.clone()));
    }

    /// Something has changed: whoever depends on it is due.
    pub fn changed(&self, dependency: &Dependency) {
        for id in self.dependents.of(dependency) {
            match dependency {
                Dependency::Secret(..) => self.retries.credentials_changed(&id),
                _ => self.retries.dependency_changed(&id),
            }
            self.enqueue(&id);
        }
    }

    /// Where Secrets are not watched, whoever uses this connection and names one looks whether it has changed.
    pub fn look_at_secrets(&self, key: &ConnectionKey) {
        if self.secrets.are_watched() {
            return;
        }
        let is_secret = |dependency: &Dependency| matches!(dependency, Dependency::Secret(..));
        for id in self.dependents.of(&Dependency::Connection(key.clone())) {
            if self.dependents.depends(&id, is_secret) {
                self.enqueue(&id);
            }
        }
    }

    /// A connection leads to another server, or there with another token: whatever failed is due.
    pub fn reconnected(&self, key: &ConnectionKey) {
        for id in self.dependents.of(&Dependency::Connection(key.clone())) {
            self.retries.credentials_changed(&id);
            self.enqueue(&id);
        }
    }

    /// These resources are due.
    pub fn due(&self, ids: Vec<ResourceId>) {
        for id in ids {
            let id = Id::Stage(id);
            self.retries.dependency_changed(&id);
            self.enqueue(&id);
        }
    }

    /// One watch has shown all there is.
    pub fn watch_synced(&self) {
        if self.unsynced.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.synced.send_replace(true);
        }
    }

    /// Whether every watch has shown all there is.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Notes that an object of this kind, namespace and name is due.
    pub fn is_due(&self, object: (&'static str, Key)) {
        self.queued
            .lock()
            .expect("no panic while held")
            .insert(object);
    }

    /// Notes that it is looked at. Returns whether it may be: a standby leaves everything alone.
    pub fn begin(&self, object: &(&'static str, Key)) -> bool {
        self.queued
            .lock()
            .expect("no panic while held")
            .remove(object);
        self.leadership.is_held()
    }

    /// The kinds of what is due and not yet looked at, once each.
    pub fn queued(&self) -> Vec<&'static str> {
        let queued = self.queued.lock().expect("no panic while held");
        queued.iter().map(|(kind, ..)| *kind).collect()
    }

    /// Waits until every watch has shown all there is.
    pub async fn synced(&self) {
        // An error would mean that the sender is gone, and it is part of self.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }
}
