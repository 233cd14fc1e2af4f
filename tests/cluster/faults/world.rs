//! The two namespaces that the operator watches in a history, and what is made in them.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
    runtime::wait::await_condition,
};
use serde_json::{Value, json};

use super::cast::Slot;
use crate::{
    connections::other_namespace,
    harness::{self, Test, patience, text},
    harness_more::{CONNECTION, reason_of},
};

/// The Secret with the token, in both namespaces.
pub const TOKEN: &str = "authentik";

/// One of the two namespaces.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum At {
    /// The test's own. It stays.
    Home,
    /// The other, which is deleted with all that is in it.
    Away,
}

/// Both namespaces.
pub struct World<'a> {
    test: &'a Test,
    away: String,
}

impl<'a> World<'a> {
    /// Makes the second namespace.
    pub async fn begin(test: &'a Test, kinds: &[&str]) -> Self {
        let away = other_namespace(test).await;
        let world = Self { test, away };
        for kind in kinds {
            test.record.follow(kind, world.api(At::Away, kind));
        }
        world
    }

    /// The namespace's name.
    pub fn namespace(&self, at: At) -> &str {
        match at {
            At::Home => &self.test.namespace,
            At::Away => &self.away,
        }
    }

    /// A resource as messages name it.
    pub fn id(&self, slot: Slot) -> String {
        let Slot { at, kind, name } = slot;
        format!("{kind} {}/{name}", self.namespace(at))
    }

    /// Objects of one of our kinds.
    pub fn api(&self, at: At, kind: &str) -> Api<DynamicObject> {
        harness::api(&self.test.kube, self.namespace(at), kind)
    }

    /// The Secrets of a namespace.
    pub fn secrets(&self, at: At) -> Api<Secret> {
        Api::namespaced(self.test.kube.clone(), self.namespace(at))
    }

    /// Applies a spec.
    pub async fn apply(&self, at: At, kind: &str, name: &str, spec: &Value) -> DynamicObject {
        let object = json!({
            "apiVersion": "authentik-operator.io/v1alpha1", "kind": kind,
            "metadata": {"name": name, "labels": {"test": self.test.namespace}}, "spec": spec,
        });
        let params = PatchParams::apply("test").force();
        let api = self.api(at, kind);
        let applied = api.patch(name, &params, &Patch::Apply(object)).await;
        let applied = applied.expect("the resource is accepted");
        self.test.record.note(kind, &applied);
        applied
    }

    /// A Secret with this data.
    pub async fn secret(&self, at: At, name: &str, data: Value) {
        for value in data.as_object().expect("data by key").values() {
            self.test.canaries.add(text(value));
        }
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        let params = PatchParams::apply("test").force();
        let secrets = self.secrets(at);
        let applied = secrets.patch(name, &params, &Patch::Apply(secret)).await;
        applied.expect("the Secret is accepted");
    }

    /// The connection to the healthy server, and the Secret with its token.
    pub async fn connect(&self, at: At) {
        let token = json!({"token": self.test.token()});
        self.secret(at, TOKEN, token).await;
        let spec = json!({
            "url": self.test.gateway.url(), "resyncInterval": "1s", "timeout": "2s",
            "tokenSecretRef": {"name": TOKEN, "key": "token"},
        });
        self.apply(at, CONNECTION, "default", &spec).await;
        let is_connected =
            |object: Option<&DynamicObject>| object.and_then(reason_of) == Some("Connected");
        let connected = await_condition(self.api(at, CONNECTION), "default", is_connected);
        let connected = tokio::time::timeout(patience(), connected).await;
        assert!(connected.is_ok(), "no connection in {}", self.namespace(at));
    }
}
