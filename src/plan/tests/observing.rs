//! A resource that only observes.

use serde_json::json;

use super::support::*;
use crate::{
    api::DriftedField,
    kinds::DuoStage,
    plan::{
        Outcome,
        claims::SameServer,
        decide::{Holder, Step},
    },
};

fn observing(case: Case) -> Case {
    with(case, |case| case.observes = true)
}

fn certain(case: Case) -> Case {
    with(case, |case| case.is_certain = true)
}

/// What differs, as the status shows it.
fn drift(step: Step) -> Vec<DriftedField> {
    match step {
        Step::End(Ok(Outcome::Drifted(drift))) => drift,
        step => panic!("no drift: {step:?}"),
    }
}

#[test]
fn who_observes_never_writes_and_reports_what_differs() {
    check([
        ("in sync", observing(Case::in_sync()), "InSync"),
        ("in its flow", observing(Case::bound()), "InSync"),
        ("not managed", observing(Case::unmanaged()), "InSync"),
        (
            "edited",
            observing(Case::edited()),
            "Drifted notConfiguredAction",
        ),
        ("no stage", observing(Case::new()), "Drifted name"),
        (
            "the stage and its bindings",
            observing(with(Case::edited(), |case| {
                case.desired.bindings = Some(places(&[]));
                case.bindings = bound(&[(LOGIN, 10)]);
            })),
            "Drifted notConfiguredAction flows",
        ),
    ]);
}

#[test]
fn who_observes_claims_nothing_and_is_in_nobodys_way() {
    for rival in [SameServer::Yes, SameServer::Unknown] {
        let case = observing(with(Case::edited(), |case| {
            case.rivals = vec![older(rival)];
            case.holder = Some(Holder::Unseen);
            case.has_finalizer = false;
        }));
        assert_eq!(case.next(), "Drifted notConfiguredAction");
    }
}

#[test]
fn drift_that_a_list_showed_is_looked_at_again_before_it_is_reported() {
    let unbound = with(Case::bound(), |case| case.bindings.clear());
    check([
        ("a list", observing(Case::drifted()), "LookAgain"),
        (
            "bindings in a list",
            observing(unbound.clone()),
            "LookAgain",
        ),
        (
            "authentik itself",
            certain(observing(Case::drifted())),
            "Drifted notConfiguredAction",
        ),
        (
            "authentik itself",
            certain(observing(unbound)),
            "Drifted flows",
        ),
        (
            "an edit",
            observing(Case::edited()),
            "Drifted notConfiguredAction",
        ),
    ]);
}

#[test]
fn drift_says_what_is_wanted_and_what_is_found() {
    let step = observing(Case::edited()).step();
    let action = drifted("notConfiguredAction", "\"skip\"", "\"deny\"", false);
    assert_eq!(drift(step), [action]);
    let step = observing(Case::new()).step();
    assert_eq!(drift(step), [drifted("name", "\"mfa\"", "null", true)]);
}

#[test]
fn drift_of_bindings_names_flows_by_slug_and_is_sorted() {
    let step = observing(with(Case::edited(), |case| {
        case.desired = Case::in_sync().desired;
        let unknown = uuid::Uuid::from_u128(99);
        case.desired.bindings = Some(places(&[(RECOVERY, 5), (LOGIN, 10)]));
        case.bindings = bound(&[(unknown, 1), (LOGIN, 10)]);
    }))
    .step();
    let unknown = r#"{"flow":"00000000-0000-0000-0000-000000000063","order":1}"#;
    let login = r#"{"flow":"login","order":10}"#;
    let recovery = r#"{"flow":"recovery","order":5}"#;
    let wanted = format!("[{login},{recovery}]");
    let found = format!("[{unknown},{login}]");
    assert_eq!(drift(step), [drifted("flows", &wanted, &found, true)]);
}

#[test]
fn of_secrets_drift_tells_only_that_another_one_was_sent() {
    let observed = observing(Case::duo(Some("1"), "2"));
    let secret = drifted("clientSecret", "<secret>", "<secret>", false);
    assert_eq!(drift(certain(observed).step_of::<DuoStage>()), [secret]);
    // Of a stage that was never written from here nothing is known.
    let case = observing(with(Case::duo(None, "2"), |case| case.own.manages = false));
    assert_eq!(in_words(&case.step_of::<DuoStage>()), "InSync");
}

#[test]
fn what_can_not_be_compared_is_told_where_nothing_else_differs() {
    let lacks = |case| {
        observing(with(case, |case: &mut Case| {
            case.want("webauthn_hints", json!(["hybrid"]));
        }))
    };
    let missing = |case| {
        observing(with(case, |case: &mut Case| {
            case.desired.bindings = Some(places_and_a_missing_flow(&[]));
        }))
    };
    check([
        ("a field", lacks(Case::in_sync()), "FieldUnsupported"),
        (
            "a field, and another differs",
            lacks(Case::edited()),
            "Drifted notConfiguredAction",
        ),
        ("a flow", missing(Case::in_sync()), "ReferenceNotFound"),
        // What differs of the bindings is known only once every flow is.
        (
            "a flow, and a field differs",
            missing(Case::edited()),
            "ReferenceNotFound",
        ),
    ]);
}
