//! The CRDs' schemas and rules, asked before Kubernetes is.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::{Value, json};

use super::{
    check::Check,
    problem::{Place, Problem},
    yaml::Document,
};
use crate::kinds::crds;

/// What the CRDs say of each kind.
pub struct Schemas(BTreeMap<String, Schema>);

struct Schema {
    check: Check,
    is_namespaced: bool,
}

impl Schemas {
    /// Those of all kinds of this program, made once.
    ///
    /// # Errors
    /// Never for the CRDs of this program.
    pub fn all() -> Result<&'static Self, String> {
        static ALL: LazyLock<Result<Schemas, String>> = LazyLock::new(Schemas::new);
        ALL.as_ref().map_err(Clone::clone)
    }

    fn new() -> Result<Self, String> {
        let mut kinds = BTreeMap::new();
        for crd in crds() {
            let version = crd.spec.versions.into_iter().next();
            let schema = version.and_then(|version| version.schema?.open_api_v3_schema);
            let open = serde_json::to_value(schema).map_err(|error| error.to_string())?;
            let schema = Schema {
                check: Check::new(with_what_every_object_has(open))?,
                is_namespaced: crd.spec.scope == "Namespaced",
            };
            kinds.insert(crd.spec.names.kind, schema);
        }
        Ok(Self(kinds))
    }

    /// The names of all kinds.
    pub fn kinds(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// Whether objects of this kind stand in namespaces.
    pub fn is_namespaced(&self, kind: &str) -> bool {
        self.0.get(kind).is_none_or(|kind| kind.is_namespaced)
    }

    /// What is wrong with this object of this kind.
    pub fn problems(&self, kind: &str, file: &str, document: &Document) -> Vec<Problem> {
        let Some(schema) = self.0.get(kind) else {
            return Vec::new();
        };
        let problem = |(pointer, text): (String, String)| Problem {
            place: Place {
                file: file.to_owned(),
                line: document.line(&pointer),
            },
            text: format!("{}: {text}", dotted(&pointer, kind)),
        };
        let refusals = schema.check.refusals(&document.value).into_iter();
        let mut problems: Vec<_> = refusals.map(problem).collect();
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
