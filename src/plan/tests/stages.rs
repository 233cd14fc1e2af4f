//! What holds for every live stage: the spec that describes it wants nothing of it, and the body that mends a
//! difference leaves none.

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Map, Value, json};

use crate::kinds::{AuthenticatorValidateStage, Compare, DuoStage, Fields, Kind, NAME, Wanted};
use crate::plan::{compare::equal, *};
use uuid::Uuid;

/// What a spec wants when it is clear without a server what its references stand for; secrets left out.
/// `no_text` is how the server writes text that is absent.
fn desired<K: Kind>(name: &str, spec: K::Spec, no_text: &Value) -> Desired {
    let uuids = |uuids: Vec<Option<String>>| {
        let uuids = uuids.into_iter();
        uuids.map(|uuid| uuid.expect("a UUID")).collect::<Value>()
    };
    let value = |wanted| match wanted {
        Wanted::Value(value) => Some(value),
        Wanted::OptionalText(text) => Some(text.map_or_else(|| no_text.clone(), Value::from)),
        Wanted::Stages(stages) => Some(uuids(stages.into_iter().map(|of| of.uuid).collect())),
        Wanted::DeviceTypes(types) => Some(uuids(types.into_iter().map(|of| of.aaguid).collect())),
        Wanted::Flow(flow) => {
            Some(flow.map_or(Value::Null, |flow| Value::from(flow.uuid.expect("a UUID"))))
        }
        Wanted::Secret(_) => None,
    };
    let wanted = K::from_spec("resource", spec).wanted().into_iter();
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
fn patched(live: &Live, body: &Fields) -> Live {
    let mut live = live.clone();
    for (field, value) in body {
        if *field == NAME.api {
            live.name = value.as_str().expect("a name").into();
        } else if let Some(found) = live.fields.get_mut(field) {
            *found = value.clone();
        }
    }
    live
}

fn uuid() -> impl Strategy<Value = Value> {
    any::<u128>().prop_map(|bits| json!(Uuid::from_u128(bits)))
}

/// Text as authentik stores it: stripped, not blank.
fn text() -> impl Strategy<Value = String> {
    "\\PC{1,12}"
        .prop_map(|text| text.trim().to_owned())
        .prop_filter("blank", |text| !text.is_empty())
}

fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = Value> {
    select(values).prop_map(Value::from)
}

fn list(item: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    vec(item, 0..5).prop_map(Value::from)
}

fn duration() -> impl Strategy<Value = Value> {
    let unit = select(vec![
        "weeks",
        "Days",
        "hours",
        "minutes",
        "SECONDS",
        " minutes",
        "fortnights",
    ]);
    let pair = (unit, any::<i32>()).prop_map(|(unit, count)| format!("{unit}={count}"));
    let pairs = vec(pair, 1..4).prop_map(|pairs| pairs.join(";").trim().to_owned());
    prop_oneof![4 => pairs, 1 => text()].prop_map(Value::from)
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_map(Value::from),
        (0.0..1e9).prop_map(Value::from)
    ]
}

/// A stage's fields that any kind may have, and one from the future.
fn answer(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> impl Strategy<Value = Value> {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| proptest::option::of(value).prop_map(move |value| (name, value)))
        .collect();
    (any::<u128>(), text(), fields, proptest::option::of(text())).prop_map(
        |(pk, name, fields, future)| {
            let mut answer: Map<_, _> = fields
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect();
            answer.insert("pk".to_owned(), json!(Uuid::from_u128(pk)));
            answer.insert("name".to_owned(), json!(name));
            answer.insert(
                "flow_set".to_owned(),
                json!([{"slug": "a", "pk": Uuid::nil()}]),
            );
            answer.insert("from_the_future".to_owned(), json!({"is": future}));
            Value::Object(answer)
        },
    )
}

fn validate_stage() -> impl Strategy<Value = Live> {
    let classes = &[
        "static", "totp", "webauthn", "duo", "sms", "email", "passkey",
    ];
    answer(vec![
        (
            "not_configured_action",
            one_of(&["skip", "deny", "configure", "ask"]).boxed(),
        ),
        ("device_classes", list(one_of(classes)).boxed()),
        ("configuration_stages", list(uuid()).boxed()),
        ("last_auth_threshold", duration().boxed()),
        (
            "webauthn_user_verification",
            one_of(&["required", "preferred", "discouraged", "often"]).boxed(),
        ),
        ("webauthn_allowed_device_types", list(uuid()).boxed()),
        (
            "webauthn_hints",
            list(one_of(&["security-key", "client-device", "hybrid", "ring"])).boxed(),
        ),
        ("email_otp_throttling_factor", number().boxed()),
        ("sms_otp_throttling_factor", number().boxed()),
        ("totp_otp_throttling_factor", number().boxed()),
        ("static_otp_throttling_factor", number().boxed()),
    ])
    .prop_map(read::<AuthenticatorValidateStage>)
}

fn duo_stage() -> impl Strategy<Value = Live> {
    let texts = || text().prop_map(Value::from);
    let maybe = |none: Value| prop_oneof![Just(none), texts()];
    (
        answer(vec![
            ("admin_integration_key", maybe(json!("")).boxed()),
            (
                "configure_flow",
                prop_oneof![Just(Value::Null), uuid()].boxed(),
            ),
            (
                "friendly_name",
                prop_oneof![maybe(json!("")), maybe(Value::Null)].boxed(),
            ),
        ]),
        texts(),
        texts(),
    )
        .prop_map(|(mut answer, client_id, api_hostname)| {
            answer["client_id"] = client_id;
            answer["api_hostname"] = api_hostname;
            read::<DuoStage>(answer)
        })
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
    let after = diff::<K>(&desired, &patched(live, &body), &[]);
    prop_assert!(after.is_empty(), "{:?} after {:?}", after, body);
    Ok(())
}

const PAIR: [&str; 2] = ["not_configured_action", "configuration_stages"];

proptest! {
    #[test]
    fn the_spec_of_a_validate_stage_wants_nothing_of_it(
        live in validate_stage(), no_text in no_text(),
    ) {
        wants_nothing_of_itself::<AuthenticatorValidateStage>(&live, &no_text)?;
    }

    #[test]
    fn the_spec_of_a_duo_stage_wants_nothing_of_it(live in duo_stage(), no_text in no_text()) {
        wants_nothing_of_itself::<DuoStage>(&live, &no_text)?;
    }

    #[test]
    fn an_update_mends_a_validate_stage(
        live in validate_stage(), other in validate_stage(), no_text in no_text(),
    ) {
        is_mended::<AuthenticatorValidateStage>(&live, &other, &no_text, &PAIR)?;
    }

    #[test]
    fn an_update_mends_a_duo_stage(
        live in duo_stage(), other in duo_stage(), no_text in no_text(),
    ) {
        is_mended::<DuoStage>(&live, &other, &no_text, &[])?;
    }

    #[test]
    fn configure_travels_with_its_stages(live in validate_stage(), other in validate_stage()) {
        let desired = described::<AuthenticatorValidateStage>(&other, &Value::Null);
        let diff = diff::<AuthenticatorValidateStage>(&desired, &live, &[]);
        let body = update_body::<AuthenticatorValidateStage>(&diff, &desired);
        let configure = desired.fields.get(PAIR[0]) == Some(&json!("configure"));
        if configure && PAIR.iter().any(|field| body.contains_key(field)) {
            for field in PAIR {
                prop_assert_eq!(body.get(field), desired.fields.get(field));
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
