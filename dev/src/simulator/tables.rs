//! Tables whose rows are nothing but their fields, as far as anybody here looks: brands, providers and mappings.

use super::auth::Model;
use super::events;
use super::fields::{Field, FieldKind};
use super::state::State;
use super::versions::Rules;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Which rows a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Brand,
    OAuth2Provider,
    /// What a notification or an SMS is made of.
    WebhookMapping,
    /// What a token is made of. Here only those that come with the server.
    ScopeMapping,
}

/// A row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) table: Table,
    pub(crate) id: Uuid,
    /// What the API calls it by: the id, or a number.
    pub(crate) key: Value,
    pub(crate) fields: Map<String, Value>,
    /// What keeps it as it is, for rows that come with the server.
    pub(crate) managed: Option<&'static str>,
}

impl Row {
    /// A field that holds text.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.fields
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The key as it stands in a path.
    pub(crate) fn path_key(&self) -> String {
        super::python::str_of(&self.key)
    }

    /// What the server calls it among what uses something.
    pub(crate) fn title(&self) -> String {
        match self.table {
            Table::Brand if self.fields["default"] == true => "Default brand".to_owned(),
            Table::Brand => format!("Brand {}", self.text("domain")),
            _ => self.text("name").to_owned(),
        }
    }
}

pub(crate) const BRAND: Model = Model {
    app: "authentik_brands",
    name: "brand",
};
pub(crate) const OAUTH2_PROVIDER: Model = Model {
    app: "authentik_providers_oauth2",
    name: "oauth2provider",
};
/// The model behind all kinds of providers.
const PROVIDER: Model = Model {
    app: "authentik_core",
    name: "provider",
};
pub(crate) const WEBHOOK_MAPPING: Model = Model {
    app: "authentik_events",
    name: "notificationwebhookmapping",
};
const SCOPE_MAPPING: Model = Model {
    app: "authentik_providers_oauth2",
    name: "scopemapping",
};
/// Names of mappings of all kinds are in one table.
pub(crate) const MAPPINGS: &[Table] = &[Table::WebhookMapping, Table::ScopeMapping];

/// The flows that a brand names.
const BRAND_FLOWS: [&str; 6] = [
    "flow_authentication",
    "flow_invalidation",
    "flow_recovery",
    "flow_unenrollment",
    "flow_user_settings",
    "flow_device_code",
];

impl Table {
    pub(crate) fn model(self) -> Model {
        match self {
            Self::Brand => BRAND,
            Self::OAuth2Provider => OAUTH2_PROVIDER,
            Self::WebhookMapping => WEBHOOK_MAPPING,
            Self::ScopeMapping => SCOPE_MAPPING,
        }
    }

    /// The model that a flow's `used_by/` shows, which does not tell kinds of providers apart.
    pub(crate) fn model_as_user(self) -> Model {
        match self {
            Self::OAuth2Provider => PROVIDER,
            other => other.model(),
        }
    }

    /// The name of the key in answers.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Brand => "brand_uuid",
            _ => "pk",
        }
    }

    /// The component of its form and its name for people.
    pub(crate) fn form(self) -> (&'static str, &'static str) {
        match self {
            Self::Brand => ("", "Brand"),
            Self::OAuth2Provider => ("ak-provider-oauth2-form", "OAuth2/OpenID Provider"),
            Self::WebhookMapping => ("ak-property-mapping-notification-form", "Webhook Mapping"),
            Self::ScopeMapping => ("ak-property-mapping-provider-scope-form", "Scope Mapping"),
        }
    }

    pub(crate) fn fields(self, rules: &Rules) -> Vec<Field> {
        match self {
            Self::Brand => brand_fields(),
            Self::OAuth2Provider => provider_fields(rules),
            Self::WebhookMapping | Self::ScopeMapping => mapping_fields(),
        }
    }

    /// What becomes of a row when the flow is deleted that this field of it names.
    pub(crate) fn on_delete(field: &str) -> &'static str {
        match field {
            "authorization_flow" => "cascade",
            "invalidation_flow" => "set_default",
            _ => "set_null",
        }
    }
}

const TEXT: FieldKind = FieldKind::Text { blank: false };

fn flow(name: &'static str) -> Field {
    Field::new(name, FieldKind::Flow, Value::Null).nullable(true)
}

fn brand_fields() -> Vec<Field> {
    let domain = FieldKind::Unique {
        among: &[Table::Brand],
        taken: "This field must be unique.",
    };
    let mut fields = vec![
        Field::new("domain", domain, Value::Null).required(),
        Field::new("default", FieldKind::Boolean, json!(false)),
        Field::new("branding_title", TEXT, json!("authentik")),
    ];
    fields.extend(BRAND_FLOWS.map(flow));
    fields
}

fn provider_fields(rules: &Rules) -> Vec<Field> {
    let name = FieldKind::Unique {
        among: &[Table::OAuth2Provider],
        taken: "provider with this name already exists.",
    };
    let required = |name| Field::new(name, FieldKind::Flow, Value::Null).required();
    let client = FieldKind::Choice(&["confidential", "public"]);
    let mut fields = vec![
        Field::new("name", name, Value::Null).required(),
        flow("authentication_flow"),
        required("authorization_flow"),
        Field::new("client_type", client, json!("confidential")),
    ];
    if rules.provider_invalidation_flow {
        fields.push(required("invalidation_flow"));
    }
    fields
}

fn mapping_fields() -> Vec<Field> {
    let name = FieldKind::Unique {
        among: MAPPINGS,
        taken: "Property Mapping with this name already exists.",
    };
    vec![
        Field::new("name", name, Value::Null).required(),
        Field::new("expression", TEXT, Value::Null).required(),
    ]
}

impl State {
    /// Adds a row; fields that are not given get their defaults.
    pub(crate) fn add_row(&mut self, table: Table, values: Map<String, Value>) -> Uuid {
        let fields = super::serializer::with_defaults(&table.fields(&self.rules), values);
        let id = Uuid::new_v4();
        let key = match table {
            Table::OAuth2Provider => json!(self.tick()),
            _ => json!(id),
        };
        let row = Row {
            table,
            id,
            key,
            fields,
            managed: None,
        };
        self.note("model_created", events::row(&row), Map::new());
        self.rows.insert(id, row);
        id
    }

    /// Changes a row's fields.
    pub(crate) fn change_row(&mut self, id: Uuid, values: Map<String, Value>) {
        if let Some(row) = self.rows.get_mut(&id) {
            let diff = events::changes(&row.fields, &values);
            row.fields.extend(values);
            let model = events::row(row);
            self.note("model_updated", model, diff);
        }
    }

    /// Whether a table has a row.
    pub(crate) fn has_row(&self, table: Table, id: Uuid) -> bool {
        self.rows.get(&id).is_some_and(|row| row.table == table)
    }

    /// The rows of some tables.
    pub(crate) fn rows_of(&self, tables: &[Table]) -> impl Iterator<Item = &Row> {
        let rows = self.rows.values();
        rows.filter(|row| tables.contains(&row.table))
    }

    /// Removes a row, and what stages say of it.
    pub(crate) fn remove_row(&mut self, id: Uuid) {
        if let Some(row) = self.rows.remove(&id) {
            self.note("model_deleted", events::row(&row), Map::new());
        }
        self.unset(&json!(id));
    }

    /// Takes a flow that is gone out of the rows that name it, or these with it.
    pub(crate) fn forget_flow(&mut self, key: &Value) {
        let names = |field: &str, row: &Row| row.fields.get(field) == Some(key);
        self.rows.retain(|_, row| {
            let mut fields = row.fields.keys();
            !fields.any(|field| Table::on_delete(field) == "cascade" && names(field, row))
        });
        for row in self.rows.values_mut() {
            for value in row.fields.values_mut().filter(|value| *value == key) {
                *value = Value::Null;
            }
        }
    }
}
