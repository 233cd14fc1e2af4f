//! Which server a stage belongs to, and what becomes of the stages when that is missing, wrong or another.

use std::time::Duration;

use devkit::{
    gateway::{Exchange, Fault, FaultKind, Gateway},
    simulator::{Simulator, Version},
};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    harness::{PROBE, Test, VALIDATE, VALIDATES, alone, condition, message, patience, test},
    on_every_version,
};

const CONNECTION: &str = "AuthentikConnection";
const CLUSTER_CONNECTION: &str = "ClusterAuthentikConnection";

/// Less than what waits for something missing would wait for its next try.
const AT_ONCE: Duration = Duration::from_secs(20);

/// All that the operator needs for validation stages.
const PERMISSIONS: [&str; 4] = [
    "authentik_stages_authenticator_validate.view_authenticatorvalidatestage",
    "authentik_stages_authenticator_validate.add_authenticatorvalidatestage",
    "authentik_stages_authenticator_validate.change_authenticatorvalidatestage",
    "authentik_flows.view_stage",
];

on_every_version!(
    a_wrong_token_denies_access_until_it_is_replaced,
    the_version_is_what_the_server_says,
);

/// Waits for something that no retry would bring about in this time.
async fn at_once<T>(what: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(AT_ONCE, what).await;
    done.expect("it happens before a retry is due")
}

async fn connected(test: &Test, name: &str) -> DynamicObject {
    test.reason(CONNECTION, name, "Connected").await
}

/// Whether the condition that says so holds: `Stalled` or `Reconciling`.
fn holds(object: &DynamicObject, type_: &str) -> bool {
    condition(object, type_).is_some_and(|condition| condition["status"] == "True")
}

/// The URL of the server that a stage resource stands for a stage on.
fn server(resource: &DynamicObject) -> &str {
    resource.data["status"]["stage"]["server"]
        .as_str()
        .unwrap_or_default()
}

/// Waits until the resource is in sync on this server.
async fn on_server(test: &Test, name: &str, gateway: &Gateway) {
    let found = |object: Option<&DynamicObject>| {
        object.is_some_and(|object| {
            server(object) == gateway.url()
                && condition(object, "Ready").is_some_and(|ready| ready["reason"] == "InSync")
        })
    };
    test.until(VALIDATE, name, "on its server", found).await;
}

/// One more authentik, simulated, that knows the same token.
struct Another {
    simulator: Simulator,
    gateway: Gateway,
    secret: String,
}

impl Another {
    async fn start(test: &Test) -> Self {
        let simulator = Simulator::start(Version::V2026_5).await;
        let gateway = Gateway::in_front_of(&simulator.url()).launch().await;
        let secret = "another".to_owned();
        test.secret(&secret, json!({"token": simulator.token()}))
            .await;
        Self {
            simulator,
            gateway,
            secret,
        }
    }

    async fn connect(&self, test: &Test, name: &str) {
        let settings = json!({"tokenSecretRef": {"name": self.secret}});
        test.connection(name, &self.gateway.url(), settings).await;
        connected(test, name).await;
    }

    /// The names of this test's validation stages there.
    async fn stages(&self, test: &Test) -> Vec<String> {
        let answer = reqwest::Client::new()
            .get(format!("{}{VALIDATES}", self.simulator.url()))
            .bearer_auth(self.simulator.token())
            .send()
            .await
            .expect("the simulator answers");
        let body: Value = answer.json().await.expect("it answers JSON");
        let rows = body["results"].as_array().cloned().unwrap_or_default();
        let names = rows.iter().filter_map(|row| row["name"].as_str());
        names
            .filter(|name| name.starts_with(&test.namespace))
            .map(str::to_owned)
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_waits_for_its_connection_and_says_what_to_create() {
    test(async |test| {
        test.validate("default", json!({})).await;
        test.validate("named", json!({"connectionRef": {"name": "mine"}}))
            .await;
        let waiting = test.reason(VALIDATE, "default", "ConnectionNotReady").await;
        assert!(holds(&waiting, "Reconciling"));
        let expected = format!(
            "create an AuthentikConnection of that name in namespace {}",
            test.namespace
        );
        assert!(message(&waiting).contains(&expected), "{waiting:?}");
        let waiting = test.reason(VALIDATE, "named", "ConnectionNotReady").await;
        let expected = "AuthentikConnection mine does not exist; create it";
        assert!(message(&waiting).contains(expected), "{waiting:?}");

        test.connect().await;
        at_once(test.in_sync(VALIDATE, "default")).await;
        test.connection("mine", &test.gateway.url(), json!({}))
            .await;
        at_once(test.in_sync(VALIDATE, "named")).await;
    })
    .await;
}

async fn a_wrong_token_denies_access_until_it_is_replaced(test: &Test) {
    test.secret("authentik", json!({"token": test.canary("wrong")}))
        .await;
    test.connection("default", &test.gateway.url(), json!({}))
        .await;
    let denied = test.reason(CONNECTION, "default", "AccessDenied").await;
    assert!(message(&denied).contains("token"), "{denied:?}");
    test.validate("mfa", json!({})).await;
    test.reason(VALIDATE, "mfa", "AccessDenied").await;

    test.secret("authentik", json!({"token": test.token()}))
        .await;
    connected(test, "default").await;
    test.in_sync(VALIDATE, "mfa").await;
    assert_eq!(test.written().len(), 1, "{:?}", test.written());
}

async fn the_version_is_what_the_server_says(test: &Test) {
    test.connect().await;
    let (_, says) = test
        .authentik
        .send(reqwest::Method::GET, "admin/version/", None)
        .await;
    let connection = test.get(CONNECTION, "default").await;
    assert_eq!(
        connection.data["status"]["version"],
        says["version_current"]
    );
    assert!(says["version_current"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_is_used_at_once() {
    test(async |test| {
        let Some(simulator) = &test.simulator else {
            return;
        };
        let (old, new) = (
            simulator.create_token(&PERMISSIONS),
            simulator.create_token(&PERMISSIONS),
        );
        test.secret("authentik", json!({"token": old})).await;
        test.connection(
            "default",
            &test.gateway.url(),
            json!({"resyncInterval": "1h"}),
        )
        .await;
        test.validate("mfa", json!({})).await;
        test.in_sync(VALIDATE, "mfa").await;

        test.gateway.clear();
        test.secret("authentik", json!({"token": new})).await;
        // With the new token the stages are listed anew.
        let listed = |audit: &[Exchange]| audit.iter().any(|exchange| exchange.path == VALIDATES);
        assert!(test.gateway.wait_for(listed, AT_ONCE).await);
        simulator.revoke_token(&old);
        test.validate("mfa", json!({"notConfiguredAction": "deny"}))
            .await;
        test.in_sync(VALIDATE, "mfa").await;
        let refused = |exchange: &Exchange| exchange.status == Some(403);
        assert!(!test.gateway.audit().iter().any(refused));

        // Without a new token there is no access, and with one there is again.
        simulator.revoke_token(&new);
        test.validate("mfa", json!({"notConfiguredAction": "skip"}))
            .await;
        test.reason(VALIDATE, "mfa", "AccessDenied").await;
        test.reason(CONNECTION, "default", "AccessDenied").await;
        test.secret("authentik", json!({"token": test.token()}))
            .await;
        test.in_sync(VALIDATE, "mfa").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_token_is_waited_for() {
    test(async |test| {
        test.connection("default", &test.gateway.url(), json!({}))
            .await;
        test.validate("mfa", json!({})).await;
        let waiting = test.reason(CONNECTION, "default", "SecretNotFound").await;
        let expected = format!("{}/authentik does not exist; create it", test.namespace);
        assert!(message(&waiting).contains(&expected), "{waiting:?}");

        test.secret("authentik", json!({"other": test.canary("other")}))
            .await;
        let no_key = |object: Option<&DynamicObject>| {
            object.is_some_and(|object| message(object).contains("has no key \"token\""))
        };
        at_once(test.until(CONNECTION, "default", "without the key", no_key)).await;
        let waiting = test.reason(VALIDATE, "mfa", "ConnectionNotReady").await;
        assert!(
            message(&waiting).contains("AuthentikConnection default"),
            "{waiting:?}"
        );

        test.secret("authentik", json!({"token": test.token()}))
            .await;
        at_once(test.in_sync(VALIDATE, "mfa")).await;
        test.delete_secret("authentik").await;
        test.reason(CONNECTION, "default", "SecretNotFound").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_ca_bundle_stalls_the_connection() {
    test(async |test| {
        let broken = "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n";
        test.secret("authentik", json!({"token": test.token()}))
            .await;
        test.connection("default", &test.gateway.url(), json!({"caBundle": broken}))
            .await;
        let stalled = test.reason(CONNECTION, "default", "InvalidSpec").await;
        assert!(holds(&stalled, "Stalled"));
        assert!(message(&stalled).contains("caBundle"), "{stalled:?}");
        test.connection("default", &test.gateway.url(), json!({}))
            .await;
        at_once(connected(test, "default")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_ca_is_trusted_when_the_bundle_holds_it() {
    test(async |test| {
        let gateway = Gateway::in_front_of(&test.gateway.url())
            .tls()
            .launch()
            .await;
        test.secret("authentik", json!({"token": test.token()}))
            .await;
        test.connection("default", &gateway.url(), json!({})).await;
        let unreachable = test.reason(CONNECTION, "default", "Unreachable").await;
        assert!(
            message(&unreachable).contains("set caBundle"),
            "{unreachable:?}"
        );
        test.connection(
            "default",
            &gateway.url(),
            json!({"caBundle": gateway.ca_pem()}),
        )
        .await;
        connected(test, "default").await;
        test.validate("mfa", json!({})).await;
        test.in_sync(VALIDATE, "mfa").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authentik_may_stand_below_a_path() {
    test(async |test| {
        let gateway = Gateway::in_front_of(&test.gateway.url())
            .prefix("/auth")
            .launch()
            .await;
        test.secret("authentik", json!({"token": test.token()}))
            .await;
        test.connection("default", &format!("{}/", gateway.url()), json!({}))
            .await;
        test.validate("mfa", json!({})).await;
        let resource = test.in_sync(VALIDATE, "mfa").await;
        assert_eq!(server(&resource), gateway.url());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_authentik_is_named_as_such() {
    test(async |test| {
        let elsewhere = Gateway::in_front_of(&test.gateway.url()).launch().await;
        let page = FaultKind::Respond {
            status: 200,
            content_type: "text/html".to_owned(),
            body: "<p>It works!</p>".to_owned(),
            forward: false,
        };
        let redirect = FaultKind::Redirect(format!("{}/login?next=x", elsewhere.url()));
        test.secret("authentik", json!({"token": test.token()}))
            .await;
        for (name, kind) in [("page", page), ("redirect", redirect)] {
            let wrong = Gateway::in_front_of(&test.gateway.url()).launch().await;
            wrong.inject(Fault::new(kind));
            test.connection(name, &wrong.url(), json!({})).await;
            let unreachable = test.reason(CONNECTION, name, "Unreachable").await;
            let expected = "doesn't look like authentik's API, check the connection's url";
            assert!(message(&unreachable).contains(expected), "{unreachable:?}");
        }
        // The token is for the server that the connection names, and for no other.
        assert_eq!(elsewhere.audit(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_permissions_are_listed_until_they_are_granted() {
    test(async |test| {
        let Some(simulator) = &test.simulator else {
            return;
        };
        let limited = simulator.create_token(&[PERMISSIONS[0]]);
        test.secret("authentik", json!({"token": limited})).await;
        test.connection("default", &test.gateway.url(), json!({}))
            .await;
        test.validate("mfa", json!({})).await;
        test.reason(VALIDATE, "mfa", "AccessDenied").await;
        let listed = |wanted: Value| {
            move |object: Option<&DynamicObject>| {
                object.is_some_and(|object| {
                    object.data["status"]["missingPermissions"] == wanted
                        && condition(object, "Ready").is_some_and(|ready| ready["status"] == "True")
                })
            }
        };
        let missing = listed(json!([PERMISSIONS[1]]));
        test.until(CONNECTION, "default", "lacking add", missing)
            .await;

        let granted = simulator.create_token(&PERMISSIONS);
        test.secret("authentik", json!({"token": granted})).await;
        test.in_sync(VALIDATE, "mfa").await;
        let none = listed(Value::Null);
        test.until(CONNECTION, "default", "lacking nothing", none)
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_hold_a_stage_of_the_same_name_each() {
    test(async |test| {
        if test.is_real() {
            return;
        }
        test.connect().await;
        let another = Another::start(test).await;
        another.connect(test, "another").await;
        let name = test.name("same");
        test.validate("here", json!({"name": name})).await;
        let there = json!({"name": name, "connectionRef": {"name": "another"}});
        test.validate("there", there).await;
        on_server(test, "here", &test.gateway).await;
        on_server(test, "there", &another.gateway).await;
        assert!(test.authentik.stage("validate", &name).await.is_some());
        assert_eq!(another.stages(test).await, [name]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_moves_leaves_the_old_one_behind() {
    test(async |test| {
        if test.is_real() {
            return;
        }
        test.connect().await;
        let another = Another::start(test).await;
        another.connect(test, "another").await;
        test.connection("moving", &test.gateway.url(), json!({}))
            .await;
        test.validate("by-reference", json!({})).await;
        test.validate("by-url", json!({"connectionRef": {"name": "moving"}}))
            .await;
        for name in ["by-reference", "by-url"] {
            on_server(test, name, &test.gateway).await;
        }

        test.validate(
            "by-reference",
            json!({"connectionRef": {"name": "another"}}),
        )
        .await;
        let settings = json!({"tokenSecretRef": {"name": another.secret}});
        test.connection("moving", &another.gateway.url(), settings)
            .await;
        for name in ["by-reference", "by-url"] {
            on_server(test, name, &another.gateway).await;
            let note = test.event(name, "Orphaned").await;
            assert!(
                note.contains(&format!("on {},", test.gateway.url())),
                "{note}"
            );
            let left = test.authentik.stage("validate", &test.name(name)).await;
            assert!(left.is_some(), "{name} stays where it was");
        }
        assert_eq!(another.stages(test).await.len(), 2);
        let deletes = test
            .written()
            .into_iter()
            .filter(|write| write.0 == "DELETE");
        assert_eq!(deletes.count(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_moves_heeds_the_adoption_policy_there() {
    test(async |test| {
        if test.is_real() {
            return;
        }
        test.connect().await;
        let another = Another::start(test).await;
        another.connect(test, "another").await;
        let there = json!({"connectionRef": {"name": "another"}, "notConfiguredAction": "deny"});
        test.validate("mfa", there).await;
        on_server(test, "mfa", &another.gateway).await;
        let of_another = test.name("mfa");
        let here = json!({"name": of_another, "not_configured_action": "skip"});
        test.authentik
            .create("stages/authenticator/validate/", here)
            .await;
        test.validate("mfa", json!({"notConfiguredAction": "deny"}))
            .await;
        test.reason(VALIDATE, "mfa", "AdoptionRefused").await;
        let always = json!({"notConfiguredAction": "deny", "adoptionPolicy": "Always"});
        test.validate("mfa", always).await;
        on_server(test, "mfa", &test.gateway).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_reads_no_secret_of_another_namespace() {
    test(async |test| {
        let elsewhere = other_namespace(test).await;
        secret_in(test, &elsewhere, test.token()).await;
        let reference = json!({"namespace": elsewhere, "name": "authentik", "key": "token"});
        let spec = json!({"url": test.gateway.url(), "tokenSecretRef": reference});
        let refused = test.try_apply(CONNECTION, "default", spec).await;
        let refused = refused.expect_err("there is no such field").to_string();
        assert!(refused.contains("namespace"), "{refused}");
        test.connection("default", &test.gateway.url(), json!({}))
            .await;
        test.reason(CONNECTION, "default", "SecretNotFound").await;
    })
    .await;
}

/// One more namespace, which the operator under test does not watch.
pub async fn other_namespace(test: &Test) -> String {
    let namespace = json!({"metadata": {"generateName": "elsewhere-"}});
    let namespace = serde_json::from_value(namespace).expect("it is a namespace");
    let namespaces: Api<Namespace> = Api::all(test.kube.clone());
    let created = namespaces.create(&PostParams::default(), &namespace).await;
    created.expect("the namespace is accepted").name_any()
}

/// The Secret `authentik` in another namespace.
pub async fn secret_in(test: &Test, namespace: &str, token: &str) {
    test.canaries.add(token);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "authentik"}, "stringData": {"token": token},
    });
    let secrets: Api<Secret> = Api::namespaced(test.kube.clone(), namespace);
    let params = PatchParams::apply("test").force();
    let applied = secrets
        .patch("authentik", &params, &Patch::Apply(secret))
        .await;
    applied.expect("the Secret is accepted");
}

/// A cluster connection whose Secret `authentik` is in another namespace.
async fn cluster_connection(test: &Test, name: &str, secret: &str, settings: Value) {
    let reference = json!({"namespace": secret, "name": "authentik", "key": "token"});
    let mut spec = json!({"url": test.gateway.url(), "tokenSecretRef": reference});
    crate::harness::merge(&mut spec, settings);
    test.apply(CLUSTER_CONNECTION, name, spec).await;
}

async fn label_namespace(test: &Test, labels: Value) {
    let namespaces: Api<Namespace> = Api::all(test.kube.clone());
    let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
    let patched = namespaces
        .patch(&test.namespace, &PatchParams::default(), &patch)
        .await;
    patched.expect("the labels are accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_connection_is_for_the_namespaces_that_it_allows() {
    alone(async |test| {
        let elsewhere = other_namespace(test).await;
        secret_in(test, &elsewhere, test.token()).await;
        cluster_connection(test, "shared", &elsewhere, json!({})).await;
        test.reason(CLUSTER_CONNECTION, "shared", "Connected").await;
        let reference = json!({"connectionRef": {"kind": CLUSTER_CONNECTION, "name": "shared"}});
        test.validate("mfa", reference).await;
        let refused = test.reason(VALIDATE, "mfa", "ConnectionNotReady").await;
        let expected = format!("does not allow namespace {}", test.namespace);
        assert!(message(&refused).contains(&expected), "{refused:?}");

        let all = json!({"allowedNamespaces": {}});
        cluster_connection(test, "shared", &elsewhere, all).await;
        at_once(test.in_sync(VALIDATE, "mfa")).await;

        let some = json!({"allowedNamespaces": {"matchLabels": {"stages": "yes"}}});
        cluster_connection(test, "shared", &elsewhere, some).await;
        at_once(test.reason(VALIDATE, "mfa", "ConnectionNotReady")).await;
        label_namespace(test, json!({"stages": "yes"})).await;
        at_once(test.in_sync(VALIDATE, "mfa")).await;
        label_namespace(test, json!({"stages": null})).await;
        at_once(test.reason(VALIDATE, "mfa", "ConnectionNotReady")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_outside_the_watched_namespaces_is_read_again_with_each_resync() {
    alone(async |test| {
        let Some(simulator) = &test.simulator else {
            return;
        };
        let tokens = [(); 3].map(|()| simulator.create_token(&PERMISSIONS));
        let elsewhere = other_namespace(test).await;
        secret_in(test, &elsewhere, &tokens[0]).await;
        let often = json!({"allowedNamespaces": {}, "resyncInterval": "1s"});
        cluster_connection(test, "shared", &elsewhere, often).await;
        let reference = json!({"connectionRef": {"kind": CLUSTER_CONNECTION, "name": "shared"}});
        test.validate("mfa", reference).await;
        test.in_sync(VALIDATE, "mfa").await;
        secret_in(test, &elsewhere, &tokens[1]).await;
        test.resyncs(1).await;
        simulator.revoke_token(&tokens[0]);
        test.resyncs(2).await;
        let connection = test.get(CLUSTER_CONNECTION, "shared").await;
        assert_eq!(
            condition(&connection, "Ready").expect("it is there")["reason"],
            "Connected"
        );

        let seldom = json!({"allowedNamespaces": {}, "resyncInterval": "1h"});
        cluster_connection(test, "shared", &elsewhere, seldom).await;
        test.reason(CLUSTER_CONNECTION, "shared", "Connected").await;
        secret_in(test, &elsewhere, &tokens[2]).await;
        test.gateway.clear();
        test.request_reconcile(CLUSTER_CONNECTION, "shared", "now")
            .await;
        let probed = |audit: &[Exchange]| {
            audit
                .iter()
                .any(|exchange| exchange.path == PROBE && exchange.status == Some(200))
        };
        assert!(test.gateway.wait_for(probed, patience()).await);
        simulator.revoke_token(&tokens[1]);
        test.request_reconcile(CLUSTER_CONNECTION, "shared", "again")
            .await;
        let probes = |audit: &[Exchange]| {
            audit
                .iter()
                .filter(|exchange| exchange.path == PROBE && exchange.status.is_some())
                .count()
                > 1
        };
        assert!(test.gateway.wait_for(probes, patience()).await);
        let refused = |exchange: &Exchange| exchange.status == Some(403);
        assert!(!test.gateway.audit().iter().any(refused));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_namespaces_own_default_comes_before_the_clusters() {
    alone(async |test| {
        let far = Gateway::in_front_of(&test.gateway.url()).launch().await;
        let elsewhere = other_namespace(test).await;
        secret_in(test, &elsewhere, test.token()).await;
        let default = json!({"url": far.url(), "allowedNamespaces": {}});
        cluster_connection(test, "default", &elsewhere, default).await;
        test.validate("mfa", json!({})).await;
        on_server(test, "mfa", &far).await;
        test.connect().await;
        at_once(on_server(test, "mfa", &test.gateway)).await;
        test.delete(CONNECTION, "default").await;
        at_once(on_server(test, "mfa", &far)).await;
    })
    .await;
}
