//! One resource of a report.

use std::{collections::HashMap, fmt};

use serde::Serialize;

use crate::{api::DriftedField, controller::FieldChange, manifests::Set, offline::Ended};

/// What would become of the object of a resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Nothing.
    None,
    /// It would be taken over as it is.
    Adopt,
    /// It would be created.
    Create,
    /// It would be changed.
    Update,
    /// It differs, and is only observed.
    Observe,
    /// It is left alone: the resource is suspended.
    Suspended,
    /// Nothing, for the resource can't be reconciled.
    Refuse,
}

/// One resource.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The file of its manifest.
    pub file: String,
    /// The line of its manifest.
    pub line: u64,
    /// What would become of its object.
    pub action: Action,
    /// The fields that would change, or that differ.
    pub changes: Vec<FieldChange>,
    /// The secret fields of which nothing can be said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// Why it can't be reconciled, or not as a whole: the reason of its `Ready` condition.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The message of that.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl Row {
    /// Whether authentik would be written, or differs from what is declared.
    pub fn differs(&self) -> bool {
        let differs = [Action::Create, Action::Update, Action::Observe].contains(&self.action);
        differs || !self.changes.is_empty()
    }
}

/// How many resources there are of each action.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Would be created.
    pub create: usize,
    /// Would be changed.
    pub update: usize,
    /// Would be taken over as they are.
    pub adopt: usize,
    /// Differ, and are only observed.
    pub observe: usize,
    /// Would stay as they are.
    pub unchanged: usize,
    /// Can't be reconciled.
    pub refused: usize,
}

impl Summary {
    /// Of these resources.
    pub fn of(rows: &[Row]) -> Self {
        let mut summary = Self::default();
        for row in rows {
            *match row.action {
                Action::Create => &mut summary.create,
                Action::Update => &mut summary.update,
                Action::Adopt => &mut summary.adopt,
                Action::Observe => &mut summary.observe,
                Action::None | Action::Suspended => &mut summary.unchanged,
                Action::Refuse => &mut summary.refused,
            } += 1;
        }
        summary
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.create, "to create"),
            (self.update, "to change"),
            (self.adopt, "to take over as they are"),
            (self.observe, "that differ and are only observed"),
            (self.unchanged, "unchanged"),
            (self.refused, "refused"),
        ];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let parts: Vec<_> = parts
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        f.write_str(&parts.join(", "))
    }
}

/// The resources of these manifests, as they have ended.
pub fn rows(set: &Set, ended: Vec<Ended>) -> Vec<Row> {
    let places = set.ours.iter().map(|manifest| {
        let id = (
            manifest.kind.as_str(),
            manifest.namespace.as_str(),
            manifest.name.as_str(),
        );
        (id, &manifest.place)
    });
    let places: HashMap<_, _> = places.collect();
    let row = |ended: Ended| {
        let id = &ended.id;
        let place = places.get(&(id.kind, id.namespace.as_str(), id.name.as_str()));
        let (file, line) =
            place.map_or_else(Default::default, |place| (place.file.clone(), place.line));
        row(ended, file, line)
    };
    ended.into_iter().map(row).collect()
}

fn row(ended: Ended, file: String, line: u64) -> Row {
    let is_good = ["InSync", "Drifted"].contains(&ended.reason.as_str());
    let planned = ended.planned;
    let action = match () {
        () if ended.is_suspended => Action::Suspended,
        () if !is_good => Action::Refuse,
        () if !ended.drift.is_empty() => Action::Observe,
        () if planned.creates => Action::Create,
        () if !planned.changes.is_empty() => Action::Update,
        () if planned.adopts.is_some() => Action::Adopt,
        () => Action::None,
    };
    let drift = ended
        .drift
        .into_iter()
        .map(|drift: DriftedField| FieldChange {
            field: drift.field,
            found: Some(drift.found),
            wanted: drift.wanted,
        });
    let says = action == Action::Refuse;
    Row {
        kind: ended.id.kind,
        namespace: ended.id.namespace,
        name: ended.id.name,
        file,
        line,
        action,
        changes: planned.changes.into_iter().chain(drift).collect(),
        unknown: planned.unknown.into_iter().collect(),
        reason: if says { ended.reason } else { String::new() },
        message: if says { ended.message } else { String::new() },
    }
}
