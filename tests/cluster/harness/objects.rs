//! Parts of objects, and objects of parts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use authentik_stage_operator::{
    api::conditions,
    authentik::Collection,
    kinds::{self, KindName},
};
use kube::core::DynamicObject;
use serde_json::Value;

/// A JSON text as text.
pub fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// Whether this condition of a resource is true.
pub fn is_true(object: &DynamicObject, type_: &str) -> bool {
    condition(object, type_).is_some_and(|condition| condition["status"] == "True")
}

/// A condition of a resource.
pub fn condition<'a>(object: &'a DynamicObject, type_: &str) -> Option<&'a Value> {
    object.data["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == type_)
}

/// The message of a resource's `Ready` condition.
pub fn message(object: &DynamicObject) -> String {
    let ready = condition(object, conditions::READY).expect("Ready is there");
    ready["message"]
        .as_str()
        .expect("it has a message")
        .to_owned()
}

/// Where authentik keeps what resources of this kind stand for.
pub fn collection(kind: &str) -> &'static str {
    static PATHS: LazyLock<BTreeMap<&str, String>> = LazyLock::new(|| {
        let kinds = kinds::kind_names().iter();
        let path = |collection: Collection| format!("{}/", collection.path());
        kinds
            .map(|kind| (kind.kind, path(kind.collection)))
            .collect()
    });
    PATHS.get(kind).expect("one of our kinds")
}

/// All our kinds.
pub fn kinds() -> Vec<&'static str> {
    let names = kinds::kind_names().iter();
    names.map(|kind| kind.kind).collect()
}

/// What is known of the names of a kind.
pub fn naming(kind: &str) -> KindName {
    kinds::kind_named(kind).expect("one of our kinds")
}

/// The field by which people tell what resources of this kind stand for: in the spec, in the status and in authentik.
pub fn label_of(kind: &str) -> &'static str {
    naming(kind).collection.label()
}

/// What a resource of this kind says that it stands for.
pub fn identity<'a>(kind: &str, object: &'a DynamicObject) -> &'a Value {
    &object.data["status"][naming(kind).noun]
}

/// The write that creates a stage of this kind, as [`Test::written`] shows it.
pub fn post(kind: &str, body: Value) -> (String, String, Value) {
    ("POST".to_owned(), collection(kind).to_owned(), body)
}

/// The write that changes one.
pub fn patch(kind: &str, body: Value) -> (String, String, Value) {
    let path = format!("{}{{uuid}}/", collection(kind));
    ("PATCH".to_owned(), path, body)
}

/// An object with these fields beside or instead; unlike in [`merge`], null is a value.
pub fn with(mut object: Value, fields: Value) -> Value {
    for (field, value) in fields.as_object().expect("fields") {
        object[field] = value.clone();
    }
    object
}

/// Merges objects, the second over the first; a null removes.
pub fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                if value.is_null() {
                    into.remove(&key);
                } else {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (into, from) => *into = from,
    }
}

/// The fields that an event tells were put right.
pub fn put_right(note: &str) -> BTreeSet<&str> {
    let told = note.strip_prefix("put right ");
    let told = told.unwrap_or_else(|| panic!("it says what was put right: {note}"));
    let mut depth = 0;
    let parts = told.split_inclusive(['(', ')', ',']).filter_map(|part| {
        let is_outside = depth == 0;
        depth += part.matches('(').count();
        depth -= part.matches(')').count().min(depth);
        let name = part.trim_matches([' ', ',', '(', ')']);
        (is_outside && !name.is_empty()).then_some(name)
    });
    parts
        .take_while(|part| !part.starts_with("changed "))
        .collect()
}
