//! What the operator may not see, or what is not there: it stops nothing else.

use std::panic::AssertUnwindSafe;

use authentik_stage_operator::{api::conditions, controller::Options, kinds, ops::rbac};
use futures::FutureExt;
use k8s_openapi::{
    api::{
        core::v1::{Namespace, Secret},
        rbac::v1::{PolicyRule, Role, RoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

use crate::{
    harness::{DUO, Test, VALIDATE, alone, condition, grant, message, text},
    harness_more::{CLUSTER_CONNECTION, Elsewhere, eventually},
    program::Program,
};

/// A Role with all that the operator needs in a namespace, and its binding.
async fn allow(test: &Test, namespace: &str) {
    let rules = [
        rbac::namespaced_rules(),
        rbac::event_rules(),
        rbac::secret_rules(true),
    ];
    let group = "rbac.authorization.k8s.io";
    let (api_version, metadata) = (format!("{group}/v1"), json!({"name": "operator"}));
    let role = json!({
        "apiVersion": api_version, "kind": "Role", "metadata": metadata, "rules": rules.concat(),
    });
    let binding = json!({
        "apiVersion": api_version, "kind": "RoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "operator"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "operator"}],
    });
    let params = PatchParams::apply("test").force();
    let roles: Api<Role> = Api::namespaced(test.kube.clone(), namespace);
    let applied = roles.patch("operator", &params, &Patch::Apply(role)).await;
    applied.expect("the Role is accepted");
    let bindings: Api<RoleBinding> = Api::namespaced(test.kube.clone(), namespace);
    let applied = bindings
        .patch("operator", &params, &Patch::Apply(binding))
        .await;
    applied.expect("the RoleBinding is accepted");
}

/// Leaves the operator its rights in the test's namespace, and those outside namespaces; it does not run meanwhile.
async fn roles_only(test: &Test) {
    test.take_operator().await.stop().await;
    allow(test, &test.namespace).await;
    grant(&test.kube, &rbac::cluster_rules()).await;
    // The API server learns of it by a watch, a moment later.
    let elsewhere: Api<Secret> = Api::namespaced(test.as_operator(), "default");
    let own: Api<Secret> = Api::namespaced(test.as_operator(), &test.namespace);
    let all = ListParams::default();
    eventually("in force", || async {
        elsewhere.list(&all).await.is_err() && own.list(&all).await.is_ok()
    })
    .await;
}

/// Starts the operator for its own namespace and this one.
async fn watch_also(test: &Test, other: &str) {
    let namespaces = vec![test.namespace.clone(), other.to_owned()];
    test.start_with(Options {
        namespaces,
        ..test.options()
    })
    .await;
}

/// Everything works in the test's namespace: a new stage, and a change of it.
async fn works(test: &Test, name: &str) {
    test.validate(name, json!({})).await;
    test.in_sync(VALIDATE, name).await;
    test.validate(name, json!({"notConfiguredAction": "deny"}))
        .await;
    test.in_sync(VALIDATE, name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_gone_stops_no_other() {
    alone(async |test| {
        roles_only(test).await;
        // Its Role went with it, so it is forbidden and not empty.
        watch_also(test, "team-b-that-is-gone").await;
        test.connect().await;
        works(test, "mfa").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_namespace_stops_no_other_and_is_watched_once_it_is_allowed() {
    alone(async |test| {
        let elsewhere = Elsewhere::new(test).await;
        roles_only(test).await;
        watch_also(test, &elsewhere.namespace).await;
        test.connect().await;
        works(test, "mfa").await;

        elsewhere.token(test.token()).await;
        elsewhere.connection("default", &test.gateway.url()).await;
        let spec = json!({"name": test.name("elsewhere"), "notConfiguredAction": "deny"});
        elsewhere.apply(VALIDATE, "mfa", spec).await;
        allow(test, &elsewhere.namespace).await;
        elsewhere.reason(VALIDATE, "mfa", "InSync").await;
        works(test, "later").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_namespace_is_told_and_does_not_make_the_operator_unready() {
    alone(async |test| {
        let elsewhere = Elsewhere::new(test).await;
        roles_only(test).await;
        let namespaces = ["--namespaces", &elsewhere.namespace];
        let args = ["--leader-election", "false", "--listen", "127.0.0.1:0"];
        let program = Program::start(test, &[&namespaces[..], &args].concat(), &[]);
        let listens = program.logs("serving health and metrics").await;
        let address = text(&listens["address"]).to_owned();
        let page = async |path: &str| {
            let answer = reqwest::get(format!("http://{address}{path}")).await;
            let answer = answer.expect("the program answers");
            (answer.status().as_u16(), answer.text().await)
        };
        eventually("ready", || async { page("/readyz").await.0 == 200 }).await;
        test.connect().await;
        works(test, "mfa").await;
        let (_, metrics) = page("/metrics").await;
        let metrics = metrics.expect("they are text");
        let log = program.terminate().await;
        // At a level that people keep. A request of the operator's names the namespace too.
        let loud = |line: &&String| {
            let event: Value = serde_json::from_str(line).expect("every line is JSON");
            matches!(event["level"].as_str(), Some("WARN" | "ERROR"))
        };
        let mut loud = log.iter().filter(loud);
        let logged = loud.any(|line| line.contains(&elsewhere.namespace));
        assert!(logged || metrics.contains(&elsewhere.namespace));
    })
    .await;
}

/// Objects of one of our kinds in all namespaces.
fn everywhere(test: &Test, kind: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("authentik-operator.io", "v1alpha1", kind);
    let plural = format!("{}s", kind.to_lowercase());
    Api::all_with(
        test.kube.clone(),
        &ApiResource::from_gvk_with_plural(&gvk, &plural),
    )
}

fn crds(test: &Test) -> Api<CustomResourceDefinition> {
    Api::all(test.kube.clone())
}

/// Takes the CRD of Duo stages away, as an upgrade does that forgets it.
async fn remove_crd(test: &Test, crd: &str) {
    // What another test has left would keep the CRD: its operator is no more.
    let all = ListParams::default();
    for duo in everywhere(test, DUO).list(&all).await.expect("a list") {
        let namespace = duo.namespace().unwrap_or_default();
        let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        let freed = crate::harness::api(&test.kube, &namespace, DUO)
            .patch(&duo.name_any(), &PatchParams::default(), &free)
            .await;
        freed.expect("it has no finalizer any more");
    }
    let deleted = crds(test).delete(crd, &DeleteParams::default()).await;
    deleted.expect("the CRD is deleted");
    eventually("gone", || async {
        let crd = crds(test).get_opt(crd).await;
        crd.expect("Kubernetes answers").is_none()
    })
    .await;
}

async fn apply_crd(test: &Test, crd: &CustomResourceDefinition) {
    let params = PatchParams::apply("test").force();
    let name = crd.name_any();
    let applied = crds(test).patch(&name, &params, &Patch::Apply(crd)).await;
    applied.expect("the CRD is accepted");
    let all = ListParams::default();
    eventually("served", || async {
        test.api(DUO).list(&all).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_without_its_crd_stops_no_other() {
    alone(async |test| {
        let crd = kinds::crds()
            .into_iter()
            .find(|crd| crd.spec.names.kind == DUO);
        let crd = crd.expect("there is such a kind");
        test.take_operator().await.stop().await;
        remove_crd(test, &crd.name_any()).await;
        let without = async {
            test.start_operator().await;
            test.connect().await;
            works(test, "mfa").await;
        };
        let outcome = AssertUnwindSafe(without).catch_unwind().await;
        // Other tests need it.
        apply_crd(test, &crd).await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
        // The kind works once its CRD is there.
        let spec = test.duo_spec().await;
        test.apply(DUO, "duo", spec).await;
        test.in_sync(DUO, "duo").await;
        works(test, "later").await;
    })
    .await;
}

/// All of the operator's rights but that to see namespaces.
fn blind() -> Vec<PolicyRule> {
    let sees = |rule: &PolicyRule| {
        let resources = rule.resources.iter().flatten();
        resources
            .into_iter()
            .any(|resource| resource == "namespaces")
    };
    let rules = rbac::all_rules(true).into_iter();
    rules.filter(|rule| !sees(rule)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_are_not_known_allow_nothing() {
    alone(async |test| {
        let labels = Patch::Merge(json!({"metadata": {"labels": {"untrusted": "true"}}}));
        let namespaces: Api<Namespace> = Api::all(test.kube.clone());
        let (name, params) = (&test.namespace, PatchParams::default());
        let labelled = namespaces.patch(name, &params, &labels).await;
        labelled.expect("the namespace is labelled");
        test.take_operator().await.stop().await;
        grant(&test.kube, &blind()).await;
        let theirs: Api<Namespace> = Api::all(test.as_operator());
        let all = ListParams::default();
        eventually("in force", || async { theirs.list(&all).await.is_err() }).await;
        test.start_operator().await;
        test.secret("authentik", json!({"token": test.token()}))
            .await;
        let expression = |operator: &str, values: Value| {
            let mut expression = json!({"key": "untrusted", "operator": operator});
            crate::harness::merge(&mut expression, json!({"values": values}));
            json!({"matchExpressions": [expression]})
        };
        for (name, selector) in [
            ("absent", expression("DoesNotExist", Value::Null)),
            ("not-in", expression("NotIn", json!(["true"]))),
            ("labelled", json!({"matchLabels": {"trusted": "true"}})),
        ] {
            shared(test, name, selector).await;
            let refused = test.reason(VALIDATE, name, "ConnectionNotReady").await;
            assert!(condition(&refused, conditions::READY).is_some());
            let says = message(&refused);
            assert!(says.contains(&test.namespace), "{says}");
        }
        assert_eq!(test.written(), []);
        // Whatever the labels are, this allows them.
        shared(test, "all", json!({})).await;
        test.in_sync(VALIDATE, "all").await;
    })
    .await;
}

/// A cluster connection for these namespaces, and a stage that uses it.
async fn shared(test: &Test, name: &str, allowed: Value) {
    let connection = test.name(name);
    let token = json!({"namespace": test.namespace, "name": "authentik", "key": "token"});
    let spec = json!({
        "url": test.gateway.url(), "tokenSecretRef": token, "allowedNamespaces": allowed,
    });
    test.apply(CLUSTER_CONNECTION, &connection, spec).await;
    test.reason(CLUSTER_CONNECTION, &connection, "Connected")
        .await;
    let reference = json!({"kind": CLUSTER_CONNECTION, "name": connection});
    test.validate(name, json!({"connectionRef": reference}))
        .await;
}
