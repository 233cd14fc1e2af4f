//! From how a reconcile ended to its conditions and its warning.

use std::time::Duration;

use super::support::shown;
use crate::{
    api::{DriftedField, Status, conditions},
    plan::{
        Grace, Note, Outcome, conclude,
        failure::{Failure, Reason},
        patience, suspended, warning,
    },
};

type Ended = Result<Outcome, Failure>;

const STALLED: [Reason; 6] = [
    Reason::InvalidSpec,
    Reason::Rejected,
    Reason::FieldUnsupported,
    Reason::AdoptionRefused,
    Reason::NameConflict,
    Reason::ReferenceAmbiguous,
];
const RECONCILING: [Reason; 7] = [
    Reason::ReferenceNotFound,
    Reason::SecretNotFound,
    Reason::ConnectionNotReady,
    Reason::AccessDenied,
    Reason::AuthentikUnavailable,
    Reason::DeletionBlocked,
    Reason::Internal,
];

fn failed(reason: Reason) -> Ended {
    Err(Failure::new(reason, "why, and what to do"))
}

fn drifted(field: &str) -> Ended {
    Ok(Outcome::Drifted(vec![DriftedField {
        field: field.to_owned(),
        wanted: "1".to_owned(),
        found: shown("2").into_string(),
        weaker: false,
    }]))
}

fn concluded(result: &Ended) -> Status {
    let mut status = Status::default();
    conclude(&mut status, result, Some(3));
    status
}

/// The conditions, as type, status and reason.
fn told(status: &Status) -> Vec<[&str; 3]> {
    let told = status.conditions.iter();
    told.map(|of| [of.type_.as_str(), &of.status, &of.reason])
        .collect()
}

#[test]
fn each_outcome_has_its_conditions() {
    let in_sync = concluded(&Ok(Outcome::InSync));
    assert_eq!(told(&in_sync), [[conditions::READY, "True", "InSync"]]);
    let drifted = concluded(&drifted("deviceClasses"));
    assert_eq!(told(&drifted), [[conditions::READY, "False", "Drifted"]]);
    let classes = [
        (conditions::STALLED, STALLED.as_slice()),
        (conditions::RECONCILING, RECONCILING.as_slice()),
    ];
    for (beside, reasons) in classes {
        for reason in reasons {
            let status = concluded(&failed(*reason));
            let name = reason.as_str();
            assert_eq!(
                told(&status),
                [[conditions::READY, "False", name], [beside, "True", name]]
            );
            for condition in &status.conditions {
                assert_eq!(condition.message, "why, and what to do");
                assert_eq!(condition.observed_generation, Some(3));
            }
        }
    }
}

#[test]
fn of_the_conditions_beside_ready_only_the_present_one_is_left() {
    let results = [
        failed(Reason::NameConflict),
        failed(Reason::SecretNotFound),
        drifted("name"),
        Ok(Outcome::InSync),
    ];
    for before in &results {
        for after in &results {
            let mut status = concluded(before);
            suspended(&mut status, Some(3));
            conclude(&mut status, after, Some(3));
            let expected = concluded(after);
            assert_eq!(told(&status), told(&expected), "{before:?} {after:?}");
        }
    }
}

#[test]
fn drift_is_shown_until_it_is_known_to_be_gone() {
    let mut status = concluded(&drifted("deviceClasses"));
    assert_eq!(status.drift[0].field, "deviceClasses");
    conclude(&mut status, &failed(Reason::AuthentikUnavailable), Some(3));
    assert_eq!(status.drift[0].field, "deviceClasses");
    conclude(&mut status, &drifted("name"), Some(3));
    assert_eq!(status.drift.len(), 1);
    assert_eq!(status.drift[0].field, "name");
    conclude(&mut status, &Ok(Outcome::InSync), Some(3));
    assert_eq!(status.drift, []);
}

#[test]
fn suspending_leaves_ready_as_it_was() {
    for result in [
        Ok(Outcome::InSync),
        drifted("name"),
        failed(Reason::NameConflict),
        failed(Reason::SecretNotFound),
    ] {
        let mut status = concluded(&result);
        let ready = status.condition(conditions::READY).cloned();
        suspended(&mut status, Some(4));
        assert_eq!(status.condition(conditions::READY).cloned(), ready);
        let suspended = [conditions::SUSPENDED, "True", "Suspended"];
        assert_eq!(told(&status)[1..], [suspended]);
        assert_eq!(status.observed_generation, Some(4));
    }
}

#[test]
fn a_message_about_drift_names_the_fields() {
    let status = concluded(&drifted("deviceClasses"));
    let ready = status.condition(conditions::READY).expect("a condition");
    let begins = "authentik differs in deviceClasses, and managementPolicy: Observe keeps it so";
    assert!(ready.message.starts_with(begins), "{}", ready.message);
}

#[test]
fn a_warning_is_given_once_and_says_what_the_condition_says() {
    let warns = |reason: &'static str, status: &Status| {
        let ready = status.condition(conditions::READY).expect("a condition");
        Grace::Warn(Note::warning(reason, ready.message.clone()))
    };
    let mut results = vec![("Drifted", drifted("name"))];
    let reasons = STALLED.into_iter().chain(RECONCILING);
    results.extend(reasons.map(|reason| (reason.as_str(), failed(reason))));
    for (reason, result) in results {
        let status = concluded(&result);
        let long = Duration::from_secs(3600);
        let first = warning(&status, &result, false, true, long);
        assert_eq!(first, warns(reason, &status));
        let again = warning(&status, &result, true, true, long);
        assert_eq!(again, Grace::Nothing, "{reason}");
    }
}

#[test]
fn only_a_new_resource_gets_time_and_only_for_what_may_be_on_its_way() {
    for reason in STALLED.into_iter().chain(RECONCILING) {
        let may_come = matches!(
            reason,
            Reason::ReferenceNotFound | Reason::SecretNotFound | Reason::ConnectionNotReady
        );
        let result = failed(reason);
        let status = concluded(&result);
        for (warned, is_new, waits) in [
            (false, true, may_come),
            (false, false, false),
            (true, true, false),
            (true, false, false),
        ] {
            let at_once = warning(&status, &result, warned, is_new, Duration::ZERO);
            let what = format!("{reason:?}, warned {warned}, new {is_new}: {at_once:?}");
            assert_eq!(matches!(at_once, Grace::Wait(_)), waits, "{what}");
            assert_eq!(at_once == Grace::Nothing, warned, "{what}");
        }
    }
}

#[test]
fn nothing_is_warned_of_where_nothing_is_wrong_or_nothing_is_said() {
    let in_sync = Ok(Outcome::InSync);
    let long = Duration::from_secs(3600);
    let status = concluded(&in_sync);
    assert_eq!(
        warning(&status, &in_sync, false, true, long),
        Grace::Nothing
    );
    let silent = Status::default();
    let result = failed(Reason::NameConflict);
    assert_eq!(warning(&silent, &result, false, true, long), Grace::Nothing);
}

#[test]
fn patience_ends() {
    let second = Duration::from_secs(1);
    assert_eq!(patience(false, Duration::ZERO), None);
    let all = patience(true, Duration::ZERO).expect("some time");
    assert_eq!(patience(true, second), Some(all - second));
    assert_eq!(patience(true, all), None);
    assert_eq!(patience(true, all * 2), None);
}
