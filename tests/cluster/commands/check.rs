//! `check`: what is well with a connection, what is not, and what to do.

use std::time::Duration;

use authentik_stage_operator::ops::permissions;
use devkit::{
    gateway::{Fault, FaultKind, Gateway},
    simulator::Version,
};
use k8s_openapi::jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Said, bare, command, folder, run};
use crate::harness::{Test, on, test};

/// What `check` says, as JSON.
async fn check(test: &Test, args: &[&str], env: &[(&str, &str)]) -> Said {
    let args = [&["check", "--output", "json"], args].concat();
    let mut command = command(test, &args);
    command.envs(env.iter().copied());
    run(test, command, "").await
}

/// What it says with this token.
async fn with_token(test: &Test, token: &str, args: &[&str]) -> Said {
    test.canaries.add(token);
    check(test, args, &[("AUTHENTIK_TOKEN", token)]).await
}

/// What was found of this, as verdict and text with what to do.
#[track_caller]
fn found(report: &Value, check: &str) -> (String, String) {
    let findings = report["findings"].as_array().expect("findings");
    let finding = findings.iter().find(|finding| finding["check"] == check);
    let finding = finding.unwrap_or_else(|| panic!("{check}: {report:#}"));
    let text = |field: &str| finding[field].as_str().unwrap_or_default();
    let verdict = text("verdict").to_owned();
    (verdict, format!("{} {}", text("message"), text("toDo")))
}

/// It was found so, with this text.
#[track_caller]
fn is(report: &Value, check: &str, verdict: &str, text: &str) {
    let (was, message) = found(report, check);
    assert_eq!(was, verdict, "{check}: {report:#}");
    assert!(message.contains(text), "{check}: {message}");
}

fn states(report: &Value, state: &str) -> Vec<String> {
    let all = report["permissions"].as_array().expect("permissions");
    let all = all.iter().filter(|of| of["state"] == state);
    all.map(|of| of["name"].as_str().expect("a name").to_owned())
        .collect()
}

fn listed() -> Vec<String> {
    let all = permissions::all().into_iter();
    all.map(|permission| permission.name).collect()
}

/// A token with these permissions alone.
fn limited(test: &Test, permissions: &[String]) -> String {
    let permissions: Vec<_> = permissions.iter().map(String::as_str).collect();
    let simulator = test.simulator.as_ref().expect("a simulator");
    simulator.create_token(&permissions)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superuser_s_token_works_and_may_too_much() {
    test(async |test| {
        let report = check(test, &[], &[]).await.ends(0).json();
        is(&report, "reachable", "ok", &test.gateway.url());
        is(&report, "TLS", "ok", "on this machine");
        is(&report, "version", "ok", "supported");
        is(&report, "token", "ok", "accepted");
        is(&report, "idle rights", "warning", "superuser");
        is(&report, "latency", "ok", " ms");
        assert_eq!(report["verdict"], "warning");
        // Of a kind that an older server does not have there is nothing to be granted.
        let mut granted = listed();
        if test.release().await < (2025, 2) {
            granted.retain(|name| !name.starts_with("authentik_stages_authenticator_email."));
        }
        assert_eq!(states(&report, "granted"), granted);
        // A look must not be a change.
        let audit = test.gateway.audit();
        let harmless = |method: &str| matches!(method, "GET" | "OPTIONS");
        assert!(
            audit.iter().all(|exchange| harmless(&exchange.method)),
            "{audit:#?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_documentation_lists_is_enough() {
    test(async |test| {
        if test.is_real() {
            return;
        }
        // Whether something may be changed is asked of something that is there.
        test.flow("login").await;
        let token = limited(test, &listed());
        let report = with_token(test, &token, &[]).await.ends(0).json();
        is(&report, "idle rights", "ok", "none is seen");
        // What only commands need is named, and is no fault.
        let findings = report["findings"].as_array().expect("findings");
        let names_it = |of: &&Value| {
            of["message"]
                .to_string()
                .contains("authentik_core.view_user")
        };
        let optional: Vec<_> = findings.iter().filter(names_it).collect();
        assert_eq!(optional.len(), 1, "{report:#}");
        assert_eq!(optional[0]["verdict"], "ok");
        assert_eq!(states(&report, "missing"), Vec::<String>::new());
        let unknown = states(&report, "unknown");
        assert!(
            unknown
                .iter()
                .any(|name| name == "authentik_flows.delete_flow")
        );
        let granted = states(&report, "granted");
        for name in ["view_flow", "add_flow", "change_flow", "view_brand"] {
            assert!(
                granted.iter().any(|known| known.ends_with(name)),
                "{name}: {report:#}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_named_and_fails_where_its_kind_is_used() {
    test(async |test| {
        if test.is_real() {
            return;
        }
        test.flow("login").await;
        let without = |name: &String| {
            ![
                "add_authenticatorduostage",
                "change_flow",
                "view_flowstagebinding",
            ]
            .iter()
            .any(|end| name.ends_with(&format!(".{end}")))
        };
        let some: Vec<_> = listed().into_iter().filter(without).collect();
        let token = limited(test, &some);
        let report = with_token(test, &token, &[]).await.ends(0).json();
        let missing = [
            "authentik_stages_authenticator_duo.add_authenticatorduostage",
            "authentik_flows.change_flow",
            "authentik_flows.view_flowstagebinding",
        ];
        assert_eq!(states(&report, "missing"), missing);
        assert_eq!(report["verdict"], "warning");
        let said = with_token(test, &token, &["--kind", "DuoStage"])
            .await
            .ends(1);
        assert!(
            said.out
                .contains("DuoStage: missing authentik_stages_authenticator_duo.add_"),
            "{said:?}"
        );
        with_token(test, &token, &["--kind", "AuthenticatorSMSStage"])
            .await
            .ends(0);
        let said = with_token(test, &token, &["--kind", "Duo"]).await.ends(1);
        assert!(
            said.err.contains("there is no kind Duo; choose of"),
            "{said:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_permissions_and_one_that_is_none_are_told_apart() {
    test(async |test| {
        if test.is_real() {
            return;
        }
        let token = limited(test, &[]);
        let report = with_token(test, &token, &[]).await.ends(1).json();
        is(&report, "token", "ok", "accepted");
        is(
            &report,
            "permissions",
            "failure",
            "see none of the operator's kinds",
        );
        is(&report, "expiry", "unknown", "may not see when it expires");
        let report = with_token(test, "not-the-token-of-this-server", &[]).await;
        let report = report.ends(1).json();
        is(&report, "reachable", "ok", "answers");
        is(&report, "token", "failure", "intent API Token");
        assert_eq!(states(&report, "granted").len(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_release_lacks_what_it_can_not_have() {
    on(Version::V2024_2, async |test| {
        if test.is_real() {
            return;
        }
        let report = check(test, &[], &[]).await.ends(0).json();
        is(&report, "version", "ok", "2024.2");
        let absent = states(&report, "absent");
        assert!(
            absent
                .iter()
                .any(|name| name.ends_with("view_authenticatoremailstage")),
            "{report:#}"
        );
        let granted = states(&report, "granted");
        assert!(
            granted
                .iter()
                .any(|name| name.ends_with("view_authenticatewebauthnstage"))
        );
    })
    .await;
}

/// A list with this token of the simulator's first user.
fn tokens(expiring: Value, expires: &str) -> FaultKind {
    let row = json!({"pk": "c309b395-1d71-4c73-9d37-4d06887d02f1", "identifier": "operator", "intent": "api", "user": 3,
        "expiring": expiring, "expires": expires});
    let page = json!({"pagination": {"next": 0, "previous": 0, "count": 1, "current": 1, "total_pages": 1,
        "start_index": 1, "end_index": 1}, "results": [row]});
    FaultKind::Respond {
        status: 200,
        content_type: "application/json".to_owned(),
        body: page.to_string(),
        forward: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_soon_is_a_warning() {
    test(async |test| {
        if test.is_real() {
            return;
        }
        let soon = Timestamp::now() + Duration::from_secs(30 * 3600);
        let soon = soon.to_string();
        for (expiring, expires, verdict, text) in [
            (json!(true), soon.as_str(), "warning", "in 1 day"),
            (json!(true), "2999-01-01T00:00:00Z", "ok", "at 2999-01-01"),
            (json!(false), soon.as_str(), "ok", "does not expire"),
            (json!(null), "soon", "unknown", "does not say"),
        ] {
            let fault = Fault::new(tokens(expiring, expires)).path("/core/tokens/");
            let fault = test.gateway.inject(fault);
            let report = check(test, &[], &[]).await.ends(0).json();
            is(&report, "expiry", verdict, text);
            test.gateway.remove(fault);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed_and_it_says_where_it_leads() {
    test(async |test| {
        let to = "https://login.example.com/secret/path";
        test.gateway
            .inject(Fault::new(FaultKind::Redirect(to.to_owned())));
        let report = check(test, &[], &[]).await.ends(1).json();
        is(
            &report,
            "reachable",
            "failure",
            "redirect to https://login.example.com",
        );
        is(
            &report,
            "reachable",
            "failure",
            "give the URL that it leads to",
        );
        assert_eq!(test.gateway.audit().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_or_something_else_says_what_to_do() {
    test(async |test| {
        let report = check(test, &["--url", &nobody()], &[]).await.ends(1).json();
        is(
            &report,
            "reachable",
            "failure",
            "connection refused by 127.0.0.1",
        );
        is(
            &report,
            "reachable",
            "failure",
            "see whether the URL is right",
        );
        is(&report, "token", "unknown", "not asked");
        is(&report, "latency", "unknown", "not measured");
        test.gateway.inject(Fault::new(FaultKind::WrongJson));
        let report = check(test, &[], &[]).await.ends(1).json();
        is(
            &report,
            "reachable",
            "failure",
            "give the base URL of authentik",
        );
    })
    .await;
}

/// A server that is not there.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_not_waited_for_long() {
    test(async |test| {
        test.gateway.inject(Fault::new(FaultKind::Hang));
        let report = check(test, &["--timeout", "1"], &[]).await.ends(1).json();
        is(&report, "reachable", "failure", "no answer within 1s");
    })
    .await;
}

/// Proxies answer OPTIONS by themselves, or refuse it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_says_to_options_proves_nothing() {
    test(async |test| {
        if test.is_real() {
            return;
        }
        let token = limited(test, &listed());
        let respond = |status, body: &str| FaultKind::Respond {
            status,
            content_type: "application/json".to_owned(),
            body: body.to_owned(),
            forward: false,
        };
        for kind in [
            respond(200, "{}"),
            respond(405, "{}"),
            respond(204, ""),
            FaultKind::ServiceUnavailable,
        ] {
            let fault = test
                .gateway
                .inject(Fault::new(kind.clone()).method(Method::OPTIONS));
            let report = with_token(test, &token, &[]).await.ends(0).json();
            let unknown = states(&report, "unknown");
            assert!(
                unknown
                    .iter()
                    .any(|name| name == "authentik_flows.add_flow"),
                "{kind:?}: {report:#}"
            );
            assert_eq!(states(&report, "missing").len(), 0, "{kind:?}");
            test.gateway.remove(fault);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_who_has_signed_a_certificate_trusted_or_not() {
    test(async |test| {
        let gateway = Gateway::in_front_of(test.authentik.url())
            .tls()
            .launch()
            .await;
        let url = gateway.url();
        let report = check(test, &["--url", &url], &[]).await.ends(1).json();
        is(&report, "TLS", "failure", "signed by CN=gateway of a test");
        is(&report, "TLS", "failure", "--ca-file");
        is(&report, "reachable", "failure", "see TLS below");
        assert_eq!(gateway.audit().len(), 0);
        let ca = folder(test).join("ca.pem");
        std::fs::write(&ca, gateway.ca_pem().unwrap()).unwrap();
        let args = ["--url", &url, "--ca-file", ca.to_str().unwrap()];
        let report = check(test, &args, &[]).await.ends(0).json();
        is(&report, "TLS", "ok", "signed by CN=gateway of a test");
        is(&report, "TLS", "ok", "valid until ");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn for_a_person_it_is_a_line_each_with_what_to_do_below() {
    test(async |test| {
        let said = run(test, command(test, &["check"]), "").await.ends(0);
        assert!(said.out.contains("ok       reachable    http"), "{said:?}");
        assert!(
            said.out
                .contains("warning  idle rights  the token's user is a superuser"),
            "{said:?}"
        );
        assert!(
            said.out.contains("→ make the token for a user of its own"),
            "{said:?}"
        );
        assert!(said.out.trim_end().ends_with(" unknown"), "{said:?}");
        assert!(
            !said.out.contains('\u{1b}') && said.err.is_empty(),
            "{said:?}"
        );
        let said = run(test, bare(&["check"]), "").await.ends(1);
        assert!(said.err.contains("give --url"), "{said:?}");
    })
    .await;
}
