//! The specs that a history gives its resources.

use std::collections::BTreeSet;

use authentik_stage_operator::authentik::Collection;
use serde_json::{Map, Value, json};

use super::{
    author::Author,
    cast::Slot,
    dice::Dice,
    shapes::{Property, Shape, properties},
    world::At,
};

/// The Secrets that resources read.
pub const SECRETS: [&str; 2] = ["s0", "s1"];

/// A flow that never is.
pub const NO_FLOW: &str = "no-flow";

/// What makes a name odd that Kubernetes takes.
const ODD_WANTED: [&str; 2] = [" \"50 %\" & más?#+/", "\u{754c}\u{301}\u{1f600}"];

/// What makes a name odd that only a person can give a stage, in authentik. The first is taken away by Python's `strip`.
const ODD_BY_HAND: [&str; 8] = [
    "\u{1f}",
    "\u{1c}\u{1d}mid\u{1e}dle",
    "\u{7}bell",
    "\nInSync: all is well",
    "\u{85}\u{2028}lines",
    "\u{202e}turned\u{2066}",
    "\u{200f}",
    "\u{1b}[2Jgone",
];

/// How many characters the longest name has beside the rest.
const LONG: usize = 300;

/// The label of an object as a person makes it odd. Slugs can hardly be.
pub fn odd(dice: &mut Dice, slot: Slot, label: &str) -> String {
    if slot.names().is_found_by_label() {
        return format!("{label}-Odd_");
    }
    if dice.percent(20) {
        return format!("{label}{}", "\u{754c}".repeat(LONG));
    }
    format!("{label}{}", dice.one(&ODD_BY_HAND))
}

/// A spec for this resource, as far as it goes an edit of the old one.
pub fn spec(author: &mut Author<'_>, slot: Slot, old: &Value) -> Value {
    let mut spec = Map::new();
    for property in properties(slot.kind) {
        if property.is_required || author.dice.percent(how_often(property)) {
            let value = author.value(slot.at, property);
            spec.insert(property.spec.clone(), value);
        }
    }
    common(author, slot, &mut spec);
    if let Some(old) = old.as_object() {
        keep_some(author.dice, old, &mut spec);
    }
    name_stages(author, slot.at, &mut spec);
    Value::Object(spec)
}

/// In how many of a hundred specs a field is that may be left out.
fn how_often(property: &Property) -> u64 {
    match property.shape {
        Shape::Number => 2,
        Shape::Word(_) | Shape::Set(_) => 70,
        _ => 40,
    }
}

/// The least spec of this kind, without a label.
pub fn least(author: &mut Author<'_>, kind: &str) -> Value {
    let required = properties(kind).iter().filter(|of| of.is_required);
    let mut spec = Map::new();
    for property in required {
        let value = author.value(At::Home, property);
        spec.insert(property.spec.clone(), value);
    }
    Value::Object(spec)
}

/// The CRD wants stages to be named where people are to enrol through them.
fn name_stages(author: &mut Author<'_>, at: At, spec: &mut Map<String, Value>) {
    let field = "configurationStages";
    let configures = spec
        .get("notConfiguredAction")
        .is_some_and(|action| action == "configure");
    let named = spec.get(field).and_then(Value::as_array);
    if !configures || named.is_some_and(|named| !named.is_empty()) {
        return;
    }
    let stage = author.reference(at, Collection::ALL_STAGES);
    spec.insert(field.to_owned(), json!([stage]));
}

/// An edit changes few fields.
fn keep_some(dice: &mut Dice, old: &Map<String, Value>, spec: &mut Map<String, Value>) {
    let fields: BTreeSet<_> = old.keys().chain(spec.keys()).cloned().collect();
    for field in fields {
        if dice.percent(30) {
            continue;
        }
        match old.get(&field) {
            Some(value) => spec.insert(field, value.clone()),
            None => spec.remove(&field),
        };
    }
}

fn common(author: &mut Author<'_>, slot: Slot, spec: &mut Map<String, Value>) {
    let mut label = author.label(slot);
    let is_flow = slot.names().is_found_by_label();
    if !is_flow && author.dice.percent(5) {
        label.push_str(author.dice.one::<&str>(&ODD_WANTED));
    }
    let label = json!(author.test.name(&label));
    spec.insert(slot.names().label().to_owned(), label);
    for (field, often, values) in [
        ("adoptionPolicy", 70, &["IfMatch", "Always", "Never"][..]),
        (
            "deletionPolicy",
            80,
            &["Delete", "Orphan", "ForceDelete", "Delete"],
        ),
        ("managementPolicy", 30, &["Enforce", "Observe"]),
    ] {
        if author.dice.percent(often) {
            spec.insert(field.to_owned(), json!(author.dice.one(values)));
        }
    }
    if author.dice.percent(10) {
        spec.insert("suspend".to_owned(), json!(true));
    }
    if !is_flow && author.dice.percent(50) {
        spec.insert("flows".to_owned(), flows(author, slot.at));
    }
}

/// No two entries have one order: two that name one flow in two ways would be one place named twice.
fn flows(author: &mut Author<'_>, at: At) -> Value {
    let count = author.dice.below(4);
    let entry = |n: u64| {
        let order = 10 * author.dice.below(3) + n;
        json!({"flow": author.flow(at), "order": order})
    };
    (0..count).map(entry).collect()
}
