//! What Kubernetes needs before the operator can run.

use authentik_stage_operator::{kinds, ops::rbac};
use devkit::kubernetes::{Kubernetes, User};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
    runtime::wait::await_condition,
};
use serde_json::json;

/// Gives Kubernetes the CRDs and the operator its rights.
pub(super) async fn prepare(kubernetes: &Kubernetes) {
    let kube = kubernetes.client(User::Admin);
    let params = PatchParams::apply("test").force();
    let crds = Api::all(kube.clone());
    for crd in kinds::crds() {
        let name = crd.name_any();
        let applied = crds.patch(&name, &params, &Patch::Apply(&crd)).await;
        applied.expect("the CRD is accepted");
        let established = kube::runtime::conditions::is_crd_established();
        let established = await_condition(crds.clone(), &name, established).await;
        established.expect("the CRD is established");
    }
    grant(&kube, &rbac::all_rules(true)).await;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "operator"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "operator"}],
    });
    let bindings: Api<ClusterRoleBinding> = Api::all(kube);
    let applied = bindings
        .patch("operator", &params, &Patch::Apply(binding))
        .await;
    applied.expect("the binding is accepted");
}

/// Gives the operator just these rights, in all namespaces.
pub async fn grant(kube: &Client, rules: &[PolicyRule]) {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "operator"}, "rules": rules,
    });
    let roles: Api<ClusterRole> = Api::all(kube.clone());
    let params = PatchParams::apply("test").force();
    let applied = roles.patch("operator", &params, &Patch::Apply(role)).await;
    applied.expect("the role is accepted");
}

/// Objects of one of our kinds.
pub fn api(kube: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("authentik-operator.io", "v1alpha1", kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, &format!("{}s", kind.to_lowercase()));
    if kind.starts_with("Cluster") {
        Api::all_with(kube.clone(), &resource)
    } else {
        Api::namespaced_with(kube.clone(), namespace, &resource)
    }
}
