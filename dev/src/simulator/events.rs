//! The audit log: what was changed by a request, and by whom.
//!
//! Every row that a request writes is an event the moment its answer is there. What the server does by itself, such as its
//! installation, is none.

use super::accounts::User;
use super::auth::{self, Model};
use super::bindings;
use super::clock::{self, Time};
use super::filters;
use super::flows;
use super::http::{Reply, Request};
use super::pagination;
use super::state::{Binding, Flow, Stage, State};
use super::tables::{Row, Table};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use uuid::Uuid;

const MODEL: Model = Model {
    app: "authentik_events",
    name: "event",
};

/// How many events are kept. A real server deletes them after a year.
const KEPT: usize = 100_000;

/// What stands for a value that the log does not show.
const MASK: &str = "********************";
/// What the names of such fields contain.
const MASKED: [&str; 6] = ["api", "token", "key", "secret", "pass", "signature"];

/// The object that an event is about.
#[derive(Clone)]
pub(crate) struct Subject {
    /// A UUID without dashes, or a number.
    pk: String,
    model: Model,
    name: String,
}

/// The request that writes.
#[derive(Clone)]
pub(crate) struct Actor {
    user: User,
    method: String,
    path: String,
    args: Map<String, Value>,
    user_agent: String,
    id: Uuid,
}

#[derive(Clone)]
struct Event {
    pk: Uuid,
    action: &'static str,
    actor: Actor,
    subject: Subject,
    diff: Map<String, Value>,
    created: Time,
}

/// All events, and the request that is being answered.
#[derive(Clone, Default)]
pub(crate) struct Log {
    events: VecDeque<Event>,
    actor: Option<Actor>,
}

impl State {
    /// From here on, what is written is this request's doing.
    pub(crate) fn begin_request(&mut self, request: &Request) {
        let user = match request.is_read() {
            true => None,
            false => auth::caller(self, request).ok().flatten(),
        };
        self.log.actor = user.map(|user| Actor {
            user,
            method: request.method.clone(),
            path: request.path.clone(),
            args: request
                .query
                .iter()
                .map(|(name, value)| (name.clone(), json!(value)))
                .collect(),
            user_agent: request.user_agent.clone().unwrap_or_default(),
            id: Uuid::new_v4(),
        });
    }

    /// From here on, nobody's request writes.
    pub(crate) fn end_request(&mut self) {
        self.log.actor = None;
    }

    /// Notes what the present request has done.
    pub(crate) fn note(
        &mut self,
        action: &'static str,
        subject: Subject,
        diff: Map<String, Value>,
    ) {
        let Some(actor) = self.log.actor.clone() else {
            return;
        };
        if self.log.events.len() == KEPT {
            self.log.events.pop_front();
        }
        self.log.events.push_back(Event {
            pk: Uuid::new_v4(),
            action,
            actor,
            subject,
            diff: masked(diff),
            created: clock::now(),
        });
    }
}

/// A stage, as events name it.
pub(crate) fn stage(state: &State, stage: &Stage) -> Subject {
    let kind = state.kind(stage);
    let model = Model {
        app: kind.app,
        name: kind.model,
    };
    subject(stage.pk, model, &stage.name)
}

/// A flow, as events name it.
pub(crate) fn flow(flow: &Flow) -> Subject {
    subject(flow.pk, flows::MODEL, flow.text("name"))
}

/// A binding, as events name it.
pub(crate) fn binding(binding: &Binding) -> Subject {
    subject(binding.pk, bindings::MODEL, &bindings::title(binding))
}

/// A row of a table, as events name it.
pub(crate) fn row(row: &Row) -> Subject {
    subject(row.id, row.table.model(), &row.title())
}

/// A user, as events name it.
pub(crate) fn user(user: &User) -> Subject {
    Subject {
        pk: user.pk.to_string(),
        model: super::people::USER,
        name: user.username.clone(),
    }
}

fn subject(pk: Uuid, model: Model, name: &str) -> Subject {
    Subject {
        pk: pk.simple().to_string(),
        model,
        name: name.to_owned(),
    }
}

/// What writing these values changes.
pub(crate) fn changes(old: &Map<String, Value>, new: &Map<String, Value>) -> Map<String, Value> {
    let changed = new
        .iter()
        .filter(|(name, new)| old.get(*name) != Some(*new));
    let values = changed.map(|(name, new)| {
        let change = json!({ "new_value": new, "previous_value": old.get(name) });
        (name.clone(), change)
    });
    values.collect()
}

fn masked(diff: Map<String, Value>) -> Map<String, Value> {
    let hidden = |name: &str| MASKED.iter().any(|part| name.contains(part));
    let values = diff.into_iter().map(|(name, change)| match hidden(&name) {
        true => (name, json!(MASK)),
        false => (name, change),
    });
    values.collect()
}

/// `events/events/`.
pub(crate) fn collection(state: &State, request: &Request) -> Result<Reply, Reply> {
    auth::list(state, request, MODEL)?;
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Err(Reply::method_not_allowed(request));
    }
    let mut events: Vec<&Event> = state.log.events.iter().rev().collect();
    filter(request, &mut events)?;
    filters::order(request, &mut events, |event, key| match key {
        "created" => Some(json!(event.created.micros())),
        "action" => Some(json!(event.action)),
        _ => None,
    });
    let reply = pagination::page(&state.rules, request, &events, |event| render(state, event));
    reply.map(|reply| pagination::completed(state, reply, "events"))
}

fn filter(request: &Request, events: &mut Vec<&Event>) -> Result<(), Reply> {
    if let Some(pk) = filters::text(request, "context_model_pk")? {
        let pk = pk.replace('-', "");
        events.retain(|event| event.subject.pk == pk);
    }
    if let Some(name) = filters::text(request, "context_model_name")? {
        events.retain(|event| event.subject.model.name == name);
    }
    if let Some(app) = filters::text(request, "context_model_app")? {
        events.retain(|event| event.subject.model.app == app);
    }
    if let Some(username) = filters::text(request, "username")? {
        events.retain(|event| event.actor.user.username == username);
    }
    if let Some(action) = filters::text(request, "action")? {
        let action = action.to_lowercase();
        events.retain(|event| event.action.contains(&action));
    }
    Ok(())
}

fn render(state: &State, event: &Event) -> Value {
    let Event { actor, subject, .. } = event;
    let mut http_request = json!({
        "args": actor.args, "path": actor.path, "method": actor.method,
        "user_agent": actor.user_agent,
    });
    if state.rules.request_ids {
        http_request["request_id"] = json!(actor.id.simple().to_string());
    }
    let mut context = json!({
        "model": {
            "pk": subject.pk, "app": subject.model.app, "name": subject.name,
            "model_name": subject.model.name,
        },
        "http_request": http_request,
    });
    if state.rules.event_diffs && event.action != "model_deleted" {
        context["diff"] = json!(event.diff);
    }
    json!({
        "pk": event.pk,
        "user": {
            "pk": actor.user.pk, "email": actor.user.email, "username": actor.user.username,
        },
        "action": event.action,
        "app": "authentik.events.middleware",
        "context": context,
        "client_ip": "127.0.0.1",
        "created": event.created.to_string(),
        "expires": event.created.in_a_year().to_string(),
        "brand": brand(state),
    })
}

/// The brand that every request here is made under.
fn brand(state: &State) -> Value {
    let default = state
        .rows_of(&[Table::Brand])
        .find(|row| row.fields["default"] == true);
    default.map_or(json!({}), |row| {
        json!({
            "pk": row.id.simple().to_string(), "app": "authentik_brands", "name": row.title(),
            "model_name": "brand",
        })
    })
}
