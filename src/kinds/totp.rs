//! `AuthenticatorTOTPStage`: sets up an authenticator app, with codes that change with the time.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
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

/// How many digits a code has. Not every app can show eight.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Digits {
    /// Six, which every app can show.
    #[default]
    #[serde(rename = "6")]
    Six,
    /// Eight.
    #[serde(rename = "8")]
    Eight,
}

/// A stage through which people set up an authenticator app. An optional field that is not set is not managed.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "authentik-operator.io",
    version = "v1alpha1",
    kind = "AuthenticatorTOTPStage",
    namespaced,
    status = "Status",
    derive = "PartialEq",
    shortname = "totp",
    category = "authentik"
)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticatorTOTPStageSpec {
    /// What all stages share.
    #[serde(flatten)]
    pub common: StageCommon,
    /// What all set-up stages share.
    #[serde(flatten)]
    pub setup: Setup,
    /// How many digits a code has.
    pub digits: Digits,
}

const COLLECTION: Collection = Collection::of(&Definition::new(
    "stages/authenticator/totp",
    ("authentik_stages_authenticator_totp", "authenticatortotpstage"),
));

impl Kind for AuthenticatorTOTPStage {
    stage!(AuthenticatorTOTPStage, "TOTP stage", COLLECTION);
    const TERRAFORM: &'static str = "authentik_stage_authenticator_totp";
    const USAGE: Usage = stage::usage(None);
    const FIELDS: &'static [FieldRow<Self>] = &[
        field!(configure_flow in setup: flow),
        field!(friendly_name in setup: optional_text).absent(stage::no_friendly_name),
        field!(digits: required),
    ];
}
