//! The CA of a connection that a ConfigMap or a Secret holds.

use std::time::Duration;

use devkit::gateway::{Exchange, Gateway};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    commands::{bare, manifest, run, stream},
    harness::{PROBE, Test, VALIDATE, VALIDATES, alone, message, test},
    harness_more::{CLUSTER_CONNECTION, CONNECTION, Elsewhere},
};

/// Less than what waits for something missing would wait for its next try.
const AT_ONCE: Duration = Duration::from_secs(20);

/// Waits for something that no retry would bring about in this time.
async fn at_once<T>(what: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(AT_ONCE, what).await;
    done.expect("it happens before a retry is due")
}

/// The ConfigMap `ca` with this in its key `ca.crt`.
async fn config_map(test: &Test, namespace: &str, pem: &str) {
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"}, "data": {"ca.crt": pem},
    });
    let maps: Api<ConfigMap> = Api::namespaced(test.kube.clone(), namespace);
    let params = PatchParams::apply("test").force();
    let applied = maps.patch("ca", &params, &Patch::Apply(map)).await;
    applied.expect("the ConfigMap is accepted");
}

/// Puts the CA where this kind of reference looks for it.
async fn put(test: &Test, reference: &str, pem: &str) {
    match reference {
        "secretKeyRef" => drop(test.secret("ca", json!({"ca.crt": pem})).await),
        _ => config_map(test, &test.namespace, pem).await,
    }
}

/// A connection to this gateway whose CA is under this kind of reference.
async fn connect(test: &Test, gateway: &Gateway, reference: &str) {
    test.secret("authentik", json!({"token": test.token()}))
        .await;
    let from = json!({reference: {"name": "ca", "key": "ca.crt"}});
    let settings = json!({"resyncInterval": "1h", "caBundleFrom": from});
    test.connection("default", &gateway.url(), settings).await;
}

async fn behind_tls(test: &Test) -> Gateway {
    let gateway = Gateway::in_front_of(&test.gateway.url());
    gateway.tls().launch().await
}

fn pem(gateway: &Gateway) -> &str {
    gateway.ca_pem().expect("it speaks TLS")
}

async fn says(test: &Test, name: &str, text: &str) {
    let says = |object: Option<&DynamicObject>| object.is_some_and(|it| message(it).contains(text));
    at_once(test.until(CONNECTION, name, text, says)).await;
}

async fn a_renewed_ca_is_trusted(test: &Test, reference: &str) {
    let mut gateway = behind_tls(test).await;
    put(test, reference, pem(&gateway)).await;
    connect(test, &gateway, reference).await;
    test.validate("mfa", json!({})).await;
    test.in_sync(VALIDATE, "mfa").await;

    // One more CA is no reason to look anything up anew.
    test.gateway.clear();
    let other = behind_tls(test).await;
    put(
        test,
        reference,
        &format!("{}{}", pem(&gateway), pem(&other)),
    )
    .await;
    let probed = |audit: &[Exchange]| audit.iter().any(|exchange| exchange.path == PROBE);
    assert!(test.gateway.wait_for(probed, AT_ONCE).await);
    test.validate("mfa", json!({"notConfiguredAction": "deny"}))
        .await;
    test.in_sync(VALIDATE, "mfa").await;
    assert_eq!(test.gateway.count("GET", VALIDATES), 0);

    gateway.renew_certificate().await;
    test.validate("mfa", json!({"notConfiguredAction": "skip"}))
        .await;
    let unreachable = test.reason(CONNECTION, "default", "Unreachable").await;
    assert!(
        message(&unreachable).contains("not trusted"),
        "{unreachable:?}"
    );
    put(test, reference, pem(&gateway)).await;
    at_once(test.reason(CONNECTION, "default", "Connected")).await;
    at_once(test.in_sync(VALIDATE, "mfa")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_ca_of_a_config_map_is_trusted_at_once() {
    test(async |test| a_renewed_ca_is_trusted(test, "configMapKeyRef").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_ca_of_a_secret_is_trusted_at_once() {
    test(async |test| a_renewed_ca_is_trusted(test, "secretKeyRef").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_ca_is_waited_for_and_a_wrong_one_is_named() {
    test(async |test| {
        let gateway = behind_tls(test).await;
        connect(test, &gateway, "configMapKeyRef").await;
        test.validate("mfa", json!({})).await;
        let missing = test
            .reason(CONNECTION, "default", "ReferenceNotFound")
            .await;
        let expected = format!(
            "ConfigMap {}/ca does not exist; create it with the key \"ca.crt\"",
            test.namespace
        );
        assert!(message(&missing).contains(&expected), "{missing:?}");
        test.reason(VALIDATE, "mfa", "ConnectionNotReady").await;

        for wrong in ["no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            config_map(test, &test.namespace, wrong).await;
            let at = format!("ConfigMap {}/ca, key \"ca.crt\"", test.namespace);
            says(test, "default", &format!("caBundleFrom: {at}: holds ")).await;
            test.reason(CONNECTION, "default", "InvalidSpec").await;
        }
        config_map(test, &test.namespace, &"A".repeat(300_000)).await;
        says(test, "default", "larger than 256 KiB").await;

        config_map(test, &test.namespace, pem(&gateway)).await;
        at_once(test.in_sync(VALIDATE, "mfa")).await;

        // What is to be deleted still can be, as when a namespace goes with all that is in it.
        test.patch(
            VALIDATE,
            "mfa",
            json!({"spec": {"deletionPolicy": "Delete"}}),
        )
        .await;
        test.in_sync(VALIDATE, "mfa").await;
        let maps: Api<ConfigMap> = Api::namespaced(test.kube.clone(), &test.namespace);
        let deleted = maps.delete("ca", &DeleteParams::default()).await;
        deleted.expect("it is deleted");
        at_once(test.reason(CONNECTION, "default", "ReferenceNotFound")).await;
        test.delete(VALIDATE, "mfa").await;
        at_once(test.gone(VALIDATE, "mfa")).await;
        assert_eq!(
            test.authentik.stage("validate", &test.name("mfa")).await,
            None
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_connection_names_the_namespace_of_its_ca() {
    alone(async |test| {
        let mut gateway = behind_tls(test).await;
        let elsewhere = Elsewhere::new(test).await;
        elsewhere.token(test.token()).await;
        config_map(test, &elsewhere.namespace, pem(&gateway)).await;
        let at = |name: &str, key: &str| json!({"namespace": elsewhere.namespace, "name": name, "key": key});
        let spec = json!({
            "url": gateway.url(), "resyncInterval": "1s", "tokenSecretRef": at("authentik", "token"),
            "caBundleFrom": {"configMapKeyRef": at("ca", "ca.crt")}, "allowedNamespaces": {},
        });
        test.apply(CLUSTER_CONNECTION, "default", spec).await;
        test.validate("mfa", json!({})).await;
        test.in_sync(VALIDATE, "mfa").await;
        // The operator does not watch this namespace: it reads the ConfigMap with each resync.
        gateway.renew_certificate().await;
        test.reason(CLUSTER_CONNECTION, "default", "Unreachable").await;
        config_map(test, &elsewhere.namespace, pem(&gateway)).await;
        test.reason(CLUSTER_CONNECTION, "default", "Connected").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_finds_the_ca_among_the_manifests_and_in_the_cluster() {
    test(async |test| {
        let gateway = behind_tls(test).await;
        let object = |kind: &str, name: &str, field: &str, data: Value| {
            json!({
                "apiVersion": "v1", "kind": kind, field: data,
                "metadata": {"name": name, "namespace": test.namespace},
            })
        };
        let connection = json!({
            "url": gateway.url(), "tokenSecretRef": {"name": "authentik", "key": "token"},
            "caBundleFrom": {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}},
        });
        let mut manifests = vec![
            manifest(test, CONNECTION, "default", connection),
            object(
                "Secret",
                "authentik",
                "stringData",
                json!({"token": test.token()}),
            ),
            manifest(test, VALIDATE, "mfa", json!({"name": test.name("mfa")})),
        ];
        let args = ["diff", "-f", "-", "--output", "json"];
        let missing = run(test, bare(&args), &stream(&manifests)).await;
        assert!(missing.out.contains("ConfigMap "), "{missing:#?}");

        let mut in_cluster = bare(&[&args[..], &["--cluster"]].concat());
        in_cluster.env("KUBECONFIG", test.admin_kubeconfig());
        config_map(test, &test.namespace, pem(&gateway)).await;
        let found = run(test, in_cluster, &stream(&manifests)).await.ends(2);
        assert_eq!(found.json()["resources"][0]["action"], "create");

        let ca = object("ConfigMap", "ca", "data", json!({"ca.crt": pem(&gateway)}));
        manifests.push(ca);
        let found = run(test, bare(&args), &stream(&manifests)).await.ends(2);
        assert_eq!(found.json()["resources"][0]["action"], "create");
    })
    .await;
}
