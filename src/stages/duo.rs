//! `DuoStage`: enrols people in Duo, and the settings with which authentik asks Duo for a push.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Compare, Field, Fields, StageKind, Wanted};
use crate::{
    api::{
        FlowReference, SecretKey, SecretSource, StageCommon, StageStatus,
        schema::{double_option, not_blank},
    },
    authentik::{Collection, stripped},
};

/// A Duo stage. An optional field that is not set is not managed.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "authentik-operator.io",
    version = "v1alpha1",
    kind = "DuoStage",
    namespaced,
    status = "StageStatus",
    derive = "PartialEq",
    shortname = "duo",
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
pub struct DuoStageSpec {
    /// What all stages share.
    #[serde(flatten)]
    pub common: StageCommon,
    /// The client ID of the Duo application.
    #[schemars(length(max = 1024))]
    #[x_kube(validation = not_blank("clientId"))]
    pub client_id: String,
    /// Where the client secret of the Duo application is. authentik never returns it: it is sent when the
    /// Secret changes.
    pub client_secret: SecretSource,
    /// The API hostname of the Duo application, such as `api-12345678.duosecurity.com`.
    #[schemars(length(max = 1024))]
    #[x_kube(validation = not_blank("apiHostname"), validation = Rule::new("!self.contains('/')").message("apiHostname is a host name; write it without https:// and without a path"))]
    pub api_hostname: String,
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
    /// The flow through which people configure their Duo device; null: none.
    #[serde(
        default,
        deserialize_with = "double_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub configure_flow: Option<Option<FlowReference>>,
    /// What people see this factor called; null and `""`: nothing of its own.
    #[serde(
        default,
        deserialize_with = "double_option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(max = 1024))]
    pub friendly_name: Option<Option<String>>,
}

static FIELDS: [Field; 7] = [
    Field::new("client_id", "clientId", Compare::Value),
    Field::new("client_secret", "clientSecret", Compare::WriteOnly),
    Field::new("api_hostname", "apiHostname", Compare::Value),
    Field::new(
        "admin_integration_key",
        "adminIntegrationKey",
        Compare::Value,
    ),
    Field::new("admin_secret_key", "adminSecretKey", Compare::WriteOnly),
    Field::new("configure_flow", "configureFlow", Compare::Value),
    Field::new("friendly_name", "friendlyName", Compare::OptionalText),
];

impl StageKind for DuoStage {
    type Spec = DuoStageSpec;
    const COLLECTION: Collection = Collection::DUO_STAGES;
    const KIND: &'static str = "DuoStage";
    const FIELDS: &'static [Field] = &FIELDS;
    const NULLABLE: &'static [&'static str] = &["adminSecretKey", "configureFlow", "friendlyName"];

    fn common(&self) -> &StageCommon {
        &self.spec.common
    }

    fn status(&self) -> Option<&StageStatus> {
        self.status.as_ref()
    }

    fn wanted(&self) -> Vec<(&'static Field, Wanted)> {
        let spec = &self.spec;
        let admin_secret = |source: &Option<SecretSource>| {
            Wanted::Secret(source.as_ref().map(|source| source.secret_key_ref.clone()))
        };
        // In the order of FIELDS.
        let wanted = [
            Some(text(&spec.client_id)),
            Some(Wanted::Secret(Some(
                spec.client_secret.secret_key_ref.clone(),
            ))),
            Some(text(&spec.api_hostname)),
            spec.admin_integration_key.as_deref().map(text),
            spec.admin_secret_key.as_ref().map(admin_secret),
            spec.configure_flow.clone().map(Wanted::Flow),
            spec.friendly_name.clone().map(optional_text),
        ];
        FIELDS
            .iter()
            .zip(wanted)
            .filter_map(|(field, wanted)| Some((field, wanted?)))
            .collect()
    }

    fn complete(_: &mut Fields, _: &Fields) {}

    fn spec_from(name: &str, fields: &Fields) -> Self::Spec {
        let text = |field: &str| fields.get(field).and_then(Value::as_str).map(str::to_owned);
        let reference = |uuid| FlowReference {
            uuid: Some(uuid),
            slug: None,
        };
        DuoStageSpec {
            common: StageCommon {
                name: Some(name.to_owned()),
                ..StageCommon::default()
            },
            client_id: text("client_id").unwrap_or_default(),
            client_secret: SecretSource {
                secret_key_ref: SecretKey {
                    name: String::new(),
                    key: String::new(),
                },
            },
            api_hostname: text("api_hostname").unwrap_or_default(),
            admin_integration_key: text("admin_integration_key"),
            admin_secret_key: None,
            configure_flow: fields
                .contains_key("configure_flow")
                .then(|| text("configure_flow").map(reference)),
            friendly_name: fields
                .contains_key("friendly_name")
                .then(|| text("friendly_name")),
        }
    }

    fn from_spec(name: &str, spec: Self::Spec) -> Self {
        Self::new(name, spec)
    }
}

/// Text as authentik stores it: stripped.
fn text(text: impl AsRef<str>) -> Wanted {
    Wanted::Value(Value::String(stripped(text.as_ref()).to_owned()))
}

fn optional_text(text: Option<String>) -> Wanted {
    Wanted::OptionalText(
        text.map(|text| stripped(&text).to_owned())
            .filter(|text| !text.is_empty()),
    )
}
