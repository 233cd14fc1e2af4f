//! Whose the stage is, and what comes before the first write.

use serde_json::json;
use uuid::Uuid;

use super::support::*;
use crate::{
    api::AdoptionPolicy,
    kinds::DuoStage,
    plan::{
        Ignored,
        claims::{Rival, SameServer},
        decide::Holder,
    },
};

/// The states that a resource can be in when a rival turns up, and what it would do without one.
fn states() -> [(&'static str, Case); 6] {
    [
        ("InSync", Case::in_sync()),
        ("Patch notConfiguredAction", Case::edited()),
        ("LookAgain", Case::drifted()),
        ("Adopt", Case::unmanaged()),
        ("Create", Case::new()),
        (
            "Finalize",
            with(Case::new(), |case| case.has_finalizer = false),
        ),
    ]
}

#[test]
fn a_rival_with_a_better_claim_ends_every_state() {
    for (next, mut case) in states() {
        assert_eq!(case.next(), next);
        case.rivals = vec![older(SameServer::Yes)];
        assert_eq!(case.next(), "NameConflict", "instead of {next}");
    }
}

#[test]
fn a_rival_on_another_server_or_with_a_worse_claim_changes_nothing() {
    for (next, mut case) in states() {
        let younger = Rival {
            claim: claim("younger", 9, false),
            ..older(SameServer::Yes)
        };
        case.rivals = vec![older(SameServer::No), younger];
        assert_eq!(case.next(), next);
    }
}

#[test]
fn whether_two_servers_are_one_is_asked_where_either_has_come_to_manage_the_stage_of_late() {
    for (name, ours, theirs, next) in [
        ("both had it before", true, true, "InSync"),
        ("ours is new", false, true, "TellApart older"),
        ("theirs is new", true, false, "TellApart older"),
    ] {
        let mut case = Case::in_sync();
        let mut rival = older(SameServer::Unknown);
        rival.claim.is_restored = theirs;
        case.own.is_restored = ours;
        case.rivals = vec![rival];
        check([(name, case, next)]);
    }
}

#[test]
fn whether_two_servers_are_one_is_asked_only_while_something_is_to_be_written() {
    let doubted = |case| with(case, |case| case.rivals = vec![older(SameServer::Unknown)]);
    check([
        ("in sync", doubted(Case::in_sync()), "InSync"),
        ("edited", doubted(Case::edited()), "TellApart older"),
        ("drifted", doubted(Case::drifted()), "TellApart older"),
        ("to adopt", doubted(Case::unmanaged()), "TellApart older"),
        ("to create", doubted(Case::new()), "TellApart older"),
        (
            "to recognise",
            doubted(with(Case::unmanaged(), |case| {
                case.lost = Some(case.desired.clone());
            })),
            "TellApart older",
        ),
        (
            "to bind",
            doubted(with(Case::bound(), |case| {
                case.bindings.clear();
                case.was_in_sync = false;
            })),
            "TellApart older",
        ),
        (
            "adoption refused",
            doubted(with(Case::unmanaged(), |case| {
                case.adoption = AdoptionPolicy::Never;
            })),
            "AdoptionRefused",
        ),
        (
            "name held",
            doubted(with(Case::new(), |case| case.holder = Some(Holder::Unseen))),
            "NameConflict",
        ),
        (
            "ignored difference",
            doubted(with(Case::drifted(), |case| {
                case.ignored = vec![Ignored {
                    field: "not_configured_action",
                    wanted: json!("deny"),
                    found: json!("skip"),
                }];
            })),
            "FieldUnsupported",
        ),
        (
            "observing",
            doubted(with(Case::drifted(), |case| {
                case.observes = true;
                case.is_certain = true;
            })),
            "Drifted notConfiguredAction",
        ),
    ]);
    let duo = doubted(Case::duo(Some("1"), "2"));
    assert_eq!(in_words(&duo.step_of::<DuoStage>()), "TellApart older");
}

#[test]
fn once_two_servers_are_told_apart_the_answer_decides() {
    let told = |same_server| {
        with(Case::edited(), |case| {
            case.rivals = vec![older(same_server)]
        })
    };
    check([
        ("one server", told(SameServer::Yes), "NameConflict"),
        (
            "two servers",
            told(SameServer::No),
            "Patch notConfiguredAction",
        ),
    ]);
}

#[test]
fn a_conflict_tells_who_has_the_stage_and_under_which_url() {
    let mut case = with(Case::edited(), |case| {
        case.rivals = vec![older(SameServer::Yes)]
    });
    let message = case.message();
    assert!(
        message.contains(
            "named \"mfa\" on https://authentik belongs to AuthenticatorValidateStage login/older; "
        ),
        "{message}"
    );
    case.rivals[0].server = "http://authentik.svc".to_owned();
    let message = case.message();
    assert!(
        message.contains("login/older, which reaches the same server under http://authentik.svc; "),
        "{message}"
    );
}

#[test]
fn a_held_name_ends_what_would_be_written_under_it_and_tells_its_holder() {
    let other = Uuid::from_u128(9);
    for (holder, named) in [
        (
            Holder::Object(shown("Password Stage"), other),
            format!("is held by the Password Stage {other} on https://authentik"),
        ),
        (
            Holder::Of(resource("other")),
            "belongs to AuthenticatorValidateStage login/other;".to_owned(),
        ),
        (
            Holder::Unseen,
            "is held by a stage that the token may not see".to_owned(),
        ),
    ] {
        for case in [Case::new(), Case::edited(), Case::unmanaged()] {
            // A name that can't be had needs no finalizer either.
            for has_finalizer in [true, false] {
                let mut case = case.clone();
                case.has_finalizer = has_finalizer;
                case.holder = Some(holder.clone());
                assert_eq!(case.next(), "NameConflict");
                let message = case.message();
                assert!(message.contains(&named), "{message}");
            }
        }
    }
}

#[test]
fn the_finalizer_comes_before_everything_that_leads_to_a_write() {
    for (next, case) in states() {
        let case = with(case, |case| case.has_finalizer = false);
        assert_eq!(case.next(), "Finalize", "before {next}");
    }
    let doubted = with(Case::new(), |case| {
        case.has_finalizer = false;
        case.rivals = vec![older(SameServer::Unknown)];
    });
    assert_eq!(doubted.next(), "Finalize");
}
