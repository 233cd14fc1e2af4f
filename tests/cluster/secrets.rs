//! Write-only fields: when they are sent, what is remembered of them, and that their values show nowhere.

use authentik_stage_operator::api::conditions;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::{Value, json};

use crate::{
    connections::{other_namespace, secret_in},
    harness::{DUO, Test, VALIDATE, alone, collection, is_true, message, patch, test, text, with},
    on_every_version,
};

on_every_version!(
    a_changed_secret_is_sent_at_once,
    an_admin_secret_is_set_left_alone_and_emptied,
    both_secrets_can_come_from_one_secret,
);

/// A Duo stage in sync whose client secret is the canary `one`; the requests up to then are forgotten.
async fn in_sync(test: &Test) -> DynamicObject {
    test.connect().await;
    test.secret("duo", json!({"secret": test.canary("one")}))
        .await;
    test.apply(DUO, "duo", test.duo_spec_without_secret()).await;
    let resource = test.in_sync(DUO, "duo").await;
    test.gateway.clear();
    resource
}

/// What `status.secrets` says of this field.
fn recorded(resource: &DynamicObject, field: &str) -> Option<Value> {
    let secrets = resource.data["status"]["secrets"].as_array()?;
    secrets
        .iter()
        .find(|secret| secret["field"] == field)
        .cloned()
}

/// Waits until `status.secrets` records just this Secret's identity and version for the client secret.
async fn sent_from(test: &Test, secret: &Secret) {
    let expected = json!({
        "field": "clientSecret", "name": secret.name_any(), "key": "secret",
        "uid": secret.uid(), "resourceVersion": secret.resource_version(),
    });
    test.until(DUO, "duo", "recorded as sent", |resource| {
        resource.and_then(|resource| recorded(resource, "clientSecret")) == Some(expected.clone())
    })
    .await;
}

/// Waits until the resource says that it has no secret to send; returns what it says.
async fn secret_not_found(test: &Test) -> String {
    let resource = test.reason(DUO, "duo", "SecretNotFound").await;
    assert!(is_true(&resource, conditions::RECONCILING));
    message(&resource)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_is_waited_for() {
    test(async |test| {
        test.connect().await;
        test.apply(DUO, "duo", test.duo_spec_without_secret()).await;
        let message = secret_not_found(test).await;
        let secret = format!("Secret {}/duo does not exist", test.namespace);
        assert!(
            message.contains(&secret) && message.contains("\"secret\""),
            "{message}"
        );
        assert_eq!(test.written(), []);
        test.secret("duo", json!({"secret": test.canary("one")}))
            .await;
        test.in_sync(DUO, "duo").await;
        assert_eq!(test.written()[0].2["client_secret"], test.canary("one"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_without_a_value_is_waited_for() {
    test(async |test| {
        test.connect().await;
        for (data, what) in [
            (
                json!({"other": test.canary("one")}),
                "has no key \"secret\"",
            ),
            (json!({"secret": ""}), "holds nothing in the key \"secret\""),
            (
                json!({"secret": " \n"}),
                "holds nothing in the key \"secret\"",
            ),
        ] {
            test.secret("duo", data).await;
            test.apply(DUO, "duo", test.duo_spec_without_secret()).await;
            let message = secret_not_found(test).await;
            assert!(message.contains(what), "{message}");
            assert_eq!(test.written(), []);
            test.secret("duo", json!({"secret": test.canary("one")}))
                .await;
            test.in_sync(DUO, "duo").await;
            assert_eq!(test.written()[0].2["client_secret"], test.canary("one"));
            test.delete(DUO, "duo").await;
            test.gone(DUO, "duo").await;
            let stage = test.authentik.stage("duo", &test.name("duo")).await;
            let stage = stage.expect("it is left");
            let path = format!("{}{}/", collection(DUO), text(&stage["pk"]));
            test.authentik.delete(&path).await;
            test.gateway.clear();
        }
    })
    .await;
}

async fn a_changed_secret_is_sent_at_once(test: &Test) {
    in_sync(test).await;
    let secret = test
        .secret("duo", json!({"secret": test.canary("two")}))
        .await;
    sent_from(test, &secret).await;
    assert_eq!(
        test.written(),
        [patch(DUO, json!({"client_secret": test.canary("two")}))]
    );
    let resource = test.in_sync(DUO, "duo").await;
    let change = &resource.data["status"]["lastChange"];
    assert_eq!(change["fields"], json!(["clientSecret"]));
    test.event("duo", "Updated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_watch_secrets_are_looked_at_when_asked_and_with_each_resync() {
    alone(async |test| {
        test.without_watch_of_secrets().await;
        in_sync(test).await;
        let secret = test
            .secret("duo", json!({"secret": test.canary("two")}))
            .await;
        test.request_reconcile(DUO, "duo", "now").await;
        sent_from(test, &secret).await;

        test.connect_with(json!({"resyncInterval": "1s"})).await;
        test.resyncs(2).await;
        let secret = test
            .secret("duo", json!({"secret": test.canary("three")}))
            .await;
        sent_from(test, &secret).await;
        let sent =
            ["two", "three"].map(|value| patch(DUO, json!({"client_secret": test.canary(value)})));
        assert_eq!(test.written(), sent);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_only_touched_is_sent_again() {
    // Nothing derived from the data is kept, so a new resourceVersion is all there is to tell a change by.
    test(async |test| {
        in_sync(test).await;
        let secrets: Api<Secret> = Api::namespaced(test.kube.clone(), &test.namespace);
        let touch = Patch::Merge(json!({"metadata": {"annotations": {"touched": "yes"}}}));
        let secret = secrets.patch("duo", &PatchParams::default(), &touch).await;
        sent_from(test, &secret.expect("the Secret is touched")).await;
        assert_eq!(
            test.written(),
            [patch(DUO, json!({"client_secret": test.canary("one")}))]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_secret_or_key_is_sent_at_once() {
    test(async |test| {
        in_sync(test).await;
        test.secret(
            "other",
            json!({"secret": test.canary("two"), "third": test.canary("three")}),
        )
        .await;
        for (name, key) in [("other", "secret"), ("other", "third")] {
            let source = json!({"clientSecret": {"secretKeyRef": {"name": name, "key": key}}});
            test.apply(DUO, "duo", with(test.duo_spec_without_secret(), source))
                .await;
            test.in_sync(DUO, "duo").await;
        }
        let sent =
            ["two", "three"].map(|value| patch(DUO, json!({"client_secret": test.canary(value)})));
        assert_eq!(test.written(), sent);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_break_at_the_end_of_a_secret_is_not_sent() {
    test(async |test| {
        in_sync(test).await;
        let secret = test
            .secret(
                "duo",
                json!({"secret": format!("{}\n", test.canary("two"))}),
            )
            .await;
        sent_from(test, &secret).await;
        assert_eq!(
            test.written(),
            [patch(DUO, json!({"client_secret": test.canary("two")}))]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_deleted_is_missed_and_nothing_is_written() {
    test(async |test| {
        in_sync(test).await;
        test.delete_secret("duo").await;
        secret_not_found(test).await;
        // The same data in a new Secret: a new uid, so it is sent.
        let secret = test
            .secret("duo", json!({"secret": test.canary("one")}))
            .await;
        assert_eq!(test.written(), []);
        sent_from(test, &secret).await;
        test.in_sync(DUO, "duo").await;
        assert_eq!(
            test.written(),
            [patch(DUO, json!({"client_secret": test.canary("one")}))]
        );
    })
    .await;
}

async fn both_secrets_can_come_from_one_secret(test: &Test) {
    test.connect().await;
    test.secret(
        "duo",
        json!({"secret": test.canary("one"), "admin": test.canary("two")}),
    )
    .await;
    let admin = json!({"adminSecretKey": {"secretKeyRef": {"name": "duo", "key": "admin"}}});
    test.apply(DUO, "duo", with(test.duo_spec_without_secret(), admin))
        .await;
    test.in_sync(DUO, "duo").await;
    let body = &test.written()[0].2;
    assert_eq!(
        (&body["client_secret"], &body["admin_secret_key"]),
        (&json!(test.canary("one")), &json!(test.canary("two")))
    );
    test.gateway.clear();
    let secret = json!({"secret": test.canary("three"), "admin": test.canary("four")});
    let secret = test.secret("duo", secret).await;
    sent_from(test, &secret).await;
    let both =
        json!({"client_secret": test.canary("three"), "admin_secret_key": test.canary("four")});
    assert_eq!(test.written(), [patch(DUO, both)]);
}

async fn an_admin_secret_is_set_left_alone_and_emptied(test: &Test) {
    test.connect().await;
    test.secret("duo", json!({"secret": test.canary("one")}))
        .await;
    test.secret("admin", json!({"key": test.canary("two")}))
        .await;
    let unset = test.duo_spec_without_secret();
    let admin = json!({"secretKeyRef": {"name": "admin", "key": "key"}});
    let set = with(unset.clone(), json!({"adminSecretKey": admin}));
    let empty = with(unset.clone(), json!({"adminSecretKey": null}));

    test.apply(DUO, "duo", set.clone()).await;
    test.in_sync(DUO, "duo").await;
    test.gateway.clear();

    test.apply(DUO, "duo", unset).await;
    let resource = test.in_sync(DUO, "duo").await;
    assert_eq!(test.written(), []);
    assert_eq!(recorded(&resource, "adminSecretKey"), None);

    // Whoever has managed it in the meantime may have changed it.
    test.apply(DUO, "duo", set).await;
    test.in_sync(DUO, "duo").await;
    assert_eq!(
        test.written(),
        [patch(DUO, json!({"admin_secret_key": test.canary("two")}))]
    );
    test.gateway.clear();

    test.apply(DUO, "duo", empty).await;
    let resource = test.in_sync(DUO, "duo").await;
    assert_eq!(
        recorded(&resource, "adminSecretKey"),
        Some(json!({"field": "adminSecretKey"}))
    );
    test.looked_at_anew(DUO, "duo").await;
    assert_eq!(
        test.written(),
        [patch(DUO, json!({"admin_secret_key": ""}))]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_shows_no_secret_and_stops_nothing_else() {
    test(async |test| {
        test.connect().await;
        let spec = test.duo_spec().await;
        test.canaries
            .panic_with(&format!("{} and {}", test.canary("s3cr3t"), test.token()));
        test.apply(DUO, "duo", spec).await;
        test.validate("mfa", json!({})).await;
        test.in_sync(VALIDATE, "mfa").await;
        test.request_reconcile(DUO, "duo", "now").await;
        test.in_sync(DUO, "duo").await;
        let panics = test.canaries.take_panics();
        assert_eq!(panics.len(), 1, "{panics:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_of_a_secret_leads_to_another_namespace() {
    alone(async |test| {
        // Without the watch a Secret is read by its name, whatever that is.
        test.without_watch_of_secrets().await;
        test.connect().await;
        let elsewhere = other_namespace(test).await;
        let value = test.canary("elsewhere");
        secret_in(test, &elsewhere, &value).await;
        for (name, secret) in [
            ("path", format!("../../{elsewhere}/secrets/authentik")),
            (
                "encoded",
                format!("..%2F..%2F{elsewhere}%2Fsecrets%2Fauthentik"),
            ),
            ("query", "authentik?pretty=true".to_owned()),
            ("space", "no name".to_owned()),
        ] {
            let source = json!({"secretKeyRef": {"name": secret, "key": "token"}});
            let fields = json!({"name": test.name(name), "clientSecret": source});
            let spec = with(test.duo_spec_without_secret(), fields);
            test.apply(DUO, name, spec).await;
            test.reason(DUO, name, "SecretNotFound").await;
        }
        assert_eq!(test.written(), []);
    })
    .await;
}
