//! Where the values of secret fields are to come from.

use serde_json::Value;

use super::{
    manifest::{Line, Said},
    schema::Schema,
};
use crate::{
    api::{SecretKey, SecretSource},
    kinds::Field,
    plan::Live,
};

/// The lines of a secret field: a key of the Secret that is called as the resource is, and what that is to hold. Nothing where
/// authentik holds none, as far as that can be told.
pub(super) fn lines(
    schema: &Schema,
    field: &'static Field,
    live: &Live,
    resource: &str,
) -> Vec<Line> {
    if !schema.requires(field.spec) && !is_held(field, live) {
        return Vec::new();
    }
    let key = kebab(field.spec);
    let is_shown = live.shows(field);
    let how = match is_shown {
        true => "the same as in authentik, or the object is not taken over",
        false => "which authentik does not show",
    };
    let comment = format!("Create the Secret {resource}: its key {key} holds this value, {how}.");
    let secret_key_ref = SecretKey {
        name: resource.to_owned(),
        key,
    };
    let source = Said::Secret(SecretSource { secret_key_ref });
    vec![Line::Comment(comment), Line::Field(field.spec, source)]
}

/// Whether authentik holds a value, as far as it tells.
fn is_held(field: &Field, live: &Live) -> bool {
    let found = live.fields.get(field.told_by.unwrap_or(field.api));
    let found = found.and_then(Value::as_str);
    found.is_some_and(|found| !found.is_empty())
}

/// `clientSecret` as keys are written: `client-secret`.
fn kebab(name: &str) -> String {
    let mut key = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            key.push('-');
        }
        key.push(letter.to_ascii_lowercase());
    }
    key
}
