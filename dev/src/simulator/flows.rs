//! Flows.

use super::accounts::User;
use super::auth::{self, Model};
use super::events;
use super::fields::{Context, Field, FieldKind, Invalid};
use super::filters;
use super::http::{self, Reply, Request};
use super::pagination;
use super::serializer::{self, Mode, Refused};
use super::stages;
use super::state::{Flow, State};
use super::texts;
use super::used_by;
use super::versions::Rules;
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) const MODEL: Model = Model {
    app: "authentik_flows",
    name: "flow",
};

const DESIGNATIONS: &[&str] = &[
    "authentication",
    "authorization",
    "invalidation",
    "enrollment",
    "unenrollment",
    "recovery",
    "stage_configuration",
];
const BACKGROUND: &str = "/static/dist/assets/images/flow_background.jpg";

/// The fields of a flow.
pub(crate) fn fields(rules: &Rules) -> Vec<Field> {
    let text = FieldKind::Text { blank: false };
    let denied = FieldKind::Choice(&["message_continue", "message", "continue"]);
    let mode = FieldKind::Choice(&["all", "any"]);
    let authentication = authentication(rules);
    let mut fields = vec![
        Field::new("name", text.clone(), Value::Null).required(),
        Field::new("slug", FieldKind::Slug, Value::Null).required(),
        Field::new("title", text, Value::Null).required(),
        Field::new("designation", FieldKind::Choice(DESIGNATIONS), Value::Null).required(),
        Field::new("policy_engine_mode", mode, json!("any")),
        Field::new("compatibility_mode", FieldKind::Boolean, json!(false)),
        Field::new("layout", layout(rules), json!("stacked")),
        Field::new("denied_action", denied, json!("message_continue")),
        Field::new("authentication", authentication, json!("none")),
    ];
    if rules.background_url {
        fields.push(Field::new("background", FieldKind::File, json!("")));
    }
    fields
}

fn layout(rules: &Rules) -> FieldKind {
    const ALL: &[&str] = &[
        "stacked",
        "content_left",
        "content_right",
        "sidebar_left",
        "sidebar_right",
        "sidebar_left_frame_background",
        "sidebar_right_frame_background",
    ];
    const FRAMED: usize = 2;
    FieldKind::Choice(if rules.framed_layouts {
        ALL
    } else {
        &ALL[..ALL.len() - FRAMED]
    })
}

fn authentication(rules: &Rules) -> FieldKind {
    const ALL: &[&str] = &[
        "none",
        "require_authenticated",
        "require_unauthenticated",
        "require_superuser",
        "require_outpost",
        "require_redirect",
    ];
    FieldKind::Choice(if rules.require_redirect {
        ALL
    } else {
        &ALL[..ALL.len() - 1]
    })
}

/// Checks the flows that are sent inside a stage.
pub(crate) fn check_flow_set(value: &Value, context: &Context<'_>) -> Result<Value, Invalid> {
    let Value::Array(items) = value else {
        let kind = super::python::type_name(value);
        let message = format!("Expected a list of items but got type \"{kind}\".");
        return Err(Invalid::Messages(json!({ "non_field_errors": [message] })));
    };
    let mode = Mode {
        instance: None,
        partial: false,
    };
    let fields = fields(&context.state.rules);
    let mut errors = Vec::new();
    for item in items {
        match serializer::run(context.state, &fields, item, mode) {
            Ok(_) => errors.push(json!({})),
            Err(Refused::Errors(found)) => errors.push(Value::Object(found)),
            Err(Refused::Crash) => return Err(Invalid::Crash),
        }
    }
    if errors.iter().all(|error| *error == json!({})) {
        Ok(value.clone())
    } else {
        Err(Invalid::Messages(errors.into()))
    }
}

/// The flows that a stage is bound to, once for each binding.
pub(crate) fn flow_set(state: &State, stage: Uuid) -> Value {
    let bindings = state.bindings_of(stage);
    let mut flows: Vec<&Flow> = bindings
        .iter()
        .filter_map(|binding| state.flows.get(&binding.target))
        .collect();
    flows.sort_by_key(|flow| flow.touched);
    flows
        .into_iter()
        .map(|flow| render_in_set(state, flow))
        .collect()
}

/// Fields of a flow that a stage does not show.
const NOT_IN_SETS: [&str; 2] = ["authentication", "background"];

fn render_in_set(state: &State, flow: &Flow) -> Value {
    let mut body = json!({
        "pk": flow.pk,
        "policybindingmodel_ptr_id": flow.base,
        "export_url": format!("/api/v3/flows/instances/{}/export/", flow.text("slug")),
    });
    let fields = fields(&state.rules);
    for field in fields.iter().filter(|f| !NOT_IN_SETS.contains(&f.name)) {
        body[field.name] = flow.fields[field.name].clone();
    }
    let background = if state.rules.background_url {
        "background_url"
    } else {
        "background"
    };
    body[background] = json!(background_url(flow));
    body
}

/// Where a flow's background is. An uploaded file is behind a token, of which nobody here reads more than that.
fn background_url(flow: &Flow) -> String {
    match flow.text("background") {
        "" => BACKGROUND.to_owned(),
        name if texts::is_elsewhere(name) => name.to_owned(),
        name => format!(
            "/files/media/public/{name}?token={0}.{0}.{0}",
            flow.base.simple()
        ),
    }
}

fn render(state: &State, flow: &Flow) -> Value {
    let mut body = render_in_set(state, flow);
    if state.rules.background_url {
        body["background"] = flow.fields["background"].clone();
        body["background_themed_urls"] = Value::Null;
    }
    let mut bindings: Vec<_> = state
        .bindings
        .values()
        .filter(|binding| binding.target == flow.pk)
        .collect();
    bindings.sort_by_key(|binding| {
        (
            state.stages.get(&binding.stage).map(|stage| stage.touched),
            binding.touched,
        )
    });
    body["stages"] = bindings
        .iter()
        .map(|binding| json!(binding.stage))
        .collect();
    body["policies"] = json!(flow.policies);
    body["cache_count"] = json!(0);
    body["authentication"] = flow.fields["authentication"].clone();
    body
}

/// `flows/instances/`.
pub(crate) fn collection(state: &mut State, request: &Request) -> Result<Reply, Reply> {
    let user = auth::list(state, request, MODEL)?;
    match request.method.as_str() {
        "OPTIONS" => {
            let may = state.accounts.has(&user, &MODEL.permission("add"));
            Ok(stages::options("Flow", "List", may.then_some("POST")))
        }
        "GET" | "HEAD" => list(state, request),
        "POST" => {
            let body = http::data(&state.rules, request)?;
            let mode = Mode {
                instance: None,
                partial: false,
            };
            let values = serializer::run(state, &fields(&state.rules), &body, mode);
            let pk = state.add_flow(values.map_err(|refused| refused.reply(request))?);
            Ok(Reply::json(201, render(state, &state.flows[&pk])))
        }
        _ => Err(Reply::method_not_allowed(request)),
    }
}

/// `flows/instances/{slug}/`. Flows are found by slug only.
pub(crate) fn item(state: &mut State, request: &Request, slug: &str) -> Result<Reply, Reply> {
    let user = auth::objects(state, request, MODEL)?;
    let pk = find(state, request, slug, &user)?;
    match request.method.as_str() {
        "OPTIONS" => {
            let change = MODEL.permission("change");
            let may = state.accounts.has_on(&user, &change, &pk.to_string());
            Ok(stages::options("Flow", "Instance", may.then_some("PUT")))
        }
        "GET" | "HEAD" => Ok(Reply::ok(render(state, &state.flows[&pk]))),
        "DELETE" => {
            state.remove_flow(pk);
            Ok(Reply::empty(204))
        }
        "PUT" | "PATCH" => change(state, request, pk),
        _ => Err(Reply::method_not_allowed(request)),
    }
}

fn change(state: &mut State, request: &Request, pk: Uuid) -> Result<Reply, Reply> {
    let body = http::data(&state.rules, request)?;
    let mode = Mode {
        instance: Some(pk),
        partial: request.method == "PATCH",
    };
    let values = serializer::run(state, &fields(&state.rules), &body, mode)
        .map_err(|refused| refused.reply(request))?;
    let touched = state.tick();
    if let Some(flow) = state.flows.get_mut(&pk) {
        state.slugs.remove(flow.text("slug"));
        let diff = events::changes(&flow.fields, &values);
        flow.fields.extend(values);
        flow.touched = touched;
        state.slugs.insert(flow.text("slug").to_owned(), pk);
        let model = events::flow(flow);
        state.note("model_updated", model, diff);
    }
    Ok(Reply::ok(render(state, &state.flows[&pk])))
}

/// `flows/instances/{slug}/used_by/`.
pub(crate) fn used_by(state: &State, request: &Request, slug: &str) -> Result<Reply, Reply> {
    let user = auth::objects(state, request, MODEL)?;
    let pk = find(state, request, slug, &user)?;
    Ok(Reply::ok(used_by::flow(state, &state.flows[&pk], &user)))
}

fn find(state: &State, request: &Request, slug: &str, user: &User) -> Result<Uuid, Reply> {
    let missing = || stages::missing(state, "Flow", true);
    let pk = *state.slugs.get(slug).ok_or_else(missing)?;
    auth::object(state, request, user, MODEL, &pk.to_string())
        .map_err(|refused| refused.unwrap_or_else(missing))?;
    Ok(pk)
}

fn list(state: &State, request: &Request) -> Result<Reply, Reply> {
    let mut rows: Vec<&Flow> = state
        .slugs
        .values()
        .filter_map(|pk| state.flows.get(pk))
        .collect();
    for field in ["slug", "name"] {
        if let Some(value) = filters::text(request, field)? {
            rows.retain(|flow| flow.text(field) == value);
        }
    }
    if let Some(designation) = filters::choice(request, "designation", DESIGNATIONS)? {
        rows.retain(|flow| flow.text("designation") == designation);
    }
    if let Some(pk) = filters::uuid(request, "flow_uuid")? {
        rows.retain(|flow| flow.pk == pk);
    }
    let terms = filters::search_terms(&state.rules, request)?;
    rows.retain(|flow| {
        let texts = ["name", "slug", "designation", "title"].map(|field| flow.text(field));
        filters::matches(&terms, &texts)
    });
    filters::order(request, &mut rows, |flow, key| match key {
        "pk" => Some(json!(flow.pk)),
        key => flow.fields.get(key).cloned(),
    });
    pagination::page(&state.rules, request, &rows, |flow| render(state, flow))
}
