//! One connection, as its task and everybody else see it.

use std::{collections::HashSet, sync::Arc};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};

use super::{
    declared::{Allowed, Declared},
    server::Server,
    turns::{Calls, Turns},
};
use crate::{controller::keys::ConnectionKey, kinds::ResourceId, plan::failure::Failure};

/// How many reconciles of one connection run beside those that its own limit lets ask authentik: they write to Kubernetes
/// meanwhile. After a start most find everything in step, and then the next one's way here takes longer than they do.
const BESIDE: usize = 28;

/// What a connection's task has found out.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Who may use it.
    pub allowed: Option<Allowed>,
    /// The server; it stays when the token's Secret is gone, for deletions.
    pub server: Option<Arc<Server>>,
    /// Why it can't be used.
    pub failure: Option<Failure>,
}

/// One connection, as others see it.
pub struct Handle {
    /// Its name.
    pub key: ConnectionKey,
    /// What its object says; nothing once it is gone.
    pub(super) declared: watch::Sender<Option<Arc<Declared>>>,
    pub(super) known: RwLock<Known>,
    /// Wakes the task.
    pub(super) poke: Notify,
    /// Resources that wait for what the task is about to find out.
    waiting: Mutex<HashSet<ResourceId>>,
    /// Bounds the reconciles of this connection alone.
    pub(super) turns: Arc<Turns>,
}

impl Handle {
    pub(super) fn new(key: ConnectionKey, declared: Declared, calls: Arc<Calls>) -> Self {
        Self {
            turns: Turns::new(turns_for(&declared), calls),
            key,
            declared: watch::Sender::new(Some(Arc::new(declared))),
            known: RwLock::default(),
            poke: Notify::new(),
            waiting: Mutex::default(),
        }
    }

    /// Notes what its object says now.
    pub(super) fn declare(&self, declared: Declared) {
        self.turns.set_limit(turns_for(&declared));
        self.declared.send_if_modified(|known| {
            let differs = known.as_ref().is_none_or(|known| known.differs(&declared));
            *known = Some(Arc::new(declared));
            differs
        });
    }

    /// Wakes this resource as soon as the task has found out something more.
    pub fn wait(&self, id: &ResourceId) {
        self.waiting.lock().insert(id.clone());
        self.poke.notify_one();
    }

    /// The resources that wait, each once.
    pub(super) fn take_waiting(&self) -> Vec<ResourceId> {
        self.waiting.lock().drain().collect()
    }
}

fn turns_for(declared: &Declared) -> usize {
    let settings = declared.settings.as_ref();
    let requests = settings.map_or(1, |settings| settings.max_concurrent_requests());
    usize::from(requests) + BESIDE
}
