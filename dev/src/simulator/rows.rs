//! What the API answers about tables of rows.

use super::auth::{self, Model};
use super::field_filters;
use super::filters;
use super::http::{self, Reply, Request};
use super::pagination;
use super::python;
use super::serializer::{self, Mode};
use super::stages;
use super::state::State;
use super::tables::{self, Row, Table};
use super::used_by;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// One collection of the API.
pub(crate) struct View {
    model: Model,
    /// The model's class, as 404s name it.
    class: &'static str,
    tables: &'static [Table],
    /// Whether it shows objects of several models, so that none can be added.
    is_of_all: bool,
}

/// `core/brands/`.
pub(crate) const BRANDS: View = View {
    model: tables::BRAND,
    class: "Brand",
    tables: &[Table::Brand],
    is_of_all: false,
};

/// `providers/oauth2/`.
pub(crate) const OAUTH2_PROVIDERS: View = View {
    model: tables::OAUTH2_PROVIDER,
    class: "OAuth2Provider",
    tables: &[Table::OAuth2Provider],
    is_of_all: false,
};

/// `providers/all/`.
pub(crate) const PROVIDERS: View = View {
    model: Model {
        app: "authentik_core",
        name: "provider",
    },
    class: "Provider",
    tables: &[Table::OAuth2Provider],
    is_of_all: true,
};

/// `propertymappings/notification/`.
pub(crate) const WEBHOOK_MAPPINGS: View = View {
    model: tables::WEBHOOK_MAPPING,
    class: "NotificationWebhookMapping",
    tables: &[Table::WebhookMapping],
    is_of_all: false,
};

/// `propertymappings/all/`.
pub(crate) const MAPPINGS: View = View {
    model: Model {
        app: "authentik_core",
        name: "propertymapping",
    },
    class: "PropertyMapping",
    tables: tables::MAPPINGS,
    is_of_all: true,
};

impl View {
    /// The table that rows can be added to, if there is just one.
    fn table(&self) -> Option<Table> {
        match self.tables {
            [table] if !self.is_of_all => Some(*table),
            _ => None,
        }
    }

    fn is_of_mappings(&self) -> bool {
        self.tables.len() > 1
    }

    fn render(&self, row: &Row) -> Value {
        let mut body = json!({ row.table.key(): row.key });
        for (name, value) in &row.fields {
            body[name] = value.clone();
        }
        if self.is_of_mappings() || row.table == Table::OAuth2Provider {
            let (component, verbose_name) = row.table.form();
            let model = row.table.model();
            body["component"] = json!(component);
            body["verbose_name"] = json!(verbose_name);
            body["verbose_name_plural"] = json!(format!("{verbose_name}s"));
            body["meta_model_name"] = json!(format!("{}.{}", model.app, model.name));
        }
        if self.is_of_mappings() {
            body["managed"] = json!(row.managed);
        }
        body
    }
}

/// Answers a request below a collection.
pub(crate) fn answer(
    state: &mut State,
    request: &Request,
    view: &View,
    rest: &[&str],
) -> Result<Reply, Reply> {
    match rest {
        [] => collection(state, request, view),
        [key] => item(state, request, view, key),
        [key, "used_by"] => used_by(state, request, view, key),
        _ => Err(Reply::no_such_path(request)),
    }
}

fn collection(state: &mut State, request: &Request, view: &View) -> Result<Reply, Reply> {
    auth::list(state, request, view.model)?;
    match (request.method.as_str(), view.table()) {
        ("GET" | "HEAD", _) => list(state, request, view),
        ("POST", Some(table)) => {
            let values = validated(state, request, table, None)?;
            let id = state.add_row(table, values);
            Ok(Reply::json(201, view.render(&state.rows[&id])))
        }
        _ => Err(Reply::method_not_allowed(request)),
    }
}

fn item(state: &mut State, request: &Request, view: &View, key: &str) -> Result<Reply, Reply> {
    let id = find(state, request, view, key)?;
    match (request.method.as_str(), view.table()) {
        ("GET" | "HEAD", _) => Ok(Reply::ok(view.render(&state.rows[&id]))),
        ("DELETE", _) => {
            state.remove_row(id);
            Ok(Reply::empty(204))
        }
        ("PUT" | "PATCH", Some(table)) => {
            let values = validated(state, request, table, Some(id))?;
            state.change_row(id, values);
            Ok(Reply::ok(view.render(&state.rows[&id])))
        }
        _ => Err(Reply::method_not_allowed(request)),
    }
}

fn used_by(state: &State, request: &Request, view: &View, key: &str) -> Result<Reply, Reply> {
    let id = find(state, request, view, key)?;
    let user = auth::signed_in(state, request)?;
    Ok(Reply::ok(used_by::row(state, &state.rows[&id], &user)))
}

fn find(state: &State, request: &Request, view: &View, key: &str) -> Result<Uuid, Reply> {
    let user = auth::objects(state, request, view.model)?;
    let id = python::uuid(key).map(|id| id.to_string());
    let numbered = key.parse::<u64>().is_ok();
    let missing = || stages::missing(state, view.class, id.is_some() || numbered);
    let key = id.as_deref().unwrap_or(key);
    let mut rows = state.rows_of(view.tables);
    let row = rows.find(|row| row.path_key() == key).ok_or_else(missing)?;
    auth::object(state, request, &user, view.model, key)
        .map_err(|refused| refused.unwrap_or_else(missing))?;
    Ok(row.id)
}

fn validated(
    state: &State,
    request: &Request,
    table: Table,
    instance: Option<Uuid>,
) -> Result<Map<String, Value>, Reply> {
    let body = http::data(&state.rules, request)?;
    let mode = Mode {
        instance,
        partial: request.method == "PATCH",
    };
    let values = serializer::run(state, &table.fields(&state.rules), &body, mode)
        .map_err(|refused| refused.reply(request))?;
    let is_other_default = |row: &Row| Some(row.id) != instance && row.fields["default"] == true;
    if values.get("default") == Some(&json!(true))
        && state.rows_of(&[Table::Brand]).any(is_other_default)
    {
        let message = "Only a single brand can be set as default.";
        return Err(Reply::field_error("default", message));
    }
    Ok(values)
}

fn list(state: &State, request: &Request, view: &View) -> Result<Reply, Reply> {
    let mut rows: Vec<&Row> = state.rows_of(view.tables).collect();
    rows.sort_by_key(|row| (row.text("domain"), row.text("name")));
    for field in view.tables[0].fields(&state.rules) {
        field_filters::keep(state, request, &field, &mut rows, |row| {
            &row.fields[field.name]
        })?;
    }
    if view.is_of_mappings() {
        filter_managed(request, &mut rows)?;
    }
    let terms = filters::search_terms(&state.rules, request)?;
    rows.retain(|row| {
        let texts = ["name", "domain", "branding_title"].map(|field| row.text(field));
        filters::matches(&terms, &texts)
    });
    filters::order(request, &mut rows, |row, key| row.fields.get(key).cloned());
    pagination::page(&state.rules, request, &rows, |row| view.render(row))
}

/// Only values that some row has can be asked for.
fn filter_managed(request: &Request, rows: &mut Vec<&Row>) -> Result<(), Reply> {
    let known: Vec<&str> = rows.iter().filter_map(|row| row.managed).collect();
    let mut wanted = Vec::new();
    for value in request.params("managed").filter(|value| !value.is_empty()) {
        if !known.contains(&value) {
            return Err(filters::not_available("managed", value));
        }
        wanted.push(value);
    }
    rows.retain(|row| wanted.is_empty() || row.managed.is_some_and(|it| wanted.contains(&it)));
    if let Some(none) = filters::boolean(request, "managed__isnull") {
        rows.retain(|row| row.managed.is_none() == none);
    }
    Ok(())
}
