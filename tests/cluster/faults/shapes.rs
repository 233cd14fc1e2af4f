//! What the spec of every kind consists of, as its CRD says: so a new kind takes part in histories by itself, or fails
//! them where they can't make values for it.

use std::{collections::BTreeMap, sync::LazyLock};

use authentik_stage_operator::{authentik::Collection, kinds};
use serde_json::Value;

use crate::harness::{label_of, text};

/// What the specs of all kinds have, beside the label: histories treat that by itself.
const COMMON: [&str; 6] = [
    "connectionRef",
    "managementPolicy",
    "adoptionPolicy",
    "deletionPolicy",
    "suspend",
    "flows",
];

/// Lists whose order means something.
const ORDERED: [&str; 2] = ["hints", "webauthnHints"];

/// A field of a spec that stands for one of authentik.
#[derive(Debug)]
pub struct Property {
    /// Its name in the spec.
    pub spec: String,
    /// Its name in authentik's API.
    pub api: String,
    pub shape: Shape,
    pub is_required: bool,
    /// Whether null is a value of it.
    pub is_nullable: bool,
}

/// What a field holds.
#[derive(Debug)]
pub enum Shape {
    /// One of some words.
    Word(Vec<Value>),
    /// Some of some words, in any order.
    Set(Vec<Value>),
    /// Some of some words, in this order.
    List(Vec<Value>),
    Boolean,
    Integer,
    /// A number that no release takes yet.
    Number,
    Text,
    /// A key of a Secret.
    Secret,
    /// One object of authentik.
    One(Collection),
    /// Some objects of authentik, in any order.
    Many(Collection),
}

/// The fields of this kind.
pub fn properties(kind: &str) -> &'static [Property] {
    static KINDS: LazyLock<BTreeMap<String, Vec<Property>>> = LazyLock::new(|| {
        let crds = kinds::crds().into_iter();
        let crds = crds.map(|crd| serde_json::to_value(crd).expect("a CRD is JSON"));
        let of_kinds = crds.filter(|crd| kinds::kind_named(kind_of(crd)).is_some());
        of_kinds
            .map(|crd| (kind_of(&crd).to_owned(), read(&crd)))
            .collect()
    });
    &KINDS[kind]
}

fn kind_of(crd: &Value) -> &str {
    text(&crd["spec"]["names"]["kind"])
}

fn read(crd: &Value) -> Vec<Property> {
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let spec = &schema["properties"]["spec"];
    let required = spec["required"].as_array().cloned().unwrap_or_default();
    let properties = spec["properties"].as_object().expect("it has fields");
    // Of a field whose value may be elsewhere, one of the two is needed. Histories always write the value.
    let has_source = |name: &str| properties.contains_key(&format!("{name}From"));
    let is_source = |name: &str| {
        let of = name.strip_suffix("From");
        of.is_some_and(|of| properties.contains_key(of))
    };
    let own = properties.iter().filter(|(name, _)| {
        let is_own = !COMMON.contains(&name.as_str()) && *name != label_of(kind_of(crd));
        is_own && !is_source(name)
    });
    let property = |(name, schema): (&String, &Value)| Property {
        spec: name.clone(),
        api: snake_case(name),
        shape: shape(name, schema).unwrap_or_else(|| {
            panic!(
                "histories can't make values of {name} of {}: {schema}",
                kind_of(crd)
            )
        }),
        is_required: has_source(name) || required.iter().any(|required| required == name),
        is_nullable: schema["nullable"] == true,
    };
    own.map(property).collect()
}

fn shape(name: &str, schema: &Value) -> Option<Shape> {
    if let Some(words) = words(schema) {
        return Some(Shape::Word(words));
    }
    Some(match schema["type"].as_str()? {
        "boolean" => Shape::Boolean,
        "integer" => Shape::Integer,
        "number" => Shape::Number,
        "string" => Shape::Text,
        "array" => match shape(name, &schema["items"])? {
            Shape::Word(words) if ORDERED.contains(&name) => Shape::List(words),
            Shape::Word(words) => Shape::Set(words),
            Shape::One(to) => Shape::Many(to),
            _ => return None,
        },
        "object" => object(schema)?,
        _ => return None,
    })
}

/// The words of a field that takes no others: an enum or, where null is a value too, a rule.
fn words(schema: &Value) -> Option<Vec<Value>> {
    if let Some(words) = schema["enum"].as_array() {
        return Some(words.clone());
    }
    let mut rules = schema["x-kubernetes-validations"].as_array()?.iter();
    rules.find_map(|rule| {
        let words = rule["rule"].as_str()?.strip_prefix("self in ")?;
        serde_json::from_str(words).ok()
    })
}

/// What a reference leads to shows by the ways to name it.
fn object(schema: &Value) -> Option<Shape> {
    let ways: Vec<_> = schema["properties"].as_object()?.keys().collect();
    let ways: Vec<_> = ways.into_iter().map(String::as_str).collect();
    Some(match ways.as_slice() {
        ["secretKeyRef"] => Shape::Secret,
        ["resource", "slug", "uuid"] => Shape::One(Collection::FLOWS),
        ["name", "resource", "uuid"] => Shape::One(Collection::ALL_STAGES),
        ["aaguid", "description"] => Shape::One(Collection::WEBAUTHN_DEVICE_TYPES),
        ["name", "uuid"] => Shape::One(Collection::WEBHOOK_MAPPINGS),
        _ => return None,
    })
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

impl Property {
    /// What a resource of this name wants of it, as its spec says. A flow without a name has its resource's.
    pub fn wanted(&self, spec: &Value, resource: &str) -> Option<Value> {
        let own = spec.get(&self.spec).cloned();
        own.or_else(|| (self.spec == "name").then(|| Value::from(resource)))
    }

    /// Whether authentik's value is what the spec says, for fields of which that shows without looking anything up.
    pub fn is_same(&self, wanted: &Value, found: &Value) -> bool {
        let (wanted, found) = (self.filled(wanted), self.filled(found));
        match self.shape {
            Shape::Set(_) | Shape::Many(_) => set(&wanted) == set(&found),
            _ => wanted == found,
        }
    }

    /// What null means where it means the same as another value.
    fn filled(&self, value: &Value) -> Value {
        match self.shape {
            Shape::Text | Shape::Secret if value.is_null() => Value::from(""),
            Shape::Set(_) | Shape::List(_) | Shape::Many(_) if value.is_null() => {
                Value::Array(Vec::new())
            }
            _ => value.clone(),
        }
    }
}

/// A list without its order, each item once.
fn set(value: &Value) -> Value {
    let mut value = value.clone();
    if let Value::Array(list) = &mut value {
        list.sort_by_key(Value::to_string);
        list.dedup();
    }
    value
}
