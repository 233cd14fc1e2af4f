//! `WebAuthn` device types, health, version and settings.

use super::auth::{self, Model};
use super::filters;
use super::http::{Reply, Request};
use super::pagination;
use super::python;
use super::stages;
use super::state::State;
use serde_json::{Value, json};

pub(crate) const DEVICE_TYPE: Model = Model {
    app: "authentik_stages_authenticator_webauthn",
    name: "webauthndevicetype",
};

/// `stages/authenticator/webauthn_device_types/`.
pub(crate) fn device_types(state: &State, request: &Request) -> Result<Reply, Reply> {
    auth::list(state, request, DEVICE_TYPE)?;
    let mut rows: Vec<&(String, String)> = state.seed.device_types.iter().collect();
    rows.sort_by_key(|(_, description)| description);
    if let Some(id) = filters::uuid(request, "aaguid")? {
        rows.retain(|(aaguid, _)| *aaguid == id.to_string());
    }
    if let Some(text) = filters::text(request, "description")? {
        rows.retain(|(_, description)| *description == text);
    }
    let terms = filters::search_terms(&state.rules, request)?;
    rows.retain(|(aaguid, description)| filters::matches(&terms, &[aaguid, description]));
    filters::order(request, &mut rows, |(aaguid, description), key| match key {
        "aaguid" => Some(json!(aaguid)),
        "description" => Some(json!(description)),
        _ => None,
    });
    pagination::page(&state.rules, request, &rows, |row| device_type_body(row))
}

/// `stages/authenticator/webauthn_device_types/{aaguid}/`.
pub(crate) fn device_type(state: &State, request: &Request, key: &str) -> Result<Reply, Reply> {
    auth::objects(state, request, DEVICE_TYPE)?;
    let id = python::uuid(key);
    let text = id.map(|id| id.to_string());
    let found = state
        .seed
        .device_types
        .iter()
        .find(|(aaguid, _)| Some(aaguid) == text.as_ref());
    found
        .map(|row| Reply::ok(device_type_body(row)))
        .ok_or_else(|| stages::missing(state, "WebAuthnDeviceType", id.is_some()))
}

fn device_type_body((aaguid, description): &(String, String)) -> Value {
    json!({ "aaguid": aaguid, "description": description })
}

/// `/-/health/live/` and `/-/health/ready/`.
pub(crate) fn health(state: &State, request: &Request, ready: bool) -> Reply {
    if state.database_down {
        return Reply::crash(request);
    }
    Reply::empty_html(if state.redis_down && ready {
        503
    } else {
        state.rules.healthy
    })
}

/// `admin/version/`.
pub(crate) fn version(state: &State, request: &Request) -> Result<Reply, Reply> {
    auth::signed_in(state, request)?;
    Ok(Reply::ok(state.seed.version.clone()))
}

/// `root/config/`, which needs no token but refuses a bad one.
pub(crate) fn config(state: &State, request: &Request) -> Result<Reply, Reply> {
    auth::caller(state, request)?;
    Ok(Reply::ok(state.seed.config.clone()))
}

/// `schema/`, of which nobody here reads more than the status.
pub(crate) fn schema(state: &State, request: &Request) -> Result<Reply, Reply> {
    auth::caller(state, request)?;
    Ok(Reply::bare_json(json!({ "openapi": "3.0.3" })))
}

/// `admin/settings/`.
pub(crate) fn settings(state: &State, request: &Request) -> Result<Reply, Reply> {
    let user = auth::signed_in(state, request)?;
    let settings = state
        .seed
        .settings
        .clone()
        .ok_or_else(|| Reply::no_such_path(request))?;
    if user.superuser {
        Ok(Reply::ok(settings))
    } else {
        Err(auth::forbidden())
    }
}
