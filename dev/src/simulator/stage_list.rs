//! Lists of stages: what they are filtered and ordered by.

use super::accounts::User;
use super::field_filters;
use super::filters;
use super::http::{Reply, Request};
use super::kinds::{DUO, VALIDATE};
use super::pagination;
use super::stages::{Scope, render};
use super::state::{Stage, State};
use serde_json::json;

/// The page of stages that is asked for.
pub(crate) fn list(
    state: &State,
    request: &Request,
    scope: Scope,
    user: &User,
) -> Result<Reply, Reply> {
    let mut rows = match filters::text(request, "name")? {
        Some(name) => by_name(state, scope, &name),
        None => state.stages_by_name(scope.kind()),
    };
    if matches!(scope, Scope::All) {
        rows.sort_by_key(|stage| stage.touched);
    }
    let terms = filters::search_terms(&state.rules, request)?;
    if !terms.is_empty() {
        rows.retain(|stage| filters::matches(&terms, &[&stage.name]));
    }
    filter_fields(state, request, scope, &mut rows)?;
    only_visible(state, scope, user, &mut rows);
    filters::order(request, &mut rows, |stage, key| match key {
        "pk" | "stage_uuid" => Some(json!(stage.pk)),
        "name" => Some(json!(stage.name)),
        key => stage.fields.get(key).cloned(),
    });
    pagination::page(&state.rules, request, &rows, |stage| {
        render(state, stage, scope)
    })
}

fn by_name<'a>(state: &'a State, scope: Scope, name: &str) -> Vec<&'a Stage> {
    let stage = state.names.get(name).and_then(|pk| state.stages.get(pk));
    stage
        .filter(|stage| scope.kind().is_none_or(|kind| kind == stage.kind))
        .into_iter()
        .collect()
}

fn only_visible(state: &State, scope: Scope, user: &User, rows: &mut Vec<&Stage>) {
    let permission = scope.model(state).permission("view");
    if !state.accounts.has(user, &permission) {
        rows.retain(|stage| {
            state
                .accounts
                .has_on(user, &permission, &stage.pk.to_string())
        });
    }
}

/// Filters by the fields that a kind can be filtered by; others are ignored.
fn filter_fields(
    state: &State,
    request: &Request,
    scope: Scope,
    rows: &mut Vec<&Stage>,
) -> Result<(), Reply> {
    let Scope::Kind(kind) = scope else {
        return Ok(());
    };
    match state.kinds[kind].model {
        VALIDATE => filter_validate(state, request, rows),
        DUO => filter_duo(state, request, rows),
        _ => filter_setup(state, request, kind, rows),
    }
}

fn filter_validate(state: &State, request: &Request, rows: &mut Vec<&Stage>) -> Result<(), Reply> {
    let actions = ["skip", "deny", "configure"];
    if let Some(action) = filters::choice(request, "not_configured_action", &actions)? {
        rows.retain(|stage| stage.fields["not_configured_action"] == action);
    }
    let exists = |id| state.stages.contains_key(&id);
    let used = filters::references(request, "configuration_stages", exists)?;
    if !used.is_empty() {
        let uses = |stage: &Stage| {
            let stages = stage.fields["configuration_stages"].as_array();
            stages.is_some_and(|stages| used.iter().any(|id| stages.contains(&json!(id))))
        };
        rows.retain(|stage| uses(stage));
    }
    Ok(())
}

/// Set-up stages can be filtered by all of their fields, but for lists.
fn filter_setup(
    state: &State,
    request: &Request,
    kind: usize,
    rows: &mut Vec<&Stage>,
) -> Result<(), Reply> {
    for field in &state.kinds[kind].fields {
        field_filters::keep(state, request, field, rows, |stage| {
            &stage.fields[field.name]
        })?;
    }
    Ok(())
}

fn filter_duo(state: &State, request: &Request, rows: &mut Vec<&Stage>) -> Result<(), Reply> {
    for field in ["client_id", "api_hostname"] {
        if let Some(value) = filters::text(request, field)? {
            rows.retain(|stage| stage.fields[field] == value);
        }
    }
    let flow = filters::reference(request, "configure_flow", |id| {
        state.flows.contains_key(&id)
    })?;
    if let Some(flow) = flow {
        rows.retain(|stage| stage.fields["configure_flow"] == json!(flow));
    }
    Ok(())
}
