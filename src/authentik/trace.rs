//! The span of one request, named as OpenTelemetry's semantic conventions for HTTP clients have it, and the headers
//! that tell the server of it.

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry_http::HeaderInjector;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use reqwest::header::HeaderMap;
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{
    error::Error,
    transport::{Answer, Request},
};

/// A span for this request. `path` is its path below `root` without what differs from object to object. A query is
/// left out: it may hold anything.
pub(super) fn request(request: &Request<'_>, root: &str, path: &str) -> Span {
    let method = request.method.as_str();
    let template = format!("{root}/{path}/");
    let mut url = request.url.clone();
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
pub(super) fn answered(span: &Span, result: &Result<Answer, Error>) {
    let kind = match result {
        Ok(answer) => {
            let status = answer.status.as_u16();
            span.record("http.response.status_code", i64::from(status));
            match answer.status.is_client_error() || answer.status.is_server_error() {
                true => status.to_string(),
                false => return,
            }
        }
        // A fixed phrase.
        Err(error) => error.to_string(),
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
