//! Bindings of stages to flows.

use super::accounts::User;
use super::auth::{self, Model};
use super::events;
use super::fields::{Field, FieldKind};
use super::filters;
use super::http::{self, Reply, Request};
use super::pagination;
use super::python;
use super::serializer::{self, Mode, Refused};
use super::stages;
use super::state::{Binding, State};
use serde_json::{Map, Value, json};
use uuid::Uuid;

pub(crate) const MODEL: Model = Model {
    app: "authentik_flows",
    name: "flowstagebinding",
};

/// The fields beside target, stage and order.
fn settings() -> Vec<Field> {
    let actions = &["retry", "restart", "restart_with_context"];
    vec![
        Field::new("evaluate_on_plan", FieldKind::Boolean, json!(false)),
        Field::new("re_evaluate_policies", FieldKind::Boolean, json!(true)),
        Field::new(
            "policy_engine_mode",
            FieldKind::Choice(&["all", "any"]),
            json!("any"),
        ),
        Field::new(
            "invalid_response_action",
            FieldKind::Choice(actions),
            json!("retry"),
        ),
    ]
}

fn fields() -> Vec<Field> {
    let mut fields = vec![
        Field::new("target", FieldKind::Flow, Value::Null).required(),
        Field::new("stage", FieldKind::Stage, Value::Null).required(),
        Field::new("order", FieldKind::INTEGER, Value::Null).required(),
    ];
    fields.extend(settings());
    fields
}

/// The settings of a binding that sets none.
pub(crate) fn defaults() -> Map<String, Value> {
    serializer::with_defaults(&settings(), Map::new())
}

/// What the server calls a binding.
pub(crate) fn title(binding: &Binding) -> String {
    format!(
        "Flow-stage binding #{} to {}",
        binding.order, binding.target
    )
}

/// `flows/bindings/`.
pub(crate) fn collection(state: &mut State, request: &Request) -> Result<Reply, Reply> {
    let user = auth::list(state, request, MODEL)?;
    match request.method.as_str() {
        "OPTIONS" => {
            let may = state.accounts.has(&user, &MODEL.permission("add"));
            Ok(stages::options(
                "FlowStageBinding",
                "List",
                may.then_some("POST"),
            ))
        }
        "GET" | "HEAD" => list(state, request),
        "POST" => create(state, request),
        _ => Err(Reply::method_not_allowed(request)),
    }
}

/// `flows/bindings/{uuid}/`.
pub(crate) fn item(state: &mut State, request: &Request, key: &str) -> Result<Reply, Reply> {
    let user = auth::objects(state, request, MODEL)?;
    let pk = find(state, request, key, &user)?;
    match request.method.as_str() {
        "OPTIONS" => {
            let change = MODEL.permission("change");
            let may = state.accounts.has_on(&user, &change, &pk.to_string());
            Ok(stages::options(
                "FlowStageBinding",
                "Instance",
                may.then_some("PUT"),
            ))
        }
        "GET" | "HEAD" => Ok(Reply::ok(render(state, &state.bindings[&pk], false))),
        "DELETE" => {
            state.unbind(pk);
            Ok(Reply::empty(204))
        }
        "PUT" | "PATCH" => change(state, request, pk),
        _ => Err(Reply::method_not_allowed(request)),
    }
}

/// `flows/bindings/{uuid}/used_by/`: nothing ever uses a binding.
pub(crate) fn used_by(state: &State, request: &Request, key: &str) -> Result<Reply, Reply> {
    let user = auth::objects(state, request, MODEL)?;
    find(state, request, key, &user)?;
    Ok(Reply::ok(json!([])))
}

fn find(state: &State, request: &Request, key: &str, user: &User) -> Result<Uuid, Reply> {
    let id = python::uuid(key);
    let missing = || stages::missing(state, "FlowStageBinding", id.is_some());
    let pk = id
        .filter(|id| state.bindings.contains_key(id))
        .ok_or_else(missing)?;
    auth::object(state, request, user, MODEL, &pk.to_string())
        .map_err(|refused| refused.unwrap_or_else(missing))?;
    Ok(pk)
}

fn create(state: &mut State, request: &Request) -> Result<Reply, Reply> {
    let mut values = validated(state, request, None)?;
    let place = Place::take(&mut values, None).ok_or_else(|| Reply::crash(request))?;
    let mut all = defaults();
    all.extend(values);
    let pk = state.bind(place.target, place.stage, place.order, all);
    Ok(Reply::json(201, render(state, &state.bindings[&pk], true)))
}

fn change(state: &mut State, request: &Request, pk: Uuid) -> Result<Reply, Reply> {
    let mut values = validated(state, request, Some(pk))?;
    let stage_sent = values.contains_key("stage");
    let mut binding = state.bindings[&pk].clone();
    let place = Place::take(&mut values, Some(&binding)).ok_or_else(|| Reply::crash(request))?;
    let mut diff = events::changes(&binding.fields, &values);
    diff.extend(events::changes(
        &Place::of(&binding).values(),
        &place.values(),
    ));
    binding.target = place.target;
    binding.stage = place.stage;
    binding.order = place.order;
    binding.fields.extend(values);
    binding.touched = state.tick();
    state.rebind(binding.clone());
    state.note("model_updated", events::binding(&binding), diff);
    Ok(Reply::ok(render(state, &state.bindings[&pk], stage_sent)))
}

/// Where a binding puts which stage.
#[derive(Clone, Copy, PartialEq)]
struct Place {
    target: Uuid,
    stage: Uuid,
    order: i64,
}

impl Place {
    fn of(binding: &Binding) -> Self {
        Self {
            target: binding.target,
            stage: binding.stage,
            order: binding.order,
        }
    }

    fn values(self) -> Map<String, Value> {
        let key = |id: Uuid| json!(id.simple().to_string());
        Map::from_iter([
            ("target".to_owned(), key(self.target)),
            ("stage".to_owned(), key(self.stage)),
            ("order".to_owned(), json!(self.order)),
        ])
    }

    /// Reads the place from a valid body; what is missing stays as it was.
    fn read(values: &Map<String, Value>, old: Option<&Binding>) -> Option<Self> {
        let old = old.map(Self::of);
        let id = |name: &str| {
            values
                .get(name)
                .and_then(Value::as_str)
                .and_then(python::uuid)
        };
        Some(Self {
            target: id("target").or(old.map(|old| old.target))?,
            stage: id("stage").or(old.map(|old| old.stage))?,
            order: values
                .get("order")
                .and_then(Value::as_i64)
                .or(old.map(|old| old.order))?,
        })
    }

    fn take(values: &mut Map<String, Value>, old: Option<&Binding>) -> Option<Self> {
        let place = Self::read(values, old);
        for field in ["target", "stage", "order"] {
            values.remove(field);
        }
        place
    }
}

fn validated(
    state: &State,
    request: &Request,
    instance: Option<Uuid>,
) -> Result<Map<String, Value>, Reply> {
    let body = http::data(&state.rules, request)?;
    let mode = Mode {
        instance,
        partial: request.method == "PATCH",
    };
    let values = serializer::run(state, &fields(), &body, mode)
        .and_then(|values| check_place(state, values, instance))
        .and_then(check_evaluation);
    values.map_err(|refused| refused.reply(request))
}

fn check_place(
    state: &State,
    values: Map<String, Value>,
    instance: Option<Uuid>,
) -> Result<Map<String, Value>, Refused> {
    let old = instance.and_then(|pk| state.bindings.get(&pk));
    let place = Place::read(&values, old).ok_or(Refused::Crash)?;
    let bindings = state.bindings_of(place.stage);
    let taken = bindings
        .iter()
        .any(|b| Some(b.pk) != instance && Place::of(b) == place);
    if taken {
        return Err(Refused::whole(
            "The fields target, stage, order must make a unique set.",
        ));
    }
    Ok(values)
}

/// Only what is sent counts here, not what is stored.
fn check_evaluation(values: Map<String, Value>) -> Result<Map<String, Value>, Refused> {
    let sent = |name: &str, default| values.get(name).and_then(Value::as_bool).unwrap_or(default);
    if sent("evaluate_on_plan", false) || sent("re_evaluate_policies", true) {
        return Ok(values);
    }
    Err(Refused::whole(
        "Either evaluation on plan or evaluation on run must be enabled",
    ))
}

/// A binding. A stage that came with the request is shown without its kind.
fn render(state: &State, binding: &Binding, stage_sent: bool) -> Value {
    let mut stage = state
        .stages
        .get(&binding.stage)
        .map(|stage| stages::summary(state, stage));
    if let (true, Some(stage)) = (stage_sent, &mut stage) {
        stage["component"] = json!("");
        stage["verbose_name"] = json!("stage");
        stage["verbose_name_plural"] = json!("stages");
        stage["meta_model_name"] = json!("authentik_flows.stage");
    }
    let mut body = json!({
        "pk": binding.pk, "policybindingmodel_ptr_id": binding.base, "target": binding.target,
        "stage": binding.stage, "stage_obj": stage, "order": binding.order,
    });
    if let Value::Object(body) = &mut body {
        body.extend(binding.fields.clone());
    }
    body
}

fn list(state: &State, request: &Request) -> Result<Reply, Reply> {
    let mut rows: Vec<&Binding> = state.bindings.values().collect();
    rows.sort_by_key(|binding| (binding.order, binding.touched));
    if let Some(pk) = filters::reference(request, "target", |id| state.flows.contains_key(&id))? {
        rows.retain(|binding| binding.target == pk);
    }
    if let Some(pk) = filters::reference(request, "stage", |id| state.stages.contains_key(&id))? {
        rows.retain(|binding| binding.stage == pk);
    }
    if let Some(order) = request
        .param("order")
        .and_then(|text| text.parse::<i64>().ok())
    {
        rows.retain(|binding| binding.order == order);
    }
    filter_settings(request, &mut rows)?;
    let terms = filters::search_terms(&state.rules, request)?;
    rows.retain(|binding| {
        let name = state
            .stages
            .get(&binding.stage)
            .map_or("", |stage| stage.name.as_str());
        filters::matches(&terms, &[name])
    });
    filters::order(request, &mut rows, |binding, key| match key {
        "order" => Some(json!(binding.order)),
        "pk" => Some(json!(binding.pk)),
        key => binding.fields.get(key).cloned(),
    });
    pagination::page(&state.rules, request, &rows, |binding| {
        render(state, binding, false)
    })
}

fn filter_settings(request: &Request, rows: &mut Vec<&Binding>) -> Result<(), Reply> {
    if let Some(mode) = filters::choice(request, "policy_engine_mode", &["all", "any"])? {
        rows.retain(|binding| binding.fields["policy_engine_mode"] == mode);
    }
    for field in ["evaluate_on_plan", "re_evaluate_policies"] {
        if let Some(wanted) = filters::boolean(request, field) {
            rows.retain(|binding| binding.fields[field] == wanted);
        }
    }
    Ok(())
}
