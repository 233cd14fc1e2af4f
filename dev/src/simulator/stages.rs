//! Stages: one collection a kind, and `stages/all/`.

use super::accounts::User;
use super::auth::{self, Model};
use super::http::{self, Reply, Request};
use super::kinds::Kind;
use super::python;
use super::serializer::{self, Mode};
use super::sets;
use super::stage_list;
use super::state::{Stage, State};
use super::used_by;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The model behind all kinds.
pub(crate) const ANY: Model = Model {
    app: "authentik_flows",
    name: "stage",
};

fn model(kind: &Kind) -> Model {
    Model {
        app: kind.app,
        name: kind.model,
    }
}

/// The fields that name device types.
pub(crate) const DEVICE_TYPE_FIELDS: [&str; 2] =
    ["webauthn_allowed_device_types", "device_type_restrictions"];

/// Which stages a view is about.
#[derive(Clone, Copy)]
pub(crate) enum Scope {
    All,
    Kind(usize),
}

impl Scope {
    pub(crate) fn kind(self) -> Option<usize> {
        match self {
            Self::All => None,
            Self::Kind(kind) => Some(kind),
        }
    }

    pub(crate) fn model(self, state: &State) -> Model {
        self.kind().map_or(ANY, |kind| model(&state.kinds[kind]))
    }

    fn class(self, state: &State) -> &'static str {
        self.kind().map_or("Stage", |kind| state.kinds[kind].class)
    }
}

/// `stages/.../`.
pub(crate) fn collection(
    state: &mut State,
    request: &Request,
    scope: Scope,
) -> Result<Reply, Reply> {
    let user = auth::list(state, request, scope.model(state))?;
    match (request.method.as_str(), scope) {
        ("GET" | "HEAD", _) => stage_list::list(state, request, scope, &user),
        ("POST", Scope::Kind(kind)) => create(state, request, kind),
        ("OPTIONS", _) => {
            let add = scope.model(state).permission("add");
            let may = scope.kind().is_some() && state.accounts.has(&user, &add);
            Ok(options(scope.class(state), "List", may.then_some("POST")))
        }
        _ => Err(Reply::method_not_allowed(request)),
    }
}

/// `stages/.../{uuid}/`.
pub(crate) fn item(
    state: &mut State,
    request: &Request,
    scope: Scope,
    key: &str,
) -> Result<Reply, Reply> {
    let user = auth::objects(state, request, scope.model(state))?;
    match (request.method.as_str(), scope) {
        ("POST", _) | ("PUT" | "PATCH", Scope::All) => Err(Reply::method_not_allowed(request)),
        ("OPTIONS", _) => {
            let change = scope.model(state).permission("change");
            let seen = find(state, request, scope, key, &user).is_ok();
            let may = scope.kind().is_some() && seen && state.accounts.has_on(&user, &change, key);
            Ok(options(
                scope.class(state),
                "Instance",
                may.then_some("PUT"),
            ))
        }
        ("GET" | "HEAD", _) => {
            let stage = find(state, request, scope, key, &user)?;
            Ok(Reply::ok(render(state, stage, scope)))
        }
        ("DELETE", _) => {
            let pk = find(state, request, scope, key, &user)?.pk;
            if state.devices_protected
                && state.devices.iter().any(|device| device.stage == Some(pk))
            {
                return Err(Reply::page(500));
            }
            state.remove_stage(pk);
            Ok(Reply::empty(204))
        }
        _ => {
            let pk = find(state, request, scope, key, &user)?.pk;
            change(state, request, scope, pk)
        }
    }
}

/// `stages/.../{uuid}/used_by/`.
pub(crate) fn used_by(
    state: &State,
    request: &Request,
    scope: Scope,
    key: &str,
) -> Result<Reply, Reply> {
    if !state.rules.used_by_needs_permission {
        let user = auth::signed_in(state, request)?;
        let stage = state.stage_at(scope.kind(), key);
        let stage = stage.ok_or_else(|| not_found(state, scope, key))?;
        return Ok(Reply::ok(used_by::stage(state, stage, &user)));
    }
    let user = auth::objects(state, request, scope.model(state))?;
    let stage = find(state, request, scope, key, &user)?;
    Ok(Reply::ok(used_by::stage(state, stage, &user)))
}

/// `stages/authenticator/duo/{uuid}/import_devices_automatic/`.
pub(crate) fn import_devices(
    state: &State,
    request: &Request,
    scope: Scope,
    key: &str,
) -> Result<Reply, Reply> {
    let user = auth::signed_in(state, request)?;
    let stage = find(state, request, scope, key, &user)?;
    let set = |field: &str| stage.fields.get(field).is_some_and(python::truthy);
    if set("admin_integration_key") && set("admin_secret_key") {
        return Ok(Reply::ok(json!({ "count": 0, "error": "" })));
    }
    Err(Reply::field_error(
        "non_field_errors",
        "Stage does not have Admin API configured, which is required for automatic imports.",
    ))
}

/// `stages/authenticator/duo/{uuid}/enrollment_status/`, which needs a browser's session.
pub(crate) fn enrollment_status(state: &State, request: &Request) -> Result<Reply, Reply> {
    auth::signed_in(state, request)?;
    let crashes = state.rules.enrollment_status_crashes;
    Err(if crashes {
        Reply::crash(request)
    } else {
        Reply::empty(400)
    })
}

fn find<'a>(
    state: &'a State,
    request: &Request,
    scope: Scope,
    key: &str,
    user: &User,
) -> Result<&'a Stage, Reply> {
    let missing = || not_found(state, scope, key);
    let stage = state.stage_at(scope.kind(), key).ok_or_else(missing)?;
    auth::object(
        state,
        request,
        user,
        scope.model(state),
        &stage.pk.to_string(),
    )
    .map_err(|refused| refused.unwrap_or_else(missing))?;
    Ok(stage)
}

/// The 404 for a key, well-formed or not.
pub(crate) fn not_found(state: &State, scope: Scope, key: &str) -> Reply {
    missing(state, scope.class(state), python::uuid(key).is_some())
}

/// The 404 of a model.
pub(crate) fn missing(state: &State, class: &str, well_formed: bool) -> Reply {
    if state.rules.not_found_names_model && well_formed {
        return Reply::detail(404, &format!("No {class} matches the given query."));
    }
    Reply::detail(404, "Not found.")
}

/// The answer to `OPTIONS`. It describes a method that would write to those alone who may use it.
pub(crate) fn options(class: &str, suffix: &str, may: Option<&str>) -> Reply {
    let spaced: String = class
        .chars()
        .enumerate()
        .flat_map(|(at, c)| {
            (at > 0 && c.is_uppercase())
                .then_some(' ')
                .into_iter()
                .chain([c])
        })
        .collect();
    let mut body = json!({
        "name": format!("{spaced} {suffix}"),
        "description": format!("{class} Viewset"),
        "renders": ["application/json"],
        "parses": ["application/json"],
    });
    if let Some(method) = may {
        body["actions"] = json!({ method: { "pk": { "type": "string", "read_only": true } } });
    }
    Reply::ok(body)
}

fn create(state: &mut State, request: &Request, kind: usize) -> Result<Reply, Reply> {
    let mut values = validated(
        state,
        request,
        kind,
        Mode {
            instance: None,
            partial: false,
        },
    )?;
    let Some(Value::String(name)) = values.remove("name") else {
        return Err(Reply::crash(request));
    };
    let later = sets::take(state, kind, &mut values);
    let pk = state.add_stage(kind, name, values);
    sets::put_off(state, Scope::Kind(kind), pk, later);
    Ok(Reply::json(
        201,
        render(state, &state.stages[&pk], Scope::Kind(kind)),
    ))
}

fn change(state: &mut State, request: &Request, scope: Scope, pk: Uuid) -> Result<Reply, Reply> {
    let partial = request.method == "PATCH";
    let kind = state.stages[&pk].kind;
    let mut values = validated(
        state,
        request,
        kind,
        Mode {
            instance: Some(pk),
            partial,
        },
    )?;
    let later = sets::take(state, kind, &mut values);
    state.change_stage(pk, values);
    sets::put_off(state, scope, pk, later);
    Ok(Reply::ok(render(state, &state.stages[&pk], scope)))
}

/// The values of a valid body.
fn validated(
    state: &State,
    request: &Request,
    kind: usize,
    mode: Mode,
) -> Result<Map<String, Value>, Reply> {
    let body = http::data(&state.rules, request)?;
    let fields = state.kinds[kind].request_fields(&state.rules);
    let values =
        serializer::run(state, &fields, &body, mode).map_err(|refused| refused.reply(request))?;
    // Nested flows pass validation, and then there is no code to save them.
    let name = values
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if values.contains_key("flow_set") || !fits_index(name) {
        return Err(Reply::crash(request));
    }
    Ok(values)
}

/// The largest entry of a unique index in the database, after compression.
const LARGEST_INDEX_ENTRY: usize = 2704;
/// How far the database's compression gets with a text that only repeats itself.
const BEST_COMPRESSION: usize = 136;

/// Whether the name fits the unique index. What is new to the compressor costs its length.
fn fits_index(name: &str) -> bool {
    let repeated = name.len() / BEST_COMPRESSION;
    if name.len() <= LARGEST_INDEX_ENTRY || repeated > LARGEST_INDEX_ENTRY {
        return repeated <= LARGEST_INDEX_ENTRY;
    }
    let new: std::collections::HashSet<&[u8]> = name.as_bytes().windows(4).collect();
    new.len() + repeated <= LARGEST_INDEX_ENTRY
}

/// A stage as its own kind's view shows it, or as `stages/all/` does.
pub(crate) fn render(state: &State, stage: &Stage, scope: Scope) -> Value {
    let mut body = summary(state, stage);
    if matches!(scope, Scope::All) {
        return body;
    }
    for field in state
        .kind(stage)
        .fields
        .iter()
        .filter(|field| !field.write_only)
    {
        body[field.name] = stage.fields.get(field.name).cloned().unwrap_or_default();
    }
    if let Some(used) = body.get_mut("configuration_stages") {
        by_last_write(state, used);
    }
    for field in DEVICE_TYPE_FIELDS {
        if let Some(types) = body.get(field) {
            body[format!("{field}_obj")] = device_types(state, types);
        }
    }
    body
}

/// References come back in the order in which the rows they point to were last written.
fn by_last_write(state: &State, keys: &mut Value) {
    let Value::Array(keys) = keys else { return };
    keys.sort_by_key(|key| {
        let id = key.as_str().and_then(python::uuid);
        id.and_then(|id| state.stages.get(&id))
            .map(|stage| stage.touched)
    });
}

fn device_types(state: &State, keys: &Value) -> Value {
    let ids = keys
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    ids.filter_map(python::uuid)
        .map(|id| json!({ "aaguid": id, "description": state.device_type(id) }))
        .collect()
}

/// What every view shows of a stage.
pub(crate) fn summary(state: &State, stage: &Stage) -> Value {
    let kind = state.kind(stage);
    json!({
        "pk": stage.pk,
        "name": stage.name,
        "component": kind.component,
        "verbose_name": kind.verbose_name,
        "verbose_name_plural": format!("{}s", kind.verbose_name),
        "meta_model_name": format!("{}.{}", kind.app, kind.model),
        "flow_set": super::flows::flow_set(state, stage.pk),
    })
}

/// `stages/all/types/`.
pub(crate) fn types(state: &State, request: &Request) -> Result<Reply, Reply> {
    auth::signed_in(state, request)?;
    Ok(Reply::ok(state.seed.stage_types.clone()))
}

/// `stages/all/user_settings/`.
pub(crate) fn user_settings(state: &State, request: &Request) -> Result<Reply, Reply> {
    auth::signed_in(state, request)?;
    let mut stages: Vec<&Stage> = state.stages.values().collect();
    stages.sort_by_key(|stage| stage.touched);
    Ok(Reply::ok(
        stages
            .into_iter()
            .filter_map(|stage| user_setting(state, stage))
            .collect(),
    ))
}

fn user_setting(state: &State, stage: &Stage) -> Option<Value> {
    let kind = state.kind(stage);
    let component = kind.user_settings?;
    let named = stage
        .fields
        .get("friendly_name")
        .filter(|name| python::truthy(name));
    let title = named.cloned().unwrap_or_else(|| json!(kind.verbose_name));
    let mut body = json!({ "title": title, "component": component, "object_uid": stage.pk });
    let flow = stage
        .fields
        .get("configure_flow")
        .filter(|flow| !flow.is_null());
    if flow.is_some() {
        body["configure_url"] = json!(format!("/flows/-/configure/{}/", stage.pk));
    } else if kind.model == "passwordstage" {
        return None;
    }
    Some(body)
}
