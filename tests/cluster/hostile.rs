//! Servers that answer with the worst there is: it costs neither memory nor secrets, and nobody but their own resources.

use std::time::Duration;

use devkit::{
    gateway::{Exchange, Fault, FaultKind},
    hostile::{ECHOED, Hostile, Manner, Requests, Row},
};
use futures::future::join_all;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use crate::{
    harness::{
        DUO, Test, VALIDATE, collection, condition, message, patch, patience, test, text, with,
    },
    program::Program,
};

const CONNECTION: &str = "AuthentikConnection";

/// The most memory that bad servers may cost: with what a release build has beside a healthy one (24 MiB), 96 MiB. What
/// the present build has by itself depends on how it was compiled.
const MOST: usize = 72 << 20;

/// A big answer.
const BIG: usize = 28 << 20;

/// A bad answer of which several fit into the memory, and many don't.
const MIDDLING: usize = 3 << 20;

/// A bad server.
struct Bad {
    name: &'static str,
    answers: (Requests, Manner),
    /// How many connections lead there.
    connections: usize,
}

fn bad(name: &'static str, connections: usize, requests: Requests, manner: Manner) -> Bad {
    Bad {
        name,
        answers: (requests, manner),
        connections,
    }
}

impl Bad {
    /// Whether a connection to it can be used as far as the probe tells.
    fn is_usable(&self) -> bool {
        !matches!(self.answers.0, Requests::All | Requests::Probe)
    }
}

fn servers() -> Vec<Bad> {
    use Manner::{Half, Never, Numbers, Unavailable};
    use Requests::{All, Lists, NoProbe, Probe, Writes};
    let rows = |row, rows, endless| Manner::Rows { row, rows, endless };
    vec![
        bad("silent", 2, All, Never),
        bad("probe", 3, Probe, Numbers(BIG)),
        bad("half-probe", 2, Probe, Half(BIG)),
        bad("numbers", 3, NoProbe, Numbers(BIG)),
        bad("middling", 8, NoProbe, Numbers(MIDDLING)),
        bad("writes", 2, Writes, Numbers(BIG)),
        bad("half", 2, Lists, Half(BIG)),
        bad("half-middling", 3, Lists, Half(MIDDLING)),
        bad("name", 2, Lists, rows(Row::Named(2 << 20), 1, false)),
        bad("names", 2, Lists, rows(Row::Named(2 << 20), 9, false)),
        bad("arrays", 2, Lists, rows(Row::Arrays(200_000), 4, false)),
        bad("pages", 1, Lists, rows(Row::Named(3_000), 100, true)),
        bad("array-pages", 1, Lists, rows(Row::Arrays(100), 100, true)),
        bad("unavailable", 2, NoProbe, Unavailable { retry_after: 1 }),
    ]
}

/// Applies a connection of this name to a server, and stages that make the operator read as much as it ever does.
async fn apply(test: &Test, name: &str, url: &str) -> Vec<String> {
    let settings = json!({"resyncInterval": "3s", "timeout": "10s"});
    test.connection(name, url, settings).await;
    let elsewhere = json!({
        "notConfiguredAction": "configure",
        "configurationStages": [{"name": "nowhere"}],
        "webauthnAllowedDeviceTypes": [{"description": "none"}],
        "flows": [{"flow": {"slug": "nowhere"}, "order": 1}],
    });
    let specs = [
        ("plain", json!({})),
        ("observer", json!({"managementPolicy": "Observe"})),
        ("elsewhere", elsewhere),
    ];
    let mut stages = Vec::new();
    for (stage, spec) in specs {
        let stage = format!("{name}-{stage}");
        let connection = json!({"connectionRef": {"name": name}});
        test.validate(&stage, with(spec, connection)).await;
        stages.push(stage);
    }
    stages
}

fn reason(object: &DynamicObject) -> Option<&str> {
    condition(object, "Ready")?["reason"].as_str()
}

/// Waits until the operator has an opinion on the connection and, where that can be used, on its stages.
async fn judged(test: &Test, connection: &str, stages: &[String], is_usable: bool) {
    let judged = |object: Option<&DynamicObject>| object.is_some_and(|it| reason(it).is_some());
    test.until(CONNECTION, connection, "judged", judged).await;
    let judged = |object: Option<&DynamicObject>| {
        let reason = object.and_then(reason);
        reason.is_some_and(|reason| {
            !is_usable || !["ConnectionNotReady", "Progressing"].contains(&reason)
        })
    };
    for stage in stages {
        test.until(VALIDATE, stage, "judged", judged).await;
    }
}

/// Lets the operator see a bad server by all its connections, until it has an opinion on each.
async fn suffer(test: &Test, bad: Bad) -> Hostile {
    let (requests, manner) = bad.answers.clone();
    let server = Hostile::builder().on(requests, manner).launch().await;
    let connections = (0..bad.connections).map(|n| format!("{}-{n}", bad.name));
    let suffered = connections.map(|name| {
        let (server, bad) = (&server, &bad);
        async move {
            let stages = apply(test, &name, &server.url()).await;
            judged(test, &name, &stages, bad.is_usable()).await;
        }
    });
    join_all(suffered).await;
    let asked = server.asked(requests, 1, patience()).await;
    assert!(asked, "{} is not asked", bad.name);
    server
}

/// Ends when the program has had more memory than it may have; returns how much more than at first.
async fn too_much_memory(program: &Program, first: usize) -> usize {
    let mut often = tokio::time::interval(Duration::from_millis(50));
    loop {
        often.tick().await;
        let more = program.peak_memory() - first;
        if more > MOST {
            return more;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_servers_answer_the_operator_stays_small_and_goes_on() {
    test(async |test| {
        test.take_operator().await.stop().await;
        let program = Program::start(test, &["--leader-election", "false"], &[]);
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        test.validate("first", json!({})).await;
        test.in_sync(VALIDATE, "first").await;
        let first = program.peak_memory();
        let servers = join_all(servers().into_iter().map(|bad| suffer(test, bad)));
        let _servers = tokio::select! {
            more = too_much_memory(&program, first) => panic!("{} MiB are too much", more >> 20),
            servers = servers => servers,
        };
        test.validate("healthy", json!({})).await;
        test.in_sync(VALIDATE, "healthy").await;
        let more = program.peak_memory() - first;
        assert!(more <= MOST, "{} MiB are too much", more >> 20);
        program.terminate().await;
    })
    .await;
}

// What the operator says is searched for the token in every test.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_echoes_the_token_shows_it_nowhere() {
    test(async |test| {
        let on = |requests| Hostile::builder().on(requests, Manner::EchoToken);
        let probe = on(Requests::Probe).launch().await;
        let echo = on(Requests::NoProbe).launch().await;
        test.secret("authentik", json!({"token": test.canary("token")}))
            .await;
        let stages = apply(test, "probe", &probe.url()).await;
        judged(test, "probe", &stages, false).await;
        let mut stages = apply(test, "echo", &echo.url()).await;
        let echoed = json!({
            "name": ECHOED, "connectionRef": {"name": "echo"}, "adoptionPolicy": "Always",
            "deletionPolicy": "Delete",
        });
        let observed = json!({"managementPolicy": "Observe", "notConfiguredAction": "skip"});
        test.apply(VALIDATE, "held", echoed.clone()).await;
        test.in_sync(VALIDATE, "held").await;
        let observed = with(echoed, observed);
        test.apply(VALIDATE, "observed", observed).await;
        stages.push("observed".to_owned());
        judged(test, "echo", &stages, true).await;
        assert!(echo.asked(Requests::Writes, 1, patience()).await);
        test.delete(VALIDATE, "held").await;
        test.reason(VALIDATE, "held", "DeletionBlocked").await;
    })
    .await;
}

/// What a row's text is on the wire.
fn on_the_wire(field: &str, value: &str) -> String {
    format!("{}:{}", json!(field), json!(value))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_costs_its_own_resource_only() {
    test(async |test| {
        test.flow("login").await;
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        let flow = json!({"flow": {"slug": test.name("login")}, "order": 7});
        test.validate("bound", json!({"flows": [flow]})).await;
        for name in ["bad", "good"] {
            test.validate(name, json!({})).await;
        }
        for name in ["bound", "bad", "good"] {
            test.in_sync(VALIDATE, name).await;
        }
        test.gateway.clear();
        for (field, name) in [("name", "bad"), ("slug", "login")] {
            let this = on_the_wire(field, &test.name(name));
            let by = format!("{}:null", json!(field));
            let replace = FaultKind::Replace { this, by };
            test.gateway.inject(Fault::new(replace).path(match field {
                "slug" => "/flows/instances/",
                _ => "/stages/",
            }));
        }
        let stage = test.authentik.stage("validate", &test.name("good")).await;
        let path = format!(
            "{}{}/",
            collection(VALIDATE),
            text(&stage.expect("it is there")["pk"])
        );
        test.resyncs(2).await;
        let change = json!({"not_configured_action": "deny"});
        test.authentik.patch(&path, change).await;
        test.event("good", "DriftCorrected").await;
        test.validate("new", json!({})).await;
        test.in_sync(VALIDATE, "new").await;
        test.gateway.clear_faults();
        for name in ["bound", "bad", "good", "new"] {
            test.in_sync(VALIDATE, name).await;
        }
        for (name, bad) in [("good", "AuthentikUnavailable"), ("default", "Unreachable")] {
            let events = test.events(name).await;
            assert!(events.iter().all(|(reason, _)| reason != bad), "{events:?}");
        }
        let (correction, creation) = (
            patch(VALIDATE, json!({"not_configured_action": "skip"})),
            "POST",
        );
        let written = test.written();
        assert_eq!(written.len(), 2, "{written:?}");
        assert!(written.contains(&correction), "{written:?}");
        assert!(written.iter().any(|(method, ..)| method == creation));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_with_a_long_name_in_many_bytes_gets_all_its_events() {
    test(async |test| {
        test.connect().await;
        let name = format!("{}{}", test.name("mfa"), "\u{754c}".repeat(400));
        let spec = json!({"name": name, "notConfiguredAction": "skip", "deletionPolicy": "Delete"});
        test.apply(VALIDATE, "mfa", spec.clone()).await;
        let resource = test.in_sync(VALIDATE, "mfa").await;
        test.event("mfa", "Created").await;
        let change = json!({"notConfiguredAction": "deny"});
        test.apply(VALIDATE, "mfa", with(spec, change)).await;
        test.event("mfa", "Updated").await;
        let uuid = text(&resource.data["status"]["stage"]["uuid"]);
        let path = format!("{}{uuid}/", collection(VALIDATE));
        let change = json!({"not_configured_action": "skip"});
        test.authentik.patch(&path, change).await;
        test.request_reconcile(VALIDATE, "mfa", "now").await;
        test.event("mfa", "DriftCorrected").await;
        test.delete(VALIDATE, "mfa").await;
        test.gone(VALIDATE, "mfa").await;
        test.event("mfa", "Deleted").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_value_that_is_observed_is_shown_cut() {
    test(async |test| {
        test.connect().await;
        let spec = test.duo_spec().await;
        let huge = json!({
            "name": test.name("duo"), "client_id": "c".repeat(50_000), "client_secret": "s",
            "api_hostname": "api-1.duosecurity.com",
        });
        test.authentik.create(collection(DUO), huge).await;
        let observe = json!({"managementPolicy": "Observe"});
        test.apply(DUO, "duo", with(spec, observe)).await;
        let resource = test.reason(DUO, "duo", "Drifted").await;
        let found = |drift: &Value| (drift["field"].clone(), text(&drift["found"]).len());
        let drift = resource.data["status"]["drift"].as_array();
        let drift: Vec<_> = drift.into_iter().flatten().map(found).collect();
        let cut = |(field, length): &(Value, usize)| field == "clientId" && *length < 2_000;
        assert!(drift.iter().any(cut), "{drift:?}");
        assert!(message(&resource).len() < 2_000);
        assert_eq!(test.written(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_unavailable_for_a_while_is_not_said_to_throttle() {
    test(async |test| {
        let unavailable = Manner::Unavailable { retry_after: 60 };
        let server = Hostile::builder().on(Requests::NoProbe, unavailable);
        let server = server.launch().await;
        test.secret("authentik", json!({"token": test.token()}))
            .await;
        test.connection("default", &server.url(), json!({})).await;
        test.validate("mfa", json!({})).await;
        let connection = test.reason(CONNECTION, "default", "Unreachable").await;
        let stage = test.reason(VALIDATE, "mfa", "AuthentikUnavailable").await;
        for message in [message(&connection), message(&stage)] {
            assert!(
                message.contains("503") && !message.contains("429"),
                "{message}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_value_is_not_understood_and_is_not_taken_for_no_stage() {
    test(async |test| {
        test.connect().await;
        let spec = test.duo_spec().await;
        let huge = json!({
            "name": test.name("duo"), "client_id": "c".repeat(2 << 20), "client_secret": "s",
            "api_hostname": "api-1.duosecurity.com",
        });
        test.authentik.create(collection(DUO), huge).await;
        test.apply(DUO, "duo", spec).await;
        let resource = test.reason(DUO, "duo", "AuthentikUnavailable").await;
        assert!(message(&resource).contains("is not understood"));
        assert!(message(&resource).len() < 2_000);
        // Its name is taken, which authentik says.
        let refused = |write: &Exchange| write.status == Some(400);
        assert!(test.writes().iter().all(refused), "{:?}", test.written());
    })
    .await;
}
