//! The span of one request, named as OpenTelemetry's semantic conventions for HTTP clients have it, and the headers
//! that tell the server of it.

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry_http::HeaderInjector;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use reqwest::{Method, StatusCode, Url, header::HeaderMap};
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::error::Error;

/// A span for this request. `path` is its path below `root` without what differs from object to object. A query is
/// left out: it may hold anything.
pub(super) fn request(method: &Method, url: &Url, root: &str, path: &str) -> Span {
    let method = method.as_str();
    let template = format!("{root}/{path}/");
    let mut url = url.clone();
    url.set_query(None);
    tracing::debug_span!(
        "request",
        otel.name = format!("{method} {template}"),
        otel.kind = "client",
        otel.status_code = Empty,
        error.type = Empty,
        http.request.method = method,
        http.response.status_code = Empty,
        server.address = url.host_str(),
        // Numbers without a sign would be exported as text.
        server.port = url.port_or_known_default().map(i64::from),
        url.full = %url,
        url.template = template,
    )
}

/// Notes on the span what came of the request.
pub(super) fn ended(span: &Span, status: Option<StatusCode>, error: Option<&Error>) {
    if let Some(status) = status {
        span.record("http.response.status_code", i64::from(status.as_u16()));
    }
    let kind = match (status, error) {
        (Some(status), _) if status.is_client_error() || status.is_server_error() => {
            status.as_u16().to_string()
        }
        (None, Some(error)) => error.to_string(),
        _ => return,
    };
    span.record("error.type", kind);
    span.record("otel.status_code", "ERROR");
}

/// W3C trace context of the current span.
pub(super) fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    TraceContextPropagator::new().inject_context(
        &Span::current().context(),
        &mut HeaderInjector(&mut headers),
    );
    headers
}
