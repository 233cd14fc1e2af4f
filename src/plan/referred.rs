//! What specs refer to: of each such object what others ask about it, and no more.

use serde::Deserialize;
use uuid::Uuid;

use crate::authentik::{Collection, Keyed, Remote, Weigh};

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
