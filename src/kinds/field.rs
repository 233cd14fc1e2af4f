//! A field of a kind: one row that says how it is called, written, read back and compared.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{reference::Reference, seal::seal};
use crate::{
    api::SecretKey,
    authentik::{
        Collection, Version,
        versions::{Since, ValueSince},
    },
};

/// Values by their name in authentik's API. Those of secret fields are seals, see [`super::seal`].
pub type Fields = BTreeMap<&'static str, Value>;

/// How a field of authentik's API compares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Compare {
    /// As a JSON value; text after stripping, as authentik stores it.
    Value,
    /// As a list whose order matters.
    List,
    /// As a set: authentik keeps neither order nor duplicates, or neither means anything.
    Set,
    /// As a duration: `minutes=60` is `hours=1`.
    Duration,
    /// As text for which null and `""` are the same absence.
    OptionalText,
    /// Not at all: authentik never returns it. The Secret that it was last sent from is recorded instead.
    WriteOnly,
}

/// One field, by its name in authentik's API and in the spec.
#[derive(Debug)]
pub struct Field {
    /// The name in authentik's API.
    pub api: &'static str,
    /// The name in the spec.
    pub spec: &'static str,
    /// The name in the spec of what says where the value is, in place of the value.
    pub spec_from: Option<&'static str>,
    /// How it compares.
    pub compare: Compare,
    /// Whether its values are secret, be they read back or not.
    pub is_secret: bool,
    /// What it refers to.
    pub refers_to: Option<Collection>,
    /// Since when authentik knows it, for what every supported release does not have. An older server ignores it and answers
    /// 200 (measured on 2024.2), so this explains what the answer has shown.
    pub since: Option<Since>,
    /// Values that not every supported release knows. An older server answers 400.
    pub values_since: &'static [ValueSince],
    /// For what authentik never shows and need not hold: the field, by its name in authentik's API, that people leave empty
    /// where they leave this one empty.
    pub told_by: Option<&'static str>,
    /// How absent text is written.
    pub absent: fn(&Version) -> Value,
}

/// A field is the same as another of this name: names are unique in a kind.
impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.api == other.api
    }
}

impl Field {
    pub(crate) const fn new(api: &'static str, spec: &'static str, compare: Compare) -> Self {
        Self {
            api,
            spec,
            spec_from: None,
            compare,
            is_secret: false,
            refers_to: None,
            since: None,
            values_since: &[],
            told_by: None,
            absent: |_| Value::Null,
        }
    }

    /// Whether its value is read back.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.compare != Compare::WriteOnly
    }

    /// What is kept of this text: of a secret its seal.
    #[must_use]
    pub fn kept(&self, text: &str) -> Value {
        match self.is_secret {
            true => seal(text),
            false => Value::from(text),
        }
    }

    /// Since when authentik knows this value, or this item of a list.
    #[must_use]
    pub fn value_since(&self, value: &str) -> Option<Since> {
        let mut values = self.values_since.iter();
        values
            .find(|since| since.value == value)
            .map(|value| value.since)
    }
}

/// The name of whatever has no field of its own for it.
pub static NAME: Field = Field::new("name", "name", Compare::Value);

/// What the spec wants of one field, before references are looked up.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// This value, as it is sent.
    Value(Value),
    /// Text that may be absent. How absence is written depends on authentik's version.
    OptionalText(Option<String>),
    /// The UUIDs of these objects.
    Objects(Vec<Reference>),
    /// The UUID of this object, or none.
    Object(Option<Reference>),
    /// The value in this key of a Secret, or none.
    Secret(Option<SecretKey>),
}

impl Wanted {
    /// All that it refers to.
    pub fn references(&self) -> &[Reference] {
        match self {
            Self::Objects(references) => references,
            Self::Object(Some(reference)) => std::slice::from_ref(reference),
            _ => &[],
        }
    }
}
