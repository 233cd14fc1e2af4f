//! From what is wanted and what is there to what has to be written. Pure: no effects, no clock.

pub mod bindings;
mod compare;
pub mod duration;
mod live;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

pub use live::{BoundTo, Live, Row};

pub(crate) use duration::understood as understood_duration;

use crate::{
    api::{DriftedField, SentSecret},
    stages::{Field, NAME, StageKind},
};

/// Values by their name in authentik's API.
pub type Fields = BTreeMap<&'static str, Value>;

/// Which state of which key of a Secret a value comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SecretVersion {
    /// The Secret's name.
    pub name: String,
    /// The key in its data.
    pub key: String,
    /// The Secret's uid.
    pub uid: String,
    /// The Secret's resourceVersion.
    pub resource_version: String,
}

/// What a resource wants, with every reference looked up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// The stage's name.
    pub name: String,
    /// The readable fields that are managed.
    pub fields: Fields,
    /// The write-only fields that are managed, and the Secrets they come from; none: to be emptied.
    pub secrets: BTreeMap<&'static str, Option<SecretVersion>>,
    /// Fields that are managed but that this version of authentik is known not to have.
    pub unsupported: Vec<&'static Field>,
}

/// One field that differs.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The field.
    pub field: &'static Field,
    /// What the spec asks for.
    pub wanted: Value,
    /// What authentik holds.
    pub found: Value,
}

/// How a live stage differs from what is wanted.
#[derive(Clone, Debug, Default)]
pub struct Diff {
    /// Readable fields that differ, the name among them.
    pub changes: Vec<Difference>,
    /// Write-only fields that have to be sent.
    pub secrets: Vec<&'static Field>,
    /// Managed fields that the server does not know.
    pub unsupported: Vec<&'static Field>,
}

impl Diff {
    /// Whether nothing has to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.secrets.is_empty()
    }

    /// The fields of the spec that have to be sent, sorted.
    #[must_use]
    pub fn spec_fields(&self) -> Vec<String> {
        let changes = self.changes.iter().map(|change| change.field);
        sorted(changes.chain(self.secrets.iter().copied()))
    }

    /// The difference as `status.drift` shows it, secrets redacted.
    #[must_use]
    pub fn drift(&self) -> Vec<DriftedField> {
        let changes = self.changes.iter().map(|change| DriftedField {
            field: change.field.spec.to_owned(),
            wanted: change.wanted.to_string(),
            found: change.found.to_string(),
        });
        let secrets = self.secrets.iter().map(|field| DriftedField {
            field: field.spec.to_owned(),
            wanted: "<secret>".to_owned(),
            found: "<secret>".to_owned(),
        });
        changes.chain(secrets).collect()
    }
}

/// The names of these fields in the spec, sorted, each once.
pub fn sorted(fields: impl Iterator<Item = &'static Field>) -> Vec<String> {
    let mut names: Vec<_> = fields.map(|field| field.spec.to_owned()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Compares what is wanted with what is there. `sent` says which Secrets were last sent to this stage.
#[must_use]
pub fn diff<K: StageKind>(desired: &Desired, live: &Live, sent: &[SentSecret]) -> Diff {
    let mut diff = Diff {
        unsupported: desired.unsupported.clone(),
        ..Diff::default()
    };
    if live.name != *desired.name {
        diff.changes.push(Difference {
            field: &NAME,
            wanted: Value::from(desired.name.as_str()),
            found: Value::from(live.name.raw()),
        });
    }
    for field in K::FIELDS {
        if let Some(wanted) = desired.fields.get(field.api) {
            match live.fields.get(field.api) {
                None => diff.unsupported.push(field),
                Some(found) if !compare::equal(field.compare, wanted, found) => {
                    diff.changes.push(Difference {
                        field,
                        wanted: wanted.clone(),
                        found: found.clone(),
                    })
                }
                Some(_) => {}
            }
        }
        if let Some(secret) = desired.secrets.get(field.api)
            && !was_sent(field, secret.as_ref(), sent)
        {
            diff.secrets.push(field);
        }
    }
    diff
}

fn was_sent(field: &Field, secret: Option<&SecretVersion>, sent: &[SentSecret]) -> bool {
    sent.iter()
        .filter(|sent| sent.field == field.spec)
        .any(|sent| *sent == sent_secret(field, secret))
}

/// What `status.secrets` records once this Secret was sent.
#[must_use]
pub fn sent_secret(field: &Field, secret: Option<&SecretVersion>) -> SentSecret {
    SentSecret {
        field: field.spec.to_owned(),
        name: secret.map(|secret| secret.name.clone()),
        key: secret.map(|secret| secret.key.clone()),
        uid: secret.map(|secret| secret.uid.clone()),
        resource_version: secret.map(|secret| secret.resource_version.clone()),
    }
}

/// The body that creates the stage, without its secret fields.
#[must_use]
pub fn create_body(desired: &Desired) -> Fields {
    let mut body = desired.fields.clone();
    body.insert(NAME.api, Value::from(desired.name.as_str()));
    body
}

/// The body that mends the difference: the changed fields and what authentik demands beside them, without
/// the secret fields.
#[must_use]
pub fn update_body<K: StageKind>(diff: &Diff, desired: &Desired) -> Fields {
    let changes = diff.changes.iter();
    let mut body: Fields = changes
        .map(|change| (change.field.api, change.wanted.clone()))
        .collect();
    K::complete(&mut body, &desired.fields);
    body
}

/// Whether `IfMatch` takes this stage over: every readable field that the spec sets is equal.
#[must_use]
pub fn matches<K: StageKind>(desired: &Desired, live: &Live) -> bool {
    diff::<K>(desired, live, &[]).changes.is_empty()
}

/// Whether a stage that was created so is this one: nobody has changed it, but what it referred to may have been
/// deleted since, and authentik then takes the reference out.
#[must_use]
pub fn has_become<K: StageKind>(desired: &Desired, live: &Live) -> bool {
    let changes = diff::<K>(desired, live, &[]).changes;
    changes
        .iter()
        .all(|change| lacks_references(&change.wanted, &change.found))
}

fn lacks_references(wanted: &Value, found: &Value) -> bool {
    let is_reference = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| Uuid::try_parse(text).is_ok())
    };
    match (wanted, found) {
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.iter().all(is_reference) && found.iter().all(|found| wanted.contains(found))
        }
        (wanted, Value::Null) => is_reference(wanted),
        _ => false,
    }
}
