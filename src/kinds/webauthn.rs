//! `AuthenticatorWebAuthnStage`: enrols WebAuthn devices: security keys, passkeys, fingerprint readers.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    kind::{FieldRow, Kind, field},
    stage::{self, Setup, stage},
    usage::{Usage},
    words::{UserVerification, WebauthnHint},
};
use crate::{
    api::{
        DeviceTypeReference, StageCommon, Status,
        schema::{double_option, no_duplicates, null_is_empty},
    },
    authentik::{Collection, Definition, versions::Since},
};

/// Which kind of WebAuthn device is taken. `platform`: one that is built in. `cross-platform`: one that can be carried.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthenticatorAttachment {
    /// One that is built into the computer or the telephone.
    Platform,
    /// One that can be carried from one to another.
    CrossPlatform,
}

/// A stage through which people enrol WebAuthn devices. A field that is not set is not managed.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "authentik-operator.io",
    version = "v1alpha1",
    kind = "AuthenticatorWebAuthnStage",
    namespaced,
    status = "Status",
    derive = "PartialEq",
    shortname = "webauthn",
    category = "authentik"
)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticatorWebAuthnStageSpec {
    /// What all stages share.
    #[serde(flatten)]
    pub common: StageCommon,
    /// What all set-up stages share.
    #[serde(flatten)]
    pub setup: Setup,
    /// Whether devices verify their user when they are enrolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_verification: Option<UserVerification>,
    /// Which kind of device is taken; null: either.
    #[serde(
        default,
        deserialize_with = "double_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub authenticator_attachment: Option<Option<AuthenticatorAttachment>>,
    /// Whether the device keeps the credential, so that people need not say who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident_key_requirement: Option<UserVerification>,
    /// The device types that are taken (authentik 2024.6 on); the order means nothing. null and `[]`: all.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(max = 256))]
    #[x_kube(validation = no_duplicates("deviceTypeRestrictions"))]
    pub device_type_restrictions: Option<Vec<DeviceTypeReference>>,
    /// Which devices a browser offers first, in this order (authentik 2026.5 on). null and `[]`: no preference.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(max = 16))]
    #[x_kube(validation = no_duplicates("hints"))]
    pub hints: Option<Vec<WebauthnHint>>,
    /// Whether a device that is enrolled already is refused. Not every release of authentik has this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prevent_duplicate_devices: Option<bool>,
    /// How often people may try; 0: as often as they like. Not every release of authentik has this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_attempts: Option<i32>,
}

const COLLECTION: Collection = Collection::of(
    &Definition::new(
        "stages/authenticator/webauthn",
        (
            "authentik_stages_authenticator_webauthn",
            "authenticatorwebauthnstage",
        ),
    )
    .formerly("authenticatewebauthnstage"),
);

impl Kind for AuthenticatorWebAuthnStage {
    stage!(AuthenticatorWebAuthnStage, "WebAuthn stage", COLLECTION);
    const TERRAFORM: &'static str = "authentik_stage_authenticator_webauthn";
    const USAGE: Usage = stage::usage(None);
    const FIELDS: &'static [FieldRow<Self>] = &[
        field!(configure_flow in setup: flow),
        field!(friendly_name in setup: optional_text).absent(stage::no_friendly_name),
        field!(user_verification: value),
        field!(authenticator_attachment: nullable),
        field!(resident_key_requirement: value),
        field!(device_type_restrictions: device_types).since(Since::Release(2024, 6)),
        field!(hints: list).since(Since::Release(2026, 5)),
        field!(prevent_duplicate_devices: value),
        field!(max_attempts: value),
    ];
}
