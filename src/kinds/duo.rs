//! `DuoStage`: enrols people in Duo, and the settings with which authentik asks Duo for a push.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    kind::{FieldRow, Kind, field},
    stage::{self, Setup, stage},
    usage::{Devices, Usage},
};
use crate::{
    api::{
        SecretSource, StageCommon, Status,
        schema::{double_option, not_blank, one_of},
    },
    authentik::{Collection, Definition},
};

/// A Duo stage. An optional field that is not set is not managed.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "authentik-operator.io",
    version = "v1alpha1",
    kind = "DuoStage",
    namespaced,
    status = "Status",
    derive = "PartialEq",
    shortname = "duo",
    category = "authentik"
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = one_of("clientId", "clientIdFrom"), validation = one_of("apiHostname", "apiHostnameFrom"))]
pub struct DuoStageSpec {
    /// What all stages share.
    #[serde(flatten)]
    pub common: StageCommon,
    /// The client ID of the Duo application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = not_blank("clientId"))]
    pub client_id: Option<String>,
    /// Where the client ID is, in place of `clientId`: Duo gives it together with the client secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id_from: Option<SecretSource>,
    /// Where the client secret of the Duo application is. authentik never returns it: it is sent when the
    /// Secret changes.
    pub client_secret: SecretSource,
    /// The API hostname of the Duo application, such as `api-12345678.duosecurity.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = not_blank("apiHostname"), validation = Rule::new("!self.contains('/')").message("apiHostname is a host name; write it without https:// and without a path"))]
    pub api_hostname: Option<String>,
    /// Where the API hostname is, in place of `apiHostname`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_hostname_from: Option<SecretSource>,
    /// The integration key of Duo's Admin API; `""`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub admin_integration_key: Option<String>,
    /// Where the secret key of Duo's Admin API is; null: none.
    #[serde(
        default,
        deserialize_with = "double_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub admin_secret_key: Option<Option<SecretSource>>,
    /// What all set-up stages share.
    #[serde(flatten)]
    pub setup: Setup,
}

const COLLECTION: Collection = Collection::of(&Definition::new(
    "stages/authenticator/duo",
    (
        "authentik_stages_authenticator_duo",
        "authenticatorduostage",
    ),
));

impl Kind for DuoStage {
    stage!(DuoStage, "Duo stage", COLLECTION);
    const TERRAFORM: &'static str = "authentik_stage_authenticator_duo";
    const USAGE: Usage = stage::usage(Some(Devices {
        model: ("authentik_stages_authenticator_duo", "duodevice"),
        noun: "Duo device",
    }));
    const FIELDS: &'static [FieldRow<Self>] = &[
        field!(client_id or client_id_from: text_or_secret),
        field!(client_secret: write_only),
        field!(api_hostname or api_hostname_from: text_or_secret),
        field!(admin_integration_key: text),
        field!(admin_secret_key: write_only).told_by("admin_integration_key"),
        field!(configure_flow in setup: flow),
        field!(friendly_name in setup: optional_text).absent(stage::no_friendly_name),
    ];

    fn contradiction(spec: &Self::Spec) -> Option<(&'static str, &'static str)> {
        let is_one = |text: &Option<String>, from: &Option<SecretSource>| {
            text.is_some() != from.is_some()
        };
        if !is_one(&spec.client_id, &spec.client_id_from) {
            return Some(("clientId", "it is needed, here or in a Secret"));
        }
        let is_host = is_one(&spec.api_hostname, &spec.api_hostname_from);
        (!is_host).then_some(("apiHostname", "it is needed, here or in a Secret"))
    }
}
