//! `AuthenticatorStaticStage`: gives people recovery codes, each of which is good once.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    kind::{FieldRow, Kind, field},
    stage::{self, Setup, stage},
    usage::{Usage},
};
use crate::{
    api::{
        StageCommon, Status,
    },
    authentik::{Collection, Definition},
};

/// A stage through which people get recovery codes. A field that is not set is not managed.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "authentik-operator.io",
    version = "v1alpha1",
    kind = "AuthenticatorStaticStage",
    namespaced,
    status = "Status",
    derive = "PartialEq",
    shortname = "static",
    category = "authentik"
)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticatorStaticStageSpec {
    /// What all stages share.
    #[serde(flatten)]
    pub common: StageCommon,
    /// What all set-up stages share.
    #[serde(flatten)]
    pub setup: Setup,
    /// How many codes people get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub token_count: Option<i32>,
    /// How long each code is, at most 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub token_length: Option<i32>,
}

const COLLECTION: Collection = Collection::of(&Definition::new(
    "stages/authenticator/static",
    ("authentik_stages_authenticator_static", "authenticatorstaticstage"),
));

impl Kind for AuthenticatorStaticStage {
    stage!(AuthenticatorStaticStage, "recovery code stage", COLLECTION);
    const TERRAFORM: &'static str = "authentik_stage_authenticator_static";
    const USAGE: Usage = stage::usage(None);
    const FIELDS: &'static [FieldRow<Self>] = &[
        field!(configure_flow in setup: flow),
        field!(friendly_name in setup: optional_text).absent(stage::no_friendly_name),
        field!(token_count: value),
        field!(token_length: value),
    ];
}
