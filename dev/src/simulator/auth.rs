//! Who calls, and what they may do.

use super::accounts::User;
use super::http::{Reply, Request};
use super::state::State;

const NO_CREDENTIALS: &str = "Authentication credentials were not provided.";
const NO_PERMISSION: &str = "You do not have permission to perform this action.";

/// The caller; `None` without credentials. Nothing is ever answered with 401.
pub(crate) fn caller(state: &State, request: &Request) -> Result<Option<User>, Reply> {
    let header = request.authorization.as_deref().unwrap_or("").trim();
    let (scheme, key) = header.split_once(' ').unwrap_or((header, ""));
    if header.is_empty() {
        return Ok(None);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        let refused = Reply::detail(403, "Unsupported authentication type");
        return if state.rules.refuses_other_schemes {
            Err(refused)
        } else {
            Ok(None)
        };
    }
    if key.is_empty() {
        return Ok(None);
    }
    bearer(state, key)
        .cloned()
        .map(Some)
        .ok_or_else(|| Reply::detail(403, "Token invalid/expired"))
}

fn bearer<'a>(state: &'a State, key: &str) -> Option<&'a User> {
    let accounts = &state.accounts;
    let token = accounts.tokens.values().find(|token| token.key == key)?;
    let user = accounts.user(token.user)?;
    (token.api && !token.expired && user.active).then_some(user)
}

/// The caller of a page that needs one, and no permission.
pub(crate) fn signed_in(state: &State, request: &Request) -> Result<User, Reply> {
    caller(state, request)?.ok_or_else(|| Reply::detail(403, NO_CREDENTIALS))
}

/// A model's permissions, by what they allow.
#[derive(Clone, Copy)]
pub(crate) struct Model {
    pub(crate) app: &'static str,
    pub(crate) name: &'static str,
}

impl Model {
    pub(crate) fn permission(&self, action: &str) -> String {
        format!("{}.{action}_{}", self.app, self.name)
    }
}

/// What a method needs.
fn action(method: &str) -> &'static str {
    match method {
        "POST" => "add",
        "PUT" | "PATCH" => "change",
        "DELETE" => "delete",
        _ => "view",
    }
}

/// Lets a caller at a list: with the permission on the model, or on any object to see just those.
pub(crate) fn list(state: &State, request: &Request, model: Model) -> Result<User, Reply> {
    let user = signed_in(state, request)?;
    if request.method == "OPTIONS" {
        return Ok(user);
    }
    let permission = model.permission(action(&request.method));
    let accounts = &state.accounts;
    let allowed = if request.is_read() {
        accounts.has_somewhere(&user, &permission)
    } else {
        accounts.has(&user, &permission)
    };
    if allowed { Ok(user) } else { Err(forbidden()) }
}

/// Lets a caller at the objects of a model, before it is known which.
pub(crate) fn objects(state: &State, request: &Request, model: Model) -> Result<User, Reply> {
    let Some(user) = caller(state, request)? else {
        let hidden = state.rules.objects_hide_missing_credentials && request.method != "OPTIONS";
        return Err(Reply::detail(
            403,
            if hidden {
                NO_PERMISSION
            } else {
                NO_CREDENTIALS
            },
        ));
    };
    if request.method == "OPTIONS" {
        return Ok(user);
    }
    let permission = model.permission(action(&request.method));
    let accounts = &state.accounts;
    let by_object = request.is_read() || state.rules.object_grant_allows_change;
    let allowed = accounts.has(&user, &permission)
        || (by_object && accounts.has_somewhere(&user, &permission));
    if allowed { Ok(user) } else { Err(forbidden()) }
}

/// Lets a caller at one object. One that cannot be seen does not exist.
pub(crate) fn object(
    state: &State,
    request: &Request,
    user: &User,
    model: Model,
    key: &str,
) -> Result<(), Option<Reply>> {
    let accounts = &state.accounts;
    if !accounts.has_on(user, &model.permission("view"), key) {
        return Err(None);
    }
    if accounts.has_on(user, &model.permission(action(&request.method)), key) {
        return Ok(());
    }
    Err(Some(forbidden()))
}

/// The answer to a caller who lacks a permission.
pub(crate) fn forbidden() -> Reply {
    Reply::detail(403, NO_PERMISSION)
}
