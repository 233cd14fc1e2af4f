//! What a server takes and does not keep: it is sent once, and then only when something has changed.

use serde_json::{Value, json};

use super::support::*;
use crate::{
    kinds::{AuthenticatorValidateStage, DuoStage, Kind},
    plan::{Diff, Ignored, Live, diff, sorted},
};

type Validate = AuthenticatorValidateStage;

/// A resource on a server that keeps of each write only what it wants to.
struct Stubborn {
    case: Case,
    /// What the server makes of a stage that was written.
    keeps: fn(&mut Live),
}

impl Stubborn {
    /// Wants what the stage of this case is not, and was not in sync.
    fn new(case: Case, keeps: fn(&mut Live)) -> Self {
        let case = with(case, |case| case.was_in_sync = false);
        Self { case, keeps }
    }

    /// Writes until nothing is left to write. Returns the fields of each write.
    fn writes(&mut self) -> Vec<String> {
        let mut writes = Vec::new();
        while let crate::plan::decide::Step::Patch(diff) = self.case.step() {
            writes.push(diff.spec_fields().join(" "));
            assert!(writes.len() < 5, "it writes for ever: {writes:?}");
            self.answer(&diff);
        }
        writes
    }

    fn answer(&mut self, diff: &Diff) {
        let mut live = self.case.live.clone().expect("a stage");
        for change in &diff.changes {
            match change.field.api {
                "name" => live.name = change.wanted.as_str().expect("a name").into(),
                field => {
                    live.fields.insert(field, change.wanted.clone());
                }
            }
        }
        (self.keeps)(&mut live);
        self.case.ignored = diff.ignored_by::<Validate>(&self.case.ignored, &live);
        self.case.live = Some(live);
    }

    fn unsupported(&self) -> Vec<String> {
        let live = self.case.live.as_ref().expect("a stage");
        let mut diff = diff::<Validate>(&self.case.desired, live, &[]);
        diff.pass_over(&self.case.ignored);
        sorted(diff.unsupported.iter().copied())
    }
}

fn set(live: &mut Live, field: &'static str, value: Value) {
    live.fields.insert(field, value);
}

/// The server writes names in lower case.
fn lower(live: &mut Live) {
    live.name = live.name.raw().to_lowercase().as_str().into();
}

/// The server always denies, and knows no class but TOTP.
fn denies(live: &mut Live) {
    set(live, "not_configured_action", json!("deny"));
    set(live, "device_classes", json!(["totp"]));
}

#[test]
fn a_name_that_the_server_stores_otherwise_is_written_once() {
    let renamed = with(Case::in_sync(), |case| case.desired.name = "MFA".to_owned());
    let mut server = Stubborn::new(renamed, lower);
    assert_eq!(server.writes(), ["name"]);
    assert_eq!(server.case.next(), "FieldUnsupported");
    let message = server.case.message();
    assert!(
        message.contains("name was not kept by the server"),
        "{message}"
    );
    // Also where a list shows it, as at every resync.
    server.case.was_in_sync = true;
    assert_eq!(server.case.next(), "FieldUnsupported");
}

#[test]
fn a_name_that_is_stored_otherwise_at_its_creation_is_written_once_more() {
    let case = with(Case::in_sync(), |case| {
        case.desired.name = "mfa\u{1f}".to_owned();
    });
    let mut server = Stubborn::new(case, |live| live.name = "mfa".into());
    assert_eq!(server.writes(), ["name"]);
    assert_eq!(server.writes(), Vec::<String>::new());
}

#[test]
fn a_change_of_one_field_does_not_forget_that_another_is_ignored() {
    let case = with(Case::in_sync(), |case| {
        case.want("not_configured_action", json!("skip"));
    });
    let mut server = Stubborn::new(case, |live| {
        set(live, "not_configured_action", json!("deny"));
    });
    assert_eq!(server.writes(), ["notConfiguredAction"]);
    server.case.want("device_classes", json!(["sms"]));
    assert_eq!(server.writes(), ["deviceClasses"]);
    assert_eq!(server.unsupported(), ["notConfiguredAction"]);
    assert_eq!(server.case.next(), "FieldUnsupported");
}

#[test]
fn several_ignored_fields_are_written_in_one_request() {
    let case = with(Case::edited(), |case| {
        case.want("device_classes", json!(["sms"]));
        case.desired.name = "MFA".to_owned();
    });
    let mut server = Stubborn::new(case, |live| {
        lower(live);
        denies(live);
    });
    assert_eq!(server.writes()[0], "deviceClasses name notConfiguredAction");
    let all = ["deviceClasses", "name", "notConfiguredAction"];
    assert_eq!(server.unsupported(), all);
}

#[test]
fn a_value_that_changes_is_written_again() {
    let ignoring = || {
        let mut server = Stubborn::new(Case::edited(), denies);
        server.writes();
        assert_eq!(server.case.next(), "FieldUnsupported");
        server
    };
    let mut spec = ignoring();
    spec.case.want("not_configured_action", json!("configure"));
    assert_eq!(spec.writes(), ["notConfiguredAction"]);
    let mut found = ignoring();
    let live = found.case.live.as_mut().expect("a stage");
    set(live, "not_configured_action", json!("configure"));
    assert_eq!(found.writes(), ["notConfiguredAction"]);
    // What is given up is in sync.
    let mut given_up = ignoring();
    given_up.case.want("not_configured_action", json!("deny"));
    given_up.case.want("device_classes", json!(["totp"]));
    assert_eq!(given_up.case.next(), "InSync");
}

#[test]
fn a_set_that_is_ignored_is_not_written_again_when_its_order_changes() {
    let case = with(Case::in_sync(), |case| {
        case.want("device_classes", json!(["sms"]));
    });
    let mut server = Stubborn::new(case, |live| {
        set(live, "device_classes", json!(["totp", "duo"]));
    });
    assert_eq!(server.writes(), ["deviceClasses"]);
    let live = server.case.live.as_mut().expect("a stage");
    set(live, "device_classes", json!(["duo", "totp"]));
    assert_eq!(server.case.next(), "FieldUnsupported");
}

#[test]
fn a_field_that_is_kept_is_forgotten_as_ignored() {
    let ignored = Ignored {
        field: "not_configured_action",
        wanted: json!("skip"),
        found: json!("deny"),
    };
    let other = Ignored {
        field: "device_classes",
        ..ignored.clone()
    };
    let case = Case::edited();
    let found = case.live.clone().expect("a stage");
    let diff = diff::<Validate>(&case.desired, &found, &[]);
    let before = [ignored.clone(), other.clone()];
    let kept = live(json!({"not_configured_action": "skip"}));
    assert_eq!(diff.ignored_by::<Validate>(&before, &kept), before[1..]);
    assert_eq!(
        diff.ignored_by::<Validate>(&before, &found),
        [other, ignored]
    );
    // A field that the answer lacks is unknown to the server, which its absence tells from then on.
    let mut lacks = kept;
    lacks.fields.remove("not_configured_action");
    assert_eq!(diff.ignored_by::<Validate>(&[], &lacks), []);
}

#[test]
fn of_a_write_only_what_the_server_keeps_counts_as_done() {
    let case = with(Case::edited(), |case| {
        case.desired.name = "MFA".to_owned();
        case.want("device_classes", json!(["sms"]));
    });
    let before = case.live.clone().expect("a stage");
    let mut diff = diff::<Validate>(&case.desired, &before, &[]);
    diff.secrets = DuoStage::field("client_secret").into_iter().collect();
    let answer = live(json!({"device_classes": ["sms"]}));
    let kept = diff.kept(&diff.ignored_by::<Validate>(&[], &answer));
    assert_eq!(kept.spec_fields(), ["clientSecret", "deviceClasses"]);
    assert_eq!(diff.kept(&[]).spec_fields(), diff.spec_fields());
}
