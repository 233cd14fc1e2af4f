//! Users and groups as administrators see them.

use super::accounts::User;
use super::auth::{self, Model};
use super::events;
use super::filters;
use super::http::{self, Reply, Request};
use super::pagination;
use super::python;
use super::state::State;
use serde_json::{Map, Value, json};

pub(crate) const USER: Model = Model {
    app: "authentik_core",
    name: "user",
};

const GROUP: Model = Model {
    app: "authentik_core",
    name: "group",
};

/// The one group, whose members are superusers.
const ADMINS: &str = "authentik Admins";
const TYPES: &[&str] = &[
    "internal",
    "external",
    "service_account",
    "internal_service_account",
];

pub(crate) const DATE: &str = "2026-01-01T00:00:00.000001Z";
const NO_EMAIL: &str = "d41d8cd98f00b204e9800998ecf8427e";
const ADMIN_EMAIL: &str = "04edfc0ef6c6cf6d6b88fbc69f9f9071";

/// The address of a user's picture.
pub(crate) fn avatar(state: &State, user: &User) -> String {
    if state.rules.drawn_avatars {
        return format!("{:A<626}", "data:image/svg+xml;base64,PHN2ZyB4bWxucz0i");
    }
    let hash = if user.email.is_empty() {
        NO_EMAIL
    } else {
        ADMIN_EMAIL
    };
    format!("https://secure.gravatar.com/avatar/{hash}?size=158&rating=g&default=404")
}

/// The opaque id that authentik derives from a user.
pub(crate) fn uid(user: &User) -> String {
    format!("{0}{0}", user.uuid.simple())
}

/// A user as a member of a group, or the owner of a device.
pub(crate) fn brief(user: &User) -> Value {
    json!({
        "pk": user.pk, "username": user.username, "name": user.name, "is_active": user.active,
        "last_login": null, "email": user.email, "attributes": {}, "uid": uid(user),
    })
}

/// A user, in full.
pub(crate) fn render(state: &State, user: &User) -> Value {
    let admins = user.superuser.then_some(state.accounts.admins);
    let mut body = brief(user);
    body["is_superuser"] = json!(user.superuser);
    body["groups"] = json!(admins.as_slice());
    body["groups_obj"] = admins.iter().map(|_| group_of_user(state)).collect();
    body["avatar"] = json!(avatar(state, user));
    body["path"] = json!("users");
    body["type"] = json!(user.kind);
    body["uuid"] = json!(user.uuid);
    if state.rules.user_dates {
        for date in ["date_joined", "password_change_date", "last_updated"] {
            body[date] = json!(DATE);
        }
    }
    if state.rules.user_roles {
        body["roles"] = json!(user.roles);
        body["roles_obj"] = state
            .accounts
            .roles_of(user)
            .map(|(pk, role)| json!({ "pk": pk, "name": role.name }))
            .collect();
    }
    body
}

/// A small number that stands for the group, from its UUID.
fn group_number(state: &State) -> u128 {
    state.accounts.admins.as_u128() % 100_000
}

fn group_of_user(state: &State) -> Value {
    let mut body = json!({
        "pk": state.accounts.admins, "num_pk": group_number(state), "name": ADMINS,
        "is_superuser": true, "attributes": {},
    });
    if !state.rules.groups_have_parents {
        body["parent"] = Value::Null;
    }
    body
}

/// `core/users/`.
pub(crate) fn users(state: &mut State, request: &Request) -> Result<Reply, Reply> {
    auth::list(state, request, USER)?;
    match request.method.as_str() {
        "GET" | "HEAD" => list(state, request),
        "POST" => create(state, request),
        _ => Err(Reply::method_not_allowed(request)),
    }
}

fn create(state: &mut State, request: &Request) -> Result<Reply, Reply> {
    let data = http::data(&state.rules, request)?;
    let sent = |field: &str| data[field].as_str().unwrap_or_default();
    let username = sent("username");
    if username.is_empty() {
        return Err(Reply::field_error("username", "This field is required."));
    }
    let active = data["is_active"].as_bool().unwrap_or(true);
    let pk = state.accounts.add_user(username, sent("name"), active);
    let kind = TYPES.iter().find(|kind| **kind == sent("type"));
    if let Some(kind) = kind {
        state.accounts.set_type(pk, kind);
    }
    let user = state.accounts.user(pk).cloned();
    let user = user.ok_or_else(|| Reply::crash(request))?;
    state.note("model_created", events::user(&user), Map::new());
    Ok(Reply::json(201, render(state, &user)))
}

fn list(state: &State, request: &Request) -> Result<Reply, Reply> {
    let mut rows: Vec<&User> = state.accounts.users.iter().collect();
    if let Some(active) = filters::boolean(request, "is_active") {
        rows.retain(|user| user.active == active);
    }
    let types: Vec<&str> = request.params("type").collect();
    if let Some(unknown) = types.iter().find(|kind| !TYPES.contains(kind)) {
        return Err(filters::not_available("type", unknown));
    }
    rows.retain(|user| types.is_empty() || types.contains(&user.kind));
    for field in ["username", "name", "email"] {
        if let Some(value) = filters::text(request, field)? {
            rows.retain(|user| text(user, field) == value);
        }
    }
    let terms = filters::search_terms(&state.rules, request)?;
    rows.retain(|user| {
        let texts = ["username", "name", "email"].map(|field| text(user, field));
        filters::matches(&terms, &texts)
    });
    rows.sort_by_key(|user| &user.username);
    filters::order(request, &mut rows, |user, key| match key {
        "pk" | "id" => Some(json!(user.pk)),
        "username" | "name" | "email" => Some(json!(text(user, key))),
        _ => None,
    });
    let bare = state.rules.user_roles && filters::boolean(request, "include_groups") == Some(false);
    let reply = pagination::page(&state.rules, request, &rows, |user| {
        let mut body = render(state, user);
        if bare {
            body["groups_obj"] = Value::Null;
        }
        body
    });
    reply.map(|reply| pagination::completed(state, reply, "users"))
}

fn text<'a>(user: &'a User, field: &str) -> &'a str {
    match field {
        "username" => &user.username,
        "name" => &user.name,
        _ => &user.email,
    }
}

/// `core/groups/`.
pub(crate) fn groups(state: &State, request: &Request) -> Result<Reply, Reply> {
    auth::list(state, request, GROUP)?;
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Err(Reply::method_not_allowed(request));
    }
    let name = filters::text(request, "name")?;
    let rows: Vec<&str> = [ADMINS]
        .into_iter()
        .filter(|admins| name.as_ref().is_none_or(|name| name == admins))
        .collect();
    let reply = pagination::page(&state.rules, request, &rows, |_| group(state));
    reply.map(|reply| pagination::completed(state, reply, "groups"))
}

fn group(state: &State) -> Value {
    let users = state.accounts.users.iter();
    let members: Vec<&User> = users.filter(|user| user.superuser).collect();
    let mut body = group_of_user(state);
    body["users"] = members.iter().map(|user| json!(user.pk)).collect();
    body["users_obj"] = members.iter().map(|user| brief(user)).collect();
    body["roles"] = json!([]);
    body["roles_obj"] = json!([]);
    if state.rules.groups_have_parents {
        for field in ["parents", "children"] {
            body[field] = json!([]);
            body[format!("{field}_obj")] = Value::Null;
        }
        body["inherited_roles_obj"] = Value::Null;
    } else {
        body["parent_name"] = Value::Null;
    }
    body
}

/// `DELETE core/users/{pk}/`.
pub(crate) fn remove(state: &mut State, pk: &str) -> Result<Reply, Reply> {
    let known = pk
        .parse()
        .ok()
        .filter(|pk| state.accounts.user(*pk).is_some());
    let pk = known.ok_or_else(|| Reply::detail(404, "Not found."))?;
    state.remove_user(pk);
    Ok(Reply::empty(204))
}

/// `core/groups/{uuid}/add_user/`.
pub(crate) fn add_member(state: &mut State, request: &Request, key: &str) -> Result<Reply, Reply> {
    let data = http::data(&state.rules, request)?;
    let known = python::uuid(key) == Some(state.accounts.admins);
    let pk = data["pk"].as_u64().filter(|_| known);
    let mut users = state.accounts.users.iter_mut();
    let user = users.find(|user| Some(user.pk) == pk);
    let user = user.ok_or_else(|| Reply::detail(404, "Not found."))?;
    user.superuser = true;
    Ok(Reply::empty(204))
}
