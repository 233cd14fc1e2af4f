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

/// How many references a list of them has at most.
const MOST_REFERENCES: u64 = 3;

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
            Shape::One(to) => self.reference(at, *to),
            Shape::Many(to) => self.references(at, *to),
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
        self.reference(at, Collection::FLOWS)
    }

    /// A few references, each once.
    fn references(&mut self, at: At, to: Collection) -> Value {
        let mut all = Vec::new();
        for _ in 0..self.dice.below(MOST_REFERENCES + 1) {
            let reference = self.reference(at, to);
            if !all.contains(&reference) {
                all.push(reference);
            }
        }
        Value::from(all)
    }

    /// A reference to one of these, for a resource in this namespace: to what lasts, or to what another resource stands for.
    pub fn reference(&mut self, at: At, to: Collection) -> Value {
        let slots = self.cast.among(to);
        if slots.is_empty() || self.dice.percent(50) {
            let lasting = self.lasting.iter().filter(|lasting| lasting.of == to);
            let ways: Vec<_> = lasting.flat_map(|lasting| lasting.ways()).collect();
            assert!(!ways.is_empty(), "there is nothing to refer to in {to:?}");
            return self.dice.one(&ways).clone();
        }
        let slot = *self.dice.one(&slots);
        if slot.at == at && self.dice.percent(60) {
            return json!({"resource": {"kind": slot.kind, "name": slot.name}});
        }
        json!({to.label(): self.test.name(&slot.label())})
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
