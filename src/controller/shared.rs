//! What all parts of the controller share.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use kube::Client;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    events::Events,
    keys::{ConnectionKey, Dependency},
    kubernetes::Kubernetes,
    memory::Memory,
    namespaces::Namespaces,
    queue::Queue,
    secrets::{ConfigMaps, Secrets, Watched},
};
use crate::{
    api::CONNECTION_FINALIZER,
    authentik::{Budget, agent},
    kinds::ResourceId,
    ops::{leader::Leadership, metrics::Metrics},
};

/// What all parts share.
pub struct Shared {
    /// Kubernetes.
    pub kubernetes: Arc<Kubernetes>,
    /// Publishes events.
    pub events: Events,
    /// The Secrets' versions.
    pub secrets: Secrets,
    /// The ConfigMaps' versions.
    pub config_maps: ConfigMaps,
    /// The namespaces' labels.
    pub namespaces: Namespaces,
    /// What is known of each resource.
    pub memory: Memory,
    /// What is due.
    pub queue: Queue,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Whether this replica works; a standby only watches.
    pub leadership: Leadership,
    /// The bytes of answers of all servers that may be in memory at one time.
    pub budget: Budget,
    /// The URL prefixes that connections may lead to; none: all.
    pub allowed_servers: Vec<String>,
    /// What this process calls itself to authentik.
    pub agent: String,
    /// Whether events, logs and statuses may name people.
    pub names_people: bool,
    /// The namespaces that are watched; none: all.
    namespaces_watched: Vec<String>,
    /// What Kubernetes refuses to show: kind, and namespace (empty: all).
    refused: Mutex<BTreeSet<(&'static str, String)>>,
    unsynced: AtomicUsize,
    synced: watch::Sender<bool>,
    at_work: watch::Sender<AtWork>,
}

/// What goes on.
#[derive(Clone, Copy, Debug, Default)]
struct AtWork {
    /// Whether all that was known at the start has been asked for.
    has_begun: bool,
    /// How many reconciles run.
    running: usize,
}

/// A reconcile that runs, until this is dropped.
pub struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.at_work.send_modify(|work| work.running -= 1);
    }
}

impl Shared {
    /// For `watches` watches, of which all have to have shown what there is before anything is reconciled.
    #[must_use]
    pub fn new(
        client: Client,
        watched: Watched,
        watches: usize,
        leadership: Leadership,
        allowed_servers: Vec<String>,
        names_people: bool,
        mut namespaces_watched: Vec<String>,
    ) -> Self {
        namespaces_watched.sort_unstable();
        let kubernetes = Arc::new(Kubernetes::new(client.clone(), leadership.clone()));
        Self {
            events: Events::new(kubernetes.clone()),
            kubernetes,
            secrets: Secrets::new(client.clone(), watched.clone()),
            config_maps: ConfigMaps::new(client, watched),
            namespaces: Namespaces::default(),
            memory: Memory::default(),
            queue: Queue::default(),
            metrics: Arc::default(),
            leadership,
            budget: Budget::default(),
            allowed_servers,
            agent: agent(&format!("{:08x}", fastrand::u32(..))),
            names_people,
            namespaces_watched,
            refused: Mutex::default(),
            unsynced: AtomicUsize::new(watches),
            synced: watch::Sender::new(watches == 0),
            at_work: watch::Sender::default(),
        }
    }

    /// The finalizer of a connection. A cluster connection may serve several operators, each with namespaces of its own:
    /// each has its own finalizer there, or they would take each other's away.
    pub fn connection_finalizer(&self, key: &ConnectionKey) -> String {
        if key.namespace.is_empty() && !self.namespaces_watched.is_empty() {
            let mut hasher = DefaultHasher::new();
            self.namespaces_watched.hash(&mut hasher);
            return format!("{CONNECTION_FINALIZER}-{:016x}", hasher.finish());
        }
        CONNECTION_FINALIZER.to_owned()
    }

    /// Something has changed: whoever depends on it is due.
    pub fn changed(&self, dependency: &Dependency) {
        self.wake(&self.memory.changed(dependency));
    }

    /// These resources are due.
    pub fn due(&self, ids: &[ResourceId]) {
        self.memory.due(ids);
        self.wake(ids);
    }

    /// Asks for these resources to be looked at again; who backs off goes on doing so.
    pub fn wake(&self, ids: &[ResourceId]) {
        for id in ids {
            self.queue.add(id);
        }
    }

    /// A connection leads to another server, or there with another token: whoever uses it is due.
    pub fn reconnected(&self, key: &ConnectionKey) {
        self.wake(&self.memory.reconnected(key));
    }

    /// Where Secrets are not watched, whoever uses this connection and names one looks whether it has changed.
    pub fn look_at_secrets(&self, key: &ConnectionKey) {
        if !self.secrets.are_watched() {
            self.wake(&self.memory.with_secrets(key));
        }
    }

    /// Kubernetes refuses a watch, or shows it again.
    pub fn watch_refused(&self, kind: &'static str, namespace: Option<&str>, refused: bool) {
        let scope = (kind, namespace.unwrap_or_default().to_owned());
        let mut all = self.refused.lock();
        if refused {
            all.insert(scope);
        } else {
            all.remove(&scope);
        }
    }

    /// Kind and namespace (empty: all) of each watch that Kubernetes refuses.
    pub fn refused_watches(&self) -> Vec<(&'static str, String)> {
        self.refused.lock().iter().cloned().collect()
    }

    /// One watch has shown all there is, or Kubernetes refuses it.
    pub fn watch_synced(&self) {
        if self.unsynced.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.synced.send_replace(true);
        }
    }

    /// A reconcile begins.
    pub fn begins(&self) -> Running<'_> {
        self.at_work.send_modify(|work| work.running += 1);
        Running(self)
    }

    /// All that was known at the start is due from now on.
    pub fn has_begun(&self) {
        self.at_work.send_modify(|work| work.has_begun = true);
    }

    /// Waits until every resource has been looked at and none is about to be looked at again, but for those that try again
    /// later.
    pub async fn settled(&self) {
        let mut work = self.at_work.subscribe();
        loop {
            // An error would mean that the sender is gone, and it is part of self.
            let _ = work
                .wait_for(|work| work.has_begun && work.running == 0)
                .await;
            if self.queue.is_empty() && !self.memory.somebody_waits() {
                return;
            }
            let _ = work.changed().await;
        }
    }

    /// Whether every watch has shown all there is, or is refused.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits until every watch has shown all there is, or is refused.
    pub async fn synced(&self) {
        // An error would mean that the sender is gone, and it is part of self.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }
}
