//! More for a test to work with: other namespaces, other servers, and what stands between.

use std::{future::Future, sync::Arc};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use devkit::{gateway::Gateway, simulator::Simulator};
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api,
    api::{DynamicObject, ListParams, Patch, PatchParams},
    runtime::wait::await_condition,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{self, Authentik, Test, condition, patience};

/// The kinds of connection.
pub const CONNECTION: &str = "AuthentikConnection";
pub const CLUSTER_CONNECTION: &str = "ClusterAuthentikConnection";

/// One namespace of a test that has several.
pub struct Elsewhere<'a> {
    test: &'a Test,
    pub namespace: String,
}

impl<'a> Elsewhere<'a> {
    /// A new namespace. No operator watches it yet.
    pub async fn new(test: &'a Test) -> Self {
        let namespace = crate::connections::other_namespace(test).await;
        Self { test, namespace }
    }

    /// Objects of one of our kinds in it.
    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        harness::api(&self.test.kube, &self.namespace, kind)
    }

    /// Applies a spec.
    pub async fn apply(&self, kind: &str, name: &str, spec: Value) {
        let object = json!({
            "apiVersion": "authentik-operator.io/v1alpha1", "kind": kind,
            "metadata": {"name": name}, "spec": spec,
        });
        let params = PatchParams::apply("test").force();
        let (api, object) = (self.api(kind), Patch::Apply(object));
        let applied = api.patch(name, &params, &object).await;
        applied.expect("the resource is accepted");
    }

    /// A connection to this server, with the token of the Secret `authentik`.
    pub async fn connection(&self, name: &str, url: &str) {
        let token = json!({"name": "authentik", "key": "token"});
        let spec = json!({"url": url, "tokenSecretRef": token, "resyncInterval": "1s"});
        self.apply(CONNECTION, name, spec).await;
    }

    /// The Secret `authentik`.
    pub async fn token(&self, token: &str) {
        crate::connections::secret_in(self.test, &self.namespace, token).await;
    }

    /// Waits until the resource's `Ready` condition has this reason.
    pub async fn reason(&self, kind: &str, name: &str, reason: &str) -> DynamicObject {
        let found = |object: Option<&DynamicObject>| {
            object.is_some_and(|object| reason_of(object) == Some(reason))
        };
        let waited = await_condition(self.api(kind), name, found);
        match tokio::time::timeout(patience(), waited).await {
            Ok(object) => object.expect("the watch goes on").expect("it is there"),
            Err(_) => panic!(
                "{kind} {name} is not {reason} in time; it is {:?}",
                self.api(kind).get_opt(name).await
            ),
        }
    }
}

/// The reason of the `Ready` condition, if there is one.
pub fn reason_of(object: &DynamicObject) -> Option<&str> {
    condition(object, "Ready")?["reason"].as_str()
}

/// An authentik beside the test's own, and the gateway to it.
pub struct Beside {
    pub authentik: Authentik,
    pub gateway: Gateway,
    /// It stops when this is dropped.
    _simulator: Simulator,
}

impl Beside {
    /// A server restored from a backup that was made of another at this moment.
    pub async fn restored_from(other: &Simulator) -> Self {
        let simulator = Simulator::start_from(other).await;
        Self {
            authentik: Authentik::at(&simulator.url(), simulator.token().to_owned()),
            gateway: Gateway::in_front_of(&simulator.url()).launch().await,
            _simulator: simulator,
        }
    }
}

/// A request on its way to a server.
pub struct Passing {
    pub method: Method,
    pub headers: HeaderMap,
    /// Its body, if that is JSON: what the server will be sent.
    pub body: Option<Value>,
}

/// A server in front of another, which may change the body of a request or answer in the other's place. Returns its URL.
pub async fn between(
    upstream: String,
    act: impl Fn(&mut Passing) -> Option<Response> + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("there is a free port");
    let url = format!("http://{}", listener.local_addr().expect("it has one"));
    let (upstream, act) = (Arc::new(upstream), Arc::new(act));
    let client = reqwest::Client::new();
    let handle = move |request: Request| {
        let (upstream, act, client) = (upstream.clone(), act.clone(), client.clone());
        async move { pass(&upstream, &client, request, &*act).await }
    };
    let server = axum::serve(listener, Router::new().fallback(handle));
    tokio::spawn(server.into_future());
    url
}

async fn pass(
    upstream: &str,
    client: &reqwest::Client,
    request: Request,
    act: &(impl Fn(&mut Passing) -> Option<Response> + ?Sized),
) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("a body of our own");
    let mut passing = Passing {
        method: parts.method,
        headers: parts.headers,
        body: serde_json::from_slice(&body).ok(),
    };
    if let Some(answer) = act(&mut passing) {
        return answer;
    }
    let target = parts.uri.path_and_query().expect("it has a path");
    let mut sent = client.request(passing.method, format!("{upstream}{target}"));
    if let Some(authorization) = passing.headers.get(header::AUTHORIZATION) {
        sent = sent.header(header::AUTHORIZATION, authorization);
    }
    if let Some(body) = &passing.body {
        sent = sent.json(body);
    }
    let Ok(answer) = sent.send().await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let (status, kind) = (answer.status(), answer.headers().get(header::CONTENT_TYPE));
    let kind = kind.cloned();
    let body: Bytes = answer.bytes().await.unwrap_or_default();
    let mut passed = (status, body).into_response();
    match kind {
        Some(kind) => passed.headers_mut().insert(header::CONTENT_TYPE, kind),
        None => passed.headers_mut().remove(header::CONTENT_TYPE),
    };
    passed
}

/// The events of a namespace that warn: what each is about, its reason and its note.
pub async fn warnings(test: &Test) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(test.kube.clone(), &test.namespace);
    let events = events.list(&ListParams::default()).await;
    let warns = |event: &Event| event.type_.as_deref() == Some("Warning");
    let events = events.expect("events are listed").items.into_iter();
    let told = |event: Event| {
        let about = event.regarding.and_then(|about| about.name);
        format!(
            "{}: {}: {}",
            about.unwrap_or_default(),
            event.reason.unwrap_or_default(),
            event.note.unwrap_or_default()
        )
    };
    events.filter(warns).map(told).collect()
}

/// Waits until a condition holds of what tells nobody when it changes.
pub async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let waited = async {
        while !condition().await {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(patience(), waited).await;
    assert!(waited.is_ok(), "not {what} in time");
}
