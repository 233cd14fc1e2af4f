//! What the lists hold: how each kind of row is found, and whether anybody has to do with it.

use uuid::Uuid;

use super::list::Listed;
use crate::{
    authentik::{Client, Collection, Error, Listing},
    controller::memory::Memory,
    kinds::Bound,
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

/// Asks authentik for the bindings of a stage, or of a flow.
///
/// # Errors
/// As [`Client::list`].
pub async fn bindings_of(
    client: &Client,
    bound: Bound,
    uuid: Uuid,
) -> Result<Listing<Binding>, Error> {
    let text = uuid.to_string();
    let filter = [(bound.own_end(), text.as_str())];
    let keep = |binding: Binding| {
        let is_own = match bound {
            Bound::Stage => binding.stage == text,
            Bound::Flow => binding.target == uuid,
        };
        is_own.then_some(binding)
    };
    client.list(Collection::BINDINGS, &filter, keep).await
}
