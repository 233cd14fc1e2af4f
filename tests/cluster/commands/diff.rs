//! `diff`: what would change, and nothing does.

use serde_json::{Value, json};

use super::{actions, bare, command, diff, manifest, run, stream};
use crate::{
    harness::{DUO, FLOW, Test, VALIDATE, test, with},
    on_every_version,
};

on_every_version!(
    a_whole_set_up_is_foreseen_and_nothing_is_written,
    what_differs_is_shown_field_by_field,
);

/// A flow, a stage that people set up in it, and a validation stage that leads them there; in the worst order.
pub fn set_up(test: &Test) -> Vec<Value> {
    let named = |name: &str| json!({"name": test.name(name)});
    let by_resource = |kind: &str, name: &str| json!({"resource": {"kind": kind, "name": name}});
    let validate = json!({
        "notConfiguredAction": "configure", "deviceClasses": ["totp"],
        "configurationStages": [by_resource("AuthenticatorTOTPStage", "app")],
    });
    let app = json!({
        "digits": "6", "configureFlow": by_resource(FLOW, "set-up"),
        "flows": [{"flow": by_resource(FLOW, "set-up"), "order": 10}],
    });
    vec![
        manifest(test, VALIDATE, "mfa", with(named("mfa"), validate)),
        manifest(
            test,
            "AuthenticatorTOTPStage",
            "app",
            with(named("app"), app),
        ),
        manifest(test, FLOW, "set-up", test.flow_spec("set-up", json!({}))),
    ]
}

async fn a_whole_set_up_is_foreseen_and_nothing_is_written(test: &Test) {
    let said = diff(test, &set_up(test), &[]).await.ends(2);
    let report = said.json();
    let all = actions(&report).into_iter().map(|(_, action)| action);
    assert_eq!(all.collect::<Vec<_>>(), ["create"; 3], "{report:#}");
    // What does not exist yet is called by its name, too.
    let validate = &report["resources"][0]["changes"];
    let stages = json!([test.name("app")]).to_string();
    let wanted = json!({"field": "configurationStages", "wanted": stages});
    assert!(
        validate.as_array().unwrap().contains(&wanted),
        "{validate:#}"
    );
    let app = report["resources"][1]["changes"].as_array().unwrap();
    let flows = app.iter().find(|change| change["field"] == "flows");
    let places = json!([{"flow": test.name("set-up"), "order": 10}]).to_string();
    assert_eq!(flows, Some(&json!({"field": "flows", "wanted": places})));
    assert_eq!(report["summary"]["create"], 3);
    assert_eq!(test.writes().len(), 0);
}

async fn what_differs_is_shown_field_by_field(test: &Test) {
    let fields = json!({"name": test.name("mfa"), "not_configured_action": "skip", "device_classes": ["totp"]});
    test.authentik
        .create("stages/authenticator/validate/", fields)
        .await;
    let spec = |more: Value| {
        let spec = json!({"name": test.name("mfa"), "deviceClasses": ["totp"]});
        [manifest(test, VALIDATE, "mfa", with(spec, more))]
    };
    let same = diff(test, &spec(json!({"notConfiguredAction": "skip"})), &[]).await;
    assert_eq!(same.ends(0).json()["resources"][0]["action"], "adopt");
    let change =
        json!([{"field": "notConfiguredAction", "found": "\"skip\"", "wanted": "\"deny\""}]);
    let other = json!({"notConfiguredAction": "deny", "adoptionPolicy": "Always"});
    let other = diff(test, &spec(other), &[]).await.ends(2).json();
    assert_eq!(other["resources"][0]["action"], "update");
    assert_eq!(other["resources"][0]["changes"], change);
    // Of what may not be taken over the difference is shown all the same; what is managed already is.
    let other = spec(json!({"notConfiguredAction": "deny"}));
    let refused = diff(test, &other, &[]).await.ends(1).json();
    assert_eq!(refused["resources"][0]["reason"], "AdoptionRefused");
    assert_eq!(refused["resources"][0]["changes"], change);
    let managed = diff(test, &other, &["--managed"]).await.ends(2).json();
    assert_eq!(managed["resources"][0]["changes"], change);
    let observed = json!({"notConfiguredAction": "deny", "managementPolicy": "Observe"});
    let observed = diff(test, &spec(observed), &[]).await.ends(2).json();
    assert_eq!(observed["resources"][0]["action"], "observe");
    assert_eq!(observed["resources"][0]["changes"], change);
    let suspended = json!({"notConfiguredAction": "deny", "suspend": true});
    let suspended = diff(test, &spec(suspended), &[]).await.ends(0).json();
    assert_eq!(suspended["resources"][0]["action"], "suspended");
    assert_eq!(test.writes().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_of_the_manifests_is_asked_with_the_token_of_a_secret_among_them() {
    test(async |test| {
        let connection = json!({
            "url": test.gateway.url(), "tokenSecretRef": {"name": "authentik", "key": "token"},
        });
        let connection = manifest(test, "AuthentikConnection", "default", connection);
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "stringData": {"token": test.token()},
            "metadata": {"name": "authentik", "namespace": test.namespace},
        });
        let stage = manifest(test, VALIDATE, "mfa", json!({"name": test.name("mfa")}));
        let manifests = stream(&[stage.clone(), secret, connection.clone()]);
        let args = ["diff", "-f", "-", "--output", "json"];
        let said = run(test, bare(&args), &manifests).await.ends(2);
        assert_eq!(
            actions(&said.json()),
            [(format!("{VALIDATE} mfa"), "create".to_owned())]
        );
        let mut by_variable = bare(&args);
        by_variable.env("SECRET_AUTHENTIK_TOKEN", test.token());
        run(
            test,
            by_variable,
            &stream(&[stage.clone(), connection.clone()]),
        )
        .await
        .ends(2);
        // A token that is given is that of a connection whose Secret can't be had.
        let mut given = bare(&args);
        given.env("AUTHENTIK_TOKEN", test.token());
        run(test, given, &stream(&[stage, connection]))
            .await
            .ends(2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_cannot_be_had_is_unknown_and_one_that_can_is_not_shown() {
    test(async |test| {
        let spec = test.duo_spec_without_secret();
        let manifests = [manifest(test, DUO, "duo", spec.clone())];
        let unknown = diff(test, &manifests, &[]).await.ends(2).json();
        assert_eq!(unknown["resources"][0]["unknown"], json!(["clientSecret"]));
        let value = test.canary("s3cr3t");
        test.canaries.add(&value);
        let mut known = command(test, &["diff", "-f", "-"]);
        known.env("SECRET_DUO_SECRET", &value);
        let known = run(test, known, &stream(&manifests)).await.ends(2);
        assert!(known.out.contains("clientSecret: <secret>"), "{known:?}");
        assert!(!known.out.contains("unknown"), "{known:?}");
        // Of a stage that is there nothing says that another secret is wanted.
        let body = json!({
            "name": spec["name"], "client_id": spec["clientId"], "api_hostname": spec["apiHostname"],
            "client_secret": "another",
        });
        test.authentik.create("stages/authenticator/duo/", body).await;
        let unknown = diff(test, &manifests, &[]).await.ends(0).json();
        assert_eq!(unknown["resources"][0]["unknown"], json!(["clientSecret"]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_knows_which_stage_a_resource_manages_and_which_secret_it_was_sent() {
    test(async |test| {
        test.connect().await;
        let duo = test.duo_spec().await;
        test.apply(DUO, "duo", duo.clone()).await;
        test.validate("mfa", json!({})).await;
        test.in_sync(DUO, "duo").await;
        test.in_sync(VALIDATE, "mfa").await;
        let renamed = json!({"name": test.name("renamed"), "notConfiguredAction": "skip"});
        let manifests = stream(&[
            manifest(test, DUO, "duo", duo),
            manifest(test, VALIDATE, "mfa", renamed),
        ]);
        let args = ["diff", "-f", "-", "--output", "json", "--cluster"];
        for given in [true, false] {
            let mut asks = if given {
                command(test, &args)
            } else {
                bare(&args)
            };
            asks.env("KUBECONFIG", test.admin_kubeconfig());
            let report = run(test, asks, &manifests).await.ends(2).json();
            assert_eq!(report["resources"][0]["action"], "none", "{report:#}");
            assert_eq!(report["resources"][0].get("unknown"), None);
            let old = json!(test.name("mfa")).to_string();
            let new = json!(test.name("renamed")).to_string();
            let change = json!([{"field": "name", "found": old, "wanted": new}]);
            assert_eq!(report["resources"][1]["changes"], change);
        }
        let without = run(test, command(test, &args[..5]), &manifests)
            .await
            .ends(2)
            .json();
        assert_eq!(without["resources"][1]["action"], "create");
    })
    .await;
}
