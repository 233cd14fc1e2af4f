//! `AuthenticatorValidateStage`: asks for a second factor, and decides what happens to people without one.

use kube::{CustomResource, KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Compare, Field, Fields, StageKind, Wanted};
use crate::{
    api::{
        DeviceTypeReference, StageCommon, StageReference, StageStatus,
        schema::{no_duplicates, null_is_empty},
    },
    authentik::{Collection, duration},
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

/// Whether WebAuthn devices verify their user.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum UserVerification {
    Required,
    Preferred,
    Discouraged,
}

/// Which kind of WebAuthn device a browser offers first.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum WebauthnHint {
    SecurityKey,
    ClientDevice,
    Hybrid,
}

/// One unit of a duration: authentik's keywords for Python's timedelta, in any letter case. Nine digits
/// stay below the largest timedelta in every unit but weeks, whose overflow authentik answers with an
/// internal error.
const UNIT: &str = "((?i:days|hours|minutes|seconds|milliseconds|microseconds)=[+-]?[0-9]{1,9}([.][0-9]{1,9})?|(?i:weeks)=[+-]?[0-9]{1,8}([.][0-9]{1,9})?)";

fn duration_form() -> Rule {
    Rule::new(format!("self.trim().matches('^{UNIT}(; ?{UNIT})*$')")).message(
        "lastAuthThreshold is not an authentik duration; write units from weeks to microseconds, for example hours=12 or days=1;hours=6",
    )
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
    status = "StageStatus",
    derive = "PartialEq",
    shortname = "avs",
    category = "authentik",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Stage", type_ = "string", json_path = ".status.stage.name"),
    printcolumn(name = "Server", type_ = "string", json_path = ".status.stage.server"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
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
    #[x_kube(validation = duration_form())]
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

static FIELDS: [Field; 11] = [
    Field::new(
        "not_configured_action",
        "notConfiguredAction",
        Compare::Value,
    ),
    Field::new("device_classes", "deviceClasses", Compare::Set),
    Field::new("configuration_stages", "configurationStages", Compare::Set),
    Field::new(
        "last_auth_threshold",
        "lastAuthThreshold",
        Compare::Duration,
    ),
    Field::new(
        "webauthn_user_verification",
        "webauthnUserVerification",
        Compare::Value,
    ),
    Field::new(
        "webauthn_allowed_device_types",
        "webauthnAllowedDeviceTypes",
        Compare::Set,
    ),
    Field::new("webauthn_hints", "webauthnHints", Compare::List),
    Field::new(
        "email_otp_throttling_factor",
        "emailOtpThrottlingFactor",
        Compare::Value,
    ),
    Field::new(
        "sms_otp_throttling_factor",
        "smsOtpThrottlingFactor",
        Compare::Value,
    ),
    Field::new(
        "totp_otp_throttling_factor",
        "totpOtpThrottlingFactor",
        Compare::Value,
    ),
    Field::new(
        "static_otp_throttling_factor",
        "staticOtpThrottlingFactor",
        Compare::Value,
    ),
];

impl StageKind for AuthenticatorValidateStage {
    type Spec = AuthenticatorValidateStageSpec;
    const COLLECTION: Collection = Collection::VALIDATE_STAGES;
    const KIND: &'static str = "AuthenticatorValidateStage";
    const FIELDS: &'static [Field] = &FIELDS;
    const NULLABLE: &'static [&'static str] = &[
        "configurationStages",
        "webauthnAllowedDeviceTypes",
        "webauthnHints",
    ];

    fn common(&self) -> &StageCommon {
        &self.spec.common
    }

    fn status(&self) -> Option<&StageStatus> {
        self.status.as_ref()
    }

    fn wanted(&self) -> Vec<(&'static Field, Wanted)> {
        let spec = &self.spec;
        // In the order of FIELDS.
        let wanted = [
            value(&spec.not_configured_action),
            value(&spec.device_classes),
            spec.configuration_stages.clone().map(Wanted::Stages),
            spec.last_auth_threshold.as_deref().map(threshold),
            value(&spec.webauthn_user_verification),
            spec.webauthn_allowed_device_types
                .clone()
                .map(Wanted::DeviceTypes),
            value(&spec.webauthn_hints),
            value(&spec.email_otp_throttling_factor),
            value(&spec.sms_otp_throttling_factor),
            value(&spec.totp_otp_throttling_factor),
            value(&spec.static_otp_throttling_factor),
        ];
        FIELDS
            .iter()
            .zip(wanted)
            .filter_map(|(field, wanted)| Some((field, wanted?)))
            .collect()
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

    fn spec_from(name: &str, fields: &Fields) -> Self::Spec {
        AuthenticatorValidateStageSpec {
            common: StageCommon {
                name: Some(name.to_owned()),
                ..StageCommon::default()
            },
            not_configured_action: read(fields, "not_configured_action"),
            device_classes: read(fields, "device_classes"),
            configuration_stages: read_list(fields, "configuration_stages", |uuid| {
                StageReference {
                    uuid: Some(uuid),
                    ..StageReference::default()
                }
            }),
            // What authentik passes over in it would count once it is written without the spaces.
            last_auth_threshold: read::<String>(fields, "last_auth_threshold")
                .and_then(|text| duration::understood(&text)),
            webauthn_user_verification: read(fields, "webauthn_user_verification"),
            webauthn_allowed_device_types: read_list(
                fields,
                "webauthn_allowed_device_types",
                |aaguid| DeviceTypeReference {
                    aaguid: Some(aaguid),
                    description: None,
                },
            ),
            webauthn_hints: read(fields, "webauthn_hints"),
            email_otp_throttling_factor: read(fields, "email_otp_throttling_factor"),
            sms_otp_throttling_factor: read(fields, "sms_otp_throttling_factor"),
            totp_otp_throttling_factor: read(fields, "totp_otp_throttling_factor"),
            static_otp_throttling_factor: read(fields, "static_otp_throttling_factor"),
        }
    }

    fn from_spec(name: &str, spec: Self::Spec) -> Self {
        Self::new(name, spec)
    }
}

fn value<T: Serialize>(field: &Option<T>) -> Option<Wanted> {
    // None of the spec's types can fail to serialise: they have no maps and no non-finite numbers.
    field.as_ref().map(|value| Wanted::Value(json!(value)))
}

/// authentik looks only at keywords that it knows and passes over others without a word: of
/// `hours=1; minutes=5` it takes one hour, for ` minutes` with its space is none. What the user means is
/// sent, without the spaces.
fn threshold(text: &str) -> Wanted {
    Wanted::Value(Value::String(
        text.split(';').map(str::trim).collect::<Vec<_>>().join(";"),
    ))
}

/// A value that this version of the operator does not know is left unmanaged.
fn read<T: DeserializeOwned>(fields: &Fields, field: &str) -> Option<T> {
    serde_json::from_value(fields.get(field)?.clone()).ok()
}

fn read_list<T>(fields: &Fields, field: &str, item: impl Fn(String) -> T) -> Option<Vec<T>> {
    read::<Vec<String>>(fields, field).map(|list| list.into_iter().map(item).collect())
}
