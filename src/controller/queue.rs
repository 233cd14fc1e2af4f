//! What is due, on its way to the watch that reconciles its kind.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;

use crate::kinds::ResourceId;

/// Namespace and name of an object.
pub type Key = (String, String);

/// A kind, and the namespace whose objects a queue takes; none: those of all.
type Scope = (&'static str, Option<String>);

/// The queues of all watches.
#[derive(Default)]
pub struct Queue {
    senders: RwLock<HashMap<Scope, mpsc::UnboundedSender<Key>>>,
    /// What is due and not yet looked at.
    waiting: Mutex<HashSet<(&'static str, Key)>>,
    /// How many are on their way there.
    sent: AtomicUsize,
}

impl Queue {
    /// Opens the queue of this kind and namespace.
    pub fn open(
        &self,
        kind: &'static str,
        namespace: Option<String>,
    ) -> mpsc::UnboundedReceiver<Key> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.senders.write().insert((kind, namespace), sender);
        receiver
    }

    /// Asks for this resource to be looked at again.
    pub fn add(&self, id: &ResourceId) {
        let senders = self.senders.read();
        let sender = senders
            .get(&(id.kind, Some(id.namespace.clone())))
            .or_else(|| senders.get(&(id.kind, None)));
        if let Some(sender) = sender {
            self.sent.fetch_add(1, Ordering::AcqRel);
            // A closed queue means that the operator is ending.
            let _ = sender.send((id.namespace.clone(), id.name.clone()));
        }
    }

    /// Notes that what [`Self::add`] has sent waits to be looked at.
    pub fn arrives(&self, object: (&'static str, Key)) {
        self.waits(object);
        self.sent.fetch_sub(1, Ordering::AcqRel);
    }

    /// Notes that an object waits to be looked at.
    pub fn waits(&self, object: (&'static str, Key)) {
        self.waiting.lock().insert(object);
    }

    /// Notes that it is looked at, or gone.
    pub fn left(&self, object: &(&'static str, Key)) {
        self.waiting.lock().remove(object);
    }

    /// Whether nothing waits to be looked at.
    pub fn is_empty(&self) -> bool {
        self.sent.load(Ordering::Acquire) == 0 && self.waiting.lock().is_empty()
    }

    /// The kinds of what waits, once each object.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.waiting.lock().iter().map(|(kind, _)| *kind).collect()
    }
}
