//! What the CRD of a kind takes, field by field.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    kinds::{Kind, crd},
    manifests::Check,
};

/// What the spec of a kind may hold.
#[derive(Debug)]
pub struct Schema {
    fields: BTreeMap<String, Check>,
    /// The fields of an item of a list of objects, by the list's.
    items: BTreeMap<String, BTreeMap<String, Check>>,
    required: Vec<String>,
}

impl Schema {
    /// That of this kind.
    #[must_use]
    pub fn of<K: Kind>() -> Self {
        let version = crd::<K>().spec.versions.into_iter().next();
        let root = version.and_then(|version| version.schema?.open_api_v3_schema);
        let spec = root.and_then(|root| root.properties?.remove("spec"));
        let required = spec.as_ref().and_then(|spec| spec.required.clone());
        let open = serde_json::json!(spec);
        let items = fields(&open).filter_map(|(name, schema)| {
            let items = schema
                .get("items")
                .filter(|item| item.get("properties").is_some())?;
            Some((name.clone(), checks(items)))
        });
        Self {
            items: items.collect(),
            fields: checks(&open),
            required: required.unwrap_or_default(),
        }
    }

    /// Whether every spec sets this field.
    pub(super) fn requires(&self, field: &str) -> bool {
        self.required.iter().any(|required| required == field)
    }

    /// Why the field does not take this value; nothing where it does.
    #[must_use]
    pub fn refusal(&self, field: &str, value: &Value) -> Option<String> {
        refusal(&self.fields, field, value)
    }

    /// Why this field of an item of a list does not take the value.
    pub(super) fn refusal_in(&self, list: &str, field: &str, value: &Value) -> Option<String> {
        refusal(self.items.get(list)?, field, value)
    }
}

fn fields(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let fields = schema.get("properties").and_then(Value::as_object);
    fields.into_iter().flatten()
}

fn checks(schema: &Value) -> BTreeMap<String, Check> {
    // The schemas of our CRDs are good ones; a field that had none would be refused.
    let checks = fields(schema)
        .filter_map(|(name, schema)| Some((name.clone(), Check::new(schema.clone()).ok()?)));
    checks.collect()
}

fn refusal(checks: &BTreeMap<String, Check>, field: &str, value: &Value) -> Option<String> {
    match checks.get(field) {
        Some(check) => check.refusals(value).into_iter().next().map(|(_, why)| why),
        None => Some("there is no such field".to_owned()),
    }
}
