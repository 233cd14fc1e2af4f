//! Values that a field may take, made from its schema; which of them a server takes, it has to say itself.

use std::collections::BTreeMap;

use authentik_stage_operator::{api::schema::words, authentik::Collection, kinds::Compare};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray,
};
use serde_json::{Map, Value, json};

use super::table::{Row, Table};
use crate::harness::{Test, text};

/// How many values a field is given: one to create it with, one to change it to, and one by hand.
const VALUES: [&str; 3] = ["one", "two", "three"];

/// A value, as the spec says it and as authentik holds it.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub spec: Value,
    pub api: Value,
}

impl Candidate {
    fn plain(value: Value) -> Self {
        Self {
            spec: value.clone(),
            api: value,
        }
    }
}

/// What fields refer to: the UUIDs of three objects of each collection.
pub struct Referred(BTreeMap<&'static str, Vec<Value>>);

impl Referred {
    /// Makes by hand what these kinds refer to.
    pub async fn make(test: &Test, tables: &[Table]) -> Self {
        let mut made = BTreeMap::new();
        let rows = tables.iter().flat_map(|table| &table.rows);
        for collection in rows.filter_map(|row| row.field.refers_to) {
            if !made.contains_key(collection.path()) {
                made.insert(collection.path(), objects(test, collection).await);
            }
        }
        Self(made)
    }

    fn to(&self, collection: Collection) -> &[Value] {
        &self.0[collection.path()]
    }
}

async fn objects(test: &Test, collection: Collection) -> Vec<Value> {
    if collection == Collection::WEBAUTHN_DEVICE_TYPES {
        return device_types(test).await;
    }
    let mut made = Vec::new();
    for name in VALUES {
        made.push(match collection {
            to if to == Collection::ALL_STAGES => test.totp_stage(name).await,
            to if to == Collection::FLOWS => test.flow(name).await,
            to if to == Collection::WEBHOOK_MAPPINGS => test.mapping(name).await,
            _ => panic!("a field refers to {collection:?}: teach this test to make such objects"),
        });
    }
    made
}

/// Those that the server knows; on one without any, three that nobody knows.
async fn device_types(test: &Test) -> Vec<Value> {
    let path = format!("{}/", Collection::WEBAUTHN_DEVICE_TYPES.path());
    let (status, _) = test.authentik.send(reqwest::Method::GET, &path, None).await;
    if status == 404 {
        let aaguid = |n: u128| json!(uuid::Uuid::from_u128(n));
        return (1..=3).map(aaguid).collect();
    }
    let types = test.authentik.list(&path).await.into_iter();
    types
        .map(|device_type| device_type["aaguid"].clone())
        .take(VALUES.len())
        .collect()
}

/// The Secret with the values of this kind's secret fields, if it has any.
pub async fn make_secret(test: &Test, table: &Table) {
    let fields = table.rows.iter().filter(|row| row.field.is_secret);
    let values = fields.flat_map(|row| {
        VALUES.map(|value| (key(row, value), Value::from(secret_value(test, row, value))))
    });
    let data: Map<_, _> = values.collect();
    if !data.is_empty() {
        test.secret(&table.resource(), Value::Object(data)).await;
    }
}

fn key(row: &Row, value: &str) -> String {
    format!("{}-{value}", row.field.spec)
}

fn secret_value(test: &Test, row: &Row, value: &str) -> String {
    test.canary(&format!("{}-{value}", row.field.api))
}

/// Values that the field may take: those that suit most releases first.
pub fn candidates(test: &Test, row: &Row, referred: &Referred) -> Vec<Candidate> {
    if row.field.is_secret {
        return VALUES
            .map(|value| secret(test, row, value))
            .into_iter()
            .collect();
    }
    if let Some(collection) = row.field.refers_to {
        return references(row, collection, referred.to(collection));
    }
    let plain = match row.schema.type_.as_deref() {
        Some("boolean") => vec![json!(true), json!(false)],
        Some("integer") => integers(&row.schema),
        Some("number") => vec![json!(0.5), json!(1.5), json!(2.0)],
        Some("string") => texts(row),
        Some("array") => lists(row),
        _ => no_values(row),
    };
    plain.into_iter().map(Candidate::plain).collect()
}

fn no_values(row: &Row) -> Vec<Value> {
    panic!(
        "no values for {} of {} can be made from its schema: teach this test to",
        row.field.spec, row.kind
    )
}

fn secret(test: &Test, row: &Row, value: &str) -> Candidate {
    let source = json!({"name": row.kind.to_lowercase(), "key": key(row, value)});
    Candidate {
        spec: json!({ "secretKeyRef": source }),
        api: json!(secret_value(test, row, value)),
    }
}

fn references(row: &Row, collection: Collection, objects: &[Value]) -> Vec<Candidate> {
    let way = match collection.key() {
        "pk" => "uuid",
        key => key,
    };
    let reference = |object: &Value| json!({ way: object });
    let [one, two, three] = objects else {
        panic!("three objects of {collection:?} are needed")
    };
    if row.field.compare == Compare::Value {
        let one = |object: &Value| Candidate {
            spec: reference(object),
            api: object.clone(),
        };
        return objects.iter().map(one).collect();
    }
    let sets = [vec![one], vec![two, three], vec![three]];
    let set = |objects: Vec<&Value>| {
        // The operator sends them sorted, so that its requests depend on no order.
        let mut sorted = objects.clone();
        sorted.sort_by_key(|object| text(object));
        Candidate {
            spec: objects.into_iter().map(reference).collect(),
            api: json!(sorted),
        }
    };
    sets.into_iter().map(set).collect()
}

/// The bounds, and a number between.
fn integers(schema: &JSONSchemaProps) -> Vec<Value> {
    let bound = |bound: Option<f64>, otherwise: i32| {
        bound.map_or(i64::from(otherwise), |bound| bound as i64)
    };
    let (least, most) = (
        bound(schema.minimum, i32::MIN),
        bound(schema.maximum, i32::MAX),
    );
    vec![json!(least), json!(most), json!(least + (most - least) / 2)]
}

/// Words of the schema; durations; or any texts, the last of which are addresses.
fn texts(row: &Row) -> Vec<Value> {
    if let Some(words) = words(&row.schema) {
        return words;
    }
    if row.field.compare == Compare::Duration {
        return vec![json!("hours=1"), json!("hours=2"), json!("minutes=5")];
    }
    let plain = VALUES.map(|value| json!(format!("{}-{value}", row.field.api)));
    let addresses = VALUES.map(|value| json!(format!("{value}@example.com")));
    plain.into_iter().chain(addresses).collect()
}

/// Where the order means something, it is changed alone, too.
fn lists(row: &Row) -> Vec<Value> {
    let Some(JSONSchemaPropsOrArray::Schema(item)) = &row.schema.items else {
        return no_values(row);
    };
    let Some(words) = words(item).filter(|words| words.len() > 2) else {
        return no_values(row);
    };
    let (one, two, three) = (&words[0], &words[1], &words[2]);
    match row.field.compare {
        Compare::List => vec![json!([one, two]), json!([two, one]), json!([three])],
        _ => vec![json!([one]), json!([two, three]), json!([three])],
    }
}
