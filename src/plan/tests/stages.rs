//! What holds for every live stage: the spec that describes it wants nothing of it, and the body that mends a
//! difference leaves none.

use proptest::{collection::vec, option, prelude::*, sample::select, test_runner::TestRunner};
use serde_json::{Map, Value, json};

use crate::kinds::{
    AuthenticatorValidateStage, Compare, FieldRow, Fields, ForEachKind, Kind, Names, Reference,
    Wanted, for_each_kind,
};
use crate::plan::{compare::equal, *};
use uuid::Uuid;

/// What a spec wants when it is clear without a server what its references stand for; secrets left out.
/// `no_text` is how the server writes text that is absent.
fn desired<K: Kind>(name: &str, spec: K::Spec, no_text: &Value) -> Desired {
    let uuid = |reference: &Reference| match &reference.names {
        Names::Uuid(uuid) => Value::from(uuid.as_str()),
        other => panic!("not by a UUID: {other:?}"),
    };
    let value = |wanted| match wanted {
        Wanted::Value(value) => Some(value),
        Wanted::OptionalText(text) => Some(text.map_or_else(|| no_text.clone(), Value::from)),
        Wanted::Objects(references) => Some(references.iter().map(uuid).collect()),
        Wanted::Object(reference) => Some(reference.as_ref().map_or(Value::Null, uuid)),
        Wanted::Secret(_) => None,
    };
    let wanted = K::from_spec(name, spec).wanted().into_iter();
    Desired {
        name: name.to_owned(),
        fields: wanted
            .filter_map(|(field, wanted)| Some((field.api, value(wanted)?)))
            .collect(),
        ..Desired::default()
    }
}

/// The stage that this answer shows.
fn read<K: Kind>(answer: Value) -> Live {
    serde_json::from_value::<Row<K>>(answer).expect("a stage").0
}

/// What the spec that describes this stage wants.
fn described<K: Kind>(live: &Live, no_text: &Value) -> Desired {
    let name = live.name.raw();
    desired::<K>(name, K::spec_from(name, &live.fields), no_text)
}

/// The stage once authentik has taken this body: it ignores fields that it does not know.
fn patched<K: Kind>(live: &Live, body: &Fields) -> Live {
    let mut live = live.clone();
    for (field, value) in body {
        if *field == K::LABEL.api {
            live.name = value.as_str().expect("a name").into();
        } else if let Some(found) = live.fields.get_mut(field) {
            *found = value.clone();
        }
    }
    live
}

/// Whether every resource of the kind sets the field.
fn is_required<K: Kind>(row: &FieldRow<K>) -> bool {
    let bare = K::from_spec("resource", K::labelled("label"));
    (row.wanted)(&bare).is_some()
}

/// Any object of the kind, as authentik may hold it: with some of its fields, and one from the future.
fn any_live<K: Kind>() -> BoxedStrategy<Live> {
    let rows = K::FIELDS.iter().filter(|row| row.field.is_readable());
    let fields: Vec<_> = rows
        .map(|row| {
            let value = match is_required(row) {
                true => (row.any)().prop_map(Some).boxed(),
                false => option::of((row.any)()).boxed(),
            };
            value.prop_map(|value| (row.field.api.to_owned(), value))
        })
        .collect();
    (any::<u128>(), "[-_a-zA-Z0-9]{1,12}", fields)
        .prop_map(|(pk, label, fields)| {
            let fields = fields.into_iter();
            let fields = fields.filter_map(|(name, value)| Some((name, value?)));
            let mut answer: Map<_, _> = fields.collect();
            let more = json!({
                "pk": Uuid::from_u128(pk),
                K::LABEL.api: label,
                "flow_set": [{"slug": "a", "pk": Uuid::nil()}],
                "from_the_future": {"is": 1},
            });
            answer.extend(more.as_object().expect("an object").clone());
            read::<K>(Value::Object(answer))
        })
        .boxed()
}

fn no_text() -> impl Strategy<Value = Value> {
    select(vec![Value::Null, json!("")])
}

fn wants_nothing_of_itself<K: Kind>(live: &Live, no_text: &Value) -> Result<(), TestCaseError> {
    let diff = diff::<K>(&described::<K>(live, no_text), live, &[]);
    prop_assert!(
        diff.is_empty() && diff.unsupported.is_empty(),
        "{:?} of {:?}",
        diff,
        live
    );
    Ok(())
}

/// The body that makes `live` what describes `other` holds what differs, with what has to go along, and leaves
/// no difference.
fn is_mended<K: Kind>(
    live: &Live,
    other: &Live,
    no_text: &Value,
    together: &[&str],
) -> Result<(), TestCaseError> {
    let desired = described::<K>(other, no_text);
    let before = diff::<K>(&desired, live, &[]);
    let body = update_body::<K>(&before, &desired);
    let differs = |field: &str| {
        before
            .changes
            .iter()
            .any(|change| change.field.api == field)
    };
    prop_assert_eq!(body.is_empty(), before.is_empty());
    for field in body.keys() {
        prop_assert!(
            differs(field) || together.contains(field),
            "{} in {:?}",
            field,
            body
        );
    }
    let after = diff::<K>(&desired, &patched::<K>(live, &body), &[]);
    prop_assert!(after.is_empty(), "{:?} after {:?}", after, body);
    Ok(())
}

/// Fields that authentik wants in one request.
fn together<K: Kind>() -> &'static [&'static str] {
    match K::KIND {
        "AuthenticatorValidateStage" => &["not_configured_action", "configuration_stages"],
        _ => &[],
    }
}

/// Runs a property over any two objects of a kind.
fn holds<K: Kind>(property: impl Fn(&Live, &Live, &Value) -> Result<(), TestCaseError>) {
    let objects = (any_live::<K>(), any_live::<K>(), no_text());
    let ran = TestRunner::default().run(&objects, |(one, other, no_text)| {
        property(&one, &other, &no_text)
    });
    if let Err(error) = ran {
        panic!("{}: {error}", K::KIND);
    }
}

#[test]
fn the_spec_of_a_live_object_wants_nothing_of_it() {
    struct Each;
    impl ForEachKind for Each {
        fn kind<K: Kind>(&mut self) {
            holds::<K>(|live, _, no_text| wants_nothing_of_itself::<K>(live, no_text));
        }
    }
    for_each_kind(&mut Each);
}

#[test]
fn an_update_mends_what_differs() {
    struct Each;
    impl ForEachKind for Each {
        fn kind<K: Kind>(&mut self) {
            holds::<K>(|live, other, no_text| {
                is_mended::<K>(live, other, no_text, together::<K>())
            });
        }
    }
    for_each_kind(&mut Each);
}

/// What is made of a secret never holds it: not what is kept of an answer, not a difference, not what is shown of it.
#[test]
fn nothing_that_is_kept_or_shown_holds_a_secret() {
    struct Each;
    impl ForEachKind for Each {
        fn kind<K: Kind>(&mut self) {
            let secret = "s3cr3t-of-a-server";
            let mut answer = json!({"pk": Uuid::nil(), K::LABEL.api: "label"});
            let secrets = K::FIELDS.iter().filter(|row| row.field.is_secret);
            for row in secrets.clone() {
                answer[row.field.api] = json!(secret);
            }
            let live = read::<K>(answer);
            let mut desired = Desired::default();
            for row in secrets.filter(|row| row.field.is_readable()) {
                desired
                    .fields
                    .insert(row.field.api, crate::kinds::seal("wanted"));
            }
            let diff = diff::<K>(&desired, &live, &[]);
            let found = diff.secret_fields();
            assert_eq!(found.len(), desired.fields.len(), "{}", K::KIND);
            let body = update_body::<K>(&diff, &desired);
            assert!(found.iter().all(|field| !body.contains_key(field.api)));
            let drift = diff.drift::<AuthenticatorValidateStage>(&super::support::shown);
            for text in [
                format!("{live:?}"),
                format!("{diff:?}"),
                format!("{drift:?}"),
            ] {
                assert!(!text.contains(secret), "{}: {text}", K::KIND);
            }
        }
    }
    for_each_kind(&mut Each);
}

proptest! {
    #[test]
    fn configure_travels_with_its_stages(
        live in any_live::<AuthenticatorValidateStage>(),
        other in any_live::<AuthenticatorValidateStage>(),
    ) {
        let pair = together::<AuthenticatorValidateStage>();
        let desired = described::<AuthenticatorValidateStage>(&other, &Value::Null);
        let diff = diff::<AuthenticatorValidateStage>(&desired, &live, &[]);
        let body = update_body::<AuthenticatorValidateStage>(&diff, &desired);
        let configure = desired.fields.get(pair[0]) == Some(&json!("configure"));
        if configure && pair.iter().any(|field| body.contains_key(field)) {
            for field in pair {
                prop_assert_eq!(body.get(*field), desired.fields.get(*field));
            }
        }
    }

    #[test]
    fn a_set_is_equal_in_any_order_and_with_duplicates(
        items in vec(0..9_u8, 1..6), seed in any::<prop::sample::Index>(),
    ) {
        let mut other = items.clone();
        other.rotate_left(seed.index(items.len()));
        other.push(items[seed.index(items.len())]);
        prop_assert!(equal(Compare::Set, &json!(items), &json!(other)));
        other.push(9);
        prop_assert!(!equal(Compare::Set, &json!(items), &json!(other)));
        prop_assert!(!equal(Compare::Set, &json!(other), &json!(items)));
    }

    #[test]
    fn a_duration_is_equal_in_other_words(hours in -10_000..10_000_i32) {
        let (hours, minutes) = (format!("hours={hours}"), format!("Minutes={}", hours * 60));
        prop_assert!(equal(Compare::Duration, &json!(hours), &json!(minutes)));
        let more = format!("{minutes};seconds=1");
        prop_assert!(!equal(Compare::Duration, &json!(hours), &json!(more)));
    }
}

#[test]
fn what_is_equal() {
    for (compare, one, other) in [
        (Compare::Value, json!(1), json!(1.0)),
        (Compare::List, json!([]), json!([])),
        (Compare::List, json!(["a", "a"]), json!(["a", "a"])),
        (Compare::Set, json!([]), json!([])),
        (
            Compare::Duration,
            json!("hours=1;hours=2"),
            json!("minutes=120"),
        ),
        // Text that is no duration is equal to itself all the same.
        (Compare::Duration, json!("soon"), json!("soon")),
        (Compare::OptionalText, json!(null), json!("")),
        (Compare::OptionalText, json!(""), json!(null)),
        (Compare::OptionalText, json!("Duo"), json!("Duo")),
        (Compare::WriteOnly, json!("one"), json!("other")),
    ] {
        assert!(
            equal(compare, &one, &other),
            "{compare:?}: {one} and {other}"
        );
    }
}

#[test]
fn what_differs() {
    for (compare, one, other) in [
        (Compare::Value, json!(1), json!("1")),
        (Compare::Value, json!("deny"), json!("Deny")),
        (Compare::Value, json!(null), json!("")),
        (Compare::List, json!(["a", "b"]), json!(["b", "a"])),
        (Compare::List, json!(["a"]), json!(["a", "a"])),
        (Compare::List, json!([]), json!(null)),
        (Compare::Set, json!([]), json!(null)),
        (
            Compare::Duration,
            json!("hours=1;minutes=5"),
            json!("hours=1; minutes=5"),
        ),
        (Compare::Duration, json!("soon"), json!("later")),
        (Compare::OptionalText, json!("Duo"), json!(null)),
        (Compare::OptionalText, json!("Duo"), json!("duo")),
    ] {
        assert!(
            !equal(compare, &one, &other),
            "{compare:?}: {one} and {other}"
        );
    }
}

#[test]
fn a_field_that_the_server_lacks_is_unsupported_and_not_sent() {
    let live = read::<AuthenticatorValidateStage>(json!({
        "pk": Uuid::nil(), "name": "mfa", "not_configured_action": "skip",
    }));
    let spec = serde_json::from_value(json!({"notConfiguredAction": "deny", "webauthnHints": []}));
    let spec = spec.expect("a spec");
    let desired = desired::<AuthenticatorValidateStage>("mfa", spec, &Value::Null);
    let diff = diff::<AuthenticatorValidateStage>(&desired, &live, &[]);
    assert_eq!(sorted(diff.unsupported.iter().copied()), ["webauthnHints"]);
    let body = update_body::<AuthenticatorValidateStage>(&diff, &desired);
    assert_eq!(
        body,
        Fields::from([("not_configured_action", json!("deny"))])
    );
}

#[test]
fn a_stage_has_become_what_is_left_once_its_references_are_gone_and_nothing_else() {
    let stages: Vec<_> = (0..3).map(|n| Uuid::from_u128(n).to_string()).collect();
    let created = json!({
        "notConfiguredAction": "deny", "deviceClasses": ["totp", "static"],
        "configurationStages": [{"uuid": stages[0]}, {"uuid": stages[1]}],
    });
    let created = serde_json::from_value(created).expect("a spec");
    let created = desired::<AuthenticatorValidateStage>("mfa", created, &Value::Null);
    for (becomes, changed) in [
        (true, json!({})),
        (true, json!({"configuration_stages": [stages[1]]})),
        (true, json!({"configuration_stages": []})),
        (false, json!({"configuration_stages": [stages[2]]})),
        (false, json!({"device_classes": ["totp"]})),
        (false, json!({"device_classes": []})),
        (false, json!({"not_configured_action": "skip"})),
        (false, json!({"name": "other"})),
    ] {
        let mut row = json!({
            "pk": Uuid::nil(), "name": "mfa", "not_configured_action": "deny",
            "device_classes": ["static", "totp"], "configuration_stages": [stages[0], stages[1]],
        });
        let fields = row.as_object_mut().expect("an object");
        fields.extend(changed.as_object().expect("an object").clone());
        let live = read::<AuthenticatorValidateStage>(row);
        let has_become = has_become::<AuthenticatorValidateStage>(&created, &live);
        assert_eq!(has_become, becomes, "{changed}");
    }
}
