//! What is on record of a resource after each thing that a reconcile has found or done.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::support::*;
use crate::{
    api::{BoundFlow, DriftedField, Identity, SentSecret, Status},
    authentik::Remote,
    plan::{Fact, Live, Record, Show, drift::Repair},
};

const OLD: &str = "https://old";
const OTHER: Uuid = Uuid::from_u128(2);

fn stage() -> Arc<Live> {
    let flow = |pk: Uuid, slug: &str| json!({"pk": pk, "slug": slug});
    let flows = json!([flow(RECOVERY, "recovery"), flow(LOGIN, "login")]);
    Arc::new(live(json!({"flow_set": flows})))
}

/// Another stage, as when the first was deleted in authentik and made again.
fn another() -> Arc<Live> {
    Arc::new(live(json!({"pk": OTHER})))
}

fn identity(server: &str, managed: bool) -> Identity {
    Identity {
        uuid: STAGE,
        name: "mfa".to_owned(),
        server: server.to_owned(),
        managed,
        flows: Vec::new(),
        bindings: Vec::new(),
    }
}

/// What is on record of a resource that stood for this stage before.
fn record(stage: Option<Identity>) -> Record {
    let status = Status {
        secrets: stage.iter().map(|_| sent("1")).collect(),
        stage,
        ..Status::default()
    };
    Record {
        noun: "stage",
        before: status.clone(),
        status,
        notes: Vec::new(),
        server: SERVER.to_owned(),
        manages_bindings: false,
        was_in_sync: false,
        spec_fields: vec!["deviceClasses".to_owned(), "notConfiguredAction".to_owned()],
        repaired: Vec::new(),
        by: None,
        show: Show(Arc::new(|text: &Remote| shown(text.raw()))),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

/// These fields were written, and authentik shows one of them.
fn patched(fields: &[&str]) -> Fact {
    Fact::Patched {
        live: stage(),
        fields: fields.iter().map(|&field| field.to_owned()).collect(),
        readable: true,
        sent: Vec::new(),
        repair: Some(Repair::default()),
    }
}

/// The stage was bound.
fn bound() -> Fact {
    Fact::Bound(Some(Repair::default()))
}

/// A Secret was sent.
fn secret_sent(secrets: Vec<SentSecret>) -> Fact {
    Fact::Patched {
        live: stage(),
        fields: vec!["clientSecret".to_owned()],
        readable: false,
        sent: secrets,
        repair: None,
    }
}

/// Notes these facts, a second apart.
fn noted(mut record: Record, facts: Vec<Fact>) -> Record {
    for (second, fact) in (100..).zip(facts) {
        record.note(fact, at(second));
    }
    for repaired in record.take_repaired() {
        record.tell_repaired(repaired, None);
    }
    record
}

/// The events, as reason and text.
fn events(record: &Record) -> Vec<(&str, &str)> {
    assert!(record.notes.iter().all(|note| !note.warning));
    let notes = record.notes.iter();
    notes
        .map(|note| (note.reason, note.text.as_str()))
        .collect()
}

fn last_change(record: &Record) -> Option<(&str, Vec<&str>, i64)> {
    let change = record.status.last_change.as_ref()?;
    let fields = change.fields.iter().map(String::as_str).collect();
    Some((&change.reason, fields, change.time.0.as_second()))
}

#[test]
fn a_resource_that_moved_leaves_its_stage_behind_and_says_so() {
    let mut before = record(Some(identity(OLD, true)));
    before.status.drift = vec![DriftedField {
        field: "name".to_owned(),
        wanted: "1".to_owned(),
        found: "2".to_owned(),
        weaker: false,
    }];
    assert_eq!(
        before.managed(),
        None,
        "what is elsewhere is not managed here"
    );
    let record = noted(before, vec![Fact::Moved]);
    assert_eq!(record.status, Status::default());
    let text = format!(
        "left stage \"mfa\" ({STAGE}) on https://old, for the resource now stands for one on https://authentik"
    );
    assert_eq!(events(&record), [("Orphaned", text.as_str())]);
}

#[test]
fn who_only_observed_a_stage_leaves_none_behind() {
    let observed = noted(record(Some(identity(OLD, false))), vec![Fact::Moved]);
    assert_eq!(events(&observed), []);
    assert_eq!(observed.status.stage, None);
    assert_eq!(events(&noted(record(None), vec![Fact::Moved])), []);
}

#[test]
fn a_stage_that_is_gone_is_off_the_record_with_its_secrets() {
    let record = noted(record(Some(identity(SERVER, true))), vec![Fact::Vanished]);
    assert_eq!(record.status, Status::default());
    assert_eq!(events(&record), []);
}

#[test]
fn a_creation_is_recorded_with_all_fields_and_with_what_was_sent() {
    let record = noted(
        record(None),
        vec![Fact::Created(stage(), vec![sent("2")], None)],
    );
    let status = &record.status;
    let flows = vec!["login".to_owned(), "recovery".to_owned()];
    let identity = Identity {
        flows,
        ..identity(SERVER, true)
    };
    assert_eq!(status.stage, Some(identity));
    assert_eq!(status.secrets, [sent("2")]);
    let fields = vec!["deviceClasses", "notConfiguredAction"];
    assert_eq!(last_change(&record), Some(("Created", fields, 100)));
    let text = format!("created stage \"mfa\" ({STAGE}) on https://authentik");
    assert_eq!(events(&record), [("Created", text.as_str())]);
}

#[test]
fn a_stage_is_created_again_only_where_the_resource_managed_one_on_this_server() {
    for (before, again) in [
        (None, false),
        (Some(identity(SERVER, true)), true),
        (Some(identity(SERVER, false)), false),
        (Some(identity(OLD, true)), false),
    ] {
        let created = vec![Fact::Vanished, Fact::Created(another(), Vec::new(), None)];
        let record = noted(record(before), created);
        let events = events(&record);
        let is_again = events[0]
            .1
            .starts_with("created again, for it was gone, stage");
        assert_eq!(is_again, again, "{events:?}");
    }
}

#[test]
fn of_a_creation_that_was_recognised_no_secret_is_known_to_be_sent() {
    let known = record(Some(identity(SERVER, true)));
    let record = noted(known, vec![Fact::Created(another(), Vec::new(), None)]);
    assert_eq!(record.status.secrets, []);
}

#[test]
fn an_adoption_forgets_what_was_sent_to_another_stage() {
    let observed = record(Some(identity(SERVER, false)));
    let record = noted(observed, vec![Fact::Adopted(stage())]);
    let stage = record.status.stage.as_ref().expect("a stage");
    assert!(stage.managed);
    assert_eq!(record.status.secrets, []);
    assert_eq!(last_change(&record), Some(("Adopted", Vec::new(), 100)));
    let text = format!("took over stage \"mfa\" ({STAGE}) on https://authentik");
    assert_eq!(events(&record), [("Adopted", text.as_str())]);
}

#[test]
fn a_stage_that_is_not_taken_over_is_not_on_record() {
    let observed = record(Some(identity(SERVER, false)));
    let record = noted(observed, vec![Fact::NotAdopted]);
    assert_eq!(record.status.stage, None);
    assert_eq!(events(&record), []);
}

#[test]
fn who_observes_manages_only_what_was_managed_before() {
    let managed = identity(SERVER, true);
    for (before, live, manages) in [
        (None, stage(), false),
        (Some(identity(SERVER, false)), stage(), false),
        (Some(managed.clone()), stage(), true),
        (Some(managed), another(), false),
        (Some(identity(OLD, true)), stage(), false),
    ] {
        let record = noted(record(before), vec![Fact::Observed(live.clone())]);
        let stage = record.status.stage.as_ref().expect("a stage");
        assert_eq!((stage.uuid, stage.managed), (live.uuid, manages));
        assert_eq!(stage.server, SERVER);
        assert_eq!(last_change(&record), None);
    }
}

#[test]
fn only_a_readable_change_of_what_was_in_sync_corrects_drift() {
    for (was_in_sync, fact, reason) in [
        (false, patched(&["name"]), "Updated"),
        (true, patched(&["name"]), "DriftCorrected"),
        (false, bound(), "Updated"),
        (true, bound(), "DriftCorrected"),
        (false, secret_sent(vec![]), "Updated"),
        (true, secret_sent(vec![]), "Updated"),
    ] {
        let mut record = record(Some(identity(SERVER, true)));
        record.was_in_sync = was_in_sync;
        let record = noted(record, vec![fact.clone()]);
        let (event, _) = events(&record)[0];
        assert_eq!(event, reason, "{was_in_sync} {fact:?}");
        let (recorded, ..) = last_change(&record).expect("a change");
        assert_eq!(recorded, reason, "{was_in_sync} {fact:?}");
    }
}

#[test]
fn a_write_of_which_the_server_kept_nothing_is_no_change() {
    let mut known = record(Some(identity(SERVER, true)));
    known.was_in_sync = true;
    let known = noted(known, vec![patched(&[])]);
    assert_eq!(events(&known), []);
    assert_eq!(last_change(&known), None);
}

#[test]
fn changes_of_one_reconcile_are_one_last_change_with_the_first_reason() {
    let known = record(Some(identity(SERVER, true)));
    let changes = vec![patched(&["name", "deviceClasses"]), bound()];
    let changed = noted(known.clone(), changes);
    let fields = vec!["deviceClasses", "flows", "name"];
    assert_eq!(last_change(&changed), Some(("Updated", fields, 101)));
    let told = [
        ("Updated", "changed name, deviceClasses"),
        ("Updated", "changed flows"),
    ];
    assert_eq!(events(&changed), told);

    let facts = vec![Fact::Created(stage(), Vec::new(), None), bound()];
    let created = noted(record(None), facts);
    let fields = vec!["deviceClasses", "flows", "notConfiguredAction"];
    assert_eq!(last_change(&created), Some(("Created", fields, 101)));

    let adopted = noted(known, vec![Fact::Adopted(stage()), patched(&["name"])]);
    assert_eq!(last_change(&adopted), Some(("Adopted", vec!["name"], 101)));
}

#[test]
fn a_change_of_an_earlier_reconcile_is_replaced() {
    let earlier = noted(record(None), vec![Fact::Created(stage(), Vec::new(), None)]);
    let next = Record {
        before: earlier.status.clone(),
        notes: Vec::new(),
        ..earlier
    };
    let next = noted(next, vec![patched(&["name"]), bound()]);
    let fields = vec!["flows", "name"];
    assert_eq!(last_change(&next), Some(("Updated", fields, 101)));
}

#[test]
fn each_secret_field_has_one_record_and_they_are_sorted() {
    let admin = |version: &str| SentSecret {
        field: "adminSecretKey".to_owned(),
        ..sent(version)
    };
    let known = record(Some(identity(SERVER, true)));
    let first = noted(known, vec![secret_sent(vec![admin("7")])]);
    assert_eq!(first.status.secrets, [admin("7"), sent("1")]);
    let second = noted(first, vec![secret_sent(vec![sent("2")])]);
    assert_eq!(second.status.secrets, [admin("7"), sent("2")]);
    let other = noted(second, vec![patched(&["name"])]);
    assert_eq!(other.status.secrets, [admin("7"), sent("2")]);
}

#[test]
fn where_bindings_are_managed_they_stay_on_record_until_they_are_read_again() {
    let place = |flow: &str, order| BoundFlow {
        flow: flow.to_owned(),
        order,
    };
    let mut known = record(Some(identity(SERVER, true)));
    known.manages_bindings = true;
    known.identify_bindings(vec![
        place("login", 20),
        place("enrol", 5),
        place("login", 10),
    ]);
    let flows = |record: &Record| record.status.stage.clone().expect("a stage").flows;
    let bindings = |record: &Record| record.status.stage.clone().expect("a stage").bindings;
    let sorted = [place("enrol", 5), place("login", 10), place("login", 20)];
    assert_eq!(bindings(&known), sorted);
    assert_eq!(flows(&known), ["enrol", "login"]);
    let written = noted(known.clone(), vec![patched(&["name"])]);
    assert_eq!(bindings(&written), sorted);
    assert_eq!(flows(&written), ["enrol", "login"]);
    // Of another stage, and once the spec leaves bindings alone, the answer tells.
    let replaced = noted(
        known.clone(),
        vec![Fact::Created(another(), Vec::new(), None)],
    );
    assert_eq!((flows(&replaced), bindings(&replaced)), (vec![], vec![]));
    known.manages_bindings = false;
    let unmanaged = noted(known, vec![patched(&["name"])]);
    assert_eq!(flows(&unmanaged), ["login", "recovery"]);
    assert_eq!(bindings(&unmanaged), []);
}

#[test]
fn a_deletion_tells_what_became_of_the_stage() {
    let stage = identity(SERVER, true);
    let deleted = noted(record(None), vec![Fact::Deleted(stage.clone())]);
    let text = format!("deleted stage \"mfa\" ({STAGE}) on https://authentik");
    assert_eq!(events(&deleted), [("Deleted", text.as_str())]);
    let left = noted(record(None), vec![Fact::Orphaned(stage)]);
    let text = format!("left stage \"mfa\" ({STAGE}) on https://authentik");
    assert_eq!(events(&left), [("Orphaned", text.as_str())]);
}

#[test]
fn a_server_s_text_is_cleaned_before_it_is_on_record() {
    let mut unclean = record(None);
    unclean.show = Show(Arc::new(|_: &Remote| shown("(cleaned)")));
    let record = noted(unclean, vec![Fact::Created(stage(), Vec::new(), None)]);
    let identity = record.status.stage.as_ref().expect("a stage");
    assert_eq!(identity.name, "(cleaned)");
    assert_eq!(identity.flows, ["(cleaned)"]);
    assert!(!events(&record)[0].1.contains("mfa"));
}
