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
    for known in kinds(test).await.0 {
        let ways = known.cases.iter().map(|case| ways(&case.row).len());
        // Once where nothing can be emptied, too.
        for way in 0..ways.max().unwrap_or_default().max(1) {
            left_alone(test, &known).await;
            emptied(test, &known, way).await;
        }
    }
}

/// Sets by hand whatever the spec does not.
async fn left_alone(test: &Test, known: &Known) {
    let (kind, name) = (known.table.kind, known.table.resource());
    written_for(test, known, known.base(test)).await;
    let others = known
        .cases
        .iter()
        .filter(|case| !case.row.is_always_there());
    let by_hand = object(others.clone().map(|case| (case.api(), &case.values[1].api)));
    let set = test.by_hand(kind, &name, by_hand).await;
    test.gateway.clear();
    test.resyncs(1).await;
    assert_eq!(
        test.written(),
        [],
        "{kind}: nothing of it is set in the spec"
    );
    let now = test.by_hand(kind, &name, json!({})).await;
    for case in others {
        assert_eq!(now[case.api()], set[case.api()], "{kind}: {}", case.spec());
    }
}

/// Empties one field after the other, and each only once.
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
    test.gateway.clear();
    test.resyncs(1).await;
    assert_eq!(test.written(), [], "{kind}: all of it is empty");
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
    for known in kinds(test).await.0 {
        for case in known.cases.iter().filter(|case| may_be_absent(case)) {
            absent(test, &known, case).await;
        }
    }
}

fn may_be_absent(case: &Case) -> bool {
    case.row.field.compare == Compare::OptionalText && !case.row.field.is_secret
}

async fn absent(test: &Test, known: &Known, case: &Case) {
    let (kind, base) = (known.table.kind, known.base(test));
    let spec = |value: Value| with(base.clone(), json!({ case.spec(): value }));
    let none = json!({ case.api(): nothing(known, case) });
    let written = written_for(test, known, spec(Value::Null)).await;
    let body = with(known.base_body(test), none.clone());
    assert_eq!(written, [("POST".to_owned(), body)], "{kind}");
    test.gateway.clear();
    test.resyncs(1).await;
    assert_eq!(test.written(), [], "{kind}");
    for same in ["", "  "] {
        assert_eq!(written_for(test, known, spec(json!(same))).await, []);
    }
    let text = &case.values[0];
    let named = json!({ case.api(): text.api });
    let written = written_for(test, known, spec(text.spec.clone())).await;
    assert_eq!(written, [("PATCH".to_owned(), named)], "{kind}");
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
