//! What the controller would write, where it only rehearses: for `diff`, and for the plan of `apply`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::Mutex;
use serde::Serialize;
use uuid::Uuid;

use crate::kinds::{Fields, ResourceId};

/// How a controller works that is no operator in a cluster.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// Where what would be written is noted instead of written; nothing: authentik is written.
    pub rehearsal: Option<Arc<Rehearsal>>,
    /// Whether a secret field whose Secret is missing is left as authentik has it, for a stage that is there.
    pub passes_over_missing_secrets: bool,
}

/// A field that would change. Values are JSON on one line; those of secrets are withheld, references are names where those are
/// known.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct FieldChange {
    /// Its name in the spec.
    pub field: String,
    /// What authentik holds; nothing where the object is not there yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What the spec asks for.
    pub wanted: String,
}

/// What would become of the object of one resource.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Planned {
    /// Whether it would be created.
    pub creates: bool,
    /// The object that would be taken over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopts: Option<Uuid>,
    /// The fields that would change, in the order of the requests.
    pub changes: Vec<FieldChange>,
    /// The secret fields of which nothing can be said: their Secret can't be had.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unknown: BTreeSet<String>,
    /// The object's fields before; nothing where it is not there yet.
    #[serde(skip)]
    pub before: Option<Fields>,
    /// The object's fields after: of one that is created, those that the resource manages. Nothing where that is not known.
    #[serde(skip)]
    pub after: Option<Fields>,
}

/// What a controller would have written.
#[derive(Debug, Default)]
pub struct Rehearsal(Mutex<BTreeMap<ResourceId, Planned>>);

impl Rehearsal {
    /// Notes something about the object of this resource.
    pub fn note(&self, id: &ResourceId, note: impl FnOnce(&mut Planned)) {
        note(self.0.lock().entry(id.clone()).or_default());
    }

    /// What would become of the object of this resource.
    #[must_use]
    pub fn planned(&self, id: &ResourceId) -> Planned {
        self.0.lock().get(id).cloned().unwrap_or_default()
    }
}
