//! What is written of a stage that the resource manages, in which order, and when nothing is.

use serde_json::json;

use super::support::*;
use crate::{
    api::SentSecret,
    authentik::Version,
    kinds::{AuthenticatorValidateStage, DuoStage, Kind},
    plan::decide::Step,
};

/// The stage is taken out of its flow, and the spec has not changed.
fn unbound() -> Case {
    with(Case::bound(), |case| case.bindings.clear())
}

fn certain(case: Case) -> Case {
    with(case, |case| case.is_certain = true)
}

fn not_in_sync(case: Case) -> Case {
    with(case, |case| case.was_in_sync = false)
}

#[test]
fn nothing_is_written_where_nothing_differs() {
    check([
        ("in sync", Case::in_sync(), "InSync"),
        ("in its flow", Case::bound(), "InSync"),
        (
            "bindings that the spec does not manage",
            with(Case::in_sync(), |case| {
                case.bindings = bound(&[(LOGIN, 10)])
            }),
            "InSync",
        ),
        (
            "a field that the spec does not set",
            with(Case::in_sync(), |case| {
                case.desired.fields.remove("device_classes");
                case.live = Some(live(json!({"device_classes": ["sms"]})));
            }),
            "InSync",
        ),
    ]);
}

#[test]
fn the_name_is_a_field_like_any_other() {
    let renamed = with(Case::edited(), |case| {
        case.desired.name = "other".to_owned()
    });
    assert_eq!(renamed.next(), "Patch name notConfiguredAction");
}

#[test]
fn the_stage_is_written_before_its_bindings() {
    let both = with(Case::edited(), |case| {
        case.desired.bindings = Some(places(&[(LOGIN, 10)]));
        case.bindings = bound(&[(LOGIN, 20), (RECOVERY, 0)]);
    });
    let patched = with(both.clone(), |case| {
        case.desired.fields = Case::in_sync().desired.fields;
    });
    let written = with(patched.clone(), |case| {
        case.bindings = bound(&[(LOGIN, 10)])
    });
    check([
        ("both differ", both, "Patch notConfiguredAction"),
        ("the bindings differ", patched, "Bind update delete"),
        ("nothing differs", written, "InSync"),
    ]);
}

#[test]
fn only_drift_that_a_list_showed_is_looked_at_again() {
    let fixed = "Patch notConfiguredAction";
    check([
        ("drift in a list", Case::drifted(), "LookAgain"),
        ("drift of bindings in a list", unbound(), "LookAgain"),
        (
            "drift that authentik confirmed",
            certain(Case::drifted()),
            fixed,
        ),
        (
            "bindings that authentik confirmed",
            certain(unbound()),
            "Bind create",
        ),
        (
            "what was not in sync before",
            not_in_sync(Case::drifted()),
            fixed,
        ),
        (
            "bindings that were not in sync",
            not_in_sync(unbound()),
            "Bind create",
        ),
        ("an edit", Case::edited(), fixed),
        ("nothing", Case::in_sync(), "InSync"),
        (
            "a stage that is gone",
            with(Case::in_sync(), |case| case.live = None),
            "Create",
        ),
    ]);
    // A changed Secret is no drift: no list shows it.
    let duo = Case::duo(Some("1"), "2");
    assert_eq!(in_words(&duo.step_of::<DuoStage>()), "Patch clientSecret");
}

#[test]
fn a_secret_is_sent_when_another_state_of_it_was_sent_last() {
    let emptied = |sent: &SentSecret| SentSecret {
        name: None,
        key: None,
        uid: None,
        resource_version: None,
        ..sent.clone()
    };
    let other_field = SentSecret {
        field: "adminSecretKey".to_owned(),
        ..sent("1")
    };
    let other_uid = SentSecret {
        uid: Some("uid-2".to_owned()),
        ..sent("1")
    };
    for (what, on_record, next) in [
        ("this state", vec![sent("1")], "InSync"),
        ("an older state", vec![sent("0")], "Patch clientSecret"),
        ("a Secret made anew", vec![other_uid], "Patch clientSecret"),
        ("another field's", vec![other_field], "Patch clientSecret"),
        ("none", vec![], "Patch clientSecret"),
        ("emptied", vec![emptied(&sent("1"))], "Patch clientSecret"),
    ] {
        let case = with(Case::duo(None, "1"), |case| case.sent = on_record);
        assert_eq!(in_words(&case.step_of::<DuoStage>()), next, "{what}");
    }
    let empty = with(Case::duo(Some("1"), "1"), |case| {
        case.desired.secrets.insert("client_secret", None);
    });
    assert_eq!(in_words(&empty.step_of::<DuoStage>()), "Patch clientSecret");
    let was_emptied = with(empty, |case| case.sent = vec![emptied(&sent("1"))]);
    assert_eq!(in_words(&was_emptied.step_of::<DuoStage>()), "InSync");
}

#[test]
fn a_field_that_the_server_lacks_holds_nothing_else_up() {
    let lacks = |case| {
        with(case, |case: &mut Case| {
            case.want("webauthn_hints", json!(["hybrid"]))
        })
    };
    check([
        ("in sync", lacks(Case::in_sync()), "FieldUnsupported"),
        ("edited", lacks(Case::edited()), "Patch notConfiguredAction"),
        (
            "drifted",
            lacks(certain(Case::drifted())),
            "Patch notConfiguredAction",
        ),
        ("unbound", lacks(certain(unbound())), "Bind create"),
        ("bound", lacks(Case::bound()), "FieldUnsupported"),
    ]);
    let Step::Patch(diff) = lacks(Case::edited()).step() else {
        panic!("no patch")
    };
    let changed: Vec<_> = diff.changes.iter().map(|change| change.field.api).collect();
    assert_eq!(changed, ["not_configured_action"]);
}

#[test]
fn what_the_server_lacks_is_named_with_the_release_that_has_it() {
    let known_to_lack = AuthenticatorValidateStage::field("webauthn_allowed_device_types");
    let mut case = with(Case::in_sync(), |case| {
        case.version = Version::parse("2024.2.2");
        case.want("webauthn_hints", json!([]));
        case.want("last_auth_threshold", json!("hours=1"));
        case.desired.unsupported = known_to_lack.into_iter().collect();
    });
    let message = case.message();
    assert!(
        message.starts_with("authentik 2024.2.2 can't hold everything that the spec sets: lastAuthThreshold was not kept by the server; webauthnAllowedDeviceTypes needs authentik 2024.6; webauthnHints needs authentik 2026.5; "),
        "{message}"
    );
    // The answer decides and not the version: a server that should have the field may lack it all the same.
    case.version = Version::parse("2099.1.0");
    assert!(
        case.message()
            .contains("webauthnHints was not kept by the server")
    );
}

#[test]
fn a_missing_flow_holds_up_only_what_would_be_taken_away() {
    let missing = |case, live: &[(uuid::Uuid, i32)]| {
        with(case, |case: &mut Case| {
            case.desired.bindings = Some(places_and_a_missing_flow(&[(LOGIN, 10)]));
            case.bindings = bound(live);
        })
    };
    check([
        (
            "edited",
            missing(Case::edited(), &[]),
            "Patch notConfiguredAction",
        ),
        (
            "not bound",
            missing(not_in_sync(Case::in_sync()), &[]),
            "Bind create",
        ),
        (
            "at another order",
            missing(not_in_sync(Case::in_sync()), &[(LOGIN, 20)]),
            "Bind update",
        ),
        (
            "in another flow",
            missing(not_in_sync(Case::in_sync()), &[(RECOVERY, 5)]),
            "Bind create",
        ),
        (
            "in another flow too",
            missing(Case::in_sync(), &[(LOGIN, 10), (RECOVERY, 5)]),
            "ReferenceNotFound",
        ),
    ]);
    let case = missing(Case::in_sync(), &[(LOGIN, 10)]);
    assert_eq!(case.message(), "no flow \"gone\"");
}

#[test]
fn nothing_is_said_to_be_in_sync_otherwise_while_a_flow_is_missing() {
    let case = with(Case::bound(), |case| {
        case.want("webauthn_hints", json!(["hybrid"]));
        case.desired.bindings = Some(places_and_a_missing_flow(&[(LOGIN, 10)]));
    });
    assert_eq!(case.next(), "ReferenceNotFound");
    let found = with(case, |case| {
        case.desired.bindings = Some(places(&[(LOGIN, 10)]))
    });
    assert_eq!(found.next(), "FieldUnsupported");
    assert!(found.message().ends_with("(all else is in sync)"));
}
