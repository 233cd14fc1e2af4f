//! What every kind lets its users decide.
//!
//! In a CRD the description of an enum stands in the place of that of the field that holds it, so the enums
//! tell what their values mean and what holds where the field is omitted.

use kube::{KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ConnectionReference, FlowBinding,
    schema::{no_control_characters, not_blank, null_is_empty},
};

/// Whether the operator writes to authentik. `Enforce` (when omitted): it writes whatever differs. `Observe`:
/// it never writes and reports the difference in `status.drift`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ManagementPolicy {
    /// Write to authentik whatever differs.
    #[default]
    Enforce,
    /// Never write to authentik; report the difference in `status.drift`.
    Observe,
}

/// What to do with what exists in authentik already under this name. `IfMatch` (when omitted): take it over where
/// every readable field that the spec sets is equal. `Always`: take it over and change what differs. `Never`:
/// refuse.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum AdoptionPolicy {
    /// Take it over where every readable field that the spec sets is equal.
    #[default]
    IfMatch,
    /// Take it over and change what differs.
    Always,
    /// Refuse.
    Never,
}

/// What happens in authentik when this resource is deleted. `Orphan` (when omitted): what it stands for stays.
/// `Delete`: it is deleted, unless it is in use (a stage by a flow, a user's device or a validation stage; a flow by others'
/// stages, a brand, a provider or a stage that people configure through it). `ForceDelete`: it is deleted, in use or not.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum DeletionPolicy {
    /// Leave it in authentik.
    #[default]
    Orphan,
    /// Delete it, unless it is in use.
    Delete,
    /// Delete it, in use or not.
    ForceDelete,
}

/// The part of the spec that all kinds share. Nothing here has a default in the schema: defaults make GitOps
/// tools show a difference.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Common {
    /// The authentik server. Omitted: the AuthentikConnection named `default` in this namespace, else the
    /// ClusterAuthentikConnection named `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_ref: Option<ConnectionReference>,
    /// Whether the operator writes to authentik.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management_policy: Option<ManagementPolicy>,
    /// What to do with what exists in authentik already under this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoption_policy: Option<AdoptionPolicy>,
    /// What happens in authentik when this resource is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// True: leave everything alone, in authentik and here, until it is false again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// The part of the spec that all kinds of stage share.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageCommon {
    /// What all kinds share.
    #[serde(flatten)]
    pub common: Common,
    /// The stage's name in authentik, unique there across stages of all kinds. Omitted: the name of this
    /// resource. Changing it renames the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = not_blank("name"), validation = no_control_characters("name"))]
    pub name: Option<String>,
    /// The flows that the stage is bound to: exactly these. null and `[]`: none. Omitted: bindings are not
    /// managed.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(max = 64))]
    #[x_kube(validation = one_binding_a_place())]
    pub flows: Option<Vec<FlowBinding>>,
}

fn one_binding_a_place() -> Rule {
    Rule::new("self.all(x, self.exists_one(y, y.flow == x.flow && y.order == x.order))")
        .message("flows binds the stage twice to one flow with the same order; list each once, or give one another order")
}
