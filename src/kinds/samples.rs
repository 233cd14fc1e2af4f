//! Values that authentik may hold of a field, for tests of properties: those that it documents, and now and then one from the
//! future.

use proptest::{collection::vec, prelude::*, sample::select};
use schemars::JsonSchema;
use serde_json::{Value, json};
use uuid::Uuid;

/// Makes values.
pub type Values = BoxedStrategy<Value>;

/// Text as authentik stores it: stripped, not blank.
fn stored() -> impl Strategy<Value = String> {
    "\\PC{1,12}"
        .prop_map(|text| crate::authentik::stripped(&text).to_owned())
        .prop_filter("blank", |text| !text.is_empty())
}

/// Text that is there.
pub fn text() -> Values {
    stored().prop_map(Value::from).boxed()
}

/// Text that may be empty.
pub fn text_or_none() -> Values {
    prop_oneof![Just(json!("")), text()].boxed()
}

/// Text for which null and `""` are the same.
pub fn optional_text() -> Values {
    prop_oneof![Just(json!("")), Just(Value::Null), text()].boxed()
}

fn uuid() -> Values {
    any::<u128>()
        .prop_map(|bits| json!(Uuid::from_u128(bits)))
        .boxed()
}

/// A list of UUIDs.
pub fn uuids() -> Values {
    vec(uuid(), 0..5).prop_map(Value::from).boxed()
}

/// A UUID, or none.
pub fn uuid_or_null() -> Values {
    prop_oneof![Just(Value::Null), uuid()].boxed()
}

/// Durations, such as authentik understands and such as it passes over.
pub fn duration() -> Values {
    let units = [
        "weeks",
        "Days",
        "hours",
        "minutes",
        "SECONDS",
        " minutes",
        "fortnights",
    ];
    let pair =
        (select(units.to_vec()), any::<i32>()).prop_map(|(unit, count)| format!("{unit}={count}"));
    let pairs = vec(pair, 1..4).prop_map(|pairs| pairs.join(";").trim().to_owned());
    prop_oneof![4 => pairs, 1 => stored()]
        .prop_map(Value::from)
        .boxed()
}

/// Values of a type of the spec, and some that only a later release knows.
pub fn of_schema<T: JsonSchema>() -> Values {
    of(&schema::<T>(), true)
}

/// Values of a type of the spec.
pub fn known_of_schema<T: JsonSchema>() -> Values {
    of(&schema::<T>(), false)
}

fn schema<T: JsonSchema>() -> Value {
    let mut settings = schemars::generate::SchemaSettings::default();
    settings.inline_subschemas = true;
    let schema = settings.into_generator().into_root_schema_for::<T>();
    schema.to_value()
}

/// Of the schemas that the specs have: words, numbers, booleans, lists of them, and what may be null.
fn of(schema: &Value, from_the_future: bool) -> Values {
    if let Some(any_of) = schema
        .get("anyOf")
        .or(schema.get("oneOf"))
        .and_then(Value::as_array)
    {
        let each: Vec<_> = any_of.iter().map(|one| of(one, from_the_future)).collect();
        return select_from(each);
    }
    if let Some(word) = schema.get("const") {
        return one_of(vec![word.clone()], from_the_future);
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return one_of(words.clone(), from_the_future);
    }
    match schema.get("type") {
        Some(Value::Array(types)) => {
            let each = types.iter().map(|of_type| {
                let mut schema = schema.clone();
                schema["type"] = of_type.clone();
                of(&schema, from_the_future)
            });
            select_from(each.collect())
        }
        Some(Value::String(name)) => of_type(name, schema, from_the_future),
        _ => panic!("there are no samples for {schema}"),
    }
}

fn of_type(name: &str, schema: &Value, from_the_future: bool) -> Values {
    match name {
        "null" => Just(Value::Null).boxed(),
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "integer" => any::<i32>().prop_map(Value::from).boxed(),
        "number" => prop_oneof![
            any::<u64>().prop_map(Value::from),
            (0.0..1e9).prop_map(Value::from)
        ]
        .boxed(),
        "string" => text(),
        "array" => vec(of(&schema["items"], from_the_future), 0..5)
            .prop_map(Value::from)
            .boxed(),
        other => panic!("there are no samples of type {other}"),
    }
}

fn select_from(each: Vec<Values>) -> Values {
    proptest::strategy::Union::new(each).boxed()
}

fn one_of(mut words: Vec<Value>, from_the_future: bool) -> Values {
    if from_the_future {
        words.push(json!("from-the-future"));
    }
    select(words).boxed()
}
