//! What a server takes of a kind: found out by hand, with an object that is made for it.

use authentik_stage_operator::{authentik::duration, kinds::Compare};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    candidates::{Candidate, Referred, candidates, make_secret},
    table::{Row, Table, tables},
};
use crate::harness::{Test, collection, text, with};

/// A field that the server has, and values of it that it takes: two at least.
pub struct Case {
    pub row: Row,
    pub values: Vec<Candidate>,
}

impl Case {
    pub fn spec(&self) -> &'static str {
        self.row.field.spec
    }

    pub fn api(&self) -> &'static str {
        self.row.field.api
    }

    /// What somebody makes of it by hand after it was changed.
    pub fn by_hand(&self) -> &Value {
        &self.values.get(2).unwrap_or(&self.values[0]).api
    }
}

/// A kind that the server has.
pub struct Known {
    pub table: Table,
    pub cases: Vec<Case>,
    /// Fields that the server lacks, each with a value of its schema.
    pub lacking: Vec<(Row, Candidate)>,
    /// An object with no more than each has.
    pub least: Value,
}

impl Known {
    /// The least spec, with the label that the test gives.
    pub fn base(&self, test: &Test) -> Value {
        let label = test.name(&self.table.resource());
        let set = self.cases.iter().filter(|case| case.row.required);
        let set = set.map(|case| (case.spec(), &case.values[0].spec));
        with(json!({ self.table.label.spec: label }), object(set))
    }

    /// What creates the object of the least spec.
    pub fn base_body(&self, test: &Test) -> Value {
        let label = test.name(&self.table.resource());
        let named = self.cases.iter().filter(|case| {
            let row = &case.row;
            !row.required && row.is_named_after_the_resource()
        });
        let resource = json!(self.table.resource());
        let named = object(named.map(|case| (case.api(), &resource)));
        let set = self.cases.iter().filter(|case| case.row.required);
        let set = object(set.map(|case| (case.api(), &case.values[0].api)));
        with(with(json!({ self.table.label.api: label }), named), set)
    }
}

/// An object of these fields.
pub fn object<'a>(fields: impl Iterator<Item = (&'static str, &'a Value)>) -> Value {
    fields
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect()
}

/// All kinds that the server has, and those that it lacks.
pub async fn kinds(test: &Test) -> (Vec<Known>, Vec<Table>) {
    let tables = tables();
    let referred = Referred::make(test, &tables).await;
    let (mut known, mut lacking) = (Vec::new(), Vec::new());
    for table in tables {
        let path = collection(table.kind);
        match test.authentik.send(Method::GET, path, None).await {
            (200, _) => known.push(probe(test, table, &referred).await),
            (404, _) => lacking.push(table),
            (status, answer) => panic!("GET {path}: {status} {answer}"),
        }
    }
    (known, lacking)
}

async fn probe(test: &Test, table: Table, referred: &Referred) -> Known {
    make_secret(test, &table).await;
    let rows = table.rows.iter().cloned();
    let fields: Vec<_> = rows
        .map(|row| (candidates(test, &row, referred), row))
        .collect();
    let least = make_least(test, &table, &fields).await;
    let path = path_of(table.kind, &least);
    let (mut cases, mut lacking) = (Vec::new(), Vec::new());
    for (candidates, row) in fields {
        let first = candidates[0].clone();
        let values = taken(test, &path, &row, candidates).await;
        match values.len() {
            0 => lacking.push((row, first)),
            1 => panic!(
                "of {} of {} only one value is known that the server takes",
                row.field.spec, row.kind
            ),
            _ => cases.push(Case { row, values }),
        }
    }
    test.authentik.delete(&path).await;
    Known {
        table,
        cases,
        lacking,
        least,
    }
}

/// Where authentik keeps this object.
fn path_of(kind: &str, object: &Value) -> String {
    let collection = collection(kind);
    let key = match collection {
        "flows/instances/" => &object["slug"],
        _ => &object["pk"],
    };
    format!("{collection}{}/", text(key))
}

/// Makes an object with no more than each has; of what the server refuses, the next value is tried.
async fn make_least(test: &Test, table: &Table, fields: &[(Vec<Candidate>, Row)]) -> Value {
    let needed = fields.iter().filter(|(_, row)| row.is_always_there());
    let mut needed: Vec<_> = needed
        .map(|(candidates, row)| (row.field.api, &candidates[..]))
        .collect();
    let label = json!(test.name("probe"));
    loop {
        let fields = needed.iter().map(|(api, values)| (*api, &values[0].api));
        let body = with(json!({ table.label.api: label }), object(fields));
        let path = collection(table.kind);
        let (status, answer) = test.authentik.send(Method::POST, path, Some(body)).await;
        if status == 201 {
            return answer;
        }
        let mut others = needed.iter_mut();
        let other = others.find(|(api, values)| values.len() > 1 && answer.get(*api).is_some());
        let Some((_, values)) = other else {
            panic!(
                "no least {} can be made from its schema: {answer}",
                table.kind
            );
        };
        *values = &values[1..];
    }
}

/// Those of these values that the server takes and holds.
async fn taken(test: &Test, path: &str, row: &Row, candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut taken = Vec::new();
    let mut refusal = None;
    let count = candidates.len();
    for candidate in candidates {
        let body = json!({ row.field.api: candidate.api });
        match test.authentik.send(Method::PATCH, path, Some(body)).await {
            (200, answer) => {
                let (found, compare) = (answer.get(row.field.api), row.field.compare);
                let holds = match compare {
                    Compare::WriteOnly => found.is_none(),
                    _ => found.is_some_and(|found| same(compare, &candidate.api, found)),
                };
                if holds {
                    taken.push(candidate);
                }
            }
            (400, answer) => refusal = Some((refusal.map_or(1, |(n, _)| n + 1), answer)),
            (status, answer) => panic!("PATCH {path}: {status} {answer}"),
        }
    }
    if let Some((_, answer)) = refusal.filter(|(refused, _)| *refused == count) {
        panic!(
            "no value for {} of {} can be made from its schema: {answer}",
            row.field.spec, row.kind
        );
    }
    taken
}

/// Whether authentik holds what it was sent. Numbers may be written in another way.
fn same(compare: Compare, sent: &Value, found: &Value) -> bool {
    let sorted = |list: &Value| {
        let mut items: Vec<_> = list.as_array()?.iter().map(Value::to_string).collect();
        items.sort_unstable();
        Some(items)
    };
    let microseconds = |value: &Value| duration::microseconds(value.as_str()?);
    match compare {
        Compare::Set => sorted(sent).is_some_and(|sent| sorted(found) == Some(sent)),
        Compare::Duration => microseconds(sent) == microseconds(found),
        _ if sent.is_number() => sent.as_f64() == found.as_f64(),
        _ => sent == found,
    }
}
