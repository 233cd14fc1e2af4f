//! What all reconciles share.

use std::sync::Arc;

use super::{
    connection::{Apart, Registry},
    keys::Dependency,
    rehearsal::Manner,
    shared::Shared,
};
use crate::kinds::ResourceId;

/// What all reconciles share.
pub struct Context {
    /// Everything beneath connections and resources.
    pub shared: Arc<Shared>,
    /// The connections.
    pub registry: Registry,
    /// Which URLs lead to one server.
    pub apart: Apart,
    /// How the controller works.
    pub manner: Manner,
}

impl Context {
    /// No connection and no resource yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>, manner: Manner) -> Self {
        Self {
            registry: Registry::new(shared.clone()),
            apart: Apart::default(),
            manner,
            shared,
        }
    }

    /// A resource is gone: nothing is kept of it. Whoever wanted what it had is due, and whatever it used, for that may be
    /// about to be deleted too and wait for it.
    pub fn forget(&self, id: &ResourceId) {
        let standing = self.shared.memory.standing(id);
        let targets = self.shared.memory.targets(id);
        let concerned = self.shared.memory.forget(id);
        drop(self.registry.called(id));
        self.shared.due(&concerned.rivals);
        self.shared.due(&targets);
        self.shared.changed(&Dependency::Resource(id.clone()));
        if let Some(standing) = standing.filter(|_| concerned.need_changed) {
            let reference = standing.connection.as_ref();
            self.registry.poke(&id.namespace, reference);
        }
    }
}
