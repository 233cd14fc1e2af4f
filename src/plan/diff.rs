//! How a live object differs from what is wanted, and the bodies that mend it.

use serde_json::Value;
use uuid::Uuid;

use super::{
    compare,
    desired::{Desired, SecretVersion},
    live::Live,
};
use crate::{
    api::{DriftedField, SentSecret},
    authentik::Shown,
    kinds::{Field, Fields, Kind},
};

/// One field that differs.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The field.
    pub field: &'static Field,
    /// What the spec asks for.
    pub wanted: Value,
    /// What authentik holds.
    pub found: Value,
    /// Whether what is wanted comes from a Secret, and is not to be shown.
    pub is_secret: bool,
}

/// How a live object differs from what is wanted.
#[derive(Clone, Debug, Default)]
pub struct Diff {
    /// Readable fields that differ, the label among them. Of those that are secret to authentik, what is wanted and found are
    /// seals.
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
    pub fn drift<K: Kind>(&self, show: &dyn Fn(&str) -> Shown) -> Vec<DriftedField> {
        let open = self.changes.iter().filter(|change| !change.is_secret);
        let open = open.map(|change| DriftedField {
            field: change.field.spec.to_owned(),
            wanted: change.wanted.to_string(),
            found: show(&change.found.to_string()).into_string(),
            weaker: K::weakens(change.field.api, &change.wanted, &change.found),
        });
        let secrets = self.secret_fields().into_iter().map(|field| DriftedField {
            field: field.spec.to_owned(),
            wanted: "<secret>".to_owned(),
            found: "<secret>".to_owned(),
            weaker: false,
        });
        open.chain(secrets).collect()
    }

    /// The secret fields that have to be sent.
    #[must_use]
    pub fn secret_fields(&self) -> Vec<&'static Field> {
        let changes = self.changes.iter().filter(|change| change.is_secret);
        let readable = changes.map(|change| change.field);
        readable.chain(self.secrets.iter().copied()).collect()
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
pub fn diff<K: Kind>(desired: &Desired, live: &Live, sent: &[SentSecret]) -> Diff {
    let mut diff = Diff {
        unsupported: desired.unsupported.clone(),
        ..Diff::default()
    };
    if live.name != *desired.name.as_str() {
        diff.changes.push(Difference {
            field: K::LABEL,
            wanted: Value::from(desired.name.as_str()),
            found: Value::from(live.name.raw()),
            is_secret: false,
        });
    }
    for field in K::FIELDS.iter().map(|row| &row.field) {
        let found = live.fields.get(field.api).filter(|_| field.is_readable());
        let is_new_secret = || {
            let secret = desired.secrets.get(field.api);
            secret.is_some_and(|secret| !was_sent(field, secret.as_ref(), sent))
        };
        match (desired.fields.get(field.api), found) {
            (Some(wanted), Some(found)) if compare::equal(field.compare, wanted, found) => {}
            // The Secret has changed, or authentik has.
            (Some(_), Some(_)) if is_new_secret() => diff.secrets.push(field),
            (Some(wanted), Some(found)) => diff.changes.push(Difference {
                field,
                wanted: wanted.clone(),
                found: found.clone(),
                is_secret: is_secret(field, desired),
            }),
            // Newer releases don't show every secret any more.
            (_, None) if field.is_secret => {
                diff.secrets.extend(is_new_secret().then_some(field));
            }
            (Some(_), None) => diff.unsupported.push(field),
            (None, _) => {}
        }
    }
    diff
}

/// Whether the value is not to be shown: it is secret, or comes from a Secret.
fn is_secret(field: &Field, desired: &Desired) -> bool {
    field.is_secret || desired.secrets.contains_key(field.api)
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

/// The body that creates the object, without its secret fields.
#[must_use]
pub fn create_body<K: Kind>(desired: &Desired) -> Fields {
    let is_open = |field: &str| K::field(field).is_none_or(|field| !is_secret(field, desired));
    let fields = desired.fields.iter().filter(|(field, _)| is_open(field));
    let mut body: Fields = fields
        .map(|(field, value)| (*field, value.clone()))
        .collect();
    body.insert(K::LABEL.api, Value::from(desired.name.as_str()));
    body
}

/// The body that mends the difference: the changed fields and what authentik demands beside them, without
/// the secret fields.
#[must_use]
pub fn update_body<K: Kind>(diff: &Diff, desired: &Desired) -> Fields {
    let open = diff.changes.iter().filter(|change| !change.is_secret);
    let mut body: Fields = open
        .map(|change| (change.field.api, change.wanted.clone()))
        .collect();
    K::complete(&mut body, &desired.fields);
    body
}

/// The fields for which `IfMatch` does not take this object over: readable ones that the spec sets otherwise.
#[must_use]
pub fn mismatches<K: Kind>(desired: &Desired, live: &Live) -> Vec<&'static Field> {
    let diff = diff::<K>(desired, live, &[]);
    let secrets = diff.secrets.into_iter().filter(|field| live.shows(field));
    let changes = diff.changes.iter().map(|change| change.field);
    changes.chain(secrets).collect()
}

/// The Secrets whose values authentik shows that it holds, and that are not on record as sent.
#[must_use]
pub fn held_secrets<K: Kind>(
    desired: &Desired,
    live: &Live,
    sent: &[SentSecret],
) -> Vec<SentSecret> {
    let fields = K::FIELDS.iter().map(|row| &row.field);
    let held = fields.filter(|field| {
        let values = (desired.fields.get(field.api), live.fields.get(field.api));
        matches!(values, (Some(wanted), Some(found)) if compare::equal(field.compare, wanted, found))
    });
    held.filter_map(|field| Some((field, desired.secrets.get(field.api)?)))
        .filter(|(field, secret)| !was_sent(field, secret.as_ref(), sent))
        .map(|(field, secret)| sent_secret(field, secret.as_ref()))
        .collect()
}

/// Whether a stage that was created so is this one: nobody has changed it, but what it referred to may have been
/// deleted since, and authentik then takes the reference out.
#[must_use]
pub fn has_become<K: Kind>(desired: &Desired, live: &Live) -> bool {
    let diff = diff::<K>(desired, live, &[]);
    let mut changes = diff.changes.iter();
    let mut secrets = diff.secrets.iter();
    changes.all(|change| lacks_references(&change.wanted, &change.found))
        && !secrets.any(|field| live.shows(field))
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

/// A value that authentik took and did not keep.
#[derive(Clone, Debug, PartialEq)]
pub struct Ignored {
    /// The field's name in authentik's API.
    pub field: &'static str,
    /// What was sent.
    pub wanted: Value,
    /// What authentik held before and holds still.
    pub found: Value,
}

impl Diff {
    /// Leaves out what is known to be ignored: it is not sent again while the spec wants and authentik holds the
    /// same, be it in another order. Those fields count as unsupported.
    pub fn pass_over(&mut self, ignored: &[Ignored]) {
        let is_ignored = |change: &Difference| {
            ignored.iter().any(|ignored| {
                ignored.field == change.field.api
                    && ignored.wanted == change.wanted
                    && compare::equal(change.field.compare, &ignored.found, &change.found)
            })
        };
        let (passed, kept): (Vec<_>, Vec<_>) = self.changes.drain(..).partition(is_ignored);
        self.changes = kept;
        self.unsupported
            .extend(passed.iter().map(|change| change.field));
    }

    /// What of this difference a write has put right, where the server ignores that.
    #[must_use]
    pub fn kept(&self, ignored: &[Ignored]) -> Diff {
        let is_kept = |change: &&Difference| {
            let mut ignored = ignored.iter();
            ignored.all(|ignored| ignored.field != change.field.api)
        };
        Diff {
            changes: self.changes.iter().filter(is_kept).cloned().collect(),
            secrets: self.secrets.clone(),
            unsupported: self.unsupported.clone(),
        }
    }

    /// What the server is known to ignore after it has answered a write of this difference: what it ignored before
    /// of other fields, and what it did not keep of these.
    #[must_use]
    pub fn ignored_by<K: Kind>(&self, before: &[Ignored], live: &Live) -> Vec<Ignored> {
        let was_sent = |field: &str| self.changes.iter().any(|change| change.field.api == field);
        let before = before.iter().filter(|ignored| !was_sent(ignored.field));
        let now = self.changes.iter().filter_map(|change| {
            let found = value_of::<K>(live, change.field)?;
            (!compare::equal(change.field.compare, &change.wanted, &found)).then(|| Ignored {
                field: change.field.api,
                wanted: change.wanted.clone(),
                found,
            })
        });
        before.cloned().chain(now).collect()
    }
}

/// What a live object holds of this field, the label included.
fn value_of<K: Kind>(live: &Live, field: &Field) -> Option<Value> {
    if field == K::LABEL {
        return Some(Value::from(live.name.raw()));
    }
    live.fields.get(field.api).cloned()
}
