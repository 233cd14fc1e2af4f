//! What the token may do, and what of it the operator has no use for.

use reqwest::Method;

use super::{
    finding::{Finding, Permitted, State},
    seen::{Seen, User},
};
use crate::{
    authentik::{Collection, Error, Rights},
    ops::permissions::{self, Permission},
};

const PERMISSIONS: &str = "permissions";
const IDLE: &str = "idle rights";

/// What a permission that several kinds share is listed under.
const SHARED: &str = "several kinds";

/// The release from which on all models have the names that the list has.
const RENAMED: (u16, u16) = (2024, 8);

/// Each permission, and whether the token's user has it.
pub fn permitted(seen: &Seen, permissions: Vec<Permission>) -> Vec<Permitted> {
    let permitted = permissions.into_iter().map(|permission| Permitted {
        state: state(seen, &permission),
        name: name(seen, &permission),
        kind: permission.kind,
    });
    permitted.collect()
}

/// Which of the permissions are missing that the operator does not need.
pub fn optional(all: &[Permitted]) -> Option<Finding> {
    let missing = all.iter().filter(|of| of.state == State::Missing);
    let missing: Vec<_> = missing.map(|of| of.name.as_str()).collect();
    if missing.is_empty() {
        return None;
    }
    let message = format!("optional, and missing: {}", missing.join(", "));
    Some(Finding::ok(PERMISSIONS, message).so(
        "nothing where you don't use what they are for: `authentik-stage-operator permissions --optional --explain`",
    ))
}

/// The permission as this release calls it.
fn name(seen: &Seen, permission: &Permission) -> String {
    let version = seen.version.as_ref().ok();
    let is_old = version.is_some_and(|version| !version.at_least(RENAMED.0, RENAMED.1));
    let formerly = permission.formerly.as_ref().filter(|_| is_old);
    formerly.unwrap_or(&permission.name).clone()
}

fn state(seen: &Seen, permission: &Permission) -> State {
    let user = seen.user.as_ref().and_then(|user| user.as_ref().ok());
    let Some(user) = user else {
        return State::Unknown;
    };
    let rights = permission.collection.and_then(|of| seen.rights.get(&of));
    match rights {
        Some(Ok(rights)) if rights.is_absent => State::Absent,
        _ if user.is_superuser => State::Granted,
        Some(Ok(rights)) => known(rights, user, &permission.method),
        _ => State::Unknown,
    }
}

fn known(rights: &Rights, user: &User, method: &Method) -> State {
    let is = match *method {
        // An outpost's own account sees empty lists where others see an error.
        Method::GET if user.kind == "internal_service_account" => None,
        Method::GET => rights.view,
        Method::POST => rights.add,
        Method::PATCH => rights.change,
        _ => None,
    };
    match is {
        Some(true) => State::Granted,
        Some(false) => State::Missing,
        None => State::Unknown,
    }
}

/// What is missing, by kind; and how many are there.
pub fn missing(seen: &Seen, all: &[Permitted], used: &[String]) -> Vec<Finding> {
    match &seen.user {
        Some(Ok(_)) => {}
        _ => return vec![Finding::unknown(PERMISSIONS, "not asked")],
    }
    let mut findings = Vec::new();
    if let Some(error) = seen
        .rights
        .values()
        .find_map(|rights| rights.as_ref().err())
    {
        findings.push(not_asked(error));
    }
    let mut kinds = Vec::new();
    for kind in all.iter().map(|of| of.kind.unwrap_or(SHARED)) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    findings.extend(kinds.iter().filter_map(|kind| of_kind(kind, all, used)));
    let first = match sees_nothing(all) {
        true => Finding::failure(PERMISSIONS, "the token's user may see none of the operator's kinds").so(
            "give the user a role with what `authentik-stage-operator permissions` prints (docs/token.md)",
        ),
        false => Finding::ok(PERMISSIONS, counted(all)),
    };
    findings.insert(0, first);
    findings
}

fn not_asked(error: &Error) -> Finding {
    Finding::unknown(PERMISSIONS, format!("not all could be asked: {error}"))
}

fn counted(all: &[Permitted]) -> String {
    let count = |state| all.iter().filter(|of| of.state == state).count();
    let mut text = format!(
        "{} granted, {} missing",
        count(State::Granted),
        count(State::Missing)
    );
    if count(State::Absent) > 0 {
        text += &format!(", {} that this release does not know", count(State::Absent));
    }
    if count(State::Unknown) > 0 {
        text += &format!(
            ", {} that can't be known without a write, such as to delete",
            count(State::Unknown)
        );
    }
    text
}

/// Whether not a single kind can be seen.
fn sees_nothing(all: &[Permitted]) -> bool {
    let mut of_kinds = all
        .iter()
        .filter(|of| of.kind.is_some() && of.name.contains(".view_") && of.name.ends_with("stage"));
    of_kinds.all(|of| matches!(of.state, State::Missing | State::Absent))
}

fn of_kind(kind: &str, all: &[Permitted], used: &[String]) -> Option<Finding> {
    let lacks = all
        .iter()
        .filter(|of| of.kind.unwrap_or(SHARED) == kind && of.state == State::Missing);
    let lacks: Vec<_> = lacks.map(|of| of.name.as_str()).collect();
    if lacks.is_empty() {
        return None;
    }
    let message = format!("{kind}: missing {}", lacks.join(", "));
    Some(match used.iter().any(|used| used == kind) {
        true => Finding::failure(PERMISSIONS, message)
            .so("add them to the role of the token's user"),
        false => Finding::warning(PERMISSIONS, message).so(match kind {
            SHARED => "add those that you make use of: `authentik-stage-operator permissions --explain` says what each is for",
            _ => "nothing where you have no resources of this kind; else add them to the role of the token's user",
        }),
    })
}

/// What the token's user may do that the operator never needs, as far as that can be known.
pub fn idle(seen: &Seen) -> Option<Finding> {
    let user = seen.user.as_ref()?.as_ref().ok()?;
    const LESS: &str = "make the token for a user of its own, with a role that holds what \
        `authentik-stage-operator permissions` prints and nothing else (docs/token.md)";
    if user.is_superuser {
        let message =
            "the token's user is a superuser: who gets hold of the token may do everything";
        return Some(Finding::warning(IDLE, message).so(LESS));
    }
    if !user.system_permissions.is_empty() {
        let names: Vec<_> = user
            .system_permissions
            .iter()
            .map(|name| name.as_str())
            .collect();
        let message = format!("the operator never needs {}", names.join(", "));
        return Some(Finding::warning(IDLE, message).so(LESS));
    }
    let message = "none is seen; authentik does not show all rights of a user to themselves";
    Some(Finding::ok(IDLE, message))
}

/// The collections that permissions are about, and whether more than to view them is of use.
pub fn collections() -> Vec<(Collection, bool)> {
    let mut all: Vec<(Collection, bool)> = Vec::new();
    let wanted = permissions::all().into_iter();
    for permission in wanted.chain(permissions::optional()) {
        let Some(collection) = permission.collection else {
            continue;
        };
        let writes = permission.method != Method::GET;
        match all.iter_mut().find(|(known, _)| *known == collection) {
            Some((_, known)) => *known |= writes,
            None => all.push((collection, writes)),
        }
    }
    all
}
