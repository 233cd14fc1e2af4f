//! A manifest, and its text.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::api::{FlowBinding, GROUP, SecretSource, VERSION};

/// What a field of a spec says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Said {
    /// A plain value.
    Value(Value),
    /// Where a secret value comes from.
    Secret(SecretSource),
    /// Where a stage stands.
    Places(Vec<FlowBinding>),
}

/// A line of a spec.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Line {
    /// A field.
    Field(&'static str, Said),
    /// A comment. It holds no text of a server.
    Comment(String),
}

/// The manifest of a resource.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The resource's kind.
    pub kind: &'static str,
    /// The resource's name.
    pub name: String,
    /// The bindings that it holds.
    pub bindings: Vec<Uuid>,
    pub(super) namespace: Option<String>,
    pub(super) spec: Vec<Line>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    api_version: String,
    kind: &'a str,
    metadata: Metadata<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
}

impl Manifest {
    /// What a file of it is called. No two resources of a server have the same.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}-{}.yaml", self.kind.to_lowercase(), self.name)
    }

    /// Its text.
    ///
    /// # Errors
    /// Never for what this program makes; the type can't say so.
    pub fn yaml(&self) -> Result<String, String> {
        let mut text = yaml(&Head {
            api_version: format!("{GROUP}/{VERSION}"),
            kind: self.kind,
            metadata: Metadata {
                name: &self.name,
                namespace: self.namespace.as_deref(),
            },
        })?;
        text.push_str("spec:\n");
        for line in &self.spec {
            let lines = match line {
                Line::Field(name, said) => yaml(&BTreeMap::from([(name, said)]))?,
                Line::Comment(comment) => format!("# {comment}\n"),
            };
            text.extend(lines.lines().map(|line| format!("  {line}\n")));
        }
        Ok(text)
    }
}

/// Each text is on one line, so that lines can be moved to the right.
fn yaml(value: &impl Serialize) -> Result<String, String> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, options).map_err(|error| error.to_string())
}
