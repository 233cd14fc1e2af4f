//! What a schema of a CRD takes: its shape, and its rules.

use std::fmt;

use jsonschema::{ValidationError, error::ValidationErrorKind};
use kube_cel::{CompiledSchema, Validator, compile_schema};
use serde_json::{Map, Value, json};

use super::yaml::escaped;

/// The most characters of a value that a message repeats.
const MOST_SHOWN: usize = 200;

/// A schema, ready to be asked.
pub struct Check {
    shape: jsonschema::Validator,
    rules: CompiledSchema,
    evaluator: Validator,
    open: Value,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check")
    }
}

impl Check {
    /// Of this schema, as it stands in a CRD.
    ///
    /// # Errors
    /// Where it is no schema.
    pub fn new(open: Value) -> Result<Self, String> {
        let shape = jsonschema::validator_for(&strict(&open));
        Ok(Self {
            shape: shape.map_err(|error| error.to_string())?,
            rules: compile_schema(&open),
            evaluator: Validator::new(),
            open,
        })
    }

    /// What is wrong with this value: of which part, as a JSON pointer, and what to do about it.
    pub fn refusals(&self, value: &Value) -> Vec<(String, String)> {
        let errors = self.shape.iter_errors(value);
        let wrong: Vec<_> = errors.flat_map(|error| said(&error, &self.open)).collect();
        // Rules expect values of the right shape.
        if !wrong.is_empty() {
            return wrong;
        }
        let Err(broken) = self.evaluator.validate_compiled(&self.rules, value, None) else {
            return wrong;
        };
        let broken = broken.into_iter();
        let broken = broken.map(|error| (pointer_of(&error.field_path), cut(&error.message)));
        // Kubernetes asks no rule about null.
        let is_asked =
            |pointer: &String| value.pointer(pointer).is_none_or(|value| !value.is_null());
        broken.filter(|(pointer, _)| is_asked(pointer)).collect()
    }
}

/// The schema as JSON Schema has it, with nothing allowed that it does not name.
fn strict(schema: &Value) -> Value {
    let Value::Object(schema) = schema else {
        return schema.clone();
    };
    let mut strict = Map::new();
    for (key, value) in schema {
        if !key.starts_with("x-kubernetes-") && key != "nullable" {
            strict.insert(key.clone(), strict_part(key, value));
        }
    }
    let is_open = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    if strict.contains_key("properties") && !strict.contains_key("additionalProperties") && !is_open
    {
        strict.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    if schema.get("nullable") == Some(&Value::Bool(true)) {
        if let Some(type_) = strict.remove("type") {
            strict.insert("type".to_owned(), json!([type_, "null"]));
        }
        if let Some(Value::Array(words)) = strict.get_mut("enum") {
            words.push(Value::Null);
        }
    }
    Value::Object(strict)
}

fn strict_part(key: &str, value: &Value) -> Value {
    match key {
        "properties" => {
            let fields = value.as_object().into_iter().flatten();
            let fields = fields.map(|(name, schema)| (name.clone(), strict_field(name, schema)));
            Value::Object(fields.collect())
        }
        "items" | "additionalProperties" | "not" => strict(value),
        "allOf" | "anyOf" | "oneOf" => value.as_array().into_iter().flatten().map(strict).collect(),
        _ => value.clone(),
    }
}

/// What the operator fills in is not looked at.
fn strict_field(name: &str, schema: &Value) -> Value {
    match name {
        "status" => Value::Bool(true),
        _ => strict(schema),
    }
}

/// What a schema's error says, and of which part.
fn said(error: &ValidationError<'_>, schema: &Value) -> Vec<(String, String)> {
    let at = error.instance_path().to_string();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known = known_fields(schema, &at);
            let said = unexpected.iter().map(|name| {
                let pointer = format!("{at}/{}", escaped(name));
                (pointer, no_such_field(name, &known))
            });
            said.collect()
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let pointer = format!("{at}/{}", escaped(name));
            vec![(pointer, "is missing; add it".to_owned())]
        }
        // Where an object is wanted somebody may have written the secret itself.
        ValidationErrorKind::Type { .. } if wants_object(schema, &at) => {
            vec![(
                at,
                "is no object; write one with the fields that it has".to_owned(),
            )]
        }
        _ => vec![(at, cut(&error.to_string()))],
    }
}

/// The schema of the part at this pointer.
fn part<'a>(schema: &'a Value, pointer: &str) -> Option<&'a Value> {
    let mut parts = pointer.split('/').skip(1);
    parts.try_fold(schema, |at, part| {
        let field = at.get("properties").and_then(|fields| fields.get(part));
        field.or_else(|| at.get("items"))
    })
}

fn wants_object(schema: &Value, pointer: &str) -> bool {
    part(schema, pointer).is_none_or(|part| part.get("type") == Some(&json!("object")))
}

fn known_fields(schema: &Value, pointer: &str) -> Vec<String> {
    let part = part(schema, pointer);
    let fields = part.and_then(|part| part.get("properties")?.as_object());
    let fields = fields.into_iter().flatten();
    fields.map(|(name, _)| name.clone()).collect()
}

fn no_such_field(name: &str, known: &[String]) -> String {
    let near = |known: &&String| strsim::jaro_winkler(&known.to_lowercase(), &name.to_lowercase());
    let nearest = known
        .iter()
        .max_by(|one, other| near(one).total_cmp(&near(other)))
        .filter(|known| near(known) > 0.8);
    match nearest {
        Some(nearest) => format!("there is no such field; write {nearest}, or remove it"),
        None => format!(
            "there is no such field; remove it, or write one of {}",
            known.join(", ")
        ),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `spec.flows[0].order` as `/spec/flows/0/order`.
fn pointer_of(path: &str) -> String {
    let parts = path.split(['.', '[', ']']).filter(|part| !part.is_empty());
    parts.map(|part| format!("/{}", escaped(part))).collect()
}
