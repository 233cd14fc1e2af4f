//! `status`: how the resources of a cluster stand.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{ChildStdout, Command},
};

use super::{bare, run};
use crate::harness::{DUO, FLOW, Test, VALIDATE, patience, test};

/// `status` of the test's namespace.
fn status(test: &Test, args: &[&str]) -> Command {
    let args = [&["status"], args].concat();
    let mut command = bare(&args);
    command.env("KUBECONFIG", test.admin_kubeconfig());
    command
}

fn here<'a>(test: &'a Test, args: &[&'a str]) -> Command {
    status(test, &[&["--namespace", &test.namespace], args].concat())
}

/// The resource of this kind.
#[track_caller]
fn of<'a>(report: &'a Value, kind: &str) -> &'a Value {
    let resources = report["resources"].as_array().expect("resources");
    let found = resources.iter().find(|row| row["kind"] == kind);
    found.unwrap_or_else(|| panic!("{kind}: {report:#}"))
}

/// A stage in sync, one that waits for its Secret, and one that waits for a flow.
async fn some(test: &Test) {
    test.connect().await;
    test.validate("mfa", json!({})).await;
    test.in_sync(VALIDATE, "mfa").await;
    test.apply(DUO, "duo", test.duo_spec_without_secret()).await;
    test.reason(DUO, "duo", "SecretNotFound").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_shows_what_is_well_and_what_waits_for_what() {
    test(async |test| {
        some(test).await;
        let waiting =
            json!({"flows": [{"flow": {"resource": {"kind": FLOW, "name": "login"}}, "order": 1}]});
        test.validate("waiting", waiting).await;
        test.reason(VALIDATE, "waiting", "ReferenceNotFound").await;
        let report = run(test, here(test, &["-o", "json"]), "")
            .await
            .ends(0)
            .json();
        let resources = report["resources"].as_array().unwrap();
        assert_eq!(resources.len(), 4, "{report:#}");
        let mfa = of(&report, VALIDATE);
        assert_eq!(
            (&mfa["ready"], &mfa["stage"]),
            (&json!("True"), &json!(test.name("mfa")))
        );
        assert_eq!(mfa["server"], test.gateway.url());
        assert!(
            mfa["lastChange"].is_string() && mfa["waitsFor"].is_null(),
            "{mfa}"
        );
        let duo = of(&report, DUO);
        assert_eq!(duo["waitsFor"], format!("Secret {}/duo", test.namespace));
        let waiting = resources
            .iter()
            .find(|row| row["name"] == "waiting")
            .unwrap();
        assert_eq!(waiting["waitsFor"], "Flow login", "{report:#}");
        assert_eq!(of(&report, "AuthentikConnection")["reason"], "Connected");

        let said = run(test, here(test, &[]), "").await.ends(0);
        let lines: Vec<_> = said.out.lines().collect();
        assert!(
            lines[0].starts_with("KIND ") && lines[0].ends_with("WAITS FOR"),
            "{said:?}"
        );
        assert_eq!(
            *lines.last().unwrap(),
            "4 resources: 2 ready, 2 not ready, 0 not known yet, 2 waiting"
        );
        assert!(
            !said.out.contains('\u{1b}') && said.err.is_empty(),
            "{said:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_namespaces_are_shown_when_asked_for_and_no_other_else() {
    test(async |test| {
        test.connect().await;
        let path = format!("{}/default", test.namespace);
        let said = run(test, status(test, &["-A"]), "").await.ends(0);
        assert!(said.out.contains(&path), "{said:?}");
        let said = run(test, status(test, &["-n", "no-such-namespace"]), "")
            .await
            .ends(0);
        assert_eq!(said.out, "no resources; -A looks in all namespaces\n");
        let said = run(test, status(test, &["-A", "-n", "a"]), "")
            .await
            .ends(1);
        assert!(said.err.contains("cannot be used with"), "{said:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cluster_it_says_what_to_do() {
    test(async |test| {
        let mut nowhere = status(test, &[]);
        nowhere.env("KUBECONFIG", "/no/such/file");
        let said = run(test, nowhere, "").await.ends(1);
        assert!(said.err.contains("set KUBECONFIG"), "{said:?}");
    })
    .await;
}

/// A line that says this. Those before it are passed over.
async fn line(lines: &mut Lines<BufReader<ChildStdout>>, what: &str) -> String {
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
        interrupt(&child);
        let ended = tokio::time::timeout(patience(), child.wait()).await;
        assert_eq!(ended.expect("it ends in time").unwrap().code(), Some(0));
    })
    .await;
}

/// What Ctrl-C does.
fn interrupt(child: &tokio::process::Child) {
    let id = child.id().expect("it runs").to_string();
    let sent = std::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(sent.expect("kill runs").success());
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
