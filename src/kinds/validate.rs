//! `AuthenticatorValidateStage`: asks for a second factor, and decides what happens to people without one.

use kube::{CustomResource, KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    field::Fields,
    kind::{FieldRow, Kind, field},
    stage::{self, stage},
    strength,
    usage::Usage,
    words::{UserVerification, WebauthnHint, duration_form},
};
use crate::{
    api::{
        DeviceTypeReference, StageCommon, StageReference, Status,
        schema::{no_duplicates, null_is_empty},
    },
    authentik::{
        Collection, Definition,
        versions::{Since, ValueSince},
    },
};

/// What happens to people without a second factor. `skip`: they pass without one. `deny`: they don't pass.
/// `configure`: they enrol one through a configuration stage, so `configurationStages` has to be set too.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NotConfiguredAction {
    /// They pass without one.
    Skip,
    /// They don't pass.
    Deny,
    /// They enrol one through a configuration stage.
    Configure,
}

/// A class of second factor.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum DeviceClass {
    Static,
    Totp,
    Webauthn,
    Duo,
    Sms,
    Email,
}

fn configure_needs_stages() -> Rule {
    Rule::new(
        "!has(self.notConfiguredAction) || self.notConfiguredAction != 'configure' || \
         (has(self.configurationStages) && size(self.configurationStages) > 0)",
    )
    .message("notConfiguredAction: configure needs configurationStages; name at least one stage through which people enrol")
}

/// An authenticator validation stage. A field that is not set is not managed.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "authentik-operator.io",
    version = "v1alpha1",
    kind = "AuthenticatorValidateStage",
    namespaced,
    status = "Status",
    derive = "PartialEq",
    shortname = "avs",
    category = "authentik"
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = configure_needs_stages())]
pub struct AuthenticatorValidateStageSpec {
    /// What all stages share.
    #[serde(flatten)]
    pub common: StageCommon,
    /// What happens to people without a second factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_configured_action: Option<NotConfiguredAction>,
    /// The second factors that are taken; the order means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(validation = no_duplicates("deviceClasses"))]
    pub device_classes: Option<Vec<DeviceClass>>,
    /// The stages through which people enrol a second factor; the order means nothing. null and `[]`: none.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(max = 32))]
    #[x_kube(validation = no_duplicates("configurationStages"))]
    pub configuration_stages: Option<Vec<StageReference>>,
    /// People who used a second factor within this time are not asked again: an authentik duration such as
    /// `hours=12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = duration_form("lastAuthThreshold", "hours=12 or days=1;hours=6"))]
    pub last_auth_threshold: Option<String>,
    /// Whether WebAuthn devices have to verify their user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webauthn_user_verification: Option<UserVerification>,
    /// The WebAuthn device types that are taken (authentik 2024.6 on); the order means nothing. null and
    /// `[]`: all.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(max = 256))]
    #[x_kube(validation = no_duplicates("webauthnAllowedDeviceTypes"))]
    pub webauthn_allowed_device_types: Option<Vec<DeviceTypeReference>>,
    /// Which WebAuthn devices a browser offers first, in this order (authentik 2026.5 on). null and `[]`:
    /// no preference.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(max = 16))]
    #[x_kube(validation = no_duplicates("webauthnHints"))]
    pub webauthn_hints: Option<Vec<WebauthnHint>>,
    /// How strongly wrong email codes slow further tries (newer than authentik 2026.5); 0 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub email_otp_throttling_factor: Option<f64>,
    /// How strongly wrong SMS codes slow further tries (newer than authentik 2026.5); 0 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub sms_otp_throttling_factor: Option<f64>,
    /// How strongly wrong TOTP codes slow further tries (newer than authentik 2026.5); 0 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub totp_otp_throttling_factor: Option<f64>,
    /// How strongly wrong static codes slow further tries (newer than authentik 2026.5); 0 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub static_otp_throttling_factor: Option<f64>,
}

/// Where authentik keeps authenticator validation stages.
pub(super) const COLLECTION: Collection = Collection::of(&Definition::new(
    "stages/authenticator/validate",
    (
        "authentik_stages_authenticator_validate",
        "authenticatorvalidatestage",
    ),
));

/// The least that makes such a stage, of this name: it lets nobody pass.
pub(super) fn denying(name: &str) -> Map<String, Value> {
    Map::from_iter([
        ("name".to_owned(), Value::from(name)),
        ("not_configured_action".to_owned(), Value::from("deny")),
    ])
}

impl Kind for AuthenticatorValidateStage {
    stage!(AuthenticatorValidateStage, "validation stage", COLLECTION);
    const TERRAFORM: &'static str = "authentik_stage_authenticator_validate";
    const USAGE: Usage = stage::usage(None);
    const ASKS_FOR_FACTOR: bool = true;
    const FIELDS: &'static [FieldRow<Self>] = &[
        field!(not_configured_action: value),
        field!(device_classes: set).values_since(&[ValueSince {
            value: "email",
            since: Since::Release(2025, 2),
        }]),
        field!(configuration_stages: stages),
        field!(last_auth_threshold: duration),
        field!(webauthn_user_verification: value),
        field!(webauthn_allowed_device_types: device_types).since(Since::Release(2024, 6)),
        field!(webauthn_hints: list).since(Since::Release(2026, 5)),
        field!(email_otp_throttling_factor: value).since(Since::After(2026, 5)),
        field!(sms_otp_throttling_factor: value).since(Since::After(2026, 5)),
        field!(totp_otp_throttling_factor: value).since(Since::After(2026, 5)),
        field!(static_otp_throttling_factor: value).since(Since::After(2026, 5)),
    ];

    fn contradiction(spec: &Self::Spec) -> Option<(&'static str, &'static str)> {
        let configures = spec.not_configured_action == Some(NotConfiguredAction::Configure);
        let stages = spec.configuration_stages.as_deref().unwrap_or_default();
        (configures && stages.is_empty()).then_some((
            "notConfiguredAction",
            "configure needs configurationStages, and there are none to name",
        ))
    }

    fn weakens(field: &str, wanted: &Value, found: &Value) -> bool {
        strength::is_weaker(field, wanted, found)
    }

    /// authentik takes `configure` only with configuration stages in the same request, even where the
    /// stage has some already (measured on 2024.2 to 2026.5). The two always travel together, so that no
    /// moment has one without the other.
    fn complete(body: &mut Fields, desired: &Fields) {
        const PAIR: [&str; 2] = ["not_configured_action", "configuration_stages"];
        let configure = desired
            .get(PAIR[0])
            .is_some_and(|action| action == "configure");
        if configure && PAIR.iter().any(|field| body.contains_key(field)) {
            body.extend(
                PAIR.iter()
                    .filter_map(|field| Some((*field, desired.get(field)?.clone()))),
            );
        }
    }
}
