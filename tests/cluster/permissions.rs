//! What the token's user has to be allowed in authentik: what the documentation lists is enough, and none of it is idle.

use std::collections::BTreeSet;

use authentik_stage_operator::{
    authentik::{Collection, model_permission, permission},
    kinds::{self, ForEachKind, Kind, for_each_kind},
    ops::permissions,
};
use devkit::gateway::Exchange;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    fields::probe::{self, Known, object},
    harness::{Test, VALIDATE, test, with},
    on_every_version,
};

/// To see people's devices: `used_by/` asks for it by itself.
fn of_devices() -> BTreeSet<String> {
    struct Devices(BTreeSet<String>);
    impl ForEachKind for Devices {
        fn kind<K: Kind>(&mut self) {
            let model = K::USAGE.devices.map(|devices| devices.model);
            self.0
                .extend(model.and_then(|model| permission(model, &Method::GET)));
        }
    }
    let mut devices = Devices(BTreeSet::new());
    for_each_kind(&mut devices);
    devices.0
}

/// The permission that a request needs.
fn needed(exchange: &Exchange) -> Option<String> {
    let of = |collection: &Collection| {
        exchange
            .path
            .starts_with(&format!("/api/v3/{}/", collection.path()))
    };
    let collections = kinds::kind_names().iter().map(|kind| kind.collection);
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

/// Makes use of everything: every kind with every field, flows that come, change and go, and deletion.
async fn use_everything(test: &Test, permissions: &BTreeSet<String>) {
    let simulator = test.simulator.as_ref().expect("a simulator");
    let permissions: Vec<_> = permissions.iter().map(String::as_str).collect();
    let limited = simulator.create_token(&permissions);
    test.secret("authentik", json!({"token": limited})).await;
    test.connection("default", &test.gateway.url(), json!({}))
        .await;
    for known in probe::kinds(test).await.0 {
        use_kind(test, &known).await;
    }
    use_flows(test).await;
}

/// Creates, changes and deletes.
async fn use_kind(test: &Test, known: &Known) {
    let (kind, name) = (known.table.kind, known.table.resource());
    let all = known.cases.iter();
    let all = object(all.map(|case| (case.spec(), &case.values[0].spec)));
    let spec = with(known.base(test), all);
    let spec = with(spec, json!({"deletionPolicy": "Delete"}));
    test.apply(kind, &name, spec.clone()).await;
    test.in_sync(kind, &name).await;
    let other = known.cases.iter().find(|case| !case.row.field.is_secret);
    let other = other.expect("a kind has a field that is no secret");
    let changed = with(spec, json!({ other.spec(): other.values[1].spec }));
    test.apply(kind, &name, changed).await;
    test.in_sync(kind, &name).await;
    test.delete(kind, &name).await;
    test.gone(kind, &name).await;
}

/// Binds a stage, moves it and takes it out of a flow.
async fn use_flows(test: &Test) {
    let (flow, other) = (test.flow("login").await, test.flow("other").await);
    let at = |flow: &Value, order: u32| json!({"flow": {"uuid": flow}, "order": order});
    let bound = json!({"deletionPolicy": "Delete", "flows": [at(&flow, 10), at(&other, 10)]});
    test.validate("mfa", bound).await;
    test.in_sync(VALIDATE, "mfa").await;
    let moved = json!({"flows": [at(&flow, 20)]});
    test.patch(VALIDATE, "mfa", json!({"spec": moved})).await;
    test.in_sync(VALIDATE, "mfa").await;
    test.delete(VALIDATE, "mfa").await;
    test.gone(VALIDATE, "mfa").await;
}

on_every_version!(what_is_listed_is_enough);

/// What the documentation lists.
fn listed() -> BTreeSet<String> {
    let all = permissions::all().into_iter();
    all.map(|permission| permission.name).collect()
}

async fn what_is_listed_is_enough(test: &Test) {
    if test.is_real() {
        return;
    }
    let former = permissions::all().into_iter();
    let former = former.filter_map(|permission| permission.formerly);
    let listed = listed().into_iter().chain(former).collect();
    use_everything(test, &listed).await;
    let audit = test.gateway.audit();
    let refused = audit.iter().filter(|exchange| exchange.status == Some(403));
    assert_eq!(refused.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn none_of_what_is_listed_is_idle() {
    test(async |test| {
        if test.is_real() {
            return;
        }
        use_everything(test, &listed()).await;
        let audit = test.gateway.audit();
        let used = audit.iter().filter_map(needed);
        let used: BTreeSet<String> = used.chain(of_devices()).collect();
        assert_eq!(used, listed());
    })
    .await;
}
