//! A stage as authentik holds it.

use std::{collections::BTreeSet, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use uuid::Uuid;

use super::Fields;
use crate::{
    authentik::{Remote, Weigh},
    stages::{Field, NAME, StageKind},
};

/// Most bytes of JSON of a field's value. A row with a larger one can't be read.
const MAX_FIELD: usize = 64 * 1024;

/// Most JSON values in a field's value: each takes many times the bytes of a small number's text.
const MAX_VALUES: usize = 4096;

/// Most flows that are kept of a stage: the first in the order of their slugs.
const MAX_FLOWS: usize = 256;

/// A stage as authentik holds it: what diffing needs of it, and no more.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// Its UUID.
    pub uuid: Uuid,
    /// Its name.
    pub name: Remote,
    /// The flows it is bound to, sorted, each once.
    pub flows: Vec<BoundTo>,
    /// The fields of its kind that the server knows. One that is missing is unknown to the server.
    pub fields: Fields,
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

/// A [`Live`] stage of this kind, as a list or a single answer shows it. Fields that the operator does not know are passed over.
#[derive(Debug)]
pub struct Row<K>(pub Live, PhantomData<K>);

impl<K> Weigh for Row<K> {
    fn weight(&self) -> usize {
        self.0.weight()
    }
}

impl<'de, K: StageKind> Deserialize<'de> for Row<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RowVisitor(PhantomData))
    }
}

struct RowVisitor<K>(PhantomData<K>);

impl<'de, K: StageKind> Visitor<'de> for RowVisitor<K> {
    type Value = Row<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a stage")
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
                    fields.insert(field.api, read(&map.next_value::<Box<RawValue>>()?)?);
                }
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let live = Live {
            uuid: uuid.ok_or_else(|| de::Error::missing_field("pk"))?,
            name: name.ok_or_else(|| de::Error::missing_field(NAME.api))?,
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

impl<'de, K: StageKind> Deserialize<'de> for Key<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name<K>(PhantomData<K>);
        impl<K: StageKind> Visitor<'_> for Name<K> {
            type Value = Key<K>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Key<K>, E> {
                let field = || K::FIELDS.iter().find(|field| field.api == name);
                Ok(match name {
                    "pk" => Key::Uuid,
                    "flow_set" => Key::Flows,
                    name if name == NAME.api => Key::Name,
                    _ => field().map_or(Key::Other, |field| Key::Field(field, PhantomData)),
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
