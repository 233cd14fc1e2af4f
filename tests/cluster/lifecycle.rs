//! Create, no-op, change: the life of a stage.

use serde_json::json;

use crate::{
    harness::{Test, test},
    on_every_version,
};

on_every_version!(creates_a_validation_stage, nothing_changed_nothing_written);

async fn creates_a_validation_stage(test: &Test) {
    test.connect().await;
    let name = test.name("mfa");
    let spec =
        json!({"name": name, "notConfiguredAction": "deny", "deviceClasses": ["totp", "webauthn"]});
    test.apply("AuthenticatorValidateStage", "mfa", spec).await;
    let resource = test.in_sync("AuthenticatorValidateStage", "mfa").await;
    let stage = test
        .authentik
        .stage("validate", &name)
        .await
        .expect("the stage is there");
    assert_eq!(resource.data["status"]["stage"]["uuid"], stage["pk"]);
    assert_eq!(
        test.written(),
        [(
            "POST".to_owned(),
            "stages/authenticator/validate/".to_owned(),
            json!({"name": name, "not_configured_action": "deny", "device_classes": ["totp", "webauthn"]})
        )]
    );
    let note = test.event("mfa", "Created").await;
    assert!(note.contains(&name), "{note}");
}

async fn nothing_changed_nothing_written(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    test.secret("duo", json!({"secret": test.canary("s3cr3t")}))
        .await;
    test.apply("AuthenticatorValidateStage", "mfa", json!({"name": test.name("mfa"), "deviceClasses": ["totp", "static"], "lastAuthThreshold": "minutes=60"})).await;
    test.apply(
        "DuoStage",
        "duo",
        json!({
            "name": test.name("duo"), "clientId": "DIXXXXXXXXXXXXXXXXXX", "apiHostname": "api-12345678.duosecurity.com",
            "clientSecret": {"secretKeyRef": {"name": "duo", "key": "secret"}}, "friendlyName": null,
        }),
    )
    .await;
    test.in_sync("AuthenticatorValidateStage", "mfa").await;
    test.in_sync("DuoStage", "duo").await;
    test.resyncs(1).await;
    let before = (test.writes().len(), test.kubernetes_writes().len());
    test.resyncs(3).await;
    assert_eq!(
        (test.writes().len(), test.kubernetes_writes().len()),
        before,
        "{:?}",
        test.kubernetes_writes()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_one_patch_of_what_changed() {
    test(async |test| {
        test.connect().await;
        let name = test.name("mfa");
        test.apply(
            "AuthenticatorValidateStage",
            "mfa",
            json!({"name": name, "notConfiguredAction": "skip"}),
        )
        .await;
        test.in_sync("AuthenticatorValidateStage", "mfa").await;
        test.gateway.clear();
        test.apply(
            "AuthenticatorValidateStage",
            "mfa",
            json!({"name": name, "notConfiguredAction": "deny"}),
        )
        .await;
        test.in_sync("AuthenticatorValidateStage", "mfa").await;
        assert_eq!(
            test.written(),
            [(
                "PATCH".to_owned(),
                "stages/authenticator/validate/{uuid}/".to_owned(),
                json!({"not_configured_action": "deny"})
            )]
        );
    })
    .await;
}
