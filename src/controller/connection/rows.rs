//! What the lists hold: how each kind of row is found, and whether anybody has to do with it.

use uuid::Uuid;

use super::list::Listed;
use crate::{
    controller::memory::Memory,
    plan::{Live, Referred, bindings::Binding},
};

impl Listed for Live {
    fn uuid(&self) -> Uuid {
        self.uuid
    }
    fn label(&self) -> &str {
        self.name.raw()
    }
    fn concerns_somebody(&self, memory: &Memory) -> bool {
        memory.wants_stage(self.uuid, self.name.raw())
    }
}

impl Listed for Referred {
    fn uuid(&self) -> Uuid {
        self.key
    }
    fn label(&self) -> &str {
        self.label.raw()
    }
    fn concerns_somebody(&self, memory: &Memory) -> bool {
        memory.refers_to(self.collection, self.key, self.label.raw())
    }
}

impl Listed for Binding {
    fn uuid(&self) -> Uuid {
        self.pk
    }
    /// The stage.
    fn label(&self) -> &str {
        &self.stage
    }
    fn concerns_somebody(&self, memory: &Memory) -> bool {
        let stage = self.stage.parse();
        stage.is_ok_and(|stage| memory.has_stage(stage))
    }
}
