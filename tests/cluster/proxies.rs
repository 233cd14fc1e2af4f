//! The operator behind a proxy that its environment names.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use authentik_stage_operator::api::conditions;
use axum::http::header;
use devkit::gateway::Gateway;
use kube::api::DynamicObject;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::{
    harness::{Test, VALIDATE, condition, test},
    harness_more::{CONNECTION, between},
    program::Program,
};

/// A proxy that makes tunnels for who knows the password, and keeps where to.
struct Proxy {
    address: String,
    tunnels: Arc<Mutex<BTreeSet<String>>>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("there is a free port");
        let address = listener.local_addr().expect("it has one").to_string();
        let tunnels: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let made = tunnels.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(tunnel(client, made.clone()));
            }
        });
        Self { address, tunnels }
    }

    /// Its URL with this password.
    fn url(&self, password: &str) -> String {
        format!("http://operator:{password}@{}", self.address)
    }

    /// Where tunnels led to since this was last asked for.
    fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.tunnels.lock().expect("no panic"))
    }
}

async fn tunnel(mut client: TcpStream, made: Arc<Mutex<BTreeSet<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split(' ').next());
    let is_known = head.to_lowercase().contains("proxy-authorization: basic ");
    let (Some(target), true) = (target, is_known) else {
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
        let _ = client.write_all(refusal).await;
        return;
    };
    made.lock().expect("no panic").insert(target.to_owned());
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    if client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok() {
        // Either side ends it as it likes.
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}

/// The operator in a process of its own with this environment, until the stage is as this says.
async fn works_with(test: &Test, env: &[(&str, &str)], action: &str) {
    let program = Program::start(test, &["--leader-election", "false"], env);
    test.validate("mfa", json!({"notConfiguredAction": action}))
        .await;
    test.in_sync(VALIDATE, "mfa").await;
    program.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_leads_to_authentik_and_to_kubernetes_unless_no_proxy_names_them() {
    test(async |test| {
        let gateway = Gateway::in_front_of(&test.gateway.url());
        let gateway = gateway.tls().launch().await;
        test.secret("authentik", json!({"token": test.token()}))
            .await;
        let trusting = json!({"caBundle": gateway.ca_pem()});
        test.connection("default", &gateway.url(), trusting).await;
        test.take_operator().await.stop().await;
        let proxy = Proxy::start().await;
        let password = test.canary("password");
        test.canaries.add(&password);
        let url = proxy.url(&password);
        let authentik = gateway.address().to_string();
        for [https, no] in [["HTTPS_PROXY", "NO_PROXY"], ["https_proxy", "no_proxy"]] {
            works_with(test, &[(https, &url)], "deny").await;
            let led_to = proxy.take();
            assert_eq!(led_to.len(), 2, "authentik and Kubernetes: {led_to:?}");
            assert!(led_to.contains(&authentik), "{led_to:?}");
            // The range that both are in.
            works_with(
                test,
                &[(https, &url), (no, "10.0.0.0/8,127.0.0.0/8")],
                "skip",
            )
            .await;
            assert_eq!(proxy.take(), BTreeSet::new());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_leads_to_a_name_unless_no_proxy_has_its_domain() {
    test(async |test| {
        let asked: Arc<Mutex<usize>> = Arc::default();
        let counted = asked.clone();
        let proxy = between(test.gateway.url(), move |passing| {
            let host = passing.headers.get(header::HOST);
            assert_eq!(
                host.and_then(|host| host.to_str().ok()),
                Some("sso.test.invalid")
            );
            *counted.lock().expect("no panic") += 1;
            None
        })
        .await;
        test.secret("authentik", json!({"token": test.token()}))
            .await;
        test.take_operator().await.stop().await;
        test.connection("default", "http://sso.test.invalid", json!({}))
            .await;
        for variable in ["HTTP_PROXY", "http_proxy"] {
            works_with(test, &[(variable, &proxy)], "deny").await;
        }
        let before = *asked.lock().expect("no panic");
        assert!(before > 0);
        let env = [
            ("HTTP_PROXY", proxy.as_str()),
            ("NO_PROXY", ".test.invalid"),
        ];
        let program = Program::start(test, &["--leader-election", "false"], &env);
        // Not by the proxy: whatever this machine's network says of a name that there is not, it is no authentik.
        let lost = |object: Option<&DynamicObject>| {
            object
                .and_then(|object| condition(object, conditions::READY))
                .is_some_and(|ready| ready["status"] == "False")
        };
        test.until(CONNECTION, "default", "not ready", lost).await;
        assert_eq!(*asked.lock().expect("no panic"), before);
        program.terminate().await;
    })
    .await;
}
