//! What a Terraform state holds of authentik. Of what is in a state only types, addresses and identities are read.

use std::fmt::Write;

use serde::{Deserialize, Deserializer, de::IgnoredAny};
use uuid::Uuid;

/// What authentik's Terraform provider calls the binding of a stage to a flow.
pub const BINDING: &str = "authentik_flow_stage_binding";

/// The version of states that is read: of Terraform 0.12 and later, and of OpenTofu.
const FORMAT: u64 = 4;

/// An object that a state holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// The type of its resource.
    pub kind: String,
    /// Its UUID, if the state tells it.
    pub uuid: Option<Uuid>,
    /// The label by which it is found, if the state tells no UUID.
    pub label: Option<String>,
    /// Its address in the state.
    pub address: String,
}

impl Held {
    /// Whether it is this object.
    #[must_use]
    pub fn is(&self, kind: &str, uuid: Uuid, label: Option<&str>) -> bool {
        let is_known_by_label = || label.is_some() && self.label.as_deref() == label;
        self.kind == kind && self.uuid.map_or_else(is_known_by_label, |own| own == uuid)
    }

    /// The command that lets Terraform forget it.
    #[must_use]
    pub fn forget(&self) -> String {
        format!("terraform state rm {}", quoted(&self.address))
    }
}

/// For a shell: between quotes nothing has a meaning but the quote itself.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[derive(Deserialize)]
struct Head {
    version: u64,
}

#[derive(Deserialize)]
struct State {
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    mode: String,
    #[serde(rename = "type")]
    kind: String,
    name: String,
    module: Option<String>,
    #[serde(default)]
    instances: Vec<Instance>,
}

#[derive(Deserialize)]
struct Instance {
    index_key: Option<Index>,
    /// What is to be destroyed; another instance stands for the object.
    deposed: Option<IgnoredAny>,
    attributes: Option<Identity>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Index {
    Number(u64),
    Key(String),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Identity {
    #[serde(deserialize_with = "text")]
    id: Option<String>,
    #[serde(deserialize_with = "text")]
    uuid: Option<String>,
    #[serde(deserialize_with = "text")]
    slug: Option<String>,
}

/// A text. Other providers have other things here.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Any {
        Text(String),
        Other(IgnoredAny),
    }
    Ok(match Any::deserialize(deserializer)? {
        Any::Text(text) => Some(text),
        Any::Other(_) => None,
    })
}

/// The objects of these types that the state holds, in its order.
///
/// # Errors
/// For a text that is no state of version 4. The message holds nothing of it.
pub fn read(text: &[u8], kinds: &[&str]) -> Result<Vec<Held>, String> {
    let head: Head = serde_json::from_slice(text).map_err(|error| no_state(&error))?;
    if head.version != FORMAT {
        return Err(format!(
            "it is a Terraform state of version {}; this reads version {FORMAT}: write one with `terraform state pull`",
            head.version
        ));
    }
    let state: State = serde_json::from_slice(text).map_err(|error| no_state(&error))?;
    let ours = state
        .resources
        .into_iter()
        .filter(|resource| resource.mode == "managed" && kinds.contains(&resource.kind.as_str()));
    let mut all = Vec::new();
    for resource in ours {
        let names = [&resource.kind, &resource.name];
        let names = names.into_iter().chain(&resource.module);
        if names
            .into_iter()
            .any(|name| name.contains(char::is_control))
        {
            return Err("it names a resource with control characters".to_owned());
        }
        all.extend(
            resource
                .instances
                .iter()
                .filter_map(|instance| held(&resource, instance)),
        );
    }
    Ok(all)
}

/// What serde says of an error may hold a value, which may be a secret.
fn no_state(error: &serde_json::Error) -> String {
    format!(
        "it is no Terraform state of version {FORMAT} (line {}, column {}): write one with `terraform state pull`",
        error.line(),
        error.column()
    )
}

fn held(resource: &Resource, instance: &Instance) -> Option<Held> {
    if instance.deposed.is_some() {
        return None;
    }
    let identity = instance.attributes.as_ref()?;
    // Of a flow, releases of the provider disagree on whether its id is the UUID or the slug.
    let ids = [&identity.id, &identity.uuid].into_iter().flatten();
    Some(Held {
        kind: resource.kind.clone(),
        uuid: ids.clone().find_map(|id| id.parse().ok()),
        label: identity.slug.clone().or_else(|| identity.id.clone()),
        address: address(resource, instance.index_key.as_ref()),
    })
}

/// As Terraform writes addresses: `module.login.authentik_flow.this["main"]`.
fn address(resource: &Resource, index: Option<&Index>) -> String {
    let mut address = String::new();
    if let Some(module) = &resource.module {
        address.push_str(module);
        address.push('.');
    }
    address.push_str(&resource.kind);
    address.push('.');
    address.push_str(&resource.name);
    match index {
        Some(Index::Number(number)) => address.push_str(&format!("[{number}]")),
        Some(Index::Key(key)) => address.push_str(&format!("[\"{}\"]", escaped(key))),
        None => {}
    }
    address
}

/// As Terraform writes a text between double quotes, on one line.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' | '\\' => escaped.extend(['\\', letter]),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            // What begins a template is doubled.
            '$' | '%' if letters.peek() == Some(&'{') => escaped.extend([letter, letter]),
            letter if letter.is_ascii_graphic() || letter == ' ' || letter.is_alphanumeric() => {
                escaped.push(letter);
            }
            // Writing to a String does not fail.
            letter => {
                let _ = write!(escaped, "\\U{:08x}", u32::from(letter));
            }
        }
    }
    escaped
}
