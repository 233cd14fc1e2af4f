//! `status --watch`: what becomes of the resources.

use std::{collections::BTreeSet, path::Path, process::Stdio};

use devkit::gateway::{Exchange, Fault, FaultKind};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};

use super::{
    ending::signal,
    status::{here, some},
    terminal::Terminal,
};
use crate::harness::{Test, VALIDATE, patience, test};

/// A line that says this. Those before it are passed over.
pub async fn line(lines: &mut Lines<BufReader<impl AsyncRead + Unpin>>, what: &str) -> String {
    let wanted = async {
        loop {
            let line = lines.next_line().await.expect("it can be read");
            let line = line.expect("it goes on");
            if line.contains(what) {
                return line;
            }
        }
    };
    let line = tokio::time::timeout(patience(), wanted).await;
    line.unwrap_or_else(|_| panic!("no line says {what}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_a_line_a_change_on_a_pipe() {
    test(async |test| {
        some(test).await;
        let mut child = here(test, &["--watch"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let duo = line(&mut lines, "DuoStage").await;
        assert!(
            duo.contains("Ready=False SecretNotFound, waits for Secret "),
            "{duo}"
        );
        test.secret("duo", json!({"secret": test.canary("s3cr3t")}))
            .await;
        line(&mut lines, "/duo: Ready=True").await;
        test.delete(VALIDATE, "mfa").await;
        line(&mut lines, "/mfa: deleted").await;
        signal(&child, "INT");
        let ended = tokio::time::timeout(patience(), child.wait()).await;
        assert_eq!(ended.expect("it ends in time").unwrap().code(), Some(0));
    })
    .await;
}

/// Who reads a watch no further ends it with the next change.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_nobody_reads_ends() {
    test(async |test| {
        test.connect().await;
        let mut child = here(test, &["--watch", "--output", "json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first: Value =
            serde_json::from_str(&line(&mut lines, "AuthentikConnection").await).unwrap();
        assert_eq!(
            (&first["deleted"], &first["resource"]["name"]),
            (&json!(false), &json!("default"))
        );
        drop(lines);
        test.validate("mfa", json!({})).await;
        let ended = tokio::time::timeout(patience(), child.wait()).await;
        assert_eq!(ended.expect("it ends in time").unwrap().code(), Some(0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_of_a_watch_is_said_once_on_a_pipe() {
    test(async |test| {
        some(test).await;
        let (kubernetes, kubeconfig) = test.kubernetes_gateway().await;
        let mut child = here(test, &["--watch"])
            .env("KUBECONFIG", kubeconfig)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        line(&mut lines, "DuoStage").await;
        kubernetes.stop().await;
        kubernetes.clear();
        let broken = FaultKind::InternalError { effect: false };
        kubernetes.inject(Fault::new(broken).path("duostages"));
        kubernetes.start().await;
        let is_duo = |asked: &&Exchange| asked.path.contains("duostages");
        let tries = |asked: &[Exchange]| asked.iter().filter(is_duo).count();
        let again = kubernetes.wait_for(|asked| tries(asked) > 3, patience());
        assert!(again.await, "it is tried again");
        signal(&child, "INT");
        let ended = tokio::time::timeout(patience(), child.wait_with_output()).await;
        let said = String::from_utf8(ended.expect("it ends in time").unwrap().stderr).unwrap();
        let of_duo = said
            .lines()
            .filter(|line| line.starts_with("DuoStage is not watched"));
        let of_duo: Vec<_> = of_duo.collect();
        let different: BTreeSet<_> = of_duo.iter().collect();
        assert!(
            !of_duo.is_empty() && of_duo.len() == different.len(),
            "{said}"
        );
    })
    .await;
}

/// `status --watch` on a terminal, with this kubeconfig.
fn on_a_terminal<'a>(test: &'a Test, kubeconfig: &Path, env: &[(&str, &str)]) -> Terminal<'a> {
    let args = ["status", "--namespace", &test.namespace, "--watch"];
    let kubeconfig = ("KUBECONFIG", kubeconfig.to_str().expect("text"));
    Terminal::start(test, &args, &[&[kubeconfig], env].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_draws_its_table_anew_on_a_terminal() {
    test(async |test| {
        some(test).await;
        for env in [&[][..], &[("NO_COLOR", "1")]] {
            let mut terminal = on_a_terminal(test, &test.admin_kubeconfig(), env);
            let counts = "3 resources: 2 ready, 1 not ready, 0 not known yet, 1 waiting\r\n";
            let screen = terminal
                .until(counts, |screen| screen.ends_with(counts))
                .await;
            assert!(screen.starts_with("KIND "), "{screen:?}");
            assert_eq!(
                screen.contains("\u{1b}[31mFalse"),
                env.is_empty(),
                "{screen:?}"
            );
            assert_eq!(screen.matches("SecretNotFound").count(), 1, "{screen:?}");
            terminal.interrupt().await;
            assert_eq!(terminal.ends().await.1, 0);
        }
        let mut terminal = on_a_terminal(test, &test.admin_kubeconfig(), &[]);
        terminal
            .until("the Secret that is missing", |screen| {
                screen.contains("SecretNotFound")
            })
            .await;
        test.secret("duo", json!({"secret": test.canary("s3cr3t")}))
            .await;
        let counts = "3 resources: 3 ready, 0 not ready, 0 not known yet\r\n";
        let screen = terminal
            .until(counts, |screen| screen.ends_with(counts))
            .await;
        assert!(!screen.contains("SecretNotFound"), "{screen:?}");
        test.delete(VALIDATE, "mfa").await;
        let counts = "2 resources: 2 ready, 0 not ready, 0 not known yet\r\n";
        let screen = terminal
            .until(counts, |screen| screen.ends_with(counts))
            .await;
        assert!(!screen.contains(VALIDATE), "{screen:?}");
        terminal.interrupt().await;
        let (shown, code) = terminal.ends().await;
        assert_eq!(code, 0);
        // What has left the screen is not taken from who scrolls back.
        assert!(!shown.contains("\u{1b}[3J"), "{shown:?}");
    })
    .await;
}

/// What stands above the table would be wiped away.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_of_a_watch_stands_below_its_table() {
    test(async |test| {
        some(test).await;
        let (kubernetes, kubeconfig) = test.kubernetes_gateway().await;
        let mut terminal = on_a_terminal(test, &kubeconfig, &[]);
        let counts = "3 resources: 2 ready, 1 not ready";
        terminal
            .until(counts, |screen| screen.contains(counts))
            .await;
        kubernetes.stop().await;
        let trouble = "DuoStage is not watched at the moment: ";
        let screen = terminal
            .until(trouble, |screen| {
                screen
                    .split_once(trouble)
                    .is_some_and(|(_, rest)| rest.contains("\r\n"))
            })
            .await;
        assert!(screen.find(counts) < screen.find(trouble), "{screen:?}");
        kubernetes.start().await;
        let is_well = |screen: &str| screen.contains(counts) && !screen.contains("not watched");
        terminal.until("no trouble any more", is_well).await;
        terminal.interrupt().await;
        assert_eq!(terminal.ends().await.1, 0);
    })
    .await;
}
