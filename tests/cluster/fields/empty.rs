//! Each field of each kind that need not be set: left alone, and emptied in each way that the schema has.

use authentik_stage_operator::{api::schema::words, kinds::Compare};
use serde_json::{Value, json};

use super::{
    probe::{Case, Known, kinds, object},
    table::Row,
    written_for,
};
use crate::harness::{Test, test, text, with};

pub async fn what_is_not_set_is_left_alone_and_what_is_empty_is_emptied(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let all = kinds(test).await.0;
    let cases = all.iter().flat_map(|known| &known.cases);
    let most = cases.map(|case| ways(&case.row).len()).max();
    for way in 0..most.expect("there are fields") {
        left_alone(test, &all).await;
        for known in &all {
            emptied(test, known, way).await;
        }
        nothing_is_written(test, "all of it is empty").await;
    }
}

async fn nothing_is_written(test: &Test, why: &str) {
    test.gateway.clear();
    test.resyncs(1).await;
    assert_eq!(test.written(), [], "{why}");
}

/// The fields that no spec has to set.
fn others(known: &Known) -> impl Iterator<Item = &Case> {
    let cases = known.cases.iter();
    cases.filter(|case| !case.row.is_always_there())
}

/// Sets by hand whatever the specs do not.
async fn left_alone(test: &Test, all: &[Known]) {
    let mut set = Vec::new();
    for known in all {
        let (kind, name) = (known.table.kind, known.table.resource());
        written_for(test, known, known.base(test)).await;
        let by_hand = object(others(known).map(|case| (case.api(), &case.values[1].api)));
        set.push(test.by_hand(kind, &name, by_hand).await);
    }
    nothing_is_written(test, "nothing of it is set in a spec").await;
    for (known, set) in all.iter().zip(set) {
        let (kind, name) = (known.table.kind, known.table.resource());
        let now = test.by_hand(kind, &name, json!({})).await;
        for case in others(known) {
            assert_eq!(now[case.api()], set[case.api()], "{kind}: {}", case.spec());
        }
    }
}

/// Empties one field after the other.
async fn emptied(test: &Test, known: &Known, way: usize) {
    let kind = known.table.kind;
    let mut spec = known.base(test);
    for case in &known.cases {
        let ways = ways(&case.row);
        let Some(empty) = ways.get(way).or(ways.last()) else {
            continue;
        };
        spec[case.spec()] = empty.clone();
        let written = written_for(test, known, spec.clone()).await;
        let change = json!({ case.api(): nothing(known, case) });
        let change = ("PATCH".to_owned(), change);
        assert_eq!(written, [change], "{kind}: {} is {empty}", case.spec());
    }
}

/// How a spec says that the field is to be empty.
fn ways(row: &Row) -> Vec<Value> {
    let schema = &row.schema;
    let mut ways = Vec::new();
    if schema.nullable == Some(true) {
        ways.push(Value::Null);
    }
    let has_rules = schema.x_kubernetes_validations.is_some() || schema.enum_.is_some();
    match schema.type_.as_deref() {
        Some("array") if schema.min_items.unwrap_or_default() == 0 => ways.push(json!([])),
        Some("string") if !has_rules && schema.min_length.unwrap_or_default() == 0 => {
            ways.extend([json!(""), json!(" ")]);
        }
        _ => {}
    }
    ways
}

/// How authentik is told that the field is empty.
fn nothing(known: &Known, case: &Case) -> Value {
    let field = case.row.field;
    match field.compare {
        _ if field.is_secret => json!(""),
        Compare::Set | Compare::List => json!([]),
        // Null or "", whichever the release has in an object that was given nothing.
        Compare::OptionalText => known.least[field.api].clone(),
        _ if case.row.schema.nullable == Some(true) => Value::Null,
        _ => json!(""),
    }
}

/// Text that may be absent: null, "" and blanks are the same absence, however the release writes it.
pub async fn absent_text_is_the_same_in_every_spelling(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let all = kinds(test).await.0;
    for known in &all {
        without_texts(test, known).await;
    }
    nothing_is_written(test, "no text is there").await;
    for known in &all {
        for case in known.cases.iter().filter(|case| may_be_absent(case)) {
            absent(test, known, case).await;
        }
    }
}

fn may_be_absent(case: &Case) -> bool {
    case.row.field.compare == Compare::OptionalText && !case.row.field.is_secret
}

/// Creates an object of a spec that says of each such text that it is not there.
async fn without_texts(test: &Test, known: &Known) {
    let absent = known.cases.iter().filter(|case| may_be_absent(case));
    let nulls = object(absent.clone().map(|case| (case.spec(), &Value::Null)));
    let none: Value = absent
        .map(|case| (case.api().to_owned(), nothing(known, case)))
        .collect();
    let spec = with(known.base(test), nulls);
    let body = with(known.base_body(test), none);
    let written = written_for(test, known, spec).await;
    assert_eq!(written, [("POST".to_owned(), body)], "{}", known.table.kind);
}

async fn absent(test: &Test, known: &Known, case: &Case) {
    let (kind, base) = (known.table.kind, known.base(test));
    let spec = |value: Value| with(base.clone(), json!({ case.spec(): value }));
    for same in ["", "  "] {
        assert_eq!(written_for(test, known, spec(json!(same))).await, []);
    }
    let text = &case.values[0];
    let named = json!({ case.api(): text.api });
    let written = written_for(test, known, spec(text.spec.clone())).await;
    assert_eq!(written, [("PATCH".to_owned(), named)], "{kind}");
    let none = json!({ case.api(): nothing(known, case) });
    let written = written_for(test, known, spec(Value::Null)).await;
    assert_eq!(written, [("PATCH".to_owned(), none)], "{kind}");
}

/// Of a field that takes null beside its words, other words are refused by Kubernetes, and the message lists those that it takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_words_or_null_takes_no_other_word() {
    test(async |test| {
        test.connect().await;
        let mut tried = 0;
        for known in kinds(test).await.0 {
            let nullable = known.cases.iter().filter(|case| {
                let schema = &case.row.schema;
                schema.nullable == Some(true) && words(schema).is_some()
            });
            for case in nullable {
                tried += 1;
                let spec = with(known.base(test), json!({ case.spec(): "no-such-word" }));
                let name = known.table.resource();
                let refused = test.try_apply(known.table.kind, &name, spec).await;
                let says = refused.expect_err("it is no word of it").to_string();
                for word in words(&case.row.schema).into_iter().flatten() {
                    assert!(says.contains(text(&word)), "{word}: {says}");
                }
            }
        }
        assert!(tried > 0);
    })
    .await;
}
