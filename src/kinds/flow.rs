//! `Flow`: what a log-in, an enrolment or another way through authentik consists of. Stages are bound to it.

use kube::{CustomResource, KubeSchema, Resource, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    field::{Compare, Field},
    kind::{FieldRow, Kind, field},
    usage::{Bound, Usage, Users},
    values,
};
use crate::{
    api::{
        Common, FlowStatus, PolicyEngineMode, Status,
        schema::{no_control_characters, not_blank},
    },
    authentik::{
        Collection,
        versions::{Since, ValueSince},
    },
};

/// What a flow is for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Designation {
    #[default]
    Authentication,
    Authorization,
    Invalidation,
    Enrollment,
    Unenrollment,
    Recovery,
    StageConfiguration,
}

/// Who may begin a flow.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum FlowAuthentication {
    None,
    RequireAuthenticated,
    RequireUnauthenticated,
    RequireSuperuser,
    RequireRedirect,
    RequireOutpost,
}

/// How a flow is laid out on the page.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum FlowLayout {
    Stacked,
    ContentLeft,
    ContentRight,
    SidebarLeft,
    SidebarRight,
    SidebarLeftFrameBackground,
    SidebarRightFrameBackground,
}

/// What happens to people whom a flow's policies deny.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum DeniedAction {
    MessageContinue,
    Message,
    Continue,
}

fn slug_form() -> Rule {
    Rule::new("self.matches('^[-a-zA-Z0-9_]+$')").message(
        "slug is not a flow's slug; write letters, digits, - and _ only",
    )
}

/// The names of resources may be longer than slugs and have dots, which authentik refuses in words that say nothing of names.
fn name_is_a_slug() -> Rule {
    Rule::new(
        "has(self.spec.slug) || !self.metadata.name.contains('.') && size(self.metadata.name) <= 50",
    )
    .message(
        "the name of this resource is not a flow's slug; set spec.slug to one: letters, digits, - and _ only, 50 at most",
    )
}

/// A flow. An optional field that is not set is not managed.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "authentik-operator.io",
    version = "v1alpha1",
    kind = "Flow",
    namespaced,
    status = "FlowStatus",
    derive = "PartialEq",
    shortname = "akflow",
    category = "authentik",
    validation = name_is_a_slug()
)]
#[serde(rename_all = "camelCase")]
pub struct FlowSpec {
    /// What all kinds share.
    #[serde(flatten)]
    pub common: Common,
    /// The flow's slug, which is part of its address and unique among flows. Omitted: the name of this resource, which then has
    /// to be without dots and not longer than 50 characters. Changing it moves the flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 50))]
    #[x_kube(validation = slug_form())]
    pub slug: Option<String>,
    /// The flow's name, which administrators see. Omitted: the name of this resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = not_blank("name"), validation = no_control_characters("name"))]
    pub name: Option<String>,
    /// The flow's title, which people see on its page.
    #[schemars(length(max = 1024))]
    #[x_kube(validation = not_blank("title"))]
    pub title: String,
    /// What the flow is for.
    pub designation: Designation,
    /// Who may begin the flow. `require_redirect` (authentik 2024.12 on): who was sent to it by another flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<FlowAuthentication>,
    /// How the flow is laid out on the page. The two with a frame background: authentik 2026.2 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<FlowLayout>,
    /// What happens to people whom the flow's policies deny. `message_continue`: they go on where they were to go next, if that
    /// is known, else they read why. `message`: they read why. `continue`: they go on where they were to go next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied_action: Option<DeniedAction>,
    /// How many of the flow's policies have to pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_engine_mode: Option<PolicyEngineMode>,
    /// Whether the page helps password managers that don't understand it, at the price of other things.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compatibility_mode: Option<bool>,
    /// The picture behind the flow's page: a file of authentik, or a URL; `""`: that of the brand. Older releases of authentik
    /// take it as an upload only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub background: Option<String>,
}

static SLUG: Field = Field::new("slug", "slug", Compare::Value);

/// The row of the name: authentik wants one of every flow.
const NAME: FieldRow<Flow> = FieldRow {
    field: Field::new("name", "name", Compare::Value),
    wanted: |flow| {
        let name = flow.spec.name.as_ref().or(flow.meta().name.as_ref());
        values::required_text::wanted(name.map_or("", String::as_str))
    },
    read: |found, spec: &mut FlowSpec| values::text::read(found, &mut spec.name),
    #[cfg(test)]
    any: super::samples::text,
};

impl Kind for Flow {
    type Spec = FlowSpec;
    const KIND: &'static str = "Flow";
    const TITLE: &'static str = "flow";
    const NOUN: &'static str = "flow";
    const COLLECTION: Collection = Collection::FLOWS;
    const NAMES: Collection = Collection::FLOWS;
    const LABEL: &'static Field = &SLUG;
    const TERRAFORM: &'static str = "authentik_flow";
    const FIELDS: &'static [FieldRow<Self>] = &[
        NAME,
        field!(title: required_text),
        field!(designation: required),
        field!(authentication: value).values_since(&[ValueSince {
            value: "require_redirect",
            since: Since::Release(2024, 12),
        }]),
        field!(layout: value).values_since(&[
            ValueSince {
                value: "sidebar_left_frame_background",
                since: Since::Release(2026, 2),
            },
            ValueSince {
                value: "sidebar_right_frame_background",
                since: Since::Release(2026, 2),
            },
        ]),
        field!(denied_action: value),
        field!(policy_engine_mode: value),
        field!(compatibility_mode: value),
        field!(background: text),
    ];
    /// The stages that are bound to it, and their bindings, are looked at by themselves, as are brands and providers; its own
    /// policies are parts of it. Brands and providers are looked through, for `used_by/` shows them only to a token that may see
    /// them, and a brand without its log-in lets nobody in.
    const USAGE: Usage = Usage {
        bound: Bound::Flow,
        no_users: &[
            ("authentik_flows", "stage"),
            ("authentik_flows", "flowstagebinding"),
            ("authentik_policies", "policybinding"),
            ("authentik_brands", "brand"),
            ("authentik_core", "provider"),
        ],
        users: &[
            Users {
                collection: Collection::BRANDS,
                fields: &[
                    "flow_authentication",
                    "flow_invalidation",
                    "flow_recovery",
                    "flow_unenrollment",
                    "flow_user_settings",
                    "flow_device_code",
                ],
                filter: None,
                noun: "brand",
            },
            Users {
                collection: Collection::PROVIDERS,
                fields: &[
                    "authentication_flow",
                    "authorization_flow",
                    "invalidation_flow",
                ],
                filter: None,
                noun: "provider",
            },
        ],
        devices: None,
    };

    fn common(&self) -> &Common {
        &self.spec.common
    }

    fn status(&self) -> Option<&Status> {
        self.status.as_ref().map(|status| &status.0)
    }

    fn status_json(status: &Status) -> Value {
        json!(FlowStatus(status.clone()))
    }

    fn from_spec(name: &str, spec: Self::Spec) -> Self {
        Self::new(name, spec)
    }

    fn labelled(label: &str) -> Self::Spec {
        FlowSpec {
            slug: Some(label.to_owned()),
            ..FlowSpec::default()
        }
    }

    fn own_label(&self) -> Option<&str> {
        self.spec.slug.as_deref()
    }
}
