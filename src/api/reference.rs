//! How a spec names things: a server, a stage, a flow, a device type, a mapping, a key of a Secret.

use std::fmt;

use kube::{
    KubeSchema,
    core::{Message, Rule},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{no_control_characters, not_blank};

/// The spellings of a UUID that authentik takes: with or without dashes, any letter case.
pub const UUID_PATTERN: &str = r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$";

/// Whether a Secret or a namespace can have this name, as Kubernetes has it (RFC 1123). The name goes into the path of a
/// request as it is: `../../other/secrets/x` must not be asked for.
#[must_use]
pub fn can_be_named(name: &str) -> bool {
    let may_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let part = |part: &str| {
        part.starts_with(may_end)
            && part.ends_with(may_end)
            && part.chars().all(|c| may_end(c) || c == '-')
    };
    name.split('.').all(part)
}

/// A rule that asks for one of these fields, and for no other beside it.
pub(super) fn exactly_one(what: &str, fields: &[&str]) -> Rule {
    let set: Vec<_> = fields
        .iter()
        .map(|field| format!("has(self.{field})"))
        .collect();
    Rule::new(format!("[{}].exists_one(set, set)", set.join(", "))).message(Message::Message(
        format!("{what} needs exactly one of {}", fields.join(", ")),
    ))
}

fn uuid_form(field: &str) -> Rule {
    Rule::new(format!("self.matches('{UUID_PATTERN}')")).message(Message::Message(format!(
        "{field} is not a UUID; write it as 00000000-0000-0000-0000-000000000000"
    )))
}

/// The connection's kind: `AuthentikConnection` (when omitted), of the resource's own namespace, or
/// `ClusterAuthentikConnection`.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Deserialize,
    Eq,
    Hash,
    JsonSchema,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
)]
pub enum ConnectionKind {
    /// A connection of the resource's own namespace.
    #[default]
    AuthentikConnection,
    /// A connection of the cluster that allows the resource's namespace.
    ClusterAuthentikConnection,
}

/// The authentik server that a stage belongs to.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
pub struct ConnectionReference {
    /// The connection's kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ConnectionKind>,
    /// The connection's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A resource of this operator in the same namespace.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
pub struct ResourceReference {
    /// The resource's kind: one that stands for what is referred to, a stage or a flow.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// The resource's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A stage of any kind in authentik: exactly one of its fields is set.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = exactly_one("a stage reference", &["name", "uuid", "resource"]))]
pub struct StageReference {
    /// The stage's name in authentik.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = not_blank("name"), validation = no_control_characters("name"))]
    pub name: Option<String>,
    /// The stage's UUID in authentik.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    #[x_kube(validation = uuid_form("uuid"))]
    pub uuid: Option<String>,
    /// A resource of this operator in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceReference>,
}

impl fmt::Display for StageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.uuid, &self.resource) {
            (Some(name), ..) => write!(f, "stage named {:?}", name.trim()),
            (_, Some(uuid), _) => write!(f, "stage with UUID {uuid}"),
            (.., Some(resource)) => write!(f, "{} {}", resource.kind, resource.name),
            _ => f.write_str("empty stage reference"),
        }
    }
}

/// A flow in authentik: exactly one of its fields is set.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = exactly_one("a flow reference", &["slug", "uuid", "resource"]))]
pub struct FlowReference {
    /// The flow's slug, as in its URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50))]
    #[x_kube(validation = Rule::new("self.matches('^[-a-zA-Z0-9_]+$')").message("slug is not a flow's slug; it holds letters, digits, - and _"))]
    pub slug: Option<String>,
    /// The flow's UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    #[x_kube(validation = uuid_form("uuid"))]
    pub uuid: Option<String>,
    /// A resource of this operator in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceReference>,
}

impl fmt::Display for FlowReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.slug, &self.uuid, &self.resource) {
            (Some(slug), ..) => write!(f, "flow {slug:?}"),
            (_, Some(uuid), _) => write!(f, "flow with UUID {uuid}"),
            (.., Some(resource)) => write!(f, "{} {}", resource.kind, resource.name),
            _ => f.write_str("empty flow reference"),
        }
    }
}

/// A WebAuthn device type that authentik knows: exactly one of its fields is set.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = exactly_one("a device type", &["aaguid", "description"]))]
pub struct DeviceTypeReference {
    /// The device type's AAGUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    #[x_kube(validation = uuid_form("aaguid"))]
    pub aaguid: Option<String>,
    /// The device type's description in authentik, such as `YubiKey 5 Series with NFC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = not_blank("description"), validation = no_control_characters("description"))]
    pub description: Option<String>,
}

impl fmt::Display for DeviceTypeReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.aaguid, &self.description) {
            (Some(aaguid), _) => write!(f, "device type with AAGUID {aaguid}"),
            (_, Some(description)) => write!(f, "device type {:?}", description.trim()),
            _ => f.write_str("empty device type reference"),
        }
    }
}

/// A webhook mapping in authentik: exactly one of its fields is set.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = exactly_one("a mapping", &["name", "uuid"]))]
pub struct MappingReference {
    /// The mapping's name in authentik.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = not_blank("name"), validation = no_control_characters("name"))]
    pub name: Option<String>,
    /// The mapping's UUID in authentik.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    #[x_kube(validation = uuid_form("uuid"))]
    pub uuid: Option<String>,
}

impl fmt::Display for MappingReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.uuid) {
            (Some(name), _) => write!(f, "webhook mapping named {:?}", name.trim()),
            (_, Some(uuid)) => write!(f, "webhook mapping with UUID {uuid}"),
            _ => f.write_str("empty mapping reference"),
        }
    }
}

/// One key of a Secret in the resource's own namespace.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, KubeSchema, PartialEq, Serialize)]
pub struct SecretKey {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Where a secret value comes from.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretSource {
    /// A key of a Secret in the same namespace.
    pub secret_key_ref: SecretKey,
}
