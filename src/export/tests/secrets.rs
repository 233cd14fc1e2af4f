//! Secret values are named, never shown.

use serde_json::{Value, json};
use uuid::Uuid;

use super::support::{RESOURCE, SECRET, described, is_needed, parsed, read};
use crate::{
    export::{Labels, Schema},
    kinds::{DuoStage, ForEachKind, Kind, for_each_kind},
};

/// An object with all that its kind needs, and this in each field that holds a secret or tells of one.
fn text<K: Kind>(secret: &Value) -> String {
    let mut row = json!({ K::LABEL.api: "label" });
    let schema = Schema::of::<K>();
    let needed = K::FIELDS.iter().filter(|row| is_needed(row));
    for needed in needed.filter(|row| !row.field.is_secret) {
        let words = ["twilio", "6", "recovery", "text"].map(|word| json!(word));
        let mut words = words.into_iter();
        let word = words.find(|word| schema.refusal(needed.field.spec, word).is_none());
        row[needed.field.api] = word.expect("a value that it takes");
    }
    for field in K::FIELDS.iter().map(|row| &row.field) {
        if field.is_secret && field.is_readable() {
            row[field.api] = secret.clone();
        }
        if let Some(told_by) = field.told_by {
            row[told_by] = if secret == SECRET {
                json!("key")
            } else {
                secret.clone()
            };
        }
    }
    let live = read::<K>(Uuid::nil(), row);
    let made = described::<K>(&live, &Labels::default()).expect("a manifest");
    made.yaml().expect("a text")
}

#[test]
fn each_secret_that_is_there_is_named_by_a_key_and_a_comment() {
    struct Each(usize);
    impl ForEachKind for Each {
        fn kind<K: Kind>(&mut self) {
            let text = text::<K>(&json!(SECRET));
            assert!(!text.contains(SECRET), "{text}");
            let read = parsed(&text);
            for row in K::FIELDS.iter().filter(|row| row.field.is_secret) {
                let source = &read["spec"][row.field.spec]["secretKeyRef"];
                assert_eq!(source["name"], RESOURCE, "{text}");
                let key = source["key"].as_str().expect("a key");
                assert_eq!(key.replace('-', ""), row.field.spec.to_lowercase());
                let comment = format!("# Create the Secret {RESOURCE}: its key {key} holds");
                assert!(text.contains(&comment), "{text}");
                self.0 += 1;
            }
        }
    }
    let mut each = Each(0);
    for_each_kind(&mut each);
    assert!(each.0 > 3, "no kind has secrets");
}

#[test]
fn of_secrets_that_are_empty_only_the_required_ones_are_named() {
    struct Each;
    impl ForEachKind for Each {
        fn kind<K: Kind>(&mut self) {
            for empty in [json!(""), Value::Null] {
                let read = parsed(&text::<K>(&empty));
                let schema = Schema::of::<K>();
                for row in K::FIELDS.iter().filter(|row| row.field.is_secret) {
                    let is_there = read["spec"].get(row.field.spec).is_some();
                    let is_required = schema.requires(row.field.spec);
                    assert_eq!(is_there, is_required, "{}: {}", K::KIND, row.field.spec);
                }
            }
        }
    }
    for_each_kind(&mut Each);
}

#[test]
fn keys_are_words_with_dashes() {
    let text = text::<DuoStage>(&json!(SECRET));
    assert!(text.contains("key: client-secret\n"), "{text}");
    assert!(text.contains("key: admin-secret-key\n"), "{text}");
}
