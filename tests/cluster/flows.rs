//! `spec.flows`: where a stage stands in which flow.

use devkit::gateway::{Fault, FaultKind};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Test, condition, message, patience, test},
    on_every_version,
};

on_every_version!(
    binds_moves_and_unbinds,
    drift_of_bindings_is_put_right,
    a_missing_flow_holds_up_nothing_else,
);

const KIND: &str = "AuthenticatorValidateStage";
const BINDINGS: &str = "flows/bindings/";
const BINDING: &str = "flows/bindings/{uuid}/";

/// Creates a flow by hand; returns its slug and UUID.
async fn flow(test: &Test, name: &str) -> (String, String) {
    let slug = test.name(name);
    let body =
        json!({"name": slug, "slug": slug, "title": slug, "designation": "stage_configuration"});
    let flow = test.authentik.create("flows/instances/", body).await;
    (
        slug,
        flow["pk"].as_str().expect("a flow has a UUID").to_owned(),
    )
}

/// Applies a stage with these flows and waits until it is in sync; returns its UUID.
async fn bound(test: &Test, flows: Value) -> String {
    test.apply(
        KIND,
        "mfa",
        json!({"name": test.name("mfa"), "flows": flows}),
    )
    .await;
    let resource = test.in_sync(KIND, "mfa").await;
    resource.data["status"]["stage"]["uuid"]
        .as_str()
        .expect("it has a stage")
        .to_owned()
}

/// The places of a stage in authentik, sorted: flow's UUID and order.
async fn places(test: &Test, stage: &str) -> Vec<(String, i64)> {
    let bindings = test
        .authentik
        .list(&format!("{BINDINGS}?stage={stage}"))
        .await;
    let place = |binding: &Value| {
        (
            binding["target"].as_str().unwrap_or_default().to_owned(),
            binding["order"].as_i64().unwrap_or_default(),
        )
    };
    let mut places: Vec<_> = bindings.iter().map(place).collect();
    places.sort_unstable();
    places
}

fn write(method: &str, path: &str, body: Value) -> (String, String, Value) {
    (method.to_owned(), path.to_owned(), body)
}

async fn binds_moves_and_unbinds(test: &Test) {
    test.connect().await;
    let ((login, login_uuid), (recovery, recovery_uuid)) =
        (flow(test, "login").await, flow(test, "recovery").await);
    let stage = bound(test, json!([{"flow": {"slug": login}, "order": 20}])).await;
    assert_eq!(
        test.written()[1..],
        [write(
            "POST",
            BINDINGS,
            json!({"target": login_uuid, "stage": stage, "order": 20})
        )]
    );
    let status = test.get(KIND, "mfa").await.data["status"].clone();
    assert_eq!(status["stage"]["flows"], json!([login]));
    assert_eq!(
        status["stage"]["bindings"],
        json!([{"flow": login, "order": 20}])
    );
    assert_eq!(status["lastChange"]["reason"], "Created");

    // Another order is a move of the binding that is there.
    test.gateway.clear();
    bound(test, json!([{"flow": {"uuid": login_uuid}, "order": -5}])).await;
    assert_eq!(
        test.written(),
        [write("PATCH", BINDING, json!({"order": -5}))]
    );

    // Another flow: added there before it is removed here.
    test.gateway.clear();
    bound(test, json!([{"flow": {"slug": recovery}, "order": 1}])).await;
    assert_eq!(
        test.written(),
        [
            write(
                "POST",
                BINDINGS,
                json!({"target": recovery_uuid, "stage": stage, "order": 1})
            ),
            write("DELETE", BINDING, Value::Null),
        ]
    );

    // One flow may hold the stage twice.
    test.gateway.clear();
    bound(
        test,
        json!([{"flow": {"slug": recovery}, "order": 1}, {"flow": {"slug": recovery}, "order": 2}]),
    )
    .await;
    assert_eq!(
        places(test, &stage).await,
        [(recovery_uuid.clone(), 1), (recovery_uuid, 2)]
    );

    // Not set: not managed. An empty list: none.
    test.gateway.clear();
    test.apply(KIND, "mfa", json!({"name": test.name("mfa")}))
        .await;
    let unmanaged = test.in_sync(KIND, "mfa").await;
    assert_eq!(unmanaged.data["status"]["stage"]["bindings"], Value::Null);
    assert_eq!(test.written(), []);
    bound(test, json!([])).await;
    assert_eq!(places(test, &stage).await, []);
    assert_eq!(
        test.get(KIND, "mfa").await.data["status"]["stage"]["flows"],
        Value::Null
    );
}

async fn drift_of_bindings_is_put_right(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let ((login, login_uuid), (_, recovery_uuid)) =
        (flow(test, "login").await, flow(test, "recovery").await);
    let flows = json!([{
        "flow": {"slug": login}, "order": 20, "evaluateOnPlan": true, "reEvaluatePolicies": false,
        "invalidResponseAction": "restart_with_context", "policyEngineMode": "all",
    }]);
    let stage = bound(test, flows).await;
    let created = test.written().pop().expect("the binding is written");
    let settings = json!({
        "target": login_uuid, "stage": stage, "order": 20, "evaluate_on_plan": true, "re_evaluate_policies": false,
        "invalid_response_action": "restart_with_context", "policy_engine_mode": "all",
    });
    assert_eq!(created, write("POST", BINDINGS, settings));

    test.resyncs(1).await;
    let before = (test.writes().len(), test.kubernetes_writes().len());
    test.resyncs(3).await;
    assert_eq!(
        (test.writes().len(), test.kubernetes_writes().len()),
        before,
        "a steady state writes nothing"
    );

    let binding = test
        .authentik
        .list(&format!("{BINDINGS}?stage={stage}"))
        .await
        .remove(0);
    let path = format!("{BINDINGS}{}/", binding["pk"].as_str().unwrap_or_default());
    let evaluations = json!({"evaluate_on_plan": true, "re_evaluate_policies": false});
    for (by_hand, repair) in [
        (json!({"order": 7}), json!({"order": 20})),
        (
            json!({"policy_engine_mode": "any"}),
            json!({"policy_engine_mode": "all"}),
        ),
        (
            json!({"invalid_response_action": "retry"}),
            json!({"invalid_response_action": "restart_with_context"}),
        ),
        (
            json!({"evaluate_on_plan": true, "re_evaluate_policies": true}),
            evaluations.clone(),
        ),
        (
            json!({"evaluate_on_plan": false, "re_evaluate_policies": true}),
            evaluations,
        ),
    ] {
        test.gateway.clear();
        test.authentik.patch(&path, by_hand).await;
        repaired(test, "PATCH").await;
        assert_eq!(test.written(), [write("PATCH", BINDING, repair)]);
    }

    // Unbound by hand, and bound elsewhere by hand.
    test.gateway.clear();
    test.authentik.delete(&path).await;
    repaired(test, "POST").await;
    test.authentik
        .create(
            BINDINGS,
            json!({"target": recovery_uuid, "stage": stage, "order": 3}),
        )
        .await;
    repaired(test, "DELETE").await;
    assert_eq!(places(test, &stage).await, [(login_uuid, 20)]);
    let note = test.event("mfa", "DriftCorrected").await;
    assert!(note.contains("flows"), "{note}");
}

/// Waits until the operator has had an answer to a write with this method.
async fn repaired(test: &Test, method: &str) {
    let written = test.gateway.wait_for(
        |audit| {
            audit
                .iter()
                .any(|exchange| exchange.method == method && exchange.status.is_some())
        },
        patience(),
    );
    assert!(written.await, "no {method} in time");
}

async fn a_missing_flow_holds_up_nothing_else(test: &Test) {
    test.connect().await;
    let ((login, login_uuid), later) = (flow(test, "login").await, test.name("later"));
    let flows =
        json!([{"flow": {"slug": login}, "order": 1}, {"flow": {"slug": later}, "order": 2}]);
    test.apply(
        KIND,
        "mfa",
        json!({"name": test.name("mfa"), "deviceClasses": ["totp"], "flows": flows}),
    )
    .await;
    let waiting = test.reason(KIND, "mfa", "ReferenceNotFound").await;
    assert!(message(&waiting).contains(&later), "{}", message(&waiting));
    assert!(condition(&waiting, "Reconciling").is_some());
    let stage = waiting.data["status"]["stage"]["uuid"]
        .as_str()
        .expect("the stage is there")
        .to_owned();
    assert_eq!(places(test, &stage).await, [(login_uuid.clone(), 1)]);

    // While one flow is missing nothing is taken away.
    let (other, other_uuid) = flow(test, "other").await;
    let flows =
        json!([{"flow": {"slug": other}, "order": 1}, {"flow": {"slug": later}, "order": 2}]);
    test.apply(
        KIND,
        "mfa",
        json!({"name": test.name("mfa"), "deviceClasses": ["totp"], "flows": flows}),
    )
    .await;
    test.reason(KIND, "mfa", "ReferenceNotFound").await;
    let mut expected = [(login_uuid, 1), (other_uuid.clone(), 1)];
    expected.sort_unstable();
    assert_eq!(places(test, &stage).await, expected);

    let (_, later_uuid) = flow(test, "later").await;
    test.request_reconcile(KIND, "mfa", "1").await;
    test.in_sync(KIND, "mfa").await;
    let mut expected = [(other_uuid, 1), (later_uuid, 2)];
    expected.sort_unstable();
    assert_eq!(places(test, &stage).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn observe_reports_bindings_and_writes_none() {
    test(async |test| {
        test.connect().await;
        let (login, login_uuid) = flow(test, "login").await;
        let name = test.name("mfa");
        let stage = test.authentik.create("stages/authenticator/validate/", json!({"name": name})).await;
        let spec = json!({"name": name, "managementPolicy": "Observe", "flows": [{"flow": {"slug": login}, "order": 1}]});
        test.apply(KIND, "mfa", spec).await;
        let drifted = test.reason(KIND, "mfa", "Drifted").await;
        let wanted = json!([{"flow": login, "order": 1}]).to_string();
        assert_eq!(
            drifted.data["status"]["drift"],
            json!([{"field": "flows", "wanted": wanted, "found": "[]", "weaker": true}])
        );
        test.authentik.create(BINDINGS, json!({"target": login_uuid, "stage": stage["pk"], "order": 1})).await;
        test.request_reconcile("AuthentikConnection", "default", "1").await;
        test.in_sync(KIND, "mfa").await;
        assert_eq!(test.written(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn adoption_takes_a_stage_that_lacks_bindings_and_no_other() {
    test(async |test| {
        test.connect().await;
        let ((login, login_uuid), (_, recovery_uuid)) =
            (flow(test, "login").await, flow(test, "recovery").await);
        let name = test.name("mfa");
        let stage = test
            .authentik
            .create("stages/authenticator/validate/", json!({"name": name}))
            .await;
        let elsewhere = json!({"target": recovery_uuid, "stage": stage["pk"], "order": 1});
        let binding = test.authentik.create(BINDINGS, elsewhere).await;
        let spec = json!({"name": name, "flows": [{"flow": {"slug": login}, "order": 1}]});
        test.apply(KIND, "mfa", spec).await;
        let refused = test.reason(KIND, "mfa", "AdoptionRefused").await;
        assert!(message(&refused).contains("flows"), "{}", message(&refused));
        assert_eq!(test.written(), []);

        test.authentik
            .delete(&format!(
                "{BINDINGS}{}/",
                binding["pk"].as_str().unwrap_or_default()
            ))
            .await;
        test.request_reconcile("AuthentikConnection", "default", "1")
            .await;
        test.in_sync(KIND, "mfa").await;
        assert_eq!(
            test.written(),
            [write(
                "POST",
                BINDINGS,
                json!({"target": login_uuid, "stage": stage["pk"], "order": 1})
            )]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_passes_over_its_own_bindings_and_no_other() {
    test(async |test| {
        test.connect().await;
        let ((login, login_uuid), (recovery, recovery_uuid)) = (flow(test, "login").await, flow(test, "recovery").await);
        let name = test.name("mfa");
        let spec = json!({"name": name, "deletionPolicy": "Delete", "flows": [{"flow": {"slug": login}, "order": 1}]});
        test.apply(KIND, "mfa", spec).await;
        let stage = test.in_sync(KIND, "mfa").await.data["status"]["stage"]["uuid"].clone();
        let foreign = test.authentik.create(BINDINGS, json!({"target": recovery_uuid, "stage": stage, "order": 9})).await;
        test.delete(KIND, "mfa").await;
        let blocked = test.reason(KIND, "mfa", "DeletionBlocked").await;
        assert!(message(&blocked).contains(&recovery) && !message(&blocked).contains(&login), "{}", message(&blocked));

        test.authentik.delete(&format!("{BINDINGS}{}/", foreign["pk"].as_str().unwrap_or_default())).await;
        test.request_reconcile(KIND, "mfa", "1").await;
        test.gone(KIND, "mfa").await;
        assert_eq!(test.authentik.stage("validate", &name).await, None);
        let left = test.authentik.list(&format!("{BINDINGS}?target={login_uuid}")).await;
        assert_eq!(left, Vec::<Value>::new());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_whose_answer_is_lost_is_made_once() {
    test(async |test| {
        test.connect().await;
        let (login, login_uuid) = flow(test, "login").await;
        for (order, kind) in [
            FaultKind::CutAfter,
            FaultKind::InternalError { effect: true },
            FaultKind::CutBefore,
            FaultKind::InternalError { effect: false },
            FaultKind::TruncatedBody,
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("mfa-{order}");
            let fault = Fault::new(kind).method(Method::POST).path("flows/bindings").times(1);
            test.gateway.inject(fault);
            let spec = json!({"name": test.name(&name), "flows": [{"flow": {"slug": login}, "order": order}]});
            test.apply(KIND, &name, spec).await;
            let stage = test.in_sync(KIND, &name).await.data["status"]["stage"]["uuid"].clone();
            let stage = stage.as_str().unwrap_or_default();
            assert_eq!(places(test, stage).await, [(login_uuid.clone(), i64::try_from(order).unwrap_or_default())]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_bindings_are_left_alone() {
    test(async |test| {
        test.connect().await;
        let (login, login_uuid) = flow(test, "login").await;
        let flows = json!([{"flow": {"slug": login}, "order": 1}]);
        let stage = bound(test, flows.clone()).await;
        let name = test.name("mfa");
        test.apply(
            KIND,
            "mfa",
            json!({"name": name, "flows": flows, "suspend": true}),
        )
        .await;
        test.until(KIND, "mfa", "Suspended", |object| {
            object.is_some_and(|object| condition(object, "Suspended").is_some())
        })
        .await;
        test.gateway.clear();
        let binding = test
            .authentik
            .list(&format!("{BINDINGS}?stage={stage}"))
            .await
            .remove(0);
        test.authentik
            .delete(&format!(
                "{BINDINGS}{}/",
                binding["pk"].as_str().unwrap_or_default()
            ))
            .await;
        test.request_reconcile("AuthentikConnection", "default", "1")
            .await;
        let listed = |audit: &[devkit::gateway::Exchange]| {
            let mut lists = audit
                .iter()
                .filter(|exchange| exchange.path.ends_with(BINDINGS));
            lists.any(|exchange| exchange.status.is_some())
        };
        assert!(
            test.gateway.wait_for(listed, patience()).await,
            "the bindings are not listed"
        );
        assert_eq!(test.written(), []);
        test.apply(KIND, "mfa", json!({"name": name, "flows": flows}))
            .await;
        repaired(test, "POST").await;
        assert_eq!(places(test, &stage).await, [(login_uuid, 1)]);
    })
    .await;
}
