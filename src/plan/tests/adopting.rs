//! A stage that is there already: whether it is taken over.

use serde_json::{Value, json};
use uuid::Uuid;

use super::support::*;
use crate::{
    api::AdoptionPolicy::{self, Always, IfMatch, Never},
    kinds::DuoStage,
    plan::Desired,
};

/// A stage of the resource's name, with these fields changed, under this policy.
fn found(adoption: AdoptionPolicy, changed: Value) -> Case {
    with(Case::unmanaged(), |case| {
        case.adoption = adoption;
        case.live = Some(live(changed));
    })
}

/// A stage that is as the spec has it, and stands in these flows; the spec asks for 10 in `login`.
fn found_in(adoption: AdoptionPolicy, flows: &[(Uuid, i32)]) -> Case {
    with(Case::unmanaged(), |case| {
        case.adoption = adoption;
        case.desired.bindings = Some(places(&[(LOGIN, 10)]));
        case.bindings = bound(flows);
    })
}

#[test]
fn a_stage_is_created_only_where_there_is_none() {
    for adoption in [Always, IfMatch, Never] {
        let none = with(Case::new(), |case| case.adoption = adoption);
        assert_eq!(none.next(), "Create");
        let is_lost = with(none, |case| case.lost = Some(case.desired.clone()));
        assert_eq!(is_lost.next(), "Create", "what was lost was never made");
        assert_ne!(found(adoption, json!({})).next(), "Create");
    }
    // Where the own stage is gone, it is made again under any policy.
    let gone = with(Case::in_sync(), |case| {
        case.live = None;
        case.own.manages = false;
    });
    assert_eq!(gone.next(), "Create");
}

#[test]
fn the_adoption_policy_decides_about_a_stage_that_is_there() {
    let equal = json!({});
    let other = json!({"not_configured_action": "skip"});
    check([
        ("equal", found(Always, equal.clone()), "Adopt"),
        ("equal", found(IfMatch, equal.clone()), "Adopt"),
        ("equal", found(Never, equal), "AdoptionRefused"),
        ("different", found(Always, other.clone()), "Adopt"),
        (
            "different",
            found(IfMatch, other.clone()),
            "AdoptionRefused",
        ),
        ("different", found(Never, other), "AdoptionRefused"),
    ]);
}

#[test]
fn if_match_compares_what_the_spec_sets_and_nothing_else() {
    check([
        (
            "a field that the spec does not set",
            found(IfMatch, json!({"last_auth_threshold": "hours=9"})),
            "Adopt",
        ),
        (
            "a set in another order",
            found(IfMatch, json!({"device_classes": ["duo", "totp"]})),
            "Adopt",
        ),
        (
            "a set with more in it",
            found(IfMatch, json!({"device_classes": ["duo", "totp", "sms"]})),
            "AdoptionRefused",
        ),
        (
            "a field that the server lacks",
            with(found(IfMatch, json!({})), |case| {
                case.want("webauthn_hints", json!(["hybrid"]));
            }),
            "Adopt",
        ),
    ]);
    let duo = with(Case::duo(None, "1"), |case| {
        case.own.manages = false;
        case.was_in_sync = false;
    });
    let next = in_words(&duo.step_of::<DuoStage>());
    assert_eq!(next, "Adopt", "secrets can't be compared");
}

#[test]
fn if_match_takes_over_a_stage_whose_bindings_are_only_missing() {
    check([
        (
            "bound as wanted",
            found_in(IfMatch, &[(LOGIN, 10)]),
            "Adopt",
        ),
        ("not bound", found_in(IfMatch, &[]), "Adopt"),
        (
            "at another order",
            found_in(IfMatch, &[(LOGIN, 20)]),
            "AdoptionRefused",
        ),
        (
            "elsewhere",
            found_in(IfMatch, &[(RECOVERY, 10)]),
            "AdoptionRefused",
        ),
        (
            "elsewhere too",
            found_in(IfMatch, &[(LOGIN, 10), (RECOVERY, 10)]),
            "AdoptionRefused",
        ),
        ("elsewhere", found_in(Always, &[(RECOVERY, 10)]), "Adopt"),
        (
            "bound as wanted",
            found_in(Never, &[(LOGIN, 10)]),
            "AdoptionRefused",
        ),
        (
            "bindings are not managed",
            with(found_in(IfMatch, &[(RECOVERY, 10)]), |case| {
                case.desired.bindings = None;
            }),
            "Adopt",
        ),
    ]);
}

#[test]
fn if_match_counts_a_binding_too_many_also_while_a_flow_is_missing() {
    let missing = |flows: &[(Uuid, i32)]| {
        with(found_in(IfMatch, flows), |case| {
            case.desired.bindings = Some(places_and_a_missing_flow(&[(LOGIN, 10)]));
        })
    };
    check([
        ("not bound", missing(&[]), "Adopt"),
        ("bound as wanted", missing(&[(LOGIN, 10)]), "Adopt"),
        (
            "elsewhere too",
            missing(&[(LOGIN, 10), (RECOVERY, 5)]),
            "AdoptionRefused",
        ),
    ]);
}

#[test]
fn a_refusal_tells_what_differs_and_the_way_out() {
    let mut case = found(
        IfMatch,
        json!({"not_configured_action": "skip", "device_classes": ["sms"]}),
    );
    case.desired.bindings = Some(places(&[]));
    case.bindings = bound(&[(LOGIN, 10)]);
    let stage = format!("authentik already has a stage named \"mfa\" ({STAGE}), and ");
    assert_eq!(
        case.message(),
        format!(
            "{stage}it differs in deviceClasses, flows, notConfiguredAction; make the spec equal, or set adoptionPolicy: Always to change it"
        )
    );
    case.adoption = Never;
    assert_eq!(
        case.message(),
        format!(
            "{stage}adoptionPolicy is Never; set it to IfMatch or Always, or choose another spec.name"
        )
    );
}

#[test]
fn what_is_left_of_a_lost_creation_is_recognised_under_any_policy() {
    let stage = Uuid::from_u128(7).to_string();
    for adoption in [Always, IfMatch, Never] {
        let lost = |changed: Value| {
            with(found(adoption, changed), |case| {
                case.want("configuration_stages", json!([stage]));
                case.lost = Some(case.desired.clone());
            })
        };
        check([
            (
                "as it was created",
                lost(json!({"configuration_stages": [stage]})),
                "Recognise",
            ),
            (
                "what it referred to is gone since",
                lost(json!({"configuration_stages": []})),
                "Recognise",
            ),
            (
                "somebody has changed it",
                lost(json!({"configuration_stages": [stage], "not_configured_action": "skip"})),
                if adoption == Always {
                    "Adopt"
                } else {
                    "AdoptionRefused"
                },
            ),
        ]);
    }
}

#[test]
fn what_was_created_counts_and_not_what_the_spec_says_by_now() {
    let case = with(found(Never, json!({})), |case| {
        case.lost = Some(case.desired.clone());
        case.want("not_configured_action", json!("skip"));
    });
    assert_eq!(case.next(), "Recognise");
}

#[test]
fn an_own_stage_is_never_judged_by_the_adoption_policy() {
    for adoption in [Always, IfMatch, Never] {
        let case = with(Case::edited(), |case| {
            case.adoption = adoption;
            case.lost = Some(Desired::default());
        });
        assert_eq!(case.next(), "Patch notConfiguredAction");
    }
}
