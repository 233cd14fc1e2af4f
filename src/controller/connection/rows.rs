//! What the lists hold: of each object what others ask about it, and no more.

use serde::Deserialize;
use uuid::Uuid;

use super::list::Listed;
use crate::{
    authentik::{Collection, Remote, Weigh},
    controller::memory::Memory,
    plan::{Live, bindings::Binding},
};

/// A row of the list of all stages.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct AnyStage {
    /// Its UUID.
    pub pk: Uuid,
    /// Its name.
    pub name: Remote,
    /// What authentik calls its kind.
    #[serde(default)]
    pub verbose_name: Remote,
}

/// A flow.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Flow {
    /// Its UUID.
    pub pk: Uuid,
    /// Its slug.
    pub slug: Remote,
}

/// A WebAuthn device type.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct DeviceType {
    /// Its AAGUID.
    pub aaguid: Uuid,
    /// What authentik calls it.
    pub description: Remote,
}

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

impl Listed for AnyStage {
    fn uuid(&self) -> Uuid {
        self.pk
    }
    fn label(&self) -> &str {
        self.name.raw()
    }
    fn concerns_somebody(&self, memory: &Memory) -> bool {
        memory.refers_to(Collection::ALL_STAGES, self.pk, self.name.raw())
    }
}

impl Listed for Flow {
    fn uuid(&self) -> Uuid {
        self.pk
    }
    fn label(&self) -> &str {
        self.slug.raw()
    }
    fn concerns_somebody(&self, memory: &Memory) -> bool {
        memory.refers_to(Collection::FLOWS, self.pk, self.slug.raw())
    }
}

impl Listed for DeviceType {
    fn uuid(&self) -> Uuid {
        self.aaguid
    }
    fn label(&self) -> &str {
        self.description.raw()
    }
    fn concerns_somebody(&self, memory: &Memory) -> bool {
        let description = self.description.raw();
        memory.refers_to(Collection::WEBAUTHN_DEVICE_TYPES, self.aaguid, description)
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

impl Weigh for AnyStage {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.name.raw().len() + self.verbose_name.raw().len()
    }
}

impl Weigh for Flow {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.slug.raw().len()
    }
}

impl Weigh for DeviceType {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.description.raw().len()
    }
}
