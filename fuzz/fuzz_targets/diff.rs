//! The diff: a stage that was changed to what is wanted wants nothing more, whatever a spec and authentik say.
#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use authentik_stage_operator::{
    authentik::{Remote, fuzzing},
    plan::{Desired, Live, Row, diff, mismatches, update_body},
    kinds::{ForEachKind, Kind, for_each_kind},
};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// Any JSON value.
#[derive(Arbitrary, Clone, Debug)]
enum Any {
    Null,
    Bool(bool),
    Whole(i64),
    Number(f64),
    Text(String),
    /// What several kinds of field hold, and so is compared in earnest.
    Known(u8),
    List(Vec<Any>),
    Object(BTreeMap<String, Any>),
}

const KNOWN: [&str; 8] = [
    "",
    "totp",
    "static",
    "skip",
    "hours=1",
    "minutes=60",
    " Hours=1.0 ",
    "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
];

/// The deepest nesting that is fed: a row with a value that is nested deeper than JSON is read can't be understood.
const DEEPEST: usize = 64;

impl From<Any> for Value {
    fn from(any: Any) -> Value {
        any.within(DEEPEST)
    }
}

impl Any {
    fn within(self, depth: usize) -> Value {
        let Some(depth) = depth.checked_sub(1) else {
            return Value::Null;
        };
        match self {
            Any::Null => Value::Null,
            Any::Bool(truth) => truth.into(),
            Any::Whole(number) => number.into(),
            Any::Number(number) => number.into(),
            Any::Text(text) => text.into(),
            Any::Known(which) => KNOWN[usize::from(which) % KNOWN.len()].into(),
            Any::List(items) => items.into_iter().map(|item| item.within(depth)).collect(),
            Any::Object(fields) => fields
                .into_iter()
                .map(|(key, value)| (key, value.within(depth)))
                .collect(),
        }
    }
}

/// An object as authentik may answer it, and what a spec may want of it: a value for each field of a kind, or none.
#[derive(Arbitrary, Debug)]
struct Input {
    name: String,
    live: Vec<Option<Any>>,
    wanted_name: String,
    wanted: Vec<Option<Any>>,
    spec: Vec<Option<Any>>,
}

impl ForEachKind for Input {
    fn kind<K: Kind>(&mut self) {
        self.reads_any_spec::<K>();
        let mut live = self.live::<K>();
        let fields = K::FIELDS.iter().map(|row| &row.field).filter(|field| !field.is_secret);
        let wanted = fields.zip(&self.wanted);
        let desired = Desired {
            name: self.wanted_name.clone(),
            fields: wanted
                .filter_map(|(field, value)| Some((field.api, value.clone()?.into())))
                .collect(),
            ..Desired::default()
        };
        let before = diff::<K>(&desired, &live, &[]);
        let mismatches = mismatches::<K>(&desired, &live);
        assert_eq!(mismatches.is_empty(), before.changes.is_empty());
        let show = |text: &str| fuzzing::show(&Remote::from(text));
        let _ = (before.drift::<K>(&show), before.spec_fields());
        // authentik ignores fields that it does not know.
        for (field, value) in update_body::<K>(&before, &desired) {
            if field == K::LABEL.api {
                live.name = value.as_str().expect("a name is text").into();
            } else if let Some(found) = live.fields.get_mut(field) {
                *found = value;
            }
        }
        let after = diff::<K>(&desired, &live, &[]);
        assert!(after.is_empty(), "{after:?}");
    }
}

impl Input {
    fn live<K: Kind>(&self) -> Live {
        let mut answer = json!({"from_the_future": []});
        for (row, value) in K::FIELDS.iter().zip(&self.live) {
            if let Some(value) = value {
                answer[row.field.api] = value.clone().into();
            }
        }
        answer[K::COLLECTION.key()] = "6f9619ff-8b86-d011-b42d-00cf4fc964ff".into();
        answer[K::LABEL.api] = self.name.as_str().into();
        let row = serde_json::from_value::<Row<K>>(answer);
        let live = row.expect("it has all that an object has to have").0;
        let _ = K::spec_from(live.name.raw(), &live.fields);
        live
    }

    /// A spec that can be read says what it wants, and is written as it was read.
    fn reads_any_spec<K: Kind>(&self) {
        let mut spec = json!({});
        for (row, value) in K::FIELDS.iter().zip(&self.spec) {
            if let Some(value) = value {
                spec[row.field.spec] = value.clone().into();
            }
        }
        if let Ok(spec) = serde_json::from_value::<K::Spec>(spec) {
            let written = serde_json::to_value(&spec).expect("a spec is JSON");
            assert_eq!(
                serde_json::from_value::<K::Spec>(written).expect("it was one"),
                spec
            );
            let _ = K::from_spec("any", spec).wanted();
        }
    }
}

fuzz_target!(|input: Input| {
    let mut input = input;
    for_each_kind(&mut input);
});
