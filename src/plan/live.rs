//! An object as authentik holds it.

use std::{collections::BTreeSet, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use uuid::Uuid;

use crate::{
    authentik::{Keyed, Remote, Weigh},
    kinds::{Field, Fields, Kind, seal_value},
};

/// Most bytes of JSON of a field's value. A row with a larger one can't be read.
const MAX_FIELD: usize = 64 * 1024;

/// Most JSON values in a field's value: each takes many times the bytes of a small number's text.
const MAX_VALUES: usize = 4096;

/// Most flows that are kept of a stage: the first in the order of their slugs.
const MAX_FLOWS: usize = 256;

/// An object as authentik holds it: what diffing needs of it, and no more. Of secrets it holds seals.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// Its UUID.
    pub uuid: Uuid,
    /// Its label: the name of a stage, the slug of a flow.
    pub name: Remote,
    /// The flows that it is bound to, if it is a stage: sorted, each once.
    pub flows: Vec<BoundTo>,
    /// The fields of its kind that the server knows. One that is missing is unknown to the server.
    pub fields: Fields,
}

impl Live {
    /// Whether authentik shows what it holds of this field.
    #[must_use]
    pub fn shows(&self, field: &Field) -> bool {
        field.is_readable() && self.fields.contains_key(field.api)
    }
}

/// A flow that a stage is bound to.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
pub struct BoundTo {
    /// Its slug.
    pub slug: Remote,
    /// Its UUID.
    pub pk: Uuid,
}

impl Weigh for Live {
    fn weight(&self) -> usize {
        let flows = self.flows.iter();
        let flows = flows.map(|flow| size_of::<BoundTo>() + flow.slug.raw().len());
        let fields = self.fields.values();
        let fields = fields.map(|value| size_of::<&str>() + value.weight());
        size_of::<Live>() + self.name.raw().len() + flows.sum::<usize>() + fields.sum::<usize>()
    }
}

/// A [`Live`] object of this kind, as a list or a single answer shows it. Fields that the operator does not know are passed over.
#[derive(Debug)]
pub struct Row<K>(pub Live, PhantomData<K>);

impl<K> Weigh for Row<K> {
    fn weight(&self) -> usize {
        self.0.weight()
    }
}

impl<K> Keyed for Row<K> {
    fn key(&self) -> Uuid {
        self.0.uuid
    }
}

impl<'de, K: Kind> Deserialize<'de> for Row<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RowVisitor(PhantomData))
    }
}

struct RowVisitor<K>(PhantomData<K>);

impl<'de, K: Kind> Visitor<'de> for RowVisitor<K> {
    type Value = Row<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row<K>, A::Error> {
        let (mut uuid, mut name, mut flows) = (None, None, Flows::default());
        let mut fields = Fields::new();
        while let Some(key) = map.next_key::<Key<K>>()? {
            match key {
                Key::Uuid => uuid = Some(map.next_value()?),
                Key::Name => name = Some(map.next_value()?),
                Key::Flows => flows = map.next_value()?,
                Key::Field(field, _) => {
                    let value = read(&map.next_value::<Box<RawValue>>()?)?;
                    let value = match field.is_secret {
                        true => seal_value(&value),
                        false => value,
                    };
                    fields.insert(field.api, value);
                }
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let live = Live {
            uuid: uuid.ok_or_else(|| de::Error::missing_field(K::COLLECTION.key()))?,
            name: name.ok_or_else(|| de::Error::missing_field(K::LABEL.api))?,
            flows: flows.0.into_iter().collect(),
            fields,
        };
        Ok(Row(live, PhantomData))
    }
}

/// The value of a field, within bounds.
pub(super) fn read<E: de::Error>(raw: &RawValue) -> Result<Value, E> {
    if raw.get().len() > MAX_FIELD {
        return Err(E::custom("a field with a value that is too large"));
    }
    let value = serde_json::from_str(raw.get()).map_err(E::custom)?;
    match values(&value) {
        0..=MAX_VALUES => Ok(value),
        _ => Err(E::custom("a field with too many values")),
    }
}

fn values(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(values).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(values).sum::<usize>(),
        _ => 1,
    }
}

/// What is kept of a row, by its name in authentik's API.
enum Key<K> {
    Uuid,
    Name,
    Flows,
    Field(&'static Field, PhantomData<K>),
    Other,
}

impl<'de, K: Kind> Deserialize<'de> for Key<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name<K>(PhantomData<K>);
        impl<K: Kind> Visitor<'_> for Name<K> {
            type Value = Key<K>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Key<K>, E> {
                Ok(match name {
                    "flow_set" => Key::Flows,
                    name if name == K::COLLECTION.key() => Key::Uuid,
                    name if name == K::LABEL.api => Key::Name,
                    _ => K::field(name).map_or(Key::Other, |field| Key::Field(field, PhantomData)),
                })
            }
        }
        deserializer.deserialize_identifier(Name(PhantomData))
    }
}

/// The flows of a row: sorted, each once.
#[derive(Default)]
struct Flows(BTreeSet<BoundTo>);

impl<'de> Deserialize<'de> for Flows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = Flows;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of flows")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Flows, A::Error> {
                let mut flows = BTreeSet::new();
                while let Some(flow) = seq.next_element()? {
                    flows.insert(flow);
                    // Their order changes from answer to answer, so which are kept must not depend on it.
                    if flows.len() > MAX_FLOWS {
                        flows.pop_last();
                    }
                }
                Ok(Flows(flows))
            }
        }
        deserializer.deserialize_seq(Items)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::AuthenticatorValidateStage;

    const PK: Uuid = Uuid::from_u128(7);

    fn read(row: &str) -> Result<Live, serde_json::Error> {
        let row = serde_json::from_str::<Row<AuthenticatorValidateStage>>(row);
        row.map(|row| row.0)
    }

    /// A row with this besides what each has.
    fn with(field: &str, json: &str) -> String {
        format!(r#"{{"pk": "{PK}", "{field}": {json}, "name": "mfa"}}"#)
    }

    /// A list of so many of these.
    fn list_of(item: &str, count: usize) -> String {
        format!("[{}]", vec![item; count].join(","))
    }

    #[test]
    fn a_row_is_read_alike_from_text_and_from_a_value() {
        let row = json!({
            "pk": PK, "name": "mfa", "component": "ak-stage", "verbose_name": {"of": ["any", 1e2]},
            "device_classes": ["totp"], "last_auth_threshold": "a \"quoted\" \u{e9}", "webauthn_hints": null,
        });
        let live = read(&row.to_string()).unwrap();
        assert_eq!((live.uuid, live.name.raw()), (PK, "mfa"));
        let fields = Fields::from([
            ("device_classes", json!(["totp"])),
            ("last_auth_threshold", json!("a \"quoted\" \u{e9}")),
            ("webauthn_hints", Value::Null),
        ]);
        assert_eq!(live.fields, fields);
        let other = serde_json::from_value::<Row<AuthenticatorValidateStage>>(row);
        assert_eq!(other.unwrap().0, live);
    }

    #[test]
    fn flows_are_sorted_and_each_is_there_once() {
        let flow = |n: u128, slug: &str| json!({"pk": Uuid::from_u128(n), "slug": slug, "name": [n as u64]});
        let flows = json!([flow(2, "b"), flow(1, "c"), flow(3, "a"), flow(2, "b")]);
        let live = read(&with("flow_set", &flows.to_string())).unwrap();
        let slugs = live.flows.iter().map(|flow| flow.slug.raw());
        assert_eq!(slugs.collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(live.flows[0].pk, Uuid::from_u128(3));
    }

    #[test]
    fn which_of_many_flows_are_kept_does_not_depend_on_their_order() {
        let mut flows: Vec<_> = (0..1000)
            .map(|n| json!({"pk": Uuid::from_u128(n), "slug": format!("flow-{n:04}")}))
            .collect();
        let one = read(&with("flow_set", &json!(flows).to_string())).unwrap();
        flows.reverse();
        let other = read(&with("flow_set", &json!(flows).to_string())).unwrap();
        assert_eq!(one, other);
        assert_eq!(one.flows.len(), MAX_FLOWS);
        assert_eq!(one.flows[MAX_FLOWS - 1].slug, "flow-0255");
    }

    #[test]
    fn a_row_without_what_each_has_can_not_be_read() {
        for row in [
            r#"{"name": "mfa"}"#,
            r#"{"pk": "7", "name": "mfa"}"#,
            r#"{"pk": "00000000-0000-0000-0000-000000000007"}"#,
            r#"{"pk": "00000000-0000-0000-0000-000000000007", "name": null}"#,
            "[]",
            "0",
        ] {
            assert!(read(row).is_err(), "{row}");
        }
        for flows in [r#"[{"slug": null}]"#, "[0]", "{}"] {
            assert!(read(&with("flow_set", flows)).is_err(), "{flows}");
        }
    }

    #[test]
    fn a_field_that_is_too_large_makes_its_row_unreadable() {
        for json in [
            list_of("0", MAX_FIELD / 2),
            list_of("0", MAX_VALUES),
            list_of(&list_of("0", 63), 64),
            json!("x".repeat(MAX_FIELD)).to_string(),
        ] {
            let error = read(&with("device_classes", &json)).unwrap_err();
            assert!(error.is_data(), "{error}");
            // Of what is not kept the size does not matter.
            assert!(read(&with("from_the_future", &json)).is_ok());
        }
        let uuids = list_of(&json!(PK).to_string(), 1600);
        assert!(read(&with("webauthn_allowed_device_types", &uuids)).is_ok());
        assert!(read(&with("device_classes", &list_of("0", MAX_VALUES - 1))).is_ok());
    }

    #[test]
    fn a_stage_weighs_what_is_kept_of_it() {
        let weight = |json: &str| read(&with("device_classes", json)).unwrap().weight();
        let (none, many) = (weight("[]"), weight(&list_of("0", 1000)));
        assert_eq!(many - none, 1000 * size_of::<Value>());
        let skipped = read(&with("from_the_future", &list_of("0", 1000))).unwrap();
        assert!(skipped.weight() < none);
    }
}
