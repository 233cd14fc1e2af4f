//! `AuthenticatorSMSStage`: enrols telephones, which get codes as messages.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    kind::{FieldRow, Kind, field},
    stage::{self, Setup, stage},
    usage::{Devices, Usage},
};
use crate::{
    api::{
        MappingReference, SecretSource, StageCommon, Status,
        schema::{double_option, not_blank},
    },
    authentik::{Collection, Definition},
};

/// Through whom messages are sent. `generic`: a web service of your own.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SmsProvider {
    /// Twilio.
    #[default]
    Twilio,
    /// A web service of your own.
    Generic,
}

/// How a generic provider is told who sends. `basic`: user name and password. `bearer`: a token.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SmsAuthType {
    /// User name and password.
    Basic,
    /// A token.
    Bearer,
}

/// A stage through which people enrol a telephone. An optional field that is not set is not managed.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "authentik-operator.io",
    version = "v1alpha1",
    kind = "AuthenticatorSMSStage",
    namespaced,
    status = "Status",
    derive = "PartialEq",
    shortname = "sms",
    category = "authentik"
)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticatorSMSStageSpec {
    /// What all stages share.
    #[serde(flatten)]
    pub common: StageCommon,
    /// What all set-up stages share.
    #[serde(flatten)]
    pub setup: Setup,
    /// Through whom messages are sent.
    pub provider: SmsProvider,
    /// The number, or the name, that messages come from.
    #[schemars(length(max = 1024))]
    #[x_kube(validation = not_blank("fromNumber"))]
    pub from_number: String,
    /// The account's SID at Twilio; with a generic provider, the URL that messages are posted to.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = not_blank("accountSid"))]
    pub account_sid: String,
    /// Where the secret of the account is: Twilio's auth token; with a generic provider, the user name or the bearer token.
    pub auth: SecretSource,
    /// Where the password is of a generic provider with basic authentication; null: none.
    #[serde(
        default,
        deserialize_with = "double_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub auth_password: Option<Option<SecretSource>>,
    /// How a generic provider is told who sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_type: Option<SmsAuthType>,
    /// True: the number is only verified, and kept as a hash; it can't be used for codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_only: Option<bool>,
    /// The webhook mapping that makes the message for a generic provider; null: none.
    #[serde(
        default,
        deserialize_with = "double_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub mapping: Option<Option<MappingReference>>,
}

const COLLECTION: Collection = Collection::of(&Definition::new(
    "stages/authenticator/sms",
    ("authentik_stages_authenticator_sms", "authenticatorsmsstage"),
));

impl Kind for AuthenticatorSMSStage {
    stage!(AuthenticatorSMSStage, "SMS stage", COLLECTION);
    const TERRAFORM: &'static str = "authentik_stage_authenticator_sms";
    const USAGE: Usage = stage::usage(Some(Devices {
        model: ("authentik_stages_authenticator_sms", "smsdevice"),
        noun: "SMS device",
    }));
    const FIELDS: &'static [FieldRow<Self>] = &[
        field!(configure_flow in setup: flow),
        field!(friendly_name in setup: optional_text).absent(stage::no_friendly_name),
        field!(provider: required),
        field!(from_number: required_text),
        field!(account_sid: required_text),
        field!(auth: secret),
        field!(auth_password: secret),
        field!(auth_type: value),
        field!(verify_only: value),
        field!(mapping: mapping),
    ];
}
