//! The CRDs' schemas and rules, asked before Kubernetes is.

use std::collections::BTreeMap;

use jsonschema::{ValidationError, error::ValidationErrorKind};
use kube_cel::{CompiledSchema, Validator, compile_schema};
use serde_json::{Map, Value, json};

use super::{
    problem::{Place, Problem},
    yaml::{Document, escaped},
};
use crate::kinds::crds;

/// The most characters of a value that a message repeats.
const MOST_SHOWN: usize = 200;

/// What the CRDs say of each kind.
pub struct Schemas {
    kinds: BTreeMap<String, Schema>,
    rules: Validator,
}

struct Schema {
    shape: jsonschema::Validator,
    rules: CompiledSchema,
    open: Value,
    is_namespaced: bool,
}

impl Schemas {
    /// Those of all kinds of this program.
    ///
    /// # Errors
    /// Never for the CRDs of this program.
    pub fn new() -> Result<Self, String> {
        let mut kinds = BTreeMap::new();
        for crd in crds() {
            let version = crd.spec.versions.into_iter().next();
            let schema = version.and_then(|version| version.schema?.open_api_v3_schema);
            let open = serde_json::to_value(schema).map_err(|error| error.to_string())?;
            let open = with_what_every_object_has(open);
            let shape = jsonschema::validator_for(&strict(&open));
            kinds.insert(
                crd.spec.names.kind,
                Schema {
                    shape: shape.map_err(|error| error.to_string())?,
                    rules: compile_schema(&open),
                    open,
                    is_namespaced: crd.spec.scope == "Namespaced",
                },
            );
        }
        Ok(Self {
            kinds,
            rules: Validator::new(),
        })
    }

    /// The names of all kinds.
    pub fn kinds(&self) -> Vec<&str> {
        self.kinds.keys().map(String::as_str).collect()
    }

    /// Whether objects of this kind stand in namespaces.
    pub fn is_namespaced(&self, kind: &str) -> bool {
        self.kinds.get(kind).is_none_or(|kind| kind.is_namespaced)
    }

    /// What is wrong with this object of this kind.
    pub fn problems(&self, kind: &str, file: &str, document: &Document) -> Vec<Problem> {
        let Some(schema) = self.kinds.get(kind) else {
            return Vec::new();
        };
        let problem = |pointer: &str, text: String| Problem {
            place: Place {
                file: file.to_owned(),
                line: document.line(pointer),
            },
            text: format!("{}: {text}", dotted(pointer, kind)),
        };
        let errors = schema.shape.iter_errors(&document.value);
        let mut problems: Vec<_> = errors
            .flat_map(|error| said(&error, &schema.open))
            .map(|(pointer, text)| problem(&pointer, text))
            .collect();
        // Rules expect values of the right shape.
        if problems.is_empty()
            && let Err(errors) = self
                .rules
                .validate_compiled(&schema.rules, &document.value, None)
        {
            let errors = errors.into_iter();
            let errors = errors.map(|error| (pointer_of(&error.field_path), error.message));
            // Kubernetes asks no rule about null.
            let is_asked = |pointer: &String| {
                let value = document.value.pointer(pointer);
                value.is_none_or(|value| !value.is_null())
            };
            let errors = errors.filter(|(pointer, _)| is_asked(pointer));
            problems.extend(errors.map(|(pointer, text)| problem(&pointer, cut(&text))));
        }
        problems.sort_unstable();
        problems.dedup();
        problems
    }
}

/// The schema with what no CRD names, for Kubernetes sees to it (RFC 1123 for names).
fn with_what_every_object_has(mut schema: Value) -> Value {
    let part = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
    let metadata = json!({
        "type": "object",
        "required": ["name"],
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "name": {"type": "string", "maxLength": 253, "pattern": format!("^{part}([.]{part})*$")},
            "namespace": {"type": "string", "maxLength": 63, "pattern": format!("^{part}$")},
        },
    });
    if let Some(Value::Object(fields)) = schema.get_mut("properties") {
        fields.insert("apiVersion".to_owned(), json!({}));
        fields.insert("kind".to_owned(), json!({}));
        fields.insert("metadata".to_owned(), metadata);
    }
    if let Some(schema) = schema.as_object_mut() {
        let required = schema.entry("required").or_insert_with(|| json!([]));
        if let Some(required) = required.as_array_mut() {
            required.push(json!("metadata"));
        }
    }
    schema
}

/// The schema as JSON Schema has it, with nothing allowed that it does not name.
fn strict(schema: &Value) -> Value {
    let Value::Object(schema) = schema else {
        return schema.clone();
    };
    let mut strict = Map::new();
    for (key, value) in schema {
        let value = match key.as_str() {
            "properties" => {
                let fields = value.as_object().into_iter().flatten();
                let fields =
                    fields.map(|(name, schema)| (name.clone(), strict_field(name, schema)));
                Value::Object(fields.collect())
            }
            "items" | "additionalProperties" | "not" => self::strict(value),
            "allOf" | "anyOf" | "oneOf" => value
                .as_array()
                .into_iter()
                .flatten()
                .map(self::strict)
                .collect(),
            key if key.starts_with("x-kubernetes-") || key == "nullable" => continue,
            _ => value.clone(),
        };
        strict.insert(key.clone(), value);
    }
    let is_open = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    if strict.contains_key("properties") && !strict.contains_key("additionalProperties") && !is_open
    {
        strict.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    // Kubernetes asks rules of whole numbers of this format only.
    if schema.get("format") == Some(&json!("int32")) {
        strict.entry("minimum").or_insert(json!(i32::MIN));
        strict.entry("maximum").or_insert(json!(i32::MAX));
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

/// What the operator fills in is not looked at.
fn strict_field(name: &str, schema: &Value) -> Value {
    match name {
        "status" => Value::Bool(true),
        _ => strict(schema),
    }
}

/// What a schema's error says, and of which part: a JSON pointer.
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
        _ => vec![(at, cut(&format!("{error}")))],
    }
}

fn known_fields(schema: &Value, pointer: &str) -> Vec<String> {
    let mut at = schema;
    for part in pointer.split('/').skip(1) {
        let field = at.get("properties").and_then(|fields| fields.get(part));
        let Some(next) = field.or_else(|| at.get("items")) else {
            return Vec::new();
        };
        at = next;
    }
    let fields = at.get("properties").and_then(Value::as_object);
    fields
        .into_iter()
        .flatten()
        .map(|(name, _)| name.clone())
        .collect()
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

/// `/spec/flows/0/order` as `spec.flows[0].order`; of the whole, the kind.
fn dotted(pointer: &str, kind: &str) -> String {
    let mut dotted = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if part.parse::<usize>().is_ok() {
            dotted.push_str(&format!("[{part}]"));
        } else {
            if !dotted.is_empty() {
                dotted.push('.');
            }
            dotted.push_str(&part);
        }
    }
    match dotted.is_empty() {
        true => kind.to_owned(),
        false => dotted,
    }
}

/// `spec.flows[0].order` as `/spec/flows/0/order`.
fn pointer_of(path: &str) -> String {
    let parts = path.split(['.', '[', ']']).filter(|part| !part.is_empty());
    parts.map(|part| format!("/{}", escaped(part))).collect()
}
