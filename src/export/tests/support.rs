//! Any objects of authentik, and what a manifest of one means.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock},
};

use parking_lot::Mutex;
use proptest::{collection::vec, option, prelude::*, sample::select, test_runner::TestRunner};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    authentik::{Collection, Version},
    export::{Frame, Labels, Manifest, Object, Refused, Schema, manifest},
    kinds::{FieldRow, Kind, Names, Reference, Wanted},
    plan::{AnyRow, Desired, Live, Row},
};

/// What resources are called here. It needs a number, for names of fields would stand in comments.
pub const RESOURCE: &str = "resource-7";

/// What authentik holds of every secret field.
pub const SECRET: &str = "s3cr3t-of-a-server";

/// A text that may stand anywhere.
fn odd_text() -> BoxedStrategy<String> {
    let odd = [
        "",
        " ",
        "yes",
        "null",
        "~",
        "1e3",
        "0x1F",
        "- a",
        "a: b",
        "# a",
        "'",
        "\"",
        "a\nb",
        "\ta",
        "a\u{0}b",
        "{}",
        "[a",
        "&a",
        "*a",
        "!a",
        "%a",
        "@a",
        "`a",
        "---",
        "...",
        "\u{202e}a",
        "\u{feff}",
        "\u{85}",
        "a #b",
        "2026-01-01",
        "1:30",
        RESOURCE,
    ];
    prop_oneof![
        4 => select(odd.to_vec()).prop_map(str::to_owned),
        2 => ".{0,12}",
        1 => (1..3000_usize).prop_map(|length| "x".repeat(length)),
    ]
    .boxed()
}

/// Any value that authentik may be made to show.
fn odd_value() -> BoxedStrategy<Value> {
    let one = prop_oneof![
        4 => odd_text().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        2 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
    ];
    let one = one.boxed();
    prop_oneof![6 => one.clone(), 1 => vec(one, 0..40).prop_map(Value::from)].boxed()
}

/// Whether every resource of the kind sets the field, or means something where it does not.
pub fn is_needed<K: Kind>(row: &FieldRow<K>) -> bool {
    let bare = K::from_spec(RESOURCE, K::labelled("label"));
    row.field.spec_from.is_some() || (row.wanted)(&bare).is_some()
}

/// What the CRD of the kind accepts. To make it takes a while.
pub fn schema<K: Kind>() -> Arc<Schema> {
    static MADE: LazyLock<Mutex<HashMap<&str, Arc<Schema>>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock();
    let schema = made.entry(K::KIND);
    schema
        .or_insert_with(|| Arc::new(Schema::of::<K>()))
        .clone()
}

/// What the list of a server shows of a field, if it shows it.
fn any_field<K: Kind>(row: &'static FieldRow<K>, is_odd: bool) -> BoxedStrategy<Option<Value>> {
    let value = match (row.field.is_secret, is_odd) {
        (true, _) => select(vec![json!(SECRET), json!(""), Value::Null]).boxed(),
        (_, true) => prop_oneof![3 => (row.any)(), 1 => odd_value()].boxed(),
        _ => (row.any)(),
    };
    match is_needed(row) && !is_odd {
        true => value.prop_map(Some).boxed(),
        false => option::weighted(0.9, value).boxed(),
    }
}

/// Any object of the kind. One that is not odd is as authentik holds them, now or in the future.
pub fn any_live<K: Kind>(is_odd: bool) -> BoxedStrategy<Live> {
    let rows = K::FIELDS.iter().filter(|row| row.field.is_readable());
    let fields: Vec<_> = rows
        .map(|row| any_field(row, is_odd).prop_map(|value| (row.field.api, value)))
        .collect();
    let label = "[-_a-zA-Z0-9]{1,12}".boxed();
    let label = match is_odd {
        true => prop_oneof![label, odd_text()].boxed(),
        false => label,
    };
    let of = (any::<u128>(), label, fields);
    of.prop_map(|(pk, label, fields)| {
        let fields = fields.into_iter();
        let fields = fields.filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut answer: Map<_, _> = fields.collect();
        answer.insert(K::LABEL.api.to_owned(), json!(label));
        read::<K>(Uuid::from_u128(pk), Value::Object(answer))
    })
    .boxed()
}

/// The object of this key and these fields.
pub fn read<K: Kind>(key: Uuid, mut answer: Value) -> Live {
    answer[K::COLLECTION.key()] = json!(key);
    let row = serde_json::from_value::<Row<K>>(answer);
    row.expect("an object").0
}

/// What an object refers to.
pub fn referred<K: Kind>(live: &Live) -> Vec<(Collection, Uuid)> {
    let mut referred = Vec::new();
    for row in K::FIELDS {
        let found = live.fields.get(row.field.api);
        if let (Some(to), Some(found)) = (row.field.refers_to, found) {
            let items = found.as_array().cloned();
            let items = items.unwrap_or_else(|| vec![found.clone()]).into_iter();
            let uuids = items.filter_map(|item| to.parse_key(item.as_str()?));
            referred.extend(uuids.map(|uuid| (to, uuid)));
        }
    }
    referred
}

/// Names for what an object refers to: of some unique, of some the same as others', of some odd, of some none.
pub fn any_labels<K: Kind>(live: &Live) -> BoxedStrategy<Named> {
    let referred = referred::<K>(live);
    let label = prop_oneof!["[a-z]{1,2}", odd_text()];
    vec(option::of(label), referred.len())
        .prop_map(move |labels| {
            let all = referred.iter().copied().zip(labels);
            Named(all.filter_map(|(of, label)| Some((of, label?))).collect())
        })
        .boxed()
}

/// What is referred to, by what name.
#[derive(Clone, Debug, Default)]
pub struct Named(pub Vec<((Collection, Uuid), String)>);

impl Named {
    pub fn labels(&self) -> Labels {
        let mut rows = BTreeMap::new();
        for ((collection, uuid), label) in &self.0 {
            let key = collection.key();
            let answer = json!({ key: uuid, "name": label, "slug": label, "description": label });
            let row: AnyRow = serde_json::from_value(answer).expect("a row");
            let rows = rows.entry(collection.path());
            let (_, rows) = rows.or_insert((*collection, BTreeMap::new()));
            rows.insert(*uuid, row.of(*collection).expect("it has a label"));
        }
        let mut labels = Labels::default();
        for (collection, rows) in rows.into_values() {
            let rows: Vec<_> = rows.into_values().collect();
            labels.add(collection, &rows);
        }
        labels
    }

    /// The one object that a reference means, as a server finds it.
    fn uuid(&self, reference: &Reference) -> Value {
        let label = match &reference.names {
            Names::Uuid(uuid) => return json!(uuid),
            Names::Label(label) => label,
            other => panic!("an export never says {other:?}"),
        };
        let is_it =
            |(of, own): &&((Collection, Uuid), String)| of.0 == reference.to && own == label;
        let mut found: Vec<_> = self.0.iter().filter(is_it).map(|(of, _)| of.1).collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), 1, "{reference} is not one object");
        json!(found[0])
    }
}

/// The manifest of the object on the newest server.
pub fn described<K: Kind>(live: &Live, labels: &Labels) -> Result<Manifest, Refused> {
    let frame = Frame {
        schema: &schema::<K>(),
        version: &Version::parse(""),
        labels,
        namespace: None,
    };
    let object = Object {
        live,
        resource: RESOURCE,
        bindings: None,
    };
    manifest::<K>(&frame, &object)
}

/// The text of a manifest as the API server reads it.
pub fn parsed(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// What a resource wants of a server; of secrets, nothing.
pub fn desired<K: Kind>(resource: &K, named: &Named) -> Desired {
    let value = |wanted| match wanted {
        Wanted::Value(value) => Some(value),
        Wanted::OptionalText(text) => Some(json!(text)),
        Wanted::Objects(references) => Some(references.iter().map(|of| named.uuid(of)).collect()),
        Wanted::Object(None) => Some(Value::Null),
        Wanted::Object(Some(reference)) => Some(named.uuid(&reference)),
        Wanted::Secret(_) => None,
    };
    let wanted = resource.wanted().into_iter();
    Desired {
        name: resource.label(),
        fields: wanted
            .filter_map(|(field, wanted)| Some((field.api, value(wanted)?)))
            .collect(),
        ..Desired::default()
    }
}

/// Runs a property over any objects of a kind, and names for what they refer to.
pub fn holds<K: Kind>(is_odd: bool, property: impl Fn(&Live, &Named) -> Result<(), TestCaseError>) {
    let objects = any_live::<K>(is_odd).prop_flat_map(|live| {
        let named = any_labels::<K>(&live);
        (Just(live), named)
    });
    let ran = TestRunner::default().run(&objects, |(live, named)| property(&live, &named));
    if let Err(error) = ran {
        panic!("{}: {error}", K::KIND);
    }
}
