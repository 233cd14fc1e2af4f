//! Commands that are asked to end amid what they do.

use devkit::gateway::{Fault, FaultKind};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
};

use super::{apply, command, ended, manifest, started, status::here, stream, watch::line};
use crate::harness::{VALIDATE, patience, test};

/// The signals that ask a process to end: Ctrl-C, and what a pipeline or a kubelet sends.
const SIGNALS: [&str; 2] = ["INT", "TERM"];

/// Sends a signal.
pub fn signal(child: &Child, name: &str) {
    let id = child.id().expect("it runs").to_string();
    let sent = std::process::Command::new("kill")
        .args([&format!("-{name}"), &id])
        .status();
    assert!(sent.expect("kill runs").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_well_before_it_has_shown_anything() {
    test(async |test| {
        let (kubernetes, kubeconfig) = test.kubernetes_gateway().await;
        for name in SIGNALS {
            let held = kubernetes.inject(Fault::new(FaultKind::Hold));
            let mut watch = here(test, &["--watch"]);
            watch.env("KUBECONFIG", &kubeconfig);
            let child = started(watch, "").await;
            assert!(kubernetes.hangs(patience()).await, "it lists");
            signal(&child, name);
            ended(test, child).await.ends(0);
            kubernetes.remove(held);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_takes_the_answer_to_what_it_has_sent_and_tells_how_far_it_came() {
    test(async |test| {
        for name in SIGNALS {
            let resource = name.to_lowercase();
            let stage = json!({"name": test.name(&resource)});
            let manifests = [manifest(test, VALIDATE, &resource, stage)];
            test.gateway.clear();
            let write = test.gateway.inject(Fault::new(FaultKind::Hold).writes());
            let apply_it = command(test, &["apply", "-f", "-", "--yes"]);
            let mut child = started(apply_it, &stream(&manifests)).await;
            assert!(test.gateway.hangs(patience()).await, "it writes");
            signal(&child, name);
            let errors = child.stderr.take().expect("it is piped");
            let mut errors = BufReader::new(errors).lines();
            line(&mut errors, "waiting for the answers").await;
            test.gateway.remove(write);
            line(&mut errors, "; apply again to go on").await;
            ended(test, child).await.ends(1);
            apply(test, &manifests, &[]).await.ends(0);
            assert_eq!(test.writes().len(), 1, "it is created once");
        }
    })
    .await;
}
