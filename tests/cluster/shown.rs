//! The values of secrets show nowhere, whatever a server says of them.

use devkit::gateway::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::{
    fields::probe::{self, Case, Known, object},
    harness::{Test, collection, test, text, with},
    program::Program,
    traces::{Collector, SOON},
};

fn respond(status: u16, content_type: &str, body: String) -> FaultKind {
    FaultKind::Respond {
        status,
        content_type: content_type.to_owned(),
        body,
        forward: false,
    }
}

/// Answers that repeat these secrets, and what a resource that meets them says.
fn repeating(field: &str, secrets: &str) -> [(&'static str, FaultKind, &'static str); 8] {
    let json = |status, body: Value| respond(status, "application/json", body.to_string());
    let html = |status| respond(status, "text/html", secrets.to_owned());
    let denied = json!({"detail": format!("You do not have {secrets}")});
    let cut = format!("{{\"x\": \"{secrets}");
    [
        ("field", json(400, json!({ field: [secrets] })), "Rejected"),
        ("text", json(400, json!([secrets])), "Rejected"),
        ("page", html(400), "AuthentikUnavailable"),
        ("denied", json(403, denied), "AccessDenied"),
        ("crash", html(405), "AuthentikUnavailable"),
        (
            "empty-crash",
            FaultKind::InternalError { effect: false },
            "AuthentikUnavailable",
        ),
        (
            "garbage",
            respond(200, "application/json", cut),
            "AuthentikUnavailable",
        ),
        ("alien", html(201), "AuthentikUnavailable"),
    ]
}

fn secrets(known: &Known) -> impl Iterator<Item = &Case> + Clone {
    known.cases.iter().filter(|case| case.row.field.is_secret)
}

/// A spec with each secret field of the kind, for an object of this name.
fn spec(test: &Test, known: &Known, name: &str) -> Value {
    let all = object(secrets(known).map(|case| (case.spec(), &case.values[0].spec)));
    let spec = with(known.base(test), all);
    with(spec, json!({ known.table.label.spec: test.name(name) }))
}

/// Lets resources of this kind meet a server that repeats what it was sent.
async fn meet(test: &Test, known: &Known) {
    let kind = known.table.kind;
    let values = secrets(known).map(|case| text(&case.values[0].api));
    let values: Vec<_> = values.chain([test.token()]).collect();
    let field = secrets(known).next().expect("it has one").api();
    for (name, answer, reason) in repeating(field, &values.join(" ")) {
        let fault = Fault::new(answer).writes().path(collection(kind));
        let fault = test.gateway.inject(fault);
        let name = format!("{name}-{}", known.table.resource());
        test.apply(kind, &name, spec(test, known, &name)).await;
        test.reason(kind, &name, reason).await;
        test.gateway.remove(fault);
    }
    // Asked for a look at once, none waits any more, and this time the server takes it.
    let name = format!("crash-{}", known.table.resource());
    test.request_reconcile(kind, &name, "now").await;
    test.in_sync(kind, &name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_shows_in_logs_events_spans_or_status() {
    test(async |test| {
        test.take_operator().await.stop().await;
        let collector = Collector::start(test, "127.0.0.1:0").await;
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url());
        let args = ["--leader-election", "false"];
        let program = Program::start(test, &args, &[endpoint, SOON]);
        test.connect().await;
        let known = probe::kinds(test).await.0.into_iter();
        let known: Vec<_> = known
            .filter(|known| secrets(known).next().is_some())
            .collect();
        assert!(known.len() > 1, "not every kind with secrets is found");
        for known in &known {
            meet(test, known).await;
            let span = format!("POST /api/v3/{}", collection(known.table.kind));
            collector.named(&span).await;
        }
        // What is said is searched in every test; here it is seen to be said.
        let log = program.kill().await.concat();
        for line in [
            "asked authentik",
            "Rejected",
            "AuthentikUnavailable",
            "TRACE",
        ] {
            assert!(log.contains(line), "{line} is not logged");
        }
    })
    .await;
}
