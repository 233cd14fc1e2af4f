//! What would be lost with an object.

use super::accounts::User;
use super::auth::Model;
use super::bindings;
use super::devices::Device;
use super::flows;
use super::kinds::Kind;
use super::python;
use super::stages::{self, DEVICE_TYPE_FIELDS};
use super::state::{Binding, Flow, Stage, State};
use super::system;
use super::tables::{Row, Table};
use serde_json::{Value, json};

/// The users of a stage, as far as the caller may see them.
pub(crate) fn stage(state: &State, stage: &Stage, user: &User) -> Value {
    let bindings = state.bindings_of(stage.pk);
    let mut users = configuration_stages(state, stage);
    users.extend(
        bindings
            .iter()
            .filter_map(|binding| state.flows.get(&binding.target))
            .map(|flow| entry(flows::MODEL, &flow.pk, flow_name(flow), "cascade_many")),
    );
    users.extend(bindings.iter().map(|binding| binding_entry(binding)));
    users.extend(device_types(state, stage));
    users.extend(devices(state, stage));
    visible(state, users, user)
}

/// A validation stage is said to be used by the stages that it uses.
fn configuration_stages(state: &State, stage: &Stage) -> Vec<Entry> {
    let keys = stage
        .fields
        .get("configuration_stages")
        .and_then(Value::as_array);
    keys.into_iter()
        .flatten()
        .filter_map(|key| state.stages.get(&key.as_str().and_then(python::uuid)?))
        .map(|used| {
            entry(
                stages::ANY,
                &used.pk,
                format!("Stage {}", used.name),
                "cascade_many",
            )
        })
        .collect()
}

/// A stage is said to be used by the device types that it allows, too.
fn device_types(state: &State, stage: &Stage) -> Vec<Entry> {
    let types = |field: &str| stage.fields.get(field).and_then(Value::as_array);
    let keys = DEVICE_TYPE_FIELDS.iter().filter_map(|field| types(field));
    keys.flatten()
        .filter_map(|key| key.as_str().and_then(python::uuid))
        .map(|id| {
            let description = state.device_type(id).unwrap_or_default();
            let name = format!("WebAuthn device type {description} ({id})");
            entry(system::DEVICE_TYPE, &id, name, "cascade_many")
        })
        .collect()
}

fn devices(state: &State, stage: &Stage) -> Vec<Entry> {
    let kind = state.kind(stage);
    let Some(name) = kind.device else {
        return Vec::new();
    };
    let model = Model {
        app: kind.app,
        name,
    };
    let of_stage = |device: &&Device| device.stage == Some(stage.pk);
    let devices = state.devices.iter().filter(of_stage);
    devices
        .map(|device| entry(model, &device.id, device.name.clone(), "cascade"))
        .collect()
}

/// The users of a flow, as far as the caller may see them.
pub(crate) fn flow(state: &State, flow: &Flow, user: &User) -> Value {
    let key = json!(flow.pk);
    let mut bindings: Vec<&Binding> = state
        .bindings
        .values()
        .filter(|binding| binding.target == flow.pk)
        .collect();
    bindings.sort_by_key(|binding| binding.touched);
    let mut users = stages_naming(state, "configure_flow", &key);
    users.extend(rows_naming(state, &key));
    users.extend(bindings.iter().map(|binding| binding_entry(binding)));
    users.extend(
        bindings
            .iter()
            .filter_map(|binding| state.stages.get(&binding.stage))
            .map(|stage| {
                entry(
                    stages::ANY,
                    &stage.pk,
                    format!("Stage {}", stage.name),
                    "cascade_many",
                )
            }),
    );
    visible(state, users, user)
}

/// The users of a row, as far as the caller may see them.
pub(crate) fn row(state: &State, row: &Row, user: &User) -> Value {
    visible(state, stages_naming(state, "mapping", &row.key), user)
}

/// The stages that have a key in a field.
fn stages_naming(state: &State, field: &str, key: &Value) -> Vec<Entry> {
    let stages = state.stages_by_name(None).into_iter();
    let naming = stages.filter(|stage| stage.fields.get(field) == Some(key));
    let entries = naming.map(|stage| {
        let kind = state.kind(stage);
        let model = Model {
            app: kind.app,
            name: kind.model,
        };
        let name = format!("{} {}", title(kind), stage.name);
        entry(model, &stage.pk, name, "set_null")
    });
    entries.collect()
}

/// How stages of a kind begin what they call themselves.
fn title(kind: &Kind) -> &'static str {
    match kind.model {
        "authenticatorstaticstage" => "Static Authenticator Stage",
        "authenticatoremailstage" => "Email Authenticator Stage",
        _ => kind.verbose_name,
    }
}

/// The brands and providers that name a flow, once for each field.
fn rows_naming(state: &State, key: &Value) -> Vec<Entry> {
    let mut entries = Vec::new();
    for row in state.rows.values() {
        let fields = row.fields.iter().filter(|(_, value)| *value == key);
        entries.extend(fields.map(|(field, _)| {
            let model = row.table.model_as_user();
            entry(model, &row.path_key(), row.title(), Table::on_delete(field))
        }));
    }
    entries
}

type Entry = (Model, Value);

fn entry(model: Model, pk: &impl ToString, name: String, action: &str) -> Entry {
    let body = json!({
        "app": model.app, "model_name": model.name, "pk": pk.to_string(), "name": name,
        "action": action,
    });
    (model, body)
}

fn binding_entry(binding: &Binding) -> Entry {
    entry(
        bindings::MODEL,
        &binding.pk,
        bindings::title(binding),
        "cascade",
    )
}

fn flow_name(flow: &Flow) -> String {
    format!("Flow {} ({})", flow.text("name"), flow.text("slug"))
}

fn visible(state: &State, users: Vec<Entry>, user: &User) -> Value {
    let sees = |(model, body): &Entry| {
        let key = body["pk"].as_str().unwrap_or_default();
        state.accounts.has_on(user, &model.permission("view"), key)
    };
    let shown = users.into_iter().filter(sees).map(|(_, mut body)| {
        if let (true, Some(action)) = (state.rules.loud_used_by, body["action"].as_str()) {
            body["action"] = json!(action.to_uppercase());
        }
        body
    });
    shown.collect()
}
