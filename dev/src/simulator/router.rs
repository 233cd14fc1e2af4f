//! From a path to the view that answers it.

use super::accounts;
use super::auth;
use super::bindings;
use super::devices;
use super::events;
use super::flows;
use super::http::{self, Reply, Request};
use super::kinds::DUO;
use super::people;
use super::python;
use super::rows;
use super::stages::{self, Scope};
use super::state::State;
use super::system;

/// Answers a request, whatever state the server's backing services are in.
pub(crate) fn answer(state: &mut State, request: &Request) -> Reply {
    match request.path.as_str() {
        "/-/health/live/" => return system::health(state, request, false),
        "/-/health/ready/" => return system::health(state, request, true),
        _ => {}
    }
    if state.database_down {
        return Reply::crash(request);
    }
    state.begin_request(request);
    let mut reply = view(state, request).unwrap_or_else(|reply| reply);
    state.end_request();
    if state.redis_down && !request.is_read() && reply.status < 300 {
        // The row is written before anybody is told of it, and the telling fails.
        return Reply::crash(request);
    }
    http::translate(&state.rules, request, &mut reply);
    reply
}

fn view(state: &mut State, request: &Request) -> Result<Reply, Reply> {
    let unknown = || Reply::no_such_path(request);
    let path = request
        .path
        .strip_prefix("/api/v3/")
        .and_then(|path| path.strip_suffix('/'));
    let parts: Vec<&str> = path.ok_or_else(unknown)?.split('/').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(unknown());
    }
    let negotiated = http::negotiate(request);
    let mut answer = || match parts.as_slice() {
        ["stages", rest @ ..] => stage_view(state, request, rest),
        ["flows", rest @ ..] => flow_view(state, request, rest),
        ["core", "brands", rest @ ..] => rows::answer(state, request, &rows::BRANDS, rest),
        ["providers", "oauth2", rest @ ..] => {
            rows::answer(state, request, &rows::OAUTH2_PROVIDERS, rest)
        }
        ["providers", "all", rest @ ..] => rows::answer(state, request, &rows::PROVIDERS, rest),
        ["propertymappings", "notification", rest @ ..] => {
            rows::answer(state, request, &rows::WEBHOOK_MAPPINGS, rest)
        }
        ["propertymappings", "all", rest @ ..] => {
            rows::answer(state, request, &rows::MAPPINGS, rest)
        }
        ["core", "users"] => people::users(state, request),
        ["core", "groups"] => people::groups(state, request),
        ["authenticators", "admin", rest @ ..] => devices::answer(state, request, rest),
        ["events", "events"] => events::collection(state, request),
        ["core" | "rbac", ..] => account_view(state, request, &parts),
        ["admin", "version"] => system::version(state, request),
        ["admin", "settings"] => system::settings(state, request),
        ["root", "config"] => system::config(state, request),
        ["schema"] => system::schema(state, request),
        _ => Err(unknown()),
    };
    negotiated.and_then(|()| answer())
}

fn stage_view(state: &mut State, request: &Request, parts: &[&str]) -> Result<Reply, Reply> {
    match parts {
        ["all", "types"] => return stages::types(state, request),
        ["all", "user_settings"] => return stages::user_settings(state, request),
        ["authenticator", "webauthn_device_types", rest @ ..] if state.rules.device_types => {
            return match rest {
                [] => system::device_types(state, request),
                [key] => system::device_type(state, request, key),
                _ => Err(Reply::no_such_path(request)),
            };
        }
        _ => {}
    }
    let (scope, rest) = scope(state, parts).ok_or_else(|| Reply::no_such_path(request))?;
    let duo = matches!(scope, Scope::Kind(kind) if state.kinds[kind].model == DUO);
    match rest {
        [] => stages::collection(state, request, scope),
        [key] => stages::item(state, request, scope, key),
        [key, "used_by"] => stages::used_by(state, request, scope, key),
        [key, "import_devices_automatic"] if duo => {
            stages::import_devices(state, request, scope, key)
        }
        [_, "enrollment_status"] if duo => stages::enrollment_status(state, request),
        _ => Err(Reply::no_such_path(request)),
    }
}

/// The stages that a path is about, and what follows them.
fn scope<'a, 'b>(state: &State, parts: &'a [&'b str]) -> Option<(Scope, &'a [&'b str])> {
    if let ["all", rest @ ..] = parts {
        return Some((Scope::All, rest));
    }
    let length = if parts.first() == Some(&"authenticator") {
        2
    } else {
        1
    };
    let route = parts.get(..length)?.join("/");
    let kind = state
        .kinds
        .iter()
        .position(|kind| kind.route == Some(&route))?;
    Some((Scope::Kind(kind), &parts[length..]))
}

fn flow_view(state: &mut State, request: &Request, parts: &[&str]) -> Result<Reply, Reply> {
    match parts {
        ["instances"] => flows::collection(state, request),
        ["instances", slug] => flows::item(state, request, slug),
        ["instances", slug, "used_by"] => flows::used_by(state, request, slug),
        ["bindings"] => bindings::collection(state, request),
        ["bindings", key] => bindings::item(state, request, key),
        ["bindings", key, "used_by"] => bindings::used_by(state, request, key),
        _ => Err(Reply::no_such_path(request)),
    }
}

/// Accounts are for superusers, but for a look at oneself.
fn account_view(state: &mut State, request: &Request, parts: &[&str]) -> Result<Reply, Reply> {
    let user = auth::signed_in(state, request)?;
    if let ["core", "users", "me"] = parts {
        return Ok(accounts::me(state, &user));
    }
    if !user.superuser {
        return Err(auth::forbidden());
    }
    match (request.method.as_str(), parts) {
        ("POST", ["core", "groups", key, "add_user"]) => people::add_member(state, request, key),
        ("DELETE", ["core", "users", pk]) => people::remove(state, pk),
        ("POST", ["core", "tokens"]) => accounts::create_token(state, request),
        ("GET", ["core", "tokens", identifier, "view_key"]) => {
            accounts::view_key(state, identifier)
        }
        ("POST", ["rbac", "permissions", by, to, "assign"]) => {
            let role = match (*by, state.rules.assigns_to_roles) {
                ("assigned_by_roles", true) => python::uuid(to),
                ("assigned_by_users", false) => state.accounts.own_role(to),
                _ => return Err(Reply::no_such_path(request)),
            };
            accounts::assign(state, request, role)
        }
        _ => Err(Reply::no_such_path(request)),
    }
}
