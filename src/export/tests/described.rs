//! A manifest is true of its object: read back, it wants nothing of it, and what it does not say it tells.

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::support::{
    Named, RESOURCE, SECRET, described, desired, holds, is_needed, parsed, read, schema,
};
use crate::{
    authentik::{Collection, Version},
    export::{Frame, Labels, Object, manifest},
    kinds::{AuthenticatorValidateStage, Flow, ForEachKind, Kind, for_each_kind},
    plan::{Live, diff},
};

/// Whether a comment of the manifest is about this field.
fn tells_of(text: &str, field: &str) -> bool {
    let comment = format!("# {field}: ");
    let mut lines = text.lines().map(str::trim_start);
    lines.any(|line| line.starts_with(&comment))
}

/// Whether this manifest of an object wants nothing of it, and tells what it does not say.
pub fn is_true_of<K: Kind>(text: &str, live: &Live, named: &Named) -> Result<(), TestCaseError> {
    let read = parsed(text);
    let schema = schema::<K>();
    let fields = read["spec"].as_object().expect("a spec");
    for (field, value) in fields {
        prop_assert_eq!(schema.refusal(field, value), None, "{} of {}", field, text);
    }
    let resource: K = serde_json::from_value(read).expect("a resource");
    prop_assert_eq!(K::contradiction(&spec_of(&resource)), None, "{}", text);
    let desired = desired(&resource, named);
    let diff = diff::<K>(&desired, live, &[]);
    prop_assert!(
        diff.is_empty() && diff.unsupported.is_empty(),
        "{:?} in {} of {:?}",
        diff,
        text,
        live
    );
    for row in K::FIELDS.iter().filter(|row| live.shows(&row.field)) {
        let field = &row.field;
        let is_said = desired.fields.contains_key(field.api) || field.is_secret;
        prop_assert!(
            is_said != (tells_of(text, field.spec)) || field.is_secret,
            "{}: said, or told why not, in {}",
            field.spec,
            text
        );
    }
    prop_assert!(!text.contains(SECRET), "{}", text);
    Ok(())
}

/// The spec of a resource, which no generic code can reach.
fn spec_of<K: Kind>(resource: &K) -> K::Spec {
    let spec = json!(resource)["spec"].take();
    serde_json::from_value(spec).expect("a spec")
}

#[test]
fn a_manifest_wants_nothing_of_its_object_and_tells_what_it_does_not_say() {
    struct Each;
    impl ForEachKind for Each {
        fn kind<K: Kind>(&mut self) {
            holds::<K>(false, |live, named| {
                match described::<K>(live, &named.labels()) {
                    Ok(made) => is_true_of::<K>(&made.yaml().expect("a text"), live, named),
                    // Such as a host name with a slash.
                    Err(refused) => {
                        let is_by_rule = refused.why.contains("can't be said here");
                        prop_assert!(is_by_rule, "{} of {:?}", refused, live);
                        Ok(())
                    }
                }
            });
        }
    }
    for_each_kind(&mut Each);
}

#[test]
fn of_whatever_a_server_shows_a_manifest_is_true_or_is_refused() {
    struct Each;
    impl ForEachKind for Each {
        fn kind<K: Kind>(&mut self) {
            holds::<K>(true, |live, named| {
                match described::<K>(live, &named.labels()) {
                    Ok(made) => is_true_of::<K>(&made.yaml().expect("a text"), live, named),
                    Err(why) => {
                        let mut rows = K::FIELDS.iter().filter(|row| is_needed(row));
                        let needed = rows.any(|row| row.field.spec == why.field);
                        prop_assert!(
                            needed || why.field == K::LABEL.spec,
                            "{} of {:?}",
                            why,
                            live
                        );
                        Ok(())
                    }
                }
            });
        }
    }
    for_each_kind(&mut Each);
}

fn of_validate(answer: Value, named: &Named) -> String {
    let mut row = json!({"name": "mfa"});
    let fields = row.as_object_mut().expect("an object");
    fields.extend(answer.as_object().expect("an object").clone());
    let live = read::<AuthenticatorValidateStage>(Uuid::nil(), row);
    let made = described::<AuthenticatorValidateStage>(&live, &named.labels());
    made.expect("a manifest").yaml().expect("a text")
}

fn stage(uuid: Uuid, name: &str) -> ((Collection, Uuid), String) {
    ((Collection::ALL_STAGES, uuid), name.to_owned())
}

#[test]
fn the_text_of_a_manifest() {
    let [one, other, third] = [1, 2, 3].map(Uuid::from_u128);
    let named = Named(vec![
        stage(one, "yes"),
        stage(other, "enrol"),
        stage(third, "enrol"),
    ]);
    let text = of_validate(
        json!({
            "device_classes": ["totp", "duo", "totp"],
            "not_configured_action": "configure",
            "configuration_stages": [other, one],
            "last_auth_threshold": "hours=1; minutes=5",
            "webauthn_hints": ["hybrid", "telepathy"],
            "email_otp_throttling_factor": -1,
        }),
        &named,
    );
    let expected = "\
apiVersion: authentik-operator.io/v1alpha1
kind: AuthenticatorValidateStage
metadata:
  name: resource-7
spec:
  name: mfa
  adoptionPolicy: IfMatch
  notConfiguredAction: configure
  deviceClasses:
  - duo
  - totp
  configurationStages:
  - name: \"yes\"
  - uuid: 00000000-0000-0000-0000-000000000002
  lastAuthThreshold: hours=1
  # webauthnHints: authentik holds a value that this version of the operator does not know
  # emailOtpThrottlingFactor: authentik holds what can't be said here: -1.0 is less than the minimum of 0.0
";
    assert_eq!(text, expected);
}

#[test]
fn what_the_rules_of_the_crd_refuse_is_left_out_with_the_reason() {
    for (answer, comment) in [
        (
            json!({"device_classes": []}),
            "# deviceClasses: authentik holds what can't be said here: [] has less than 1 item",
        ),
        (
            json!({"not_configured_action": "configure", "configuration_stages": []}),
            "# notConfiguredAction: configure needs configurationStages, and there are none to name",
        ),
        (
            json!({"webauthn_hints": ["hybrid", "hybrid"]}),
            "# webauthnHints: authentik holds what can't be said here: webauthnHints holds an entry twice; list each once",
        ),
        (
            json!({"last_auth_threshold": "days=1e3"}),
            "# lastAuthThreshold: authentik holds what can't be said here: lastAuthThreshold is not an authentik duration",
        ),
    ] {
        let text = of_validate(answer, &Named::default());
        assert!(text.contains(comment), "{comment} in {text}");
    }
}

#[test]
fn what_goes_without_saying_is_not_said() {
    let row =
        json!({"slug": RESOURCE, "name": RESOURCE, "title": RESOURCE, "designation": "recovery"});
    let live = read::<Flow>(Uuid::nil(), row);
    let made = described::<Flow>(&live, &Labels::default()).expect("a manifest");
    let read = parsed(&made.yaml().expect("a text"));
    let expected =
        json!({"adoptionPolicy": "IfMatch", "title": RESOURCE, "designation": "recovery"});
    assert_eq!(read["spec"], expected);
}

#[test]
fn a_required_field_with_an_unknown_value_refuses_the_object() {
    let row =
        json!({"slug": "login", "name": "Login", "title": "Log in", "designation": "telepathy"});
    let live = read::<Flow>(Uuid::nil(), row);
    let refused =
        described::<Flow>(&live, &Labels::default()).expect_err("a word that nobody knows");
    assert_eq!(refused.field, "designation");
}

#[test]
fn a_field_that_the_server_is_too_old_for_and_a_namespace_that_is_asked_for() {
    let row = json!({"name": "mfa", "webauthn_hints": []});
    let live = read::<AuthenticatorValidateStage>(Uuid::nil(), row);
    let frame = Frame {
        schema: &schema::<AuthenticatorValidateStage>(),
        version: &Version::parse("2024.2.2"),
        labels: &Labels::default(),
        namespace: Some("login"),
    };
    let object = Object {
        live: &live,
        resource: "mfa",
        bindings: None,
    };
    let made = manifest::<AuthenticatorValidateStage>(&frame, &object).expect("a manifest");
    assert_eq!(made.file_name(), "authenticatorvalidatestage-mfa.yaml");
    let read = parsed(&made.yaml().expect("a text"));
    assert_eq!(
        read["metadata"],
        json!({"name": "mfa", "namespace": "login"})
    );
    assert_eq!(read["spec"], json!({"adoptionPolicy": "IfMatch"}));
}
