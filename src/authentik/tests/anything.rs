//! Anything at all.

use proptest::prelude::*;
use serde_json::{Value, value::to_raw_value};

use crate::authentik::{
    Collection, Error, Version,
    reading::{Page, Reading},
    refusal,
    shown::Redactor,
    used_by,
};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("pk".to_owned()),
        Just("detail".to_owned()),
        Just("non_field_errors".to_owned()),
        "[0-9]{1,3}",
        ".*"
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_decoding_panic(value in any_json(), text in ".*") {
        let redactor = Redactor::new(&text);
        let messages = refusal::messages(&value, &redactor);
        let shown = Error::Rejected { messages }.to_string();
        prop_assert!(!shown.is_empty() && shown.chars().count() <= 1001);
        used_by::used_by(&to_raw_value(&value).unwrap(), &redactor);
        prop_assert_eq!(Version::parse(&text).to_string(), text.trim());

        let page = serde_json::json!({"pagination": {"next": 0, "count": 1}, "results": [value]}).to_string();
        let page: Page<'_> = serde_json::from_str(&page).unwrap();
        let mut reading = Reading::new(Collection::ALL_STAGES);
        prop_assert_eq!(reading.take(1, page, |row: Value| Some(row), &redactor), Ok(None));
    }

    #[test]
    fn what_is_shown_is_clean_whatever_it_was(text in "\\PC*|.*|(a|\u{202e}|\n|b){0,400}", secret in "[ab]{1,3}") {
        let shown = Redactor::new(&secret).clean(&text);
        let shown = shown.as_str();
        prop_assert!(!shown.contains(&secret) || shown.starts_with("(withheld"));
        prop_assert!(shown.chars().count() <= 300);
        let harmful = shown.chars().any(|c| c.is_control() || c == '\u{202e}');
        prop_assert!(!harmful);
    }
}
