//! From the places that a stage is to have in flows and those that it has to what has to be written.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value, json, value::RawValue};
use uuid::Uuid;

use super::{compare, failure::Failure};
use crate::{
    api::DriftedField,
    authentik::{Keyed, Shown, Weigh},
    kinds::Compare,
};

/// Most bytes of JSON of a setting. A binding with a larger one can't be read.
const MAX_SETTING: usize = 1024;

/// The settings of a binding that can be managed, by their names in authentik's API.
pub const SETTINGS: [&str; 4] = [
    "evaluate_on_plan",
    "re_evaluate_policies",
    "invalid_response_action",
    "policy_engine_mode",
];

/// A binding as authentik holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// Its UUID.
    pub pk: Uuid,
    /// The flow.
    pub target: Uuid,
    /// The stage, as text: what bindings are looked up by.
    pub stage: String,
    /// The place.
    pub order: i32,
    /// Its settings.
    pub settings: Map<String, Value>,
}

impl Weigh for Binding {
    fn weight(&self) -> usize {
        let settings = self.settings.iter();
        let settings =
            settings.map(|(name, value)| size_of::<String>() + name.len() + value.weight());
        size_of::<Binding>() + self.stage.len() + settings.sum::<usize>()
    }
}

impl Keyed for Binding {
    fn key(&self) -> Uuid {
        self.pk
    }
}

impl<'de> Deserialize<'de> for Binding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Row {
            pk: Uuid,
            target: Uuid,
            stage: Uuid,
            order: i32,
            evaluate_on_plan: Option<Box<RawValue>>,
            re_evaluate_policies: Option<Box<RawValue>>,
            invalid_response_action: Option<Box<RawValue>>,
            policy_engine_mode: Option<Box<RawValue>>,
        }
        let row = Row::deserialize(deserializer)?;
        let raw = [
            row.evaluate_on_plan,
            row.re_evaluate_policies,
            row.invalid_response_action,
            row.policy_engine_mode,
        ];
        let mut settings = Map::new();
        for (name, raw) in SETTINGS.into_iter().zip(raw) {
            if let Some(raw) = raw {
                settings.insert(name.to_owned(), setting(&raw)?);
            }
        }
        Ok(Binding {
            pk: row.pk,
            target: row.target,
            stage: row.stage.to_string(),
            order: row.order,
            settings,
        })
    }
}

fn setting<E: de::Error>(raw: &RawValue) -> Result<Value, E> {
    match raw.get().len() {
        0..=MAX_SETTING => serde_json::from_str(raw.get()).map_err(E::custom),
        _ => Err(E::custom("a setting that is too large")),
    }
}

/// A binding as the spec asks for it, its flow looked up.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredBinding {
    /// The flow.
    pub target: Uuid,
    /// The place.
    pub order: i32,
    /// The settings that are managed.
    pub settings: Map<String, Value>,
}

/// One write that binds, moves or unbinds a stage.
#[derive(Clone, Debug, PartialEq)]
pub enum BindingWrite {
    /// Binds the stage: everything but the stage itself.
    Create(Map<String, Value>),
    /// Changes a binding.
    Update(Uuid, Map<String, Value>),
    /// Unbinds the stage.
    Delete(Uuid),
}

/// Where the spec asks for the stage to stand, as far as its flows are found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DesiredBindings {
    /// The places whose flow is found.
    pub places: Vec<DesiredBinding>,
    /// Why not every flow is found.
    pub missing: Option<Failure>,
}

impl DesiredBindings {
    /// Whether the spec asks for this binding.
    #[must_use]
    pub fn declares(&self, binding: &Binding) -> bool {
        let same = |desired: &DesiredBinding| {
            desired.target == binding.target && desired.order == binding.order
        };
        self.places.iter().any(same)
    }

    /// What has to be written.
    #[must_use]
    pub fn writes(&self, live: &[Arc<Binding>]) -> Vec<BindingWrite> {
        let mut writes = writes(&self.places, live.iter().map(Arc::as_ref));
        if self.missing.is_some() {
            // Adding comes before removing, and not all can be added yet.
            writes.retain(|write| !matches!(write, BindingWrite::Delete(_)));
        }
        writes
    }

    /// Whether the stage only lacks places: nothing that is there is wrong. So is a stage that was created and not yet
    /// bound when the operator was killed.
    #[must_use]
    pub fn lacks_only(&self, live: &[Arc<Binding>]) -> bool {
        writes(&self.places, live.iter().map(Arc::as_ref))
            .iter()
            .all(|write| matches!(write, BindingWrite::Create(_)))
    }
}

/// What has to be written, in this order: a place in a flow is changed and added before another is taken away,
/// so that no login meets a moment without the stage.
///
/// A binding to the right flow with the wrong order is moved, never deleted and made anew.
fn writes<'a>(
    wanted: &[DesiredBinding],
    live: impl IntoIterator<Item = &'a Binding>,
) -> Vec<BindingWrite> {
    let mut live: Vec<_> = live.into_iter().collect();
    live.sort_unstable_by_key(|binding| (binding.order, binding.pk));
    let mut writes = Vec::new();
    let mut elsewhere = Vec::new();
    for wanted in wanted {
        match take(&mut live, |live| {
            live.target == wanted.target && live.order == wanted.order
        }) {
            Some(live) => writes.extend(update(wanted, live)),
            None => elsewhere.push(wanted),
        }
    }
    for wanted in elsewhere {
        match take(&mut live, |live| live.target == wanted.target) {
            Some(live) => writes.extend(update(wanted, live)),
            None => writes.push(BindingWrite::Create(create(wanted))),
        }
    }
    writes.extend(live.iter().map(|live| BindingWrite::Delete(live.pk)));
    writes
}

fn take<'a>(live: &mut Vec<&'a Binding>, fits: impl Fn(&Binding) -> bool) -> Option<&'a Binding> {
    let found = live.iter().position(|live| fits(live))?;
    Some(live.remove(found))
}

fn create(wanted: &DesiredBinding) -> Map<String, Value> {
    let mut body = wanted.settings.clone();
    body.insert("target".to_owned(), Value::from(wanted.target.to_string()));
    body.insert("order".to_owned(), Value::from(wanted.order));
    body
}

fn update(wanted: &DesiredBinding, live: &Binding) -> Option<BindingWrite> {
    let differs = |name: &str, value: &Value| {
        let found = live.settings.get(name).unwrap_or(&Value::Null);
        !compare::equal(Compare::Value, value, found)
    };
    let mut body: Map<_, _> = wanted
        .settings
        .iter()
        .filter(|(name, value)| differs(name, value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if live.order != wanted.order {
        body.insert("order".to_owned(), Value::from(wanted.order));
    }
    if body.is_empty() {
        return None;
    }
    // authentik looks at what one request says of these two, whatever it holds already.
    for name in ["evaluate_on_plan", "re_evaluate_policies"] {
        if let Some(value) = wanted.settings.get(name)
            && (body.contains_key("evaluate_on_plan") || body.contains_key("re_evaluate_policies"))
        {
            body.insert(name.to_owned(), value.clone());
        }
    }
    Some(BindingWrite::Update(live.pk, body))
}

/// How a stage's places differ from those that are wanted; nothing where none has to be written. Where the stage asks for a
/// second factor, a flow that it is missing from is weaker.
#[must_use]
pub fn places_drift(
    desired: &DesiredBindings,
    bindings: &[Arc<Binding>],
    slugs: &BTreeMap<Uuid, String>,
    asks_for_factor: bool,
    show: &dyn Fn(&str) -> Shown,
) -> Option<DriftedField> {
    let writes = desired.writes(bindings);
    if writes.is_empty() {
        return None;
    }
    let is_missing = |write: &BindingWrite| matches!(write, BindingWrite::Create(_));
    let found = bindings
        .iter()
        .map(|live| place(slugs, live.target, live.order, &live.settings));
    let wanted = desired
        .places
        .iter()
        .map(|wanted: &DesiredBinding| place(slugs, wanted.target, wanted.order, &wanted.settings));
    let found = show(&sorted(found));
    Some(DriftedField {
        field: "flows".to_owned(),
        wanted: sorted(wanted),
        found: found.into_string(),
        weaker: asks_for_factor && writes.iter().any(is_missing),
    })
}

fn place(
    slugs: &BTreeMap<Uuid, String>,
    flow: Uuid,
    order: i32,
    settings: &Map<String, Value>,
) -> Value {
    let mut shown: BTreeMap<_, _> = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let slug = slugs.get(&flow);
    let slug = slug.map_or_else(|| flow.to_string(), Clone::clone);
    shown.insert("flow", Value::from(slug));
    shown.insert("order", Value::from(order));
    json!(shown)
}

fn sorted(bindings: impl Iterator<Item = Value>) -> String {
    let mut texts: Vec<_> = bindings.map(|binding| binding.to_string()).collect();
    texts.sort_unstable();
    format!("[{}]", texts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: Uuid = Uuid::from_u128(1);
    const RECOVERY: Uuid = Uuid::from_u128(2);

    fn desired(target: Uuid, order: i32, settings: Value) -> DesiredBinding {
        let settings = settings.as_object().cloned().unwrap_or_default();
        DesiredBinding {
            target,
            order,
            settings,
        }
    }

    fn live(pk: u128, target: Uuid, order: i32, settings: Value) -> Binding {
        Binding {
            pk: Uuid::from_u128(pk),
            target,
            stage: Uuid::nil().to_string(),
            order,
            settings: settings.as_object().cloned().unwrap_or_default(),
        }
    }

    fn body(body: Value) -> Map<String, Value> {
        body.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn equal_is_nothing_to_do() {
        let there = live(9, LOGIN, 10, json!({"evaluate_on_plan": true}));
        assert_eq!(writes(&[desired(LOGIN, 10, json!({}))], [&there]), []);
        assert_eq!(
            writes(
                &[desired(LOGIN, 10, json!({"evaluate_on_plan": true}))],
                [&there]
            ),
            []
        );
        assert_eq!(writes(&[], []), []);
    }

    #[test]
    fn another_order_is_a_move() {
        let there = live(9, LOGIN, 10, json!({}));
        let move_ = BindingWrite::Update(there.pk, body(json!({"order": 30})));
        assert_eq!(writes(&[desired(LOGIN, 30, json!({}))], [&there]), [move_]);
    }

    #[test]
    fn a_place_that_is_right_is_not_moved_for_another() {
        let (first, second) = (live(8, LOGIN, 10, json!({})), live(9, LOGIN, 20, json!({})));
        let move_ = BindingWrite::Update(first.pk, body(json!({"order": 30})));
        let both = [desired(LOGIN, 30, json!({})), desired(LOGIN, 20, json!({}))];
        assert_eq!(writes(&both, [&first, &second]), [move_]);
    }

    #[test]
    fn adding_comes_before_removing() {
        let there = live(9, LOGIN, 10, json!({}));
        let add = BindingWrite::Create(body(json!({"target": RECOVERY.to_string(), "order": 10})));
        assert_eq!(
            writes(&[desired(RECOVERY, 10, json!({}))], [&there]),
            [add, BindingWrite::Delete(there.pk)]
        );
    }

    #[test]
    fn the_two_evaluations_travel_together() {
        let both = json!({"evaluate_on_plan": true, "re_evaluate_policies": false});
        let there = live(
            9,
            LOGIN,
            10,
            json!({"evaluate_on_plan": true, "re_evaluate_policies": true}),
        );
        let change = BindingWrite::Update(there.pk, body(both.clone()));
        assert_eq!(writes(&[desired(LOGIN, 10, both)], [&there]), [change]);
    }

    #[test]
    fn of_a_binding_only_what_can_be_managed_is_kept() {
        let row = json!({
            "pk": LOGIN, "target": RECOVERY, "stage": LOGIN, "order": -1, "policies": [0, 0],
            "evaluate_on_plan": true, "invalid_response_action": "retry", "policy_engine_mode": null,
        });
        let read = serde_json::from_str::<Binding>(&row.to_string()).unwrap();
        let settings = json!({"evaluate_on_plan": true, "invalid_response_action": "retry"});
        assert_eq!(read.settings, body(settings));
        assert_eq!((read.pk, read.target, read.order), (LOGIN, RECOVERY, -1));
        assert_eq!(read.stage, LOGIN.to_string());
    }

    #[test]
    fn a_setting_that_is_too_large_makes_its_binding_unreadable() {
        let read = |length: usize| {
            let text = "x".repeat(length);
            let row = json!({"pk": LOGIN, "target": LOGIN, "stage": LOGIN, "order": 0, "policy_engine_mode": text});
            serde_json::from_str::<Binding>(&row.to_string())
        };
        assert!(read(MAX_SETTING - 2).is_ok());
        assert!(read(MAX_SETTING).is_err());
    }
}
