//! By what names specs can refer to objects.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    authentik::{Collection, stripped},
    plan::Referred,
};

/// The labels of what specs refer to, as far as no two objects of a collection have the same.
#[derive(Debug, Default)]
pub struct Labels(HashMap<Collection, HashMap<Uuid, String>>);

impl Labels {
    /// Takes over all objects of a collection.
    pub fn add(&mut self, collection: Collection, rows: &[Referred]) {
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for row in rows {
            *count.entry(row.label.raw()).or_default() += 1;
        }
        // A reference means the label without the blanks around it.
        let tells = |label: &str| count[label] == 1 && stripped(label) == label;
        let rows = rows.iter().filter(|row| tells(row.label.raw()));
        let labels = rows.map(|row| (row.key, row.label.raw().to_owned()));
        self.0.insert(collection, labels.collect());
    }

    /// The reference of a spec to this object, if its label tells it from all others.
    pub(super) fn reference(&self, collection: Collection, uuid: Uuid) -> Option<Value> {
        let label = self.0.get(&collection)?.get(&uuid)?;
        Some(json!({ collection.label(): label }))
    }
}
