//! What the derived CRD schemas need beside the types themselves.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, ValidationRule,
};
use kube::core::{Message, Rule};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Tells an absent field from an explicit null: absent is the outer `None` (not managed), null is
/// `Some(None)` (managed, to nothing).
///
/// # Errors
/// Those of the inner value.
pub fn double_option<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

/// Reads an explicit null as an empty list, so that both are "managed, to empty".
///
/// # Errors
/// Those of the list.
pub fn null_is_empty<'de, T, D>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Some(
        Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default(),
    ))
}

/// Mends what the derived schema can't say. `nullable` stays only on the named fields of the spec, whose null
/// means something: elsewhere the API server refuses an explicit null instead of it being read as absent, and
/// null is no value of an enum. The derived description of a kind tells how its type was made; that of its spec tells what
/// it is for. Number formats that Kubernetes does not know (`uint32`) go, for it warns of them; of one that only later versions
/// check (`int32`) the bounds are told.
#[must_use]
pub fn polished(
    mut crd: CustomResourceDefinition,
    nullable: impl Fn(&str) -> bool,
) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        if let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
        {
            polish(schema);
            polish_spec(schema, &nullable);
        }
    }
    crd
}

fn polish(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|value| !value.0.is_null());
    }
    schema.format.take_if(|format| format.starts_with("uint"));
    if schema.format.as_deref() == Some("int32") {
        schema.minimum.get_or_insert(f64::from(i32::MIN));
        schema.maximum.get_or_insert(f64::from(i32::MAX));
    }
    for property in schema.properties.iter_mut().flat_map(BTreeMap::values_mut) {
        polish(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &mut schema.items {
        polish(item);
    }
}

fn polish_spec(root: &mut JSONSchemaProps, nullable: impl Fn(&str) -> bool) {
    let properties = root.properties.as_mut();
    let Some(spec) = properties.and_then(|properties| properties.get_mut("spec")) else {
        return;
    };
    for (name, property) in spec.properties.iter_mut().flatten() {
        property.nullable = nullable(name).then_some(true);
        if property.nullable.is_some() {
            words_by_rule(name, property);
        }
    }
    root.description = spec.description.clone();
}

/// What the rule of [`words_by_rule`] begins with; a list as in JSON follows.
const ONE_OF: &str = "self in ";

/// Kubernetes takes null for no enum, be it nullable and list null or not. Rules are not asked of null.
fn words_by_rule(field: &str, property: &mut JSONSchemaProps) {
    let Some(values) = property.enum_.take() else {
        return;
    };
    let words: Vec<_> = values.iter().filter_map(|value| value.0.as_str()).collect();
    // What a rule costs is reckoned from it.
    let longest = words.iter().map(|word| word.len());
    property.max_length = longest
        .max()
        .and_then(|longest| i64::try_from(longest).ok());
    property.x_kubernetes_validations = Some(vec![ValidationRule {
        rule: format!("{ONE_OF}{}", Value::from(words.clone())),
        message: Some(format!(
            "{field} is none of its words; write {}, or null",
            words.join(" or ")
        )),
        ..ValidationRule::default()
    }]);
}

/// The words that this schema takes, if it takes only some.
#[must_use]
pub fn words(schema: &JSONSchemaProps) -> Option<Vec<Value>> {
    if let Some(values) = &schema.enum_ {
        return Some(values.iter().map(|value| value.0.clone()).collect());
    }
    let mut rules = schema.x_kubernetes_validations.iter().flatten();
    rules.find_map(|rule| serde_json::from_str(rule.rule.strip_prefix(ONE_OF)?).ok())
}

/// A rule that refuses text which is blank once authentik has stripped it.
#[must_use]
pub fn not_blank(field: &str) -> Rule {
    Rule::new("self.trim() != ''").message(Message::Message(format!(
        "{field} is blank; write at least one character that is not a space"
    )))
}

/// A rule that asks for one of two fields of a spec, and not both.
#[must_use]
pub fn one_of(field: &str, other: &str) -> Rule {
    Rule::new(format!("has(self.{field}) != has(self.{other})")).message(Message::Message(format!(
        "{field} or {other} is needed, and not both; set one of the two"
    )))
}

/// A rule that refuses text with control characters, some of which authentik strips and none of which can be shown.
#[must_use]
pub fn no_control_characters(field: &str) -> Rule {
    Rule::new("!self.matches('\\\\p{Cc}')").message(Message::Message(format!(
        "{field} holds a control character, such as a tab or the end of a line; write it on one line, without"
    )))
}

/// A rule that refuses a list with duplicates.
#[must_use]
pub fn no_duplicates(field: &str) -> Rule {
    Rule::new("self.all(x, self.exists_one(y, y == x))").message(Message::Message(format!(
        "{field} holds an entry twice; list each once"
    )))
}
