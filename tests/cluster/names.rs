//! Names: those that Kubernetes refuses, and those that a server keeps otherwise than they were sent.

use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::{
    harness::{DUO, Test, VALIDATE, test, with},
    harness_more::{CONNECTION, between, reason_of},
    unreadable::{apply_bad, with_loose_crds},
};

/// Nobody sees them in an editor, and authentik takes some of them away.
const CONTROL: [char; 8] = [
    '\u{1}', '\t', '\n', '\r', '\u{1c}', '\u{1f}', '\u{7f}', '\u{85}',
];

/// Asserts that Kubernetes refuses the spec, and says for which field and why.
async fn refused(test: &Test, kind: &str, field: &str, spec: Value) {
    let object = json!({
        "apiVersion": "authentik-operator.io/v1alpha1", "kind": kind,
        "metadata": {"name": "refused"}, "spec": spec,
    });
    // Not applied: what is applied is YAML to Kubernetes, in which such characters can't be at all.
    let object = serde_json::from_value(object).expect("an object");
    let refused = test.api(kind).create(&PostParams::default(), &object).await;
    let Err(refused) = refused else {
        panic!("{kind} is accepted: {spec}");
    };
    let says = refused.to_string();
    assert!(says.contains(field), "{says}");
    assert!(says.contains("control character"), "{says}");
}

#[tokio::test(flavor = "multi_thread")]
async fn control_characters_in_names_are_refused() {
    test(async |test| {
        for control in CONTROL {
            let name = json!(format!("{}{control}two", test.name("one")));
            let validate = json!({"name": name, "notConfiguredAction": "skip"});
            refused(test, VALIDATE, "name", validate).await;
            let duo = with(test.duo_spec_without_secret(), json!({"name": name}));
            refused(test, DUO, "name", duo).await;
            let reference = json!({
                "notConfiguredAction": "configure", "configurationStages": [{"name": name}],
            });
            refused(test, VALIDATE, "configurationStages", reference).await;
        }
        // What merely looks strange is a name.
        for (n, name) in ["ünï cödé", "界\u{301}", "a\u{200b}b"].iter().enumerate() {
            let spec = json!({"name": name, "suspend": true});
            test.apply(VALIDATE, &format!("strange-{n}"), spec).await;
        }
    })
    .await;
}

/// Waits until nothing more is to be done about the resource, and asks for a look at it; returns its reason.
async fn settled(test: &Test, name: &str) -> String {
    let done = |object: Option<&DynamicObject>| {
        object.is_some_and(|object| {
            let reason = reason_of(object);
            let observed = object.data["status"]["observedGeneration"].as_i64();
            observed == object.metadata.generation
                && matches!(reason, Some("InSync" | "FieldUnsupported" | "InvalidSpec"))
        })
    };
    let first = test.until(VALIDATE, name, "settled", done).await;
    test.resyncs(3).await;
    test.request_reconcile(VALIDATE, name, "after resyncs")
        .await;
    test.resyncs(3).await;
    let last = test.until(VALIDATE, name, "settled", done).await;
    let reasons = [first, last].map(|object| {
        let object = object.expect("it is there");
        reason_of(&object).unwrap_or_default().to_owned()
    });
    assert_eq!(reasons[0], reasons[1]);
    reasons[1].clone()
}

/// Asserts how many writes there were at most, and begins to count anew.
fn at_most(test: &Test, writes: usize) {
    let written = test.written();
    assert!(written.len() <= writes, "{written:#?}");
    test.gateway.clear();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_which_the_server_strips_more_than_others_do_is_no_endless_change() {
    with_loose_crds(async |test| {
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        // Python takes these for blanks, and hardly anyone else does.
        let name = format!("\u{1c}{}\u{1f}", test.name("mfa"));
        let spec = json!({"name": name, "notConfiguredAction": "skip"});
        apply_bad(test, VALIDATE, "mfa", spec).await;
        settled(test, "mfa").await;
        at_most(test, 2);
        let events = test.events("mfa").await;
        let fails = events
            .iter()
            .find(|(reason, _)| reason == "AuthentikUnavailable");
        assert_eq!(fails, None);
    })
    .await;
}

/// A connection to a server that keeps all names in lower case, and says so in its answers.
async fn connect_to_lower_case(test: &Test) {
    let lower = between(test.gateway.url(), |request| {
        let name = request.body.as_mut().and_then(|body| body.get_mut("name"));
        if let Some(Value::String(name)) = name {
            *name = name.to_lowercase();
        }
        None
    });
    test.secret("authentik", json!({"token": test.token()}))
        .await;
    let settings = json!({"resyncInterval": "1s"});
    test.connection("default", &lower.await, settings).await;
    test.reason(CONNECTION, "default", "Connected").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_server_keeps_otherwise_is_no_endless_change() {
    test(async |test| {
        connect_to_lower_case(test).await;
        test.gateway.clear();
        let spec = |name: &str, action: &str| {
            let name = test.name(name);
            json!({"name": name, "notConfiguredAction": action, "deletionPolicy": "Delete"})
        };
        test.apply(VALIDATE, "mfa", spec("MFA", "skip")).await;
        assert_eq!(settled(test, "mfa").await, "FieldUnsupported");
        let says = crate::harness::message(&test.get(VALIDATE, "mfa").await);
        assert!(says.contains("name"), "{says}");
        at_most(test, 2);

        // The other fields go on being managed, and the stage is not lost from sight.
        test.apply(VALIDATE, "mfa", spec("MFA", "deny")).await;
        assert_eq!(settled(test, "mfa").await, "FieldUnsupported");
        at_most(test, 2);
        let stage = test.authentik.stage("validate", &test.name("mfa")).await;
        assert_eq!(stage.expect("it is there")["not_configured_action"], "deny");

        test.apply(VALIDATE, "mfa", spec("Other", "deny")).await;
        assert_eq!(settled(test, "mfa").await, "FieldUnsupported");
        at_most(test, 2);
        test.apply(VALIDATE, "mfa", spec("other", "deny")).await;
        test.in_sync(VALIDATE, "mfa").await;
        test.apply(VALIDATE, "mfa", spec("Again", "deny")).await;
        assert_eq!(settled(test, "mfa").await, "FieldUnsupported");
        test.delete(VALIDATE, "mfa").await;
        test.gone(VALIDATE, "mfa").await;
        for name in ["mfa", "other", "again"] {
            let stage = test.authentik.stage("validate", &test.name(name)).await;
            assert_eq!(stage, None);
        }
    })
    .await;
}
