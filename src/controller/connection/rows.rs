//! What the lists hold: of each object what others ask about it, and no more.

use serde::Deserialize;
use uuid::Uuid;

use super::list::Listed;
use crate::{
    authentik::{Collection, Keyed, Remote, Weigh},
    controller::memory::Memory,
    plan::{Live, bindings::Binding},
};

/// An object that specs refer to, or that holds a label.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Referred {
    /// Where it is.
    pub collection: Collection,
    /// Its primary key.
    pub key: Uuid,
    /// What people call it: its name, slug or description.
    pub label: Remote,
    /// What authentik calls its kind, where several kinds are in one list.
    pub verbose_name: Remote,
}

/// A row of any list that specs refer to.
#[derive(Deserialize)]
pub struct AnyRow {
    #[serde(alias = "aaguid")]
    pk: Uuid,
    name: Option<Remote>,
    slug: Option<Remote>,
    description: Option<Remote>,
    #[serde(default)]
    verbose_name: Remote,
}

impl AnyRow {
    /// The row of this collection; nothing where it has no label.
    pub fn of(self, collection: Collection) -> Option<Referred> {
        let label = match collection.label() {
            "slug" => self.slug,
            "description" => self.description,
            _ => self.name,
        };
        Some(Referred {
            collection,
            key: self.pk,
            label: label?,
            verbose_name: self.verbose_name,
        })
    }
}

impl Keyed for AnyRow {
    fn key(&self) -> Uuid {
        self.pk
    }
}

impl Weigh for AnyRow {
    fn weight(&self) -> usize {
        let texts = [&self.name, &self.slug, &self.description];
        let texts = texts.into_iter().flatten().map(|text| text.raw().len());
        size_of::<Referred>() + texts.max().unwrap_or(0) + self.verbose_name.raw().len()
    }
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
