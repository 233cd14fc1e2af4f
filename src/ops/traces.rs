//! Traces: one a reconcile, whose requests carry it to authentik as W3C trace context; and their export by OTLP.

use std::{
    env,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};
use reqwest::{Client, redirect::Policy};
use tokio::runtime::Handle;
use tracing::{Metadata, Span, Subscriber, field::Empty};
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

use crate::api::MANAGER;

/// The full URL that traces are sent to, which counts before the flag.
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

/// How long a collector may take to accept spans.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the spans of the last moments may take to be sent when the program ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Makes the spans, and sends them where a collector is configured.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Prepares the export to the collector at this base URL, to which `/v1/traces` is added. Without one, and
    /// without `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, requests carry a trace context that says "not sampled" and
    /// nothing is kept. The rest is configured by the environment, as OpenTelemetry's SDK reads it.
    ///
    /// # Errors
    /// When the URL can't be used.
    pub fn new(endpoint: Option<&str>) -> Result<Self, String> {
        let endpoint = match env::var(TRACES_ENDPOINT) {
            Ok(url) if !url.is_empty() => Some(url),
            _ => endpoint.filter(|base| !base.is_empty()).map(below),
        };
        let provider = SdkTracerProvider::builder();
        let provider = match endpoint {
            None => provider.with_sampler(Sampler::AlwaysOff),
            Some(url) => provider
                .with_resource(resource())
                .with_batch_exporter(exporter(&url)?),
        };
        Ok(Self(provider.build()))
    }

    /// What turns this program's `tracing` spans into OpenTelemetry's.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(MANAGER))
            .with_context_activation(false)
            .with_level(false)
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_ours))
    }

    /// Sends what has not been sent yet.
    pub async fn end(self) {
        let ended = tokio::task::spawn_blocking(move || {
            // Whether the collector took it has been logged.
            let _ = self.0.shutdown_with_timeout(LAST_WORDS);
        });
        let _ = ended.await;
    }
}

/// Spans of this crate. Events stay logs.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
}

fn below(base: &str) -> String {
    format!("{}/v1/traces", base.trim_end_matches('/'))
}

/// What the spans are of. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` may name it otherwise.
fn resource() -> Resource {
    let named = env::var_os("OTEL_SERVICE_NAME").is_some()
        || env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|list| list.contains("service.name="));
    let resource = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    match named {
        true => resource.build(),
        false => resource.with_service_name(MANAGER).build(),
    }
}

fn exporter(url: &str) -> Result<SpanExporter, String> {
    // The text of an error may repeat the URL, and that a password.
    let refused = "--otlp-endpoint: not an http or https URL that traces can be sent to";
    SpanExporter::builder()
        .with_http()
        .with_http_client(collector(url).map_err(|_| refused)?)
        .with_endpoint(url)
        .build()
        .map_err(|_| refused.to_owned())
}

/// Sends spans from the program's own runtime: the exporter's thread has none.
#[derive(Debug)]
struct Collector {
    http: Client,
    runtime: Handle,
    /// Whether it is known that nothing arrives.
    failing: AtomicBool,
}

fn collector(url: &str) -> reqwest::Result<Collector> {
    // An error says that one was chosen before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A header that lets the operator in is for the collector alone: no redirect takes it elsewhere.
    let builder = Client::builder().redirect(Policy::none()).timeout(TIMEOUT);
    let http = if url.starts_with("https:") {
        builder.build()
    } else {
        // Plain HTTP has no reason to load the system's certificates.
        builder.tls_certs_only([]).build()
    };
    Ok(Collector {
        http: http?,
        runtime: Handle::current(),
        failing: AtomicBool::new(false),
    })
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sent = self
            .runtime
            .spawn(async move { http.send_bytes(request).await });
        let answer = sent.await?;
        let arrived = answer
            .as_ref()
            .is_ok_and(|answer| answer.status().is_success());
        if self.failing.swap(!arrived, Ordering::Relaxed) == arrived {
            self.tell(&answer);
        }
        answer
    }
}

impl Collector {
    /// Logs once that nothing arrives, and once that it does again.
    fn tell(&self, answer: &Result<Response<Bytes>, HttpError>) {
        match answer {
            Ok(answer) if answer.status().is_success() => tracing::info!("traces are sent again"),
            Ok(answer) => tracing::warn!(
                status = answer.status().as_u16(),
                "the collector refuses the traces; they are lost until it takes them"
            ),
            // Its text would hold the collector's URL.
            Err(_) => {
                tracing::warn!("the collector can't be reached; traces are lost until it can")
            }
        }
    }
}

/// The span of one reconcile: the root of a trace.
pub fn reconcile(kind: &'static str, namespace: &str, name: &str) -> Span {
    tracing::debug_span!(
        parent: None,
        "reconcile",
        kind,
        namespace,
        name,
        result = Empty,
        otel.status_code = Empty,
    )
}

/// Notes on the span of the reconcile under way how it ends: with a `Ready` reason, for one.
pub fn ends(result: &str, failed: bool) {
    let span = Span::current();
    span.record("result", result);
    if failed {
        span.record("otel.status_code", "ERROR");
    }
}
