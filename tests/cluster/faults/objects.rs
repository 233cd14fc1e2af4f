//! What authentik holds of a history: stages of every kind, and flows.

use std::collections::{BTreeMap, BTreeSet};

use authentik_stage_operator::authentik::Collection;
use serde_json::{Value, json};

use super::{
    lasting::FOREIGN,
    places::{Place, bindings},
};
use crate::harness::{Test, collection, naming, text};

/// A stage or a flow.
pub struct Object {
    /// Among which objects no two have one label.
    pub names: Collection,
    /// Its kind, where it is one of ours.
    pub kind: Option<&'static str>,
    /// As authentik shows it.
    pub shown: Value,
    /// Where it stands, if it is a stage.
    pub places: BTreeSet<Place>,
}

impl Object {
    pub fn label(&self) -> &str {
        text(&self.shown[self.names.label()])
    }

    pub fn uuid(&self) -> &str {
        text(&self.shown["pk"])
    }

    pub fn is_flow(&self) -> bool {
        self.names == Collection::FLOWS
    }

    /// Whether it is of these, and called so.
    pub fn is(&self, names: Collection, label: &str) -> bool {
        self.names == names && self.label() == label
    }

    /// Where authentik changes it.
    pub fn path(&self) -> String {
        let collection = self.kind.map_or(FOREIGN, collection);
        let key = if self.names.is_found_by_label() {
            self.label()
        } else {
            self.uuid()
        };
        format!("{collection}{key}/")
    }
}

/// The objects of a history with these kinds, by UUID.
pub async fn objects(test: &Test, kinds: &[&'static str]) -> BTreeMap<String, Object> {
    let all_stages = format!("{}/", Collection::ALL_STAGES.path());
    let foreign = [(None, Collection::ALL_STAGES, all_stages.as_str())];
    let ours = kinds
        .iter()
        .map(|kind| (Some(*kind), naming(kind).names, collection(kind)));
    let prefix = test.name("");
    let mut objects = BTreeMap::new();
    for (kind, names, path) in foreign.into_iter().chain(ours) {
        let search = format!("{path}?search={prefix}&page_size=100");
        for shown in test.authentik.list(&search).await {
            if text(&shown[names.label()]).starts_with(&prefix) {
                let object = Object {
                    names,
                    kind,
                    shown,
                    places: BTreeSet::new(),
                };
                objects.insert(object.uuid().to_owned(), object);
            }
        }
    }
    let mut bindings = bindings(test).await;
    for (uuid, object) in &mut objects {
        object.places = bindings.remove(uuid).unwrap_or_default();
    }
    objects
}

/// The fields of an object that change by a write to something else.
const FOLLOW: [&str; 6] = [
    "configuration_stages",
    "flow_set",
    "stages",
    "policies",
    "cache_count",
    "export_url",
];

/// An object as it may be compared with itself at another time: with what changes only by a write to itself. These are the
/// flows that there are: a flow that is deleted takes its bindings along.
pub fn comparable(object: &Object, flows: &BTreeSet<&str>) -> Value {
    let mut shown = object.shown.clone();
    for field in FOLLOW {
        shown.as_object_mut().and_then(|shown| shown.remove(field));
    }
    let places = object.places.iter();
    let places: Vec<_> = places
        .filter(|(flow, _)| flows.contains(flow.as_str()))
        .collect();
    if !flows.contains(shown["configure_flow"].as_str().unwrap_or_default()) {
        shown["configure_flow"] = Value::Null;
    }
    json!({"shown": shown, "places": places})
}
