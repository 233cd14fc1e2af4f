//! Traces: requests to authentik carry the context of the reconcile that sent them, and a collector gets both.

use std::{collections::HashMap, net::SocketAddr};

use axum::{Router, body::Bytes, http::StatusCode, routing::post};
use devkit::gateway::{Exchange, Fault, FaultKind};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    trace::v1::{ResourceSpans, Span, status::StatusCode as SpanStatus},
};
use prost::Message;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    harness::{Test, VALIDATE, patience, test},
    program::Program,
};

/// How long spans are collected before they are sent.
pub const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "50");

/// A collector: takes spans by OTLP over HTTP.
pub struct Collector {
    address: SocketAddr,
    received: watch::Receiver<Vec<ResourceSpans>>,
    task: JoinHandle<()>,
}

impl Collector {
    /// Listens at this address; port 0 is any that is free.
    pub async fn start(test: &Test, address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let address = listener.local_addr().expect("it has an address");
        let (sender, received) = watch::channel(Vec::new());
        let canaries = test.canaries.clone();
        let take = async move |body: Bytes| {
            canaries.search("the exported spans", &body);
            let request = ExportTraceServiceRequest::decode(body).expect("it is OTLP");
            sender.send_modify(|spans| spans.extend(request.resource_spans));
            StatusCode::OK
        };
        let app = Router::new().route("/v1/traces", post(take));
        let task = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("it serves");
        });
        Self {
            address,
            received,
            task,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for a span of this name.
    pub async fn named(&self, name: &str) {
        let mut received = self.received.clone();
        let is_there =
            |received: &Vec<ResourceSpans>| spans(received).any(|span| span.name == name);
        let found = tokio::time::timeout(patience(), received.wait_for(is_there)).await;
        let found = found.unwrap_or_else(|_| panic!("there is no span {name}"));
        found.expect("the collector goes on");
    }

    /// Waits for the span with this id, in hex.
    async fn span(&self, id: &str) -> Span {
        let of_id = |span: &Span| hex(&span.span_id) == id;
        let mut received = self.received.clone();
        let found = received.wait_for(|received| spans(received).any(of_id));
        let found = tokio::time::timeout(patience(), found).await;
        let found = found.unwrap_or_else(|_| panic!("there is no span {id}"));
        let found = found.expect("the collector goes on");
        spans(&found)
            .find(|span| of_id(span))
            .expect("it is there")
            .clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn spans(received: &[ResourceSpans]) -> impl Iterator<Item = &Span> {
    let scopes = received.iter().flat_map(|resource| &resource.scope_spans);
    scopes.flat_map(|scope| &scope.spans)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(list: &[KeyValue]) -> HashMap<&str, Value> {
    let value = |value: &Option<AnyValue>| match value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(json!(text)),
        any_value::Value::IntValue(number) => Some(json!(number)),
        any_value::Value::BoolValue(truth) => Some(json!(truth)),
        any_value::Value::DoubleValue(number) => Some(json!(number)),
        other => panic!("not expected: {other:?}"),
    };
    let pairs = list
        .iter()
        .map(|pair| (pair.key.as_str(), value(&pair.value)));
    pairs
        .map(|(key, value)| (key, value.unwrap_or_default()))
        .collect()
}

/// The trace's id, the span's id and the flags that a request carried.
fn context(exchange: &Exchange) -> (String, String, String) {
    let header = exchange
        .traceparent
        .as_deref()
        .expect("there is a traceparent");
    let parts: Vec<_> = header.split('-').collect();
    let [version, trace, span, flags] = parts[..] else {
        panic!("{header} has not four parts");
    };
    let is_hex = |text: &str| {
        text.bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    assert!(parts.iter().all(|part| is_hex(part)), "{header}");
    assert_eq!(
        (version, trace.len(), span.len(), flags.len()),
        ("00", 32, 16, 2),
        "{header}"
    );
    assert!(
        trace.contains(|c| c != '0') && span.contains(|c| c != '0'),
        "{header}"
    );
    (trace.to_owned(), span.to_owned(), flags.to_owned())
}

/// Replaces the operator by the program.
async fn program(test: &Test, env: &[(&str, &str)]) -> Program {
    test.take_operator().await.stop().await;
    Program::start(test, &["--leader-election", "false"], env)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_each_reconcile_with_its_requests() {
    test(async |test| {
        let collector = Collector::start(test, "127.0.0.1:0").await;
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url());
        let program = program(test, &[endpoint, SOON]).await;
        test.connect().await;
        test.validate("mfa", json!({"deviceClasses": ["totp"]}))
            .await;
        test.in_sync(VALIDATE, "mfa").await;
        let audit = test.gateway.audit();
        let write = audit
            .iter()
            .find(|exchange| exchange.is_write())
            .expect("a creation");
        let (trace, id, flags) = context(write);
        assert_eq!(flags, "01");

        let request = collector.span(&id).await;
        let found = attributes(&request.attributes);
        let address = test.gateway.address();
        assert_eq!(request.name, "POST /api/v3/stages/authenticator/validate/");
        assert_eq!(hex(&request.trace_id), trace);
        for (key, value) in [
            ("http.request.method", json!("POST")),
            ("http.response.status_code", json!(201)),
            ("server.address", json!("127.0.0.1")),
            ("server.port", json!(address.port())),
            (
                "url.template",
                json!("/api/v3/stages/authenticator/validate/"),
            ),
        ] {
            assert_eq!(found.get(key), Some(&value), "{key}: {found:?}");
        }

        let reconcile = collector.span(&hex(&request.parent_span_id)).await;
        let found = attributes(&reconcile.attributes);
        assert_eq!(reconcile.name, "reconcile");
        assert_eq!(
            (hex(&reconcile.trace_id), reconcile.parent_span_id.len()),
            (trace, 0)
        );
        for (key, value) in [
            ("kind", VALIDATE),
            ("namespace", &test.namespace),
            ("name", "mfa"),
            ("result", "InSync"),
        ] {
            assert_eq!(found.get(key), Some(&json!(value)), "{key}: {found:?}");
        }

        for exchange in &audit {
            let (_, id, _) = context(exchange);
            let span = collector.span(&id).await;
            let text = format!("{:?}", span.attributes);
            assert!(
                !text.contains('?') && !text.contains(test.token()),
                "{text}"
            );
        }
        let received = collector.received.borrow();
        let resource = received[0].resource.as_ref().expect("it is named");
        assert_eq!(
            attributes(&resource.attributes)["service.name"],
            "authentik-stage-operator"
        );
        drop(received);
        program.terminate().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_reconcile_is_a_failed_span() {
    test(async |test| {
        let collector = Collector::start(test, "127.0.0.1:0").await;
        let endpoint = format!("{}/v1/traces", collector.url());
        let program = program(
            test,
            &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &endpoint), SOON],
        )
        .await;
        test.connect().await;
        let refusal = FaultKind::Respond {
            status: 400,
            content_type: "application/json".to_owned(),
            body: json!({"device_classes": ["no"]}).to_string(),
            forward: false,
        };
        test.gateway.inject(Fault::new(refusal).writes());
        test.validate("mfa", json!({"deviceClasses": ["totp"]}))
            .await;
        test.reason(VALIDATE, "mfa", "Rejected").await;
        let audit = test.gateway.audit();
        let write = audit
            .iter()
            .find(|exchange| exchange.is_write())
            .expect("an attempt");
        let request = collector.span(&context(write).1).await;
        let reconcile = collector.span(&hex(&request.parent_span_id)).await;
        for span in [&request, &reconcile] {
            let status = span.status.as_ref().expect("a status");
            assert_eq!(status.code(), SpanStatus::Error, "{span:?}");
        }
        assert_eq!(attributes(&request.attributes)["error.type"], "400");
        assert_eq!(attributes(&reconcile.attributes)["result"], "Rejected");
        program.terminate().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_requests_carry_a_context_that_nobody_records() {
    test(async |test| {
        let program = program(test, &[]).await;
        test.connect().await;
        for name in ["one", "two"] {
            test.validate(name, json!({"deviceClasses": ["totp"]}))
                .await;
            test.in_sync(VALIDATE, name).await;
        }
        let audit = test.gateway.audit();
        assert!(audit.iter().all(|exchange| context(exchange).2 == "00"));
        let writes = audit.iter().filter(|exchange| exchange.is_write());
        let traces: Vec<_> = writes.map(|exchange| context(exchange).0).collect();
        assert_eq!(traces.len(), 2);
        assert_ne!(traces[0], traces[1], "each reconcile is a trace of its own");
        program.terminate().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_down_disturbs_nothing_and_is_told_of_once() {
    test(async |test| {
        let collector = Collector::start(test, "127.0.0.1:0").await;
        let (address, url) = (collector.address.to_string(), collector.url());
        drop(collector);
        let program = program(test, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url), SOON]).await;
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        test.validate("mfa", json!({"deviceClasses": ["totp"]}))
            .await;
        test.in_sync(VALIDATE, "mfa").await;
        program.logs("the collector can't be reached").await;
        test.resyncs(2).await;
        assert_eq!(program.logged("the collector").len(), 1);

        let collector = Collector::start(test, &address).await;
        program.logs("traces are sent again").await;
        let audit = test.gateway.audit();
        assert!(audit.iter().all(|exchange| exchange.traceparent.is_some()));
        drop(collector);
        program.terminate().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_does_not_keep_the_program_from_ending() {
    test(async |test| {
        // It takes connections, and that is all.
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", silent.local_addr().expect("it has an address"));
        let program = program(test, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url), SOON]).await;
        test.connect().await;
        let taken = tokio::time::timeout(patience(), silent.accept()).await;
        let _connection = taken.expect("spans are sent").expect("it is taken");
        program.terminate().await;
    })
    .await;
}
