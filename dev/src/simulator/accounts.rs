//! Users, roles and tokens, and the endpoints that manage them.

use super::http::{self, Reply, Request};
use super::state::State;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A user.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) pk: u64,
    pub(crate) uuid: Uuid,
    pub(crate) username: String,
    pub(crate) name: String,
    pub(crate) email: &'static str,
    pub(crate) active: bool,
    pub(crate) superuser: bool,
    pub(crate) roles: Vec<Uuid>,
}

/// A set of permissions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Role {
    pub(crate) name: String,
    /// Permissions on all objects of a model: `app.codename`.
    pub(crate) model: BTreeSet<String>,
    /// Permissions on one object, with its key.
    pub(crate) object: BTreeSet<(String, String)>,
}

/// A token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) pk: Uuid,
    pub(crate) key: String,
    pub(crate) user: u64,
    /// Whether it is meant for the API, not for signing in.
    pub(crate) api: bool,
    pub(crate) expired: bool,
}

/// Everyone who may call.
#[derive(Clone)]
pub(crate) struct Accounts {
    pub(crate) users: Vec<User>,
    pub(crate) roles: BTreeMap<Uuid, Role>,
    /// By identifier.
    pub(crate) tokens: BTreeMap<String, Token>,
    admins: Uuid,
    object_grants: u64,
}

/// A token's key, as long as authentik's.
pub(crate) fn random_key() -> String {
    let random = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    random[..60].to_owned()
}

impl Accounts {
    pub(crate) fn new(key: String) -> Self {
        let mut accounts = Self {
            users: Vec::new(),
            roles: BTreeMap::new(),
            tokens: BTreeMap::new(),
            admins: Uuid::new_v4(),
            object_grants: 0,
        };
        let admin = accounts.add_user("akadmin", "authentik Default Admin", true);
        if let Some(user) = accounts.users.iter_mut().find(|user| user.pk == admin) {
            user.superuser = true;
            user.email = "root@example.com";
        }
        accounts.add_token("bootstrap", Token::new(key, admin));
        accounts
    }

    pub(crate) fn user(&self, pk: u64) -> Option<&User> {
        self.users.iter().find(|user| user.pk == pk)
    }

    /// Adds a user. The first two keys belong to users that are never shown.
    pub(crate) fn add_user(&mut self, username: &str, name: &str, active: bool) -> u64 {
        let pk = self.users.len() as u64 + 3;
        self.users.push(User {
            pk,
            uuid: Uuid::new_v4(),
            username: username.to_owned(),
            name: name.to_owned(),
            email: "",
            active,
            superuser: false,
            roles: Vec::new(),
        });
        pk
    }

    pub(crate) fn add_token(&mut self, identifier: &str, token: Token) {
        self.tokens.insert(identifier.to_owned(), token);
    }

    /// Adds a role that a user has.
    pub(crate) fn add_role(&mut self, name: &str, username: &str) -> Uuid {
        let pk = Uuid::new_v4();
        self.roles.insert(
            pk,
            Role {
                name: name.to_owned(),
                ..Role::default()
            },
        );
        if let Some(user) = self.users.iter_mut().find(|user| user.username == username) {
            user.roles.push(pk);
        }
        pk
    }

    /// The role that holds what a user was granted directly.
    pub(crate) fn own_role(&mut self, user: &str) -> Option<Uuid> {
        let user = self.user(user.parse().ok()?)?;
        let (known, username) = (user.roles.first().copied(), user.username.clone());
        Some(known.unwrap_or_else(|| self.add_role(&username, &username)))
    }

    /// A token of a new user who has these permissions and no others.
    pub(crate) fn add_limited(&mut self, permissions: &[&str]) -> String {
        let username = format!("limited-{}", self.users.len());
        let user = self.add_user(&username, &username, true);
        let role = self.add_role(&username, &username);
        if let Some(role) = self.roles.get_mut(&role) {
            role.model
                .extend(permissions.iter().map(|&permission| permission.to_owned()));
        }
        let key = random_key();
        self.add_token(&username, Token::new(key.clone(), user));
        key
    }

    fn roles_of<'a>(&'a self, user: &'a User) -> impl Iterator<Item = (&'a Uuid, &'a Role)> {
        user.roles
            .iter()
            .filter_map(|pk| self.roles.get_key_value(pk))
    }

    /// Whether a user has a permission on every object of its model.
    pub(crate) fn has(&self, user: &User, permission: &str) -> bool {
        user.superuser
            || self
                .roles_of(user)
                .any(|(_, role)| role.model.contains(permission))
    }

    /// Whether a user has a permission on at least one object.
    pub(crate) fn has_somewhere(&self, user: &User, permission: &str) -> bool {
        let granted = |role: &Role| role.object.iter().any(|(granted, _)| granted == permission);
        self.has(user, permission) || self.roles_of(user).any(|(_, role)| granted(role))
    }

    /// Whether a user has a permission on an object.
    pub(crate) fn has_on(&self, user: &User, permission: &str, key: &str) -> bool {
        let grant = (permission.to_owned(), key.to_owned());
        self.has(user, permission)
            || self
                .roles_of(user)
                .any(|(_, role)| role.object.contains(&grant))
    }
}

impl Token {
    pub(crate) fn new(key: String, user: u64) -> Self {
        Self {
            pk: Uuid::new_v4(),
            key,
            user,
            api: true,
            expired: false,
        }
    }
}

const DATE: &str = "2026-01-01T00:00:00.000001Z";
const NO_EMAIL: &str = "d41d8cd98f00b204e9800998ecf8427e";
const ADMIN_EMAIL: &str = "04edfc0ef6c6cf6d6b88fbc69f9f9071";

fn avatar(state: &State, user: &User) -> String {
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
fn uid(user: &User) -> String {
    format!("{0}{0}", user.uuid.simple())
}

fn render_user(state: &State, user: &User) -> Value {
    let mut body = json!({
        "pk": user.pk, "username": user.username, "name": user.name, "is_active": user.active,
        "last_login": null, "is_superuser": user.superuser, "groups": [], "groups_obj": [],
        "email": user.email, "avatar": avatar(state, user), "attributes": {}, "uid": uid(user),
        "path": "users", "type": "internal", "uuid": user.uuid,
    });
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

/// `core/users/me/`.
pub(crate) fn me(state: &State, user: &User) -> Reply {
    let accounts = &state.accounts;
    let admins = json!([{ "name": "authentik Admins", "pk": accounts.admins }]);
    let mut body = json!({
        "pk": user.pk, "username": user.username, "name": user.name, "is_active": user.active,
        "is_superuser": user.superuser, "groups": if user.superuser { admins } else { json!([]) },
        "email": user.email, "avatar": avatar(state, user), "uid": uid(user), "settings": {},
        "type": "internal",
        "system_permissions":
            if user.superuser { state.seed.system_permissions.clone() } else { json!([]) },
    });
    if state.rules.user_roles {
        body["roles"] = accounts
            .roles_of(user)
            .map(|(pk, role)| json!({ "name": role.name, "pk": pk }))
            .collect();
    }
    Reply::ok(json!({ "user": body }))
}

fn sent<'a>(data: &'a Value, field: &str) -> &'a str {
    data[field].as_str().unwrap_or_default()
}

/// `POST core/users/`.
pub(crate) fn create_user(state: &mut State, request: &Request) -> Result<Reply, Reply> {
    let data = http::data(&state.rules, request)?;
    let active = data["is_active"].as_bool().unwrap_or(true);
    let (username, name) = (sent(&data, "username"), sent(&data, "name"));
    if username.is_empty() {
        return Err(Reply::field_error("username", "This field is required."));
    }
    let pk = state.accounts.add_user(username, name, active);
    let user = state
        .accounts
        .user(pk)
        .ok_or_else(|| Reply::crash(request))?;
    Ok(Reply::json(201, render_user(state, user)))
}

/// `POST core/tokens/`.
pub(crate) fn create_token(state: &mut State, request: &Request) -> Result<Reply, Reply> {
    let data = http::data(&state.rules, request)?;
    let (identifier, intent) = (sent(&data, "identifier"), sent(&data, "intent"));
    let user = data["user"]
        .as_u64()
        .and_then(|pk| state.accounts.user(pk))
        .cloned();
    let user = user.ok_or_else(|| Reply::field_error("user", "This field is required."))?;
    let expiring = data["expiring"].as_bool().unwrap_or(true);
    let endless = state.rules.app_password_without_expiry && intent == "app_password" && !expiring;
    let expires = data["expires"].as_str().unwrap_or(DATE);
    let expires = if endless { Value::Null } else { json!(expires) };
    let token = Token {
        api: intent == "api",
        // No clock here: a date that a caller gives is one in the past.
        expired: expiring && data["expires"].is_string(),
        ..Token::new(random_key(), user.pk)
    };
    let body = json!({
        "pk": token.pk, "managed": null, "identifier": identifier, "intent": intent,
        "user": user.pk, "user_obj": render_user(state, &user), "description": "",
        "expires": expires, "expiring": expiring,
    });
    state.accounts.add_token(identifier, token);
    Ok(Reply::json(201, body))
}

/// `core/tokens/{identifier}/view_key/`.
pub(crate) fn view_key(state: &State, identifier: &str) -> Result<Reply, Reply> {
    let token = state.accounts.tokens.get(identifier);
    token
        .map(|token| Reply::ok(json!({ "key": token.key })))
        .ok_or_else(|| Reply::detail(404, "Not found."))
}

/// `rbac/permissions/assigned_by_{users,roles}/{key}/assign/`.
pub(crate) fn assign(
    state: &mut State,
    request: &Request,
    role: Option<Uuid>,
) -> Result<Reply, Reply> {
    let data = http::data(&state.rules, request)?;
    let accounts = &mut state.accounts;
    let Some(role) = role.and_then(|role| accounts.roles.get_mut(&role)) else {
        return Err(Reply::detail(404, "Not found."));
    };
    let mut ids = Vec::new();
    for permission in data["permissions"].as_array().into_iter().flatten() {
        let permission = permission.as_str().unwrap_or_default().to_owned();
        let id = match data["object_pk"].as_str() {
            Some(object) => {
                role.object.insert((permission, object.to_owned()));
                accounts.object_grants += 1;
                accounts.object_grants
            }
            None => {
                role.model.insert(permission);
                role.model.len() as u64
            }
        };
        ids.push(json!({ "id": id.to_string() }));
    }
    Ok(if state.rules.assign_answers_ids {
        Reply::ok(ids.into())
    } else {
        Reply::empty(204)
    })
}
