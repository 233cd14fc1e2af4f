//! Secrets that authentik shows: they are compared, and told from a Secret that has changed.

use serde_json::json;
use uuid::Uuid;

use super::support::secret;
use crate::{
    kinds::{AuthenticatorSMSStage, Fields, Kind, seal},
    plan::{Desired, Live, Row, diff, held_secrets, mismatches, sent_secret},
};

/// An SMS stage whose `auth` authentik shows, and what a resource wants of it.
fn sms(shown: Option<&str>, wanted: &str, resource_version: &str) -> (Live, Desired) {
    let mut row = json!({"pk": Uuid::nil(), "name": "sms"});
    if let Some(shown) = shown {
        row["auth"] = json!(shown);
    }
    let desired = Desired {
        name: "sms".to_owned(),
        fields: Fields::from([("auth", seal(wanted))]),
        secrets: [("auth", Some(secret(resource_version)))].into(),
        ..Desired::default()
    };
    (
        serde_json::from_value::<Row<AuthenticatorSMSStage>>(row)
            .expect("a stage")
            .0,
        desired,
    )
}

#[test]
fn a_readable_secret_that_differs_is_drift_unless_its_secret_is_new() {
    let field = AuthenticatorSMSStage::field("auth").expect("a field");
    let sent = [sent_secret(field, Some(&secret("1")))];
    let hidden = None;
    for (shown, wanted, version, drift, secrets) in [
        (Some("a"), "a", "1", false, false),
        (Some("a"), "a", "2", false, false),
        (Some("b"), "a", "1", true, false),
        (Some("b"), "a", "2", false, true),
        (Some(""), "a", "1", true, false),
        // A server that shows it no more.
        (hidden, "a", "1", false, false),
        (hidden, "a", "2", false, true),
    ] {
        let (live, desired) = sms(shown, wanted, version);
        let diff = diff::<AuthenticatorSMSStage>(&desired, &live, &sent);
        let found = (!diff.changes.is_empty(), !diff.secrets.is_empty());
        assert_eq!(found, (drift, secrets), "{shown:?} {wanted} {version}");
        assert!(diff.unsupported.is_empty());
        let differs = shown.is_some_and(|shown| shown != wanted);
        let mismatches = mismatches::<AuthenticatorSMSStage>(&desired, &live);
        assert_eq!(!mismatches.is_empty(), differs, "{shown:?}");
        let held = held_secrets::<AuthenticatorSMSStage>(&desired, &live, &sent);
        assert_eq!(
            held.len(),
            usize::from(version == "2" && shown == Some(wanted))
        );
    }
}
