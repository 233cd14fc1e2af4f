//! What the token's user has to be allowed in authentik: what the documentation lists is enough, and none of it is idle.

use std::collections::BTreeSet;

use authentik_stage_operator::{
    authentik::{Collection, model_permission},
    kinds,
    ops::permissions,
};
use devkit::gateway::Exchange;
use serde_json::{Value, json};

use crate::harness::{DUO, Test, VALIDATE, test, with};

/// Seen by `used_by/` alone, which asks for it by itself.
const DEVICES: &str = "authentik_stages_authenticator_duo.view_duodevice";

/// The permission that a request needs.
fn needed(exchange: &Exchange) -> Option<String> {
    let of = |collection: &Collection| {
        exchange
            .path
            .starts_with(&format!("/api/v3/{}/", collection.path()))
    };
    let collections = kinds::kind_names().into_iter().map(|kind| kind.collection);
    let collections = collections.chain([
        Collection::ALL_STAGES,
        Collection::FLOWS,
        Collection::BINDINGS,
        Collection::WEBAUTHN_DEVICE_TYPES,
        Collection::WEBHOOK_MAPPINGS,
        Collection::BRANDS,
        Collection::PROVIDERS,
    ]);
    let method = exchange.method.parse().expect("a method");
    model_permission(collections.into_iter().find(of)?, &method)
}

/// Makes use of everything: every kind, every sort of reference, flows that come, change and go, and deletion.
async fn use_everything(test: &Test, permissions: &BTreeSet<String>) {
    let simulator = test.simulator.as_ref().expect("a simulator");
    let permissions: Vec<_> = permissions.iter().map(String::as_str).collect();
    let limited = simulator.create_token(&permissions);
    test.totp_stage("totp").await;
    let flow = test.flow("login").await;
    let other = test.flow("other").await;
    let types = "stages/authenticator/webauthn_device_types/";
    let device = test.authentik.list(types).await.swap_remove(0);
    test.secret("authentik", json!({"token": limited})).await;
    test.connection("default", &test.gateway.url(), json!({}))
        .await;

    let at = |flow: &Value, order: u32| json!({"flow": {"uuid": flow}, "order": order});
    let validate = json!({
        "deletionPolicy": "Delete", "notConfiguredAction": "configure",
        "configurationStages": [{"name": test.name("totp")}],
        "webauthnAllowedDeviceTypes": [{"aaguid": device["aaguid"]}],
        "flows": [at(&flow, 10), at(&other, 10)],
    });
    let duo = json!({"deletionPolicy": "Delete", "configureFlow": {"uuid": flow}});
    let duo = with(test.duo_spec().await, duo);
    test.validate("mfa", validate).await;
    test.apply(DUO, "duo", duo).await;
    test.in_sync(VALIDATE, "mfa").await;
    test.in_sync(DUO, "duo").await;

    let moved = json!({"notConfiguredAction": "deny", "flows": [at(&flow, 20)]});
    let renamed = json!({"friendlyName": "Duo"});
    test.patch(VALIDATE, "mfa", json!({"spec": moved})).await;
    test.patch(DUO, "duo", json!({"spec": renamed})).await;
    test.in_sync(VALIDATE, "mfa").await;
    test.in_sync(DUO, "duo").await;
    for (kind, name) in [(VALIDATE, "mfa"), (DUO, "duo")] {
        test.delete(kind, name).await;
        test.gone(kind, name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_listed_is_enough_and_all_of_it_is_used() {
    test(async |test| {
        if test.is_real() {
            return;
        }
        let names = permissions::all()
            .into_iter()
            .map(|permission| permission.name);
        let listed: BTreeSet<String> = names.collect();
        use_everything(test, &listed).await;
        let refused = |exchange: &Exchange| exchange.status == Some(403);
        assert!(!test.gateway.audit().iter().any(refused));
        let audit = test.gateway.audit();
        let used = audit.iter().filter_map(needed);
        let used: BTreeSet<String> = used.chain([DEVICES.to_owned()]).collect();
        assert_eq!(used, listed);
    })
    .await;
}
