//! What can't be done is said, with what to do about it.

use devkit::simulator::Version;
use serde_json::{Value, json};

use super::{actions, bare, command, diff, folder, manifest, run, stream};
use crate::harness::{DUO, Test, VALIDATE, on, test};

fn stage(test: &Test, name: &str, spec: Value) -> Value {
    manifest(test, VALIDATE, name, spec)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_would_refuse_is_named_with_its_reason() {
    test(async |test| {
        test.totp_stage("taken").await;
        for name in ["one", "other"] {
            test.flow(name).await;
        }
        let bound_to = |slug: &str| json!([{"flow": {"slug": slug}, "order": 1}]);
        let taken = json!({"name": test.name("taken")});
        let missing = json!({"name": test.name("missing"), "flows": bound_to("no-such-flow")});
        let reference = json!({"name": test.name("reference"), "configurationStages": [{"name": "no such stage"}]});
        let twice = json!({"name": test.name("twice")});
        let manifests = [
            stage(test, "taken", taken),
            stage(test, "missing", missing),
            stage(test, "reference", reference),
            stage(test, "twice-one", twice.clone()),
            stage(test, "twice-two", twice),
        ];
        let report = diff(test, &manifests, &[]).await.ends(1).json();
        let reasons = report["resources"].as_array().unwrap().iter();
        let reasons = reasons.map(|row| row["reason"].as_str().unwrap_or_default());
        let expected = ["NameConflict", "ReferenceNotFound", "ReferenceNotFound", "", "NameConflict"];
        assert_eq!(reasons.collect::<Vec<_>>(), expected, "{report:#}");
        let text = report["resources"][0]["message"].as_str().unwrap();
        assert!(text.contains("Authenticator Setup Stage") || text.contains("TOTP"), "{text}");
        assert_eq!(report["summary"]["refused"], 4);
        assert_eq!(test.writes().len(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_release_lacks_is_named() {
    on(Version::V2024_2, async |test| {
        let email = json!({"name": test.name("email"), "deviceClasses": ["totp"], "webauthnHints": ["hybrid"]});
        let report = diff(test, &[stage(test, "email", email)], &[]).await;
        if test.release().await < (2026, 5) {
            let report = report.ends(1).json();
            assert_eq!(report["resources"][0]["reason"], "FieldUnsupported");
            let text = report["resources"][0]["message"].as_str().unwrap();
            assert!(text.contains("webauthnHints needs authentik 2026.5"), "{text}");
        }
    })
    .await;
}

/// What is said to the standard error where nothing can be done at all.
async fn error(test: &Test, command: tokio::process::Command, input: &str) -> String {
    let said = run(test, command, input).await.ends(1);
    assert_eq!(said.out, "");
    assert!(said.err.starts_with("error: "), "{said:?}");
    assert!(!said.err.contains("panicked"), "{said:?}");
    said.err
}

#[tokio::test(flavor = "multi_thread")]
async fn without_manifests_server_or_token_it_says_what_to_give() {
    test(async |test| {
        let good = stream(&[stage(test, "mfa", json!({}))]);
        let text = error(test, command(test, &["diff"]), "").await;
        assert!(text.contains("give -f FILE"), "{text}");
        let text = error(test, command(test, &["diff", "-f", "/no/such/file"]), "").await;
        assert!(text.contains("/no/such/file can't be read"), "{text}");
        let text = error(test, bare(&["diff", "-f", "-"]), &good).await;
        assert!(text.contains("give --url"), "{text}");
        let url = test.gateway.url();
        let text = error(test, bare(&["diff", "-f", "-", "--url", &url]), &good).await;
        assert!(text.contains("give --token-file"), "{text}");
        let text = error(
            test,
            command(test, &["diff", "-f", "-"]),
            "kind: Service\napiVersion: v1\n",
        )
        .await;
        assert!(
            text.contains("there is none of a kind of authentik-operator.io"),
            "{text}"
        );
        // Every error of the arguments is 1, so that 2 can mean that something differs.
        let said = run(test, command(test, &["diff", "--no-such-flag"]), "").await;
        assert_eq!(said.code, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_manifests_are_named_by_file_and_line() {
    test(async |test| {
        let folder = folder(test);
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        write("good.yaml", &stream(&[stage(test, "mfa", json!({}))]));
        write("bad.yaml", "apiVersion: authentik-operator.io/v1alpha1\nkind: DuoStage\nmetadata:\n  name: duo\nspec:\n  clientID: a\n");
        write("worse.yml", "a: [1\n");
        write("notes.txt", "not read");
        let path = folder.to_str().unwrap();
        let text = error(test, command(test, &["diff", "-f", path]), "").await;
        for expected in [
            "bad.yaml:6: spec.clientID: there is no such field; write clientId",
            "bad.yaml:5: spec.clientSecret: is missing; add it",
            "worse.yml:",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(!text.contains("good.yaml") && !text.contains("notes.txt"), "{text}");
        assert_eq!(test.gateway.audit().len(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_and_a_server_that_is_down_are_told_apart() {
    test(async |test| {
        let manifests = [stage(test, "mfa", json!({"name": test.name("mfa")}))];
        let mut wrong = command(test, &["diff", "-f", "-"]);
        wrong.env("AUTHENTIK_TOKEN", "not-the-token-of-this-server");
        let said = run(test, wrong, &stream(&manifests)).await.ends(1);
        assert!(said.out.contains("token"), "{said:?}");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let nobody = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let down = command(test, &["diff", "-f", "-", "--url", &nobody]);
        let said = run(test, down, &stream(&manifests)).await.ends(1);
        assert!(
            said.out.contains("can't be reached") || said.out.contains("connect"),
            "{said:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_refused_does_not_hide_the_others() {
    test(async |test| {
        let good = json!({"name": test.name("good")});
        let bad =
            json!({"name": test.name("bad"), "configurationStages": [{"name": "no such stage"}]});
        let manifests = [
            stage(test, "bad", bad),
            stage(test, "good", good),
            manifest(test, DUO, "duo", test.duo_spec_without_secret()),
        ];
        let report = diff(test, &manifests, &[]).await.ends(1).json();
        let all: Vec<_> = actions(&report)
            .into_iter()
            .map(|(_, action)| action)
            .collect();
        assert_eq!(all, ["refuse", "create", "create"]);
    })
    .await;
}
