//! Each field of each kind: created with it, changed, and mended after drift.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    probe::{Case, Known, kinds, object},
    written_for,
};
use crate::harness::{Test, put_right, with};

pub async fn each_field_is_created_changed_and_mended(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let all = kinds(test).await.0;
    for known in &all {
        let spec = created(test, known).await;
        changed(test, known, spec).await;
    }
    test.gateway.clear();
    for known in &all {
        drifts(test, known).await;
    }
    for known in &all {
        mended(test, known).await;
    }
}

/// Creates an object with a value of each field; returns its spec.
async fn created(test: &Test, known: &Known) -> Value {
    let all = known.cases.iter();
    let spec = object(all.clone().map(|case| (case.spec(), &case.values[0].spec)));
    let spec = with(known.base(test), spec);
    let body = object(all.map(|case| (case.api(), &case.values[0].api)));
    let body = with(known.base_body(test), body);
    let written = written_for(test, known, spec.clone()).await;
    assert_eq!(written, [("POST", body)].map(owned), "{}", known.table.kind);
    spec
}

fn owned((method, body): (&str, Value)) -> (String, Value) {
    (method.to_owned(), body)
}

/// Changes one field after the other.
async fn changed(test: &Test, known: &Known, mut spec: Value) {
    let kind = known.table.kind;
    for case in &known.cases {
        let name = case.spec();
        spec[name] = case.values[1].spec.clone();
        let written = written_for(test, known, spec.clone()).await;
        let change = json!({ case.api(): case.values[1].api });
        assert_eq!(written, [("PATCH", change)].map(owned), "{kind}: {name}");
        let resource = test.get(kind, &known.table.resource()).await;
        let change = &resource.data["status"]["lastChange"];
        assert_eq!(change["fields"], json!([name]), "{kind}");
    }
}

/// The fields that authentik shows.
fn shown(known: &Known) -> impl Iterator<Item = &Case> + Clone {
    let cases = known.cases.iter();
    cases.filter(|case| case.row.field.is_readable())
}

/// Changes by hand, all at once, whatever authentik shows.
async fn drifts(test: &Test, known: &Known) {
    let by_hand = object(shown(known).map(|case| (case.api(), case.by_hand())));
    let (kind, name) = (known.table.kind, known.table.resource());
    test.by_hand(kind, &name, by_hand).await;
}

async fn mended(test: &Test, known: &Known) {
    let (kind, name) = (known.table.kind, known.table.resource());
    let fields: BTreeSet<_> = shown(known).map(Case::spec).collect();
    corrected(test, &name, &fields).await;
    let mended = object(shown(known).map(|case| (case.api(), &case.values[1].api)));
    assert_eq!(merged(test, known).await, mended, "{kind}");
    test.in_sync(kind, &name).await;
}

/// Waits until the events have told of each of these fields, and of no other, that it was put right. A real server writes
/// row and sets one after the other, and a list in between shows a part of the change.
async fn corrected(test: &Test, name: &str, fields: &BTreeSet<&str>) {
    for events in 1.. {
        let notes = test.events_of(name, "DriftCorrected", events).await;
        let told: BTreeSet<_> = notes.iter().flat_map(|note| put_right(note)).collect();
        if told == *fields {
            return;
        }
        assert!(told.is_subset(fields), "{notes:?}");
    }
}

/// What was changed in the object since, and nothing of it twice: in one request where a change by hand is seen whole.
async fn merged(test: &Test, known: &Known) -> Value {
    let written = super::writes(test, known).await;
    assert!(test.is_real() || written.len() == 1, "{written:?}");
    let mut all = Map::new();
    for (method, body) in written {
        assert_eq!(method, "PATCH");
        for (field, value) in body.as_object().expect("fields") {
            let before = all.insert(field.clone(), value.clone());
            assert_eq!(before, None, "{field} is written twice");
        }
    }
    Value::Object(all)
}
