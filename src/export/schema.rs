//! What the CRD of a kind accepts, asked without a cluster.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray,
};
use parking_lot::Mutex;
use regex::Regex;
use serde_json::Value;

use crate::kinds::{Kind, crd};

/// What the spec of a kind may hold.
#[derive(Debug)]
pub struct Schema {
    properties: BTreeMap<String, JSONSchemaProps>,
    required: Vec<String>,
}

impl Schema {
    /// That of this kind.
    #[must_use]
    pub fn of<K: Kind>() -> Self {
        let version = crd::<K>().spec.versions.into_iter().next();
        let root = version.and_then(|version| version.schema?.open_api_v3_schema);
        let spec = root.and_then(|root| root.properties?.remove("spec"));
        let spec = spec.unwrap_or_default();
        Self {
            properties: spec.properties.unwrap_or_default(),
            required: spec.required.unwrap_or_default(),
        }
    }

    /// Whether every spec sets this field.
    pub(super) fn requires(&self, field: &str) -> bool {
        self.required.iter().any(|required| required == field)
    }

    /// Why the field does not take this value; nothing where it does.
    #[must_use]
    pub fn refusal(&self, field: &str, value: &Value) -> Option<String> {
        match self.properties.get(field) {
            Some(schema) => refusal(schema, value),
            None => Some("there is no such field".to_owned()),
        }
    }

    /// The schema of an item of this list.
    pub(super) fn item(&self, field: &str) -> Option<&JSONSchemaProps> {
        item(self.properties.get(field)?)
    }
}

fn item(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(item) => Some(item),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

/// As [`Schema::refusal`], of a value of this schema.
pub(super) fn refusal(schema: &JSONSchemaProps, value: &Value) -> Option<String> {
    if value.is_null() {
        let is_taken = schema.nullable == Some(true);
        return (!is_taken).then(|| "null is no value of it".to_owned());
    }
    form(schema, value)
        .or_else(|| match value {
            Value::String(text) => length(schema, text),
            Value::Number(number) => range(schema, number.as_f64().unwrap_or(f64::NAN)),
            Value::Array(items) => list(schema, items),
            Value::Object(_) => object(schema, value),
            Value::Null | Value::Bool(_) => None,
        })
        .or_else(|| by_rules(schema, value))
}

/// Its type, and the words that it is one of.
fn form(schema: &JSONSchemaProps, value: &Value) -> Option<String> {
    let is_whole = value.is_i64() || value.is_u64();
    let fits = match schema.type_.as_deref() {
        Some("string") => value.is_string(),
        Some("integer") => is_whole,
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => true,
    };
    let words = schema.enum_.as_ref();
    if !fits || words.is_some_and(|words| words.iter().all(|word| word.0 != *value)) {
        return Some("it is of another form".to_owned());
    }
    None
}

fn length(schema: &JSONSchemaProps, text: &str) -> Option<String> {
    counted(
        text.chars().count(),
        (schema.min_length, schema.max_length),
        "characters",
    )
}

fn list(schema: &JSONSchemaProps, items: &[Value]) -> Option<String> {
    let bounds = (schema.min_items, schema.max_items);
    let of_items = || {
        let schema = item(schema)?;
        items.iter().find_map(|item| refusal(schema, item))
    };
    counted(items.len(), bounds, "entries").or_else(of_items)
}

fn counted(count: usize, (least, most): (Option<i64>, Option<i64>), what: &str) -> Option<String> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    match (least, most) {
        (Some(least), _) if count < least => {
            Some(format!("it has {count} {what}, and {least} is the least"))
        }
        (_, Some(most)) if count > most => {
            Some(format!("it has {count} {what}, and {most} is the most"))
        }
        _ => None,
    }
}

fn range(schema: &JSONSchemaProps, number: f64) -> Option<String> {
    let below = schema.minimum.filter(|least| number < *least);
    let above = schema.maximum.filter(|most| number > *most);
    match (below, above) {
        (Some(least), _) => Some(format!("{number} is less than {least}")),
        (_, Some(most)) => Some(format!("{number} is more than {most}")),
        _ => None,
    }
}

fn object(schema: &JSONSchemaProps, value: &Value) -> Option<String> {
    let mut required = schema.required.iter().flatten();
    if let Some(missing) = required.find(|field| value.get(field.as_str()).is_none()) {
        return Some(format!("it lacks {missing}"));
    }
    let mut properties = schema.properties.iter().flatten();
    properties.find_map(|(name, schema)| refusal(schema, value.get(name)?))
}

fn by_rules(schema: &JSONSchemaProps, value: &Value) -> Option<String> {
    let mut rules = schema.x_kubernetes_validations.iter().flatten();
    let broken = rules.find(|rule| accepts(&rule.rule, value) != Some(true))?;
    Some(
        broken
            .message
            .clone()
            .unwrap_or_else(|| broken.rule.clone()),
    )
}

/// Whether this rule accepts the value; nothing for a rule of an unknown form. Those that the CRDs have are known, see the tests.
pub(super) fn accepts(rule: &str, value: &Value) -> Option<bool> {
    if let Some(words) = rule.strip_prefix("self in ") {
        let words: Vec<Value> = serde_json::from_str(words).ok()?;
        return Some(words.contains(value));
    }
    if let Some(fields) = exactly_one(rule) {
        let set = fields.iter().filter(|field| value.get(field).is_some());
        return Some(set.count() == 1);
    }
    match rule {
        "self.trim() != ''" => Some(!value.as_str()?.trim().is_empty()),
        "self.all(x, self.exists_one(y, y == x))" => Some(is_each_once(value, &[])),
        "self.all(x, self.exists_one(y, y.flow == x.flow && y.order == x.order))" => {
            Some(is_each_once(value, &["flow", "order"]))
        }
        "!has(self.reEvaluatePolicies) || self.reEvaluatePolicies || (has(self.evaluateOnPlan) && self.evaluateOnPlan)" =>
        {
            let is_on = |field: &str| value.get(field).and_then(Value::as_bool);
            Some(
                is_on("reEvaluatePolicies") != Some(false) || is_on("evaluateOnPlan") == Some(true),
            )
        }
        _ => of_text(rule, value.as_str()?),
    }
}

/// The fields of a rule that wants exactly one of them: `[has(self.name), has(self.uuid)].exists_one(set, set)`.
fn exactly_one(rule: &str) -> Option<Vec<&str>> {
    let fields = rule.strip_prefix('[')?;
    let fields = fields.strip_suffix("].exists_one(set, set)")?;
    let fields = fields.split(", ").map(|field| {
        let field = field.strip_prefix("has(self.")?;
        field.strip_suffix(')')
    });
    fields.collect()
}

/// Whether no two items of the list have the same values in these fields; without any, whether no two are equal.
fn is_each_once(list: &Value, fields: &[&str]) -> bool {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let same = |one: &Value, other: &Value| match fields {
        [] => one == other,
        fields => fields
            .iter()
            .all(|field| one.get(field) == other.get(field)),
    };
    let mut rest = items;
    while let Some((first, others)) = rest.split_first() {
        if others.iter().any(|other| same(first, other)) {
            return false;
        }
        rest = others;
    }
    true
}

/// Rules such as `!self.contains('/')` and `self.trim().matches('^a+$')`.
fn of_text(rule: &str, text: &str) -> Option<bool> {
    let (rule, is_refused) = match rule.strip_prefix('!') {
        Some(rule) => (rule, true),
        None => (rule, false),
    };
    let rule = rule.strip_prefix("self.")?;
    let (rule, text) = match rule.strip_prefix("trim().") {
        Some(rule) => (rule, text.trim()),
        None => (rule, text),
    };
    let (call, argument) = rule.split_once("('")?;
    let argument = argument
        .strip_suffix("')")
        .filter(|text| !text.contains('\''))?;
    let argument = argument.replace(r"\\", r"\");
    let found = match call {
        "contains" => text.contains(&argument),
        "matches" => pattern(&argument)?.is_match(text),
        _ => return None,
    };
    Some(found != is_refused)
}

/// The pattern of a rule, made once.
fn pattern(text: &str) -> Option<Regex> {
    static PATTERNS: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let mut patterns = PATTERNS.lock();
    if let Some(known) = patterns.get(text) {
        return Some(known.clone());
    }
    let made = Regex::new(text).ok()?;
    patterns.insert(text.to_owned(), made.clone());
    Some(made)
}
