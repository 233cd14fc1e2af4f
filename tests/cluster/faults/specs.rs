//! The specs that a history gives its resources.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    dice::Dice,
    world::{At, Slot},
};
use crate::harness::{DUO, VALIDATE};

const fn slot(at: At, kind: &'static str, name: &'static str) -> Slot {
    Slot { at, kind, name }
}

/// The resources that a history has on the healthy server.
pub const SLOTS: [Slot; 9] = [
    slot(At::Home, VALIDATE, "v0"),
    slot(At::Home, VALIDATE, "v1"),
    slot(At::Home, VALIDATE, "v2"),
    slot(At::Home, VALIDATE, "v3"),
    slot(At::Home, DUO, "d0"),
    slot(At::Home, DUO, "d1"),
    slot(At::Away, VALIDATE, "v0"),
    slot(At::Away, VALIDATE, "v1"),
    slot(At::Away, DUO, "d0"),
];

/// The Secrets that Duo stages read.
pub const SECRETS: [&str; 2] = ["s0", "s1"];

/// Flows that are always there.
pub const FLOWS: [&str; 2] = ["f0", "f1"];

/// A flow that never is.
const NO_FLOW: &str = "no-flow";

/// A stage of another kind that is always there.
pub const TOTP: &str = "totp";

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

/// The name of a stage as a person makes it odd.
pub fn odd(dice: &mut Dice, name: &str) -> String {
    if dice.percent(20) {
        return format!("{name}{}", "\u{754c}".repeat(LONG));
    }
    format!("{name}{}", dice.one(&ODD_BY_HAND))
}

/// A spec for this resource, as far as it goes an edit of the old one. `name` makes names in authentik.
pub fn spec(dice: &mut Dice, slot: Slot, old: &Value, name: impl Fn(&str) -> String) -> Value {
    let new = if slot.kind == DUO {
        duo(dice)
    } else {
        validate(dice, &name)
    };
    let mut spec = new;
    common(dice, slot, &mut spec, &name);
    if let Some(old) = old.as_object() {
        keep_some(dice, old, &mut spec);
    }
    let configures = spec
        .get("notConfiguredAction")
        .is_some_and(|action| action == "configure");
    if configures && spec.get("configurationStages").is_none() {
        spec.insert(
            "configurationStages".to_owned(),
            json!([{"name": name(TOTP)}]),
        );
    }
    Value::Object(spec)
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

fn common(
    dice: &mut Dice,
    slot: Slot,
    spec: &mut Map<String, Value>,
    name: impl Fn(&str) -> String,
) {
    // Now and then another resource's, in the same namespace or in the other.
    let own = slot.stage();
    let stage = match dice.below(20) {
        0..4 => dice.one(&SLOTS).stage(),
        4..7 => format!("{own}-renamed"),
        7 => format!("{own}{}", ODD_WANTED[usize::from(dice.percent(50))]),
        _ => own,
    };
    spec.insert("name".to_owned(), json!(name(&stage)));
    for (field, often, values) in [
        ("adoptionPolicy", 70, &["IfMatch", "Always", "Never"][..]),
        (
            "deletionPolicy",
            80,
            &["Delete", "Orphan", "ForceDelete", "Delete"],
        ),
        ("managementPolicy", 30, &["Enforce", "Observe"]),
    ] {
        if dice.percent(often) {
            spec.insert(field.to_owned(), json!(dice.one(values)));
        }
    }
    if dice.percent(10) {
        spec.insert("suspend".to_owned(), json!(true));
    }
    if dice.percent(50) {
        let flows = flows(dice, &name);
        spec.insert("flows".to_owned(), flows);
    }
}

fn flows(dice: &mut Dice, name: impl Fn(&str) -> String) -> Value {
    let mut slugs = match dice.below(10) {
        0 => Vec::new(),
        _ => dice.some(&FLOWS),
    };
    if dice.percent(5) {
        slugs.push(NO_FLOW);
    }
    let entry = |slug: &str| json!({"flow": {"slug": name(slug)}, "order": 10 * dice.below(3)});
    slugs.into_iter().map(entry).collect()
}

fn validate(dice: &mut Dice, name: impl Fn(&str) -> String) -> Map<String, Value> {
    let mut spec = Map::new();
    if dice.percent(80) {
        let classes = dice.some(&["static", "totp", "webauthn", "duo", "sms"]);
        spec.insert("deviceClasses".to_owned(), json!(classes));
    }
    if dice.percent(80) {
        let action = dice.one(&["skip", "deny", "configure"]);
        spec.insert("notConfiguredAction".to_owned(), json!(action));
    }
    if dice.percent(50) {
        let references = [
            json!({"name": name(TOTP)}),
            json!({"resource": {"kind": DUO, "name": "d0"}}),
            json!({"resource": {"kind": DUO, "name": "d1"}}),
        ];
        spec.insert(
            "configurationStages".to_owned(),
            json!(dice.some(&references)),
        );
    }
    if dice.percent(50) {
        spec.insert(
            "lastAuthThreshold".to_owned(),
            json!(format!("hours={}", 1 + dice.below(9))),
        );
    }
    spec
}

fn duo(dice: &mut Dice) -> Map<String, Value> {
    let mut secret = || json!({"secretKeyRef": {"name": dice.one(&SECRETS), "key": "secret"}});
    let (client, admin) = (secret(), secret());
    let mut spec = Map::from_iter([
        (
            "clientId".to_owned(),
            json!(format!("DI{:018}", dice.below(1000))),
        ),
        (
            "apiHostname".to_owned(),
            json!(format!("api-{}.duosecurity.com", dice.below(1000))),
        ),
        ("clientSecret".to_owned(), client),
    ]);
    if dice.percent(30) {
        spec.insert("adminSecretKey".to_owned(), admin);
    }
    if dice.percent(40) {
        spec.insert(
            "friendlyName".to_owned(),
            json!(format!("Duo {}", dice.below(1000))),
        );
    }
    spec
}
