//! `AuthenticatorEmailStage`: enrols e-mail addresses, which get codes by mail. authentik 2025.2 on.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    kind::{FieldRow, Kind, field},
    stage::{self, Setup, stage},
    usage::{Devices, Usage},
    words::{duration_form},
};
use crate::{
    api::{
        SecretSource, StageCommon, Status,
        schema::{double_option, not_blank},
    },
    authentik::{Collection, Definition, versions::Since},
};

/// A stage through which people enrol their e-mail address (authentik 2025.2 on). A field that is not set is not managed.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "authentik-operator.io",
    version = "v1alpha1",
    kind = "AuthenticatorEmailStage",
    namespaced,
    status = "Status",
    derive = "PartialEq",
    shortname = "emailotp",
    category = "authentik"
)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticatorEmailStageSpec {
    /// What all stages share.
    #[serde(flatten)]
    pub common: StageCommon,
    /// What all set-up stages share.
    #[serde(flatten)]
    pub setup: Setup,
    /// True: mail is sent with the settings of the whole authentik, and those of this stage count for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_global_settings: Option<bool>,
    /// The mail server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = not_blank("host"))]
    pub host: Option<String>,
    /// The mail server's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65535))]
    pub port: Option<i32>,
    /// The user at the mail server; `""`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub username: Option<String>,
    /// Where the user's password is; null: none.
    #[serde(
        default,
        deserialize_with = "double_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub password: Option<Option<SecretSource>>,
    /// Whether the connection to the mail server becomes encrypted (STARTTLS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_tls: Option<bool>,
    /// Whether the connection to the mail server is encrypted from its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_ssl: Option<bool>,
    /// How long the mail server may take, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub timeout: Option<i32>,
    /// The address that mail comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 254))]
    #[x_kube(validation = not_blank("fromAddress"))]
    pub from_address: Option<String>,
    /// The subject of the mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = not_blank("subject"))]
    pub subject: Option<String>,
    /// How long a code is good for: an authentik duration such as `minutes=30`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = duration_form("tokenExpiry", "minutes=30"))]
    pub token_expiry: Option<String>,
    /// The template of the mail, such as `email/email_otp.html`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = not_blank("template"))]
    pub template: Option<String>,
}

const COLLECTION: Collection = Collection::of(&Definition::new(
    "stages/authenticator/email",
    ("authentik_stages_authenticator_email", "authenticatoremailstage"),
));

impl Kind for AuthenticatorEmailStage {
    stage!(AuthenticatorEmailStage, "e-mail stage", COLLECTION);
    const TERRAFORM: &'static str = "authentik_stage_authenticator_email";
    const USAGE: Usage = stage::usage(Some(Devices {
        model: ("authentik_stages_authenticator_email", "emaildevice"),
        noun: "e-mail device",
    }));
    const SINCE: Option<Since> = Some(Since::Release(2025, 2));
    const FIELDS: &'static [FieldRow<Self>] = &[
        field!(configure_flow in setup: flow),
        field!(friendly_name in setup: optional_text).absent(stage::no_friendly_name),
        field!(use_global_settings: value),
        field!(host: text),
        field!(port: value),
        field!(username: text),
        field!(password: secret),
        field!(use_tls: value),
        field!(use_ssl: value),
        field!(timeout: value),
        field!(from_address: text),
        field!(subject: text),
        field!(token_expiry: duration),
        field!(template: text),
    ];
}
