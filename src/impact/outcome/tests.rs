use serde_json::json;

use super::*;

const ALLOWED: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);

fn rules(fields: Value) -> Result<Rules, Malformed> {
    const NAMES: [&str; 4] = [
        "device_classes",
        "not_configured_action",
        "configuration_stages",
        "webauthn_allowed_device_types",
    ];
    let given = NAMES
        .iter()
        .filter_map(|name| Some((*name, fields.get(name)?.clone())));
    Rules::of(&given.collect())
}

fn device(class: &str) -> Owned {
    Owned {
        class: Some(class.to_owned()),
        is_confirmed: Some(true),
        kind: Kind::Unknown,
        is_hashed: Some(false),
    }
}

fn key(kind: Kind) -> Owned {
    Owned {
        kind,
        ..device("webauthn")
    }
}

fn denying(classes: &[&str]) -> Rules {
    rules(json!({"device_classes": classes, "not_configured_action": "deny"})).unwrap()
}

#[test]
fn a_device_of_a_class_counts_where_the_stage_takes_that_class() {
    for class in ALL_CLASSES {
        let has = |rules: &Rules| rules.outcome(&[device(class)], false);
        assert_eq!(has(&denying(&[class])), Outcome::HasDevice, "{class}");
        let others: Vec<_> = ALL_CLASSES
            .into_iter()
            .filter(|other| *other != class)
            .collect();
        assert_eq!(has(&denying(&others)), Outcome::Refused, "{class}");
    }
    // A class that the stage can't name, such as a browser's.
    let all = denying(&ALL_CLASSES);
    assert_eq!(all.outcome(&[device("endpoint")], false), Outcome::Refused);
}

#[test]
fn who_has_none_is_dealt_with_as_the_action_says() {
    let stage = json!(["5d4ab6a1-1b0e-4a8e-8d0a-9a5d7f0c5a11"]);
    for (action, stages, outcome) in [
        (json!("skip"), json!([]), Outcome::Passes),
        (json!("deny"), stage.clone(), Outcome::Refused),
        (json!("configure"), stage.clone(), Outcome::Enrols),
        (json!("configure"), json!([]), Outcome::Refused),
    ] {
        let fields = json!({"not_configured_action": action, "configuration_stages": stages});
        let rules = rules(fields.clone()).unwrap();
        assert_eq!(rules.outcome(&[], false), outcome, "{fields}");
        assert_eq!(rules.outcome(&[device("totp")], false), Outcome::HasDevice);
    }
}

#[test]
fn only_confirmed_devices_count() {
    let rules = denying(&["totp"]);
    let with = |is_confirmed| Owned {
        is_confirmed,
        ..device("totp")
    };
    assert_eq!(rules.outcome(&[with(Some(false))], false), Outcome::Refused);
    assert_eq!(rules.outcome(&[with(None)], false), Outcome::Unknown);
    let both = [with(Some(false)), with(Some(true))];
    assert_eq!(rules.outcome(&both, false), Outcome::HasDevice);
}

#[test]
fn of_keys_the_kind_counts_where_the_stage_tells_kinds_apart() {
    let strict = json!({"device_classes": ["webauthn", "totp"], "not_configured_action": "deny",
        "webauthn_allowed_device_types": [ALLOWED]});
    let strict = rules(strict).unwrap();
    let open = denying(&["webauthn"]);
    for (kind, outcome) in [
        (Kind::Is(ALLOWED), Outcome::HasDevice),
        (Kind::Is(OTHER), Outcome::Refused),
        (Kind::None, Outcome::HasDevice),
        (Kind::Unknown, Outcome::Unknown),
    ] {
        assert_eq!(strict.outcome(&[key(kind)], false), outcome, "{kind:?}");
        assert_eq!(open.outcome(&[key(kind)], false), Outcome::HasDevice);
    }
    // Another device that counts settles it, and the kinds are those of keys only.
    let keys = [key(Kind::Unknown), key(Kind::Is(ALLOWED))];
    assert_eq!(strict.outcome(&keys, false), Outcome::HasDevice);
    assert_eq!(strict.outcome(&[device("totp")], false), Outcome::HasDevice);
    // An unconfirmed key does not count, whatever it is.
    let half = Owned {
        is_confirmed: Some(false),
        ..key(Kind::Unknown)
    };
    assert_eq!(strict.outcome(&[half], false), Outcome::Refused);
}

#[test]
fn a_number_of_which_there_is_a_hash_only_does_not_count() {
    let rules = denying(&["sms"]);
    let with = |is_hashed| Owned {
        is_hashed,
        ..device("sms")
    };
    assert_eq!(rules.outcome(&[with(Some(true))], false), Outcome::Refused);
    assert_eq!(rules.outcome(&[with(None)], false), Outcome::Unknown);
}

#[test]
fn recovery_codes_that_are_not_seen_are_not_taken_to_be_missing() {
    let with = denying(&["static", "totp"]);
    assert_eq!(with.outcome(&[], true), Outcome::Unknown);
    assert_eq!(with.outcome(&[], false), Outcome::Refused);
    assert_eq!(with.outcome(&[device("static")], true), Outcome::HasDevice);
    assert_eq!(with.outcome(&[device("totp")], true), Outcome::HasDevice);
    assert_eq!(denying(&["totp"]).outcome(&[], true), Outcome::Refused);
    assert_eq!(
        denying(&["totp"]).outcome(&[device("static")], false),
        Outcome::Refused
    );
}

#[test]
fn a_device_of_which_nothing_can_be_read_can_not_be_told() {
    let odd = Owned {
        class: None,
        ..device("")
    };
    assert_eq!(denying(&["totp"]).outcome(&[odd], false), Outcome::Unknown);
}

#[test]
fn a_field_that_is_missing_has_its_default() {
    let none = rules(json!({})).unwrap();
    assert_eq!(none.outcome(&[], false), Outcome::Passes);
    assert_eq!(
        none.outcome(&[key(Kind::Unknown)], false),
        Outcome::HasDevice
    );
    assert!(ALL_CLASSES.iter().all(|class| none.takes(class)));
}

#[test]
fn a_value_that_authentik_never_has_is_no_rule() {
    for (field, value) in [
        ("device_classes", json!("totp")),
        ("device_classes", json!([1])),
        ("not_configured_action", json!("ask")),
        ("not_configured_action", json!(null)),
        ("configuration_stages", json!({})),
        ("webauthn_allowed_device_types", json!(["YubiKey"])),
    ] {
        assert_eq!(
            rules(json!({field: value})),
            Err(Malformed(field)),
            "{value}"
        );
    }
}
