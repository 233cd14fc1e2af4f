//! Users, roles and tokens, and the endpoints that manage them.

use super::http::{self, Reply, Request};
use super::people;
use super::state::State;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The type of the accounts that outposts have.
pub(crate) const OUTPOSTS: &str = "internal_service_account";

/// A user.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) pk: u64,
    pub(crate) uuid: Uuid,
    pub(crate) username: String,
    pub(crate) name: String,
    pub(crate) email: String,
    /// What the account is for: `internal`, `external` or a service account.
    pub(crate) kind: &'static str,
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
    /// The group of superusers.
    pub(crate) admins: Uuid,
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
            user.email = "root@example.com".to_owned();
        }
        accounts.add_token("bootstrap", Token::new(key, admin));
        accounts
    }

    pub(crate) fn user(&self, pk: u64) -> Option<&User> {
        // Keys are given in order.
        let place = self.users.binary_search_by_key(&pk, |user| user.pk);
        place.ok().map(|place| &self.users[place])
    }

    /// The user of this name.
    pub(crate) fn named(&mut self, username: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.username == username)
    }

    pub(crate) fn set_type(&mut self, pk: u64, kind: &'static str) {
        if let Some(user) = self.users.iter_mut().find(|user| user.pk == pk) {
            user.kind = kind;
        }
    }

    /// Deletes a user.
    pub(crate) fn remove_user(&mut self, pk: u64) {
        self.users.retain(|user| user.pk != pk);
        self.tokens.retain(|_, token| token.user != pk);
    }

    /// Adds a user. The first two keys belong to users that are never shown.
    pub(crate) fn add_user(&mut self, username: &str, name: &str, active: bool) -> u64 {
        let pk = self.users.last().map_or(3, |last| last.pk + 1);
        self.users.push(User {
            pk,
            uuid: Uuid::new_v4(),
            username: username.to_owned(),
            name: name.to_owned(),
            email: String::new(),
            kind: "internal",
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

    pub(crate) fn roles_of<'a>(
        &'a self,
        user: &'a User,
    ) -> impl Iterator<Item = (&'a Uuid, &'a Role)> {
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

/// `core/users/me/`.
pub(crate) fn me(state: &State, user: &User) -> Reply {
    let accounts = &state.accounts;
    let admins = json!([{ "name": "authentik Admins", "pk": accounts.admins }]);
    let mut body = json!({
        "pk": user.pk, "username": user.username, "name": user.name, "is_active": user.active,
        "is_superuser": user.superuser, "groups": if user.superuser { admins } else { json!([]) },
        "email": user.email, "avatar": people::avatar(state, user), "uid": people::uid(user), "settings": {},
        "type": user.kind,
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
    let expires = data["expires"].as_str().unwrap_or(people::DATE);
    let expires = if endless { Value::Null } else { json!(expires) };
    let token = Token {
        api: intent == "api",
        // No clock here: a date that a caller gives is one in the past.
        expired: expiring && data["expires"].is_string(),
        ..Token::new(random_key(), user.pk)
    };
    let body = json!({
        "pk": token.pk, "managed": null, "identifier": identifier, "intent": intent,
        "user": user.pk, "user_obj": people::render(state, &user), "description": "",
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
