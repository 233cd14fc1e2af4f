//! Who writes the fields of specs, and what people write into authentik by hand.

use authentik_stage_operator::authentik::Collection;
use serde_json::{Value, json};

use super::{
    cast::{Cast, Slot},
    dice::Dice,
    lasting::Lasting,
    shapes::{Property, Shape},
    specs::{NO_FLOW, SECRETS},
    world::At,
};
use crate::harness::Test;

/// How many values a text or a number has: few, so that now and then two are equal.
const VALUES: u64 = 20;

/// The text of a field that does not take just any.
fn fitting(field: &str, n: u64) -> String {
    match field {
        "lastAuthThreshold" | "tokenExpiry" => format!("hours={}", 1 + n % 9),
        "apiHostname" => format!("api-{n}.duosecurity.com"),
        "fromAddress" => format!("from-{n}@example.com"),
        "background" => format!("flow-{n}.png"),
        _ => format!("{field} {n}"),
    }
}

/// Draws values.
pub struct Author<'a> {
    pub dice: &'a mut Dice,
    pub cast: &'a Cast,
    pub test: &'a Test,
    /// What is always there.
    pub lasting: &'a [Lasting],
}

impl Author<'_> {
    /// A value of a spec of a resource in this namespace.
    pub fn value(&mut self, at: At, property: &Property) -> Value {
        if property.is_nullable && self.dice.percent(15) {
            return Value::Null;
        }
        match &property.shape {
            Shape::Secret => {
                json!({"secretKeyRef": {"name": self.dice.one(&SECRETS), "key": "secret"}})
            }
            Shape::One(to) => self.dice.one(&self.references(at, *to)).clone(),
            Shape::Many(to) => json!(self.dice.some(&self.references(at, *to))),
            _ => self.plain(property),
        }
    }

    /// A value that refers to nothing, the same in a spec and in authentik.
    pub fn plain(&mut self, property: &Property) -> Value {
        match &property.shape {
            Shape::Word(words) => self.dice.one(words).clone(),
            Shape::Set(words) => json!(self.dice.some(words)),
            Shape::List(words) => {
                let some = self.dice.some(words);
                json!(self.dice.shuffled(some))
            }
            Shape::Boolean => json!(self.dice.percent(50)),
            Shape::Integer => json!(self.dice.below(VALUES)),
            Shape::Number => json!(0.5),
            _ => json!(fitting(&property.spec, self.dice.below(VALUES))),
        }
    }

    /// A flow, for a resource in this namespace; hardly ever one that is never there.
    pub fn flow(&mut self, at: At) -> Value {
        if self.dice.percent(3) {
            return json!({"slug": self.test.name(NO_FLOW)});
        }
        self.dice
            .one(&self.references(at, Collection::FLOWS))
            .clone()
    }

    /// A stage, for a resource in this namespace.
    pub fn stage(&mut self, at: At) -> Value {
        self.dice
            .one(&self.references(at, Collection::ALL_STAGES))
            .clone()
    }

    /// All references to one of these that a resource in this namespace may have.
    fn references(&self, at: At, to: Collection) -> Vec<Value> {
        let lasting = self.lasting.iter().filter(|lasting| lasting.of == to);
        let ways = lasting.flat_map(|lasting| lasting.ways());
        let mut all: Vec<_> = ways.collect();
        assert!(!all.is_empty(), "there is nothing to refer to in {to:?}");
        for slot in self.cast.among(to) {
            all.push(json!({to.label(): self.test.name(&slot.label())}));
            if slot.at == at {
                all.push(json!({"resource": {"kind": slot.kind, "name": slot.name}}));
            }
        }
        all
    }

    /// A label for the object of this resource: now and then another's, in the same namespace or in the other.
    pub fn label(&mut self, slot: Slot) -> String {
        let own = slot.label();
        match self.dice.below(20) {
            0..4 => self.dice.one(&self.cast.among(slot.names())).label(),
            4..7 => format!("{own}-renamed"),
            _ => own,
        }
    }
}
