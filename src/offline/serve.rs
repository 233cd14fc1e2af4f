//! The desk as a Kubernetes API: as much of it as the controller asks for.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, patch, post},
};
use futures::stream;
use serde_json::{Value, json};

use super::desk::{Desk, Name, merge};
use crate::api::{GROUP, VERSION};

/// The most bytes of a request of the controller's.
const LARGEST: usize = 8 * 1024 * 1024;

/// Told of every event that the controller publishes.
pub type OnEvent = Arc<dyn Fn(&Value) + Send + Sync>;

#[derive(Clone)]
struct Api {
    desk: Arc<Desk>,
    on_event: OnEvent,
}

/// A client of the desk.
pub fn client(desk: Arc<Desk>, on_event: OnEvent) -> kube::Client {
    let ours = format!("/apis/{GROUP}/{VERSION}");
    let router = Router::new()
        .route(&format!("{ours}/{{plural}}"), get(list))
        .route(&format!("{ours}/{{plural}}/{{name}}"), patch(change_meta))
        .route(
            &format!("{ours}/{{plural}}/{{name}}/status"),
            patch(change_status),
        )
        .route(
            &format!("{ours}/namespaces/{{namespace}}/{{plural}}/{{name}}"),
            get(one).patch(change_own_meta),
        )
        .route(
            &format!("{ours}/namespaces/{{namespace}}/{{plural}}/{{name}}/status"),
            patch(change_own_status),
        )
        .route("/api/v1/{plural}", get(list))
        .route("/api/v1/namespaces/{namespace}/{plural}/{name}", get(one))
        .route(
            "/apis/events.k8s.io/v1/namespaces/{namespace}/events",
            post(event),
        )
        .route(
            "/apis/events.k8s.io/v1/namespaces/{namespace}/events/{name}",
            patch(event_again),
        )
        .with_state(Api { desk, on_event });
    kube::Client::new(router, "default")
}

fn json(value: &Value) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        value.to_string(),
    )
        .into_response()
}

fn refused(code: StatusCode, reason: &str) -> Response {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code.as_u16(), "reason": reason,
        "message": reason,
    });
    (code, json(&status)).into_response()
}

fn not_found() -> Response {
    refused(StatusCode::NOT_FOUND, "NotFound")
}

async fn list(State(api): State<Api>, Path(plural): Path<String>, uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default();
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    if matches!(parameter("watch"), Some("true" | "1")) {
        let after = parameter("resourceVersion").and_then(|version| version.parse().ok());
        return watch(api.desk, plural, after.unwrap_or(0));
    }
    let (items, version) = api.desk.list(&plural);
    json(&json!({
        "apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": version.to_string()}, "items": items,
    }))
}

/// Shows what changes, for as long as anybody looks.
fn watch(desk: Arc<Desk>, plural: String, after: u64) -> Response {
    let lines = stream::unfold(after, move |after| {
        let (desk, plural) = (desk.clone(), plural.clone());
        async move {
            let (changes, seen) = desk.next(&plural, after).await;
            let lines = changes
                .iter()
                .map(|object| format!("{}\n", json!({"type": "MODIFIED", "object": object})));
            let lines = Bytes::from(lines.collect::<String>());
            Some((Ok::<_, Infallible>(lines), seen))
        }
    });
    let body = Body::from_stream(lines);
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn one(
    State(api): State<Api>,
    Path((namespace, plural, name)): Path<(String, String, String)>,
) -> Response {
    let found = api.desk.get(&(plural, namespace, name));
    found.map_or_else(not_found, |object| json(&object))
}

async fn change_own_status(
    State(api): State<Api>,
    Path((namespace, plural, name)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    set_status(&api, &(plural, namespace, name), &headers, body).await
}

async fn change_status(
    State(api): State<Api>,
    Path((plural, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    set_status(&api, &(plural, String::new(), name), &headers, body).await
}

async fn set_status(api: &Api, name: &Name, headers: &HeaderMap, body: Body) -> Response {
    let Some(Value::Object(patch)) = read(body).await else {
        return refused(StatusCode::BAD_REQUEST, "BadRequest");
    };
    let kind = headers.get(header::CONTENT_TYPE);
    let merges = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/merge-patch"));
    let status = patch.get("status").cloned().unwrap_or_default();
    let changed = api.desk.change(name, |object| {
        let known = object.entry("status").or_insert_with(|| json!({}));
        match (known.as_object_mut(), status.as_object()) {
            (Some(known), Some(patch)) if merges => merge(known, patch),
            _ => *known = status,
        }
    });
    changed.map_or_else(not_found, |object| json(&object))
}

async fn change_own_meta(
    State(api): State<Api>,
    Path((namespace, plural, name)): Path<(String, String, String)>,
    body: Body,
) -> Response {
    set_meta(&api, &(plural, namespace, name), body).await
}

async fn change_meta(
    State(api): State<Api>,
    Path((plural, name)): Path<(String, String)>,
    body: Body,
) -> Response {
    set_meta(&api, &(plural, String::new(), name), body).await
}

async fn set_meta(api: &Api, name: &Name, body: Body) -> Response {
    let patch = read(body).await;
    let patch = patch
        .as_ref()
        .and_then(|patch| patch.get("metadata")?.as_object());
    let Some(patch) = patch else {
        return refused(StatusCode::BAD_REQUEST, "BadRequest");
    };
    let changed = api.desk.change(name, |object| {
        if let Some(Value::Object(meta)) = object.get_mut("metadata") {
            merge(meta, patch);
        }
    });
    changed.map_or_else(not_found, |object| json(&object))
}

async fn event(State(api): State<Api>, body: Body) -> Response {
    let Some(event) = read(body).await else {
        return refused(StatusCode::BAD_REQUEST, "BadRequest");
    };
    (api.on_event)(&event);
    (StatusCode::CREATED, json(&event)).into_response()
}

async fn event_again() -> Response {
    not_found()
}

async fn read(body: Body) -> Option<Value> {
    let bytes = axum::body::to_bytes(body, LARGEST).await.ok()?;
    serde_json::from_slice(&bytes).ok()
}
