//! Headers that a connection adds, for an access proxy in front of authentik.

use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use devkit::gateway::Gateway;
use serde_json::json;

use crate::{
    commands::{bare, folder, run},
    harness::{Test, VALIDATE, VALIDATES, message, test},
    harness_more::{CONNECTION, between},
};

/// Less than what waits for something missing would wait for its next try.
const AT_ONCE: Duration = Duration::from_secs(20);

const ID: &str = "cf-access-client-id";
const SECRET: &str = "cf-access-client-secret";

/// An access proxy: who brings the wrong headers is sent to a login page elsewhere.
struct Access {
    url: String,
    /// The secret that it lets pass.
    secret: Arc<Mutex<String>>,
    /// How many requests it has turned away.
    refused: Arc<Mutex<usize>>,
}

impl Access {
    async fn start(test: &Test, id: String, login: String) -> Self {
        let secret: Arc<Mutex<String>> = Arc::default();
        let refused: Arc<Mutex<usize>> = Arc::default();
        let (wanted, turned_away) = (secret.clone(), refused.clone());
        let url = between(test.gateway.url(), move |passing| {
            let said = |name: &str| text(&passing.headers, name);
            let wanted = wanted.lock().expect("no panic");
            if said(ID) == id && said(SECRET) == *wanted {
                return None;
            }
            *turned_away.lock().expect("no panic") += 1;
            let to = [(header::LOCATION, login.clone())];
            Some((StatusCode::FOUND, to).into_response())
        })
        .await;
        Self {
            url,
            secret,
            refused,
        }
    }

    fn wants(&self, secret: &str) {
        secret.clone_into(&mut self.secret.lock().expect("no panic"));
    }

    fn refused(&self) -> usize {
        *self.refused.lock().expect("no panic")
    }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

async fn at_once<T>(what: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(AT_ONCE, what).await;
    done.expect("it happens before a retry is due")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_proxy_lets_the_operator_pass() {
    test(async |test| {
        let login = Gateway::in_front_of(&test.gateway.url()).launch().await;
        let id = "client-id-in-clear".to_owned();
        let access = Access::start(test, id.clone(), login.url()).await;
        let (old, new) = (test.canary("old-secret"), test.canary("new-secret"));
        access.wants(&old);

        test.secret("authentik", json!({"token": test.token()}))
            .await;
        let from = json!({"secretKeyRef": {"name": "access", "key": "secret"}});
        let headers = json!([
            {"name": "CF-Access-Client-Id", "value": id},
            {"name": "CF-Access-Client-Secret", "valueFrom": from},
        ]);
        let settings = json!({"resyncInterval": "1h", "headers": headers});
        test.connection("default", &access.url, settings).await;
        test.validate("mfa", json!({})).await;
        let missing = test.reason(CONNECTION, "default", "SecretNotFound").await;
        let expected = format!("Secret {}/access does not exist", test.namespace);
        assert!(message(&missing).contains(&expected), "{missing:?}");

        test.secret("access", json!({"secret": old})).await;
        at_once(test.in_sync(VALIDATE, "mfa")).await;
        assert_eq!(access.refused(), 0, "each request has the headers");

        // The secret is renewed, first at the proxy: requests are turned away until the Secret is.
        access.wants(&new);
        test.validate("mfa", json!({"notConfiguredAction": "deny"}))
            .await;
        let refused = test.reason(VALIDATE, "mfa", "AuthentikUnavailable").await;
        assert!(message(&refused).contains("a redirect to"), "{refused:?}");
        test.gateway.clear();
        test.secret("access", json!({"secret": new})).await;
        at_once(test.in_sync(VALIDATE, "mfa")).await;
        assert_eq!(
            test.gateway.count("GET", VALIDATES),
            0,
            "nothing is looked up anew"
        );
        assert_eq!(login.audit(), [], "no other server gets any of it");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_changes_is_used_at_once() {
    test(async |test| {
        let access = Access::start(test, "one".to_owned(), "http://login".to_owned()).await;
        let secret = "a-secret-in-clear";
        access.wants(secret);
        test.secret("authentik", json!({"token": test.token()}))
            .await;
        let settings = |id: &str| {
            let headers = json!([{"name": ID, "value": id}, {"name": SECRET, "value": secret}]);
            json!({"resyncInterval": "1h", "headers": headers})
        };
        test.connection("default", &access.url, settings("two"))
            .await;
        test.reason(CONNECTION, "default", "Unreachable").await;
        test.connection("default", &access.url, settings("one"))
            .await;
        at_once(test.reason(CONNECTION, "default", "Connected")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_no_header_can_hold_is_named_without_it() {
    test(async |test| {
        let value = test.canary("two\nlines");
        test.secret("authentik", json!({"token": test.token()}))
            .await;
        test.secret("access", json!({"secret": value})).await;
        let from = json!({"secretKeyRef": {"name": "access", "key": "secret"}});
        let settings = json!({"headers": [{"name": "X-Access", "valueFrom": from}]});
        test.connection("default", &test.gateway.url(), settings)
            .await;
        let stalled = test.reason(CONNECTION, "default", "InvalidSpec").await;
        let expected = "headers[X-Access]: its value holds characters that a header can't carry";
        assert_eq!(message(&stalled), expected);
        let value = test.canary("one line");
        test.secret("access", json!({"secret": value})).await;
        at_once(test.reason(CONNECTION, "default", "Connected")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_repeats_a_header_is_not_repeated() {
    test(async |test| {
        let url = between(test.gateway.url(), |passing| {
            let detail = format!("{} is wrong", text(&passing.headers, SECRET));
            let page = axum::Json(json!({"detail": detail}));
            (passing.method != "GET").then(|| (StatusCode::FORBIDDEN, page).into_response())
        })
        .await;
        test.secret("authentik", json!({"token": test.token()}))
            .await;
        let value = test.canary("repeated");
        test.secret("access", json!({"secret": value})).await;
        let from = json!({"secretKeyRef": {"name": "access", "key": "secret"}});
        let settings = json!({"headers": [{"name": SECRET, "valueFrom": from}]});
        test.connection("default", &url, settings).await;
        test.validate("mfa", json!({})).await;
        let refused = test.reason(VALIDATE, "mfa", "AccessDenied").await;
        assert!(message(&refused).contains("withheld"), "{refused:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_proxy_lets_the_command_line_pass() {
    test(async |test| {
        let id = test.canary("id");
        let secret = test.canary("secret");
        test.canaries.add(&secret);
        let access = Access::start(test, id.clone(), test.gateway.url()).await;
        access.wants(&secret);
        let file = folder(test).join("headers");
        let headers = format!("CF-Access-Client-Id: {id}\n\nCF-Access-Client-Secret: {secret}\n");
        fs::write(&file, headers).expect("the file is written");
        let file = file.to_str().expect("a path is text");
        let manifest = "apiVersion: authentik-operator.io/v1alpha1\nkind: AuthenticatorValidateStage\nmetadata:\n  name: mfa\nspec:\n  notConfiguredAction: deny\n";
        let commands: [(&[&str], i32); 3] = [
            (&["check"], 0),
            (&["export", "--all"], 0),
            (&["diff", "-f", "-"], 2),
        ];
        for (command, code) in commands {
            // A list that others change meanwhile is exported by nobody.
            if test.is_real() && command[0] == "export" {
                continue;
            }
            let target = ["--url", &access.url, "--headers-file", file];
            let mut with = bare(&[command, &target].concat());
            with.env("AUTHENTIK_TOKEN", test.token());
            run(test, with, manifest).await.ends(code);
        }
        assert_eq!(access.refused(), 0);
    })
    .await;
}
