//! Terminals and pipes.

use std::process::Stdio;

use serde_json::json;
use tokio::io::AsyncReadExt;

use super::{bare, command, folder, manifest, run, stream};
use crate::harness::{Test, VALIDATE, patience, test};

/// A file with a manifest.
fn file(test: &Test) -> String {
    let stage = json!({"name": test.name("mfa"), "notConfiguredAction": "deny"});
    let path = folder(test).join("mfa.yaml");
    std::fs::write(&path, stream(&[manifest(test, VALIDATE, "mfa", stage)])).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What a command shows on a terminal, and its exit code.
async fn on_a_terminal(test: &Test, args: &[&str], env: &[(&str, &str)]) -> (String, i32) {
    let (mut pty, pts) = pty_process::open().expect("a terminal can be opened");
    pty.resize(pty_process::Size::new(24, 200))
        .expect("it has a size");
    let program = env!("CARGO_BIN_EXE_authentik-stage-operator");
    let command = pty_process::Command::new(program)
        .args(args)
        .env_clear()
        .env("TERM", "xterm-256color")
        .env("AUTHENTIK_URL", test.gateway.url())
        .env("AUTHENTIK_TOKEN", test.token())
        .envs(env.iter().copied());
    let mut child = command.spawn(pts).expect("the program starts");
    let mut shown = Vec::new();
    // At its end a terminal answers with an error.
    let read = async { while pty.read_buf(&mut shown).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(patience(), read)
        .await
        .expect("it ends in time");
    let status = child.wait().await.expect("it can be awaited");
    test.canaries.search("a terminal", &shown);
    (
        String::from_utf8(shown).expect("text"),
        status.code().expect("it ends by itself"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_for_terminals_and_can_be_turned_off() {
    test(async |test| {
        let file = file(test);
        let args = ["diff", "-f", &file];
        let (shown, code) = on_a_terminal(test, &args, &[]).await;
        assert_eq!(code, 2);
        assert!(shown.contains("\u{1b}[32m+ "), "{shown:?}");
        let (shown, _) = on_a_terminal(test, &args, &[("NO_COLOR", "1")]).await;
        assert!(
            shown.contains("+ ") && !shown.contains('\u{1b}'),
            "{shown:?}"
        );
        let (shown, code) = on_a_terminal(test, &["check"], &[]).await;
        assert_eq!(code, 0);
        assert!(shown.contains("\u{1b}[32mok"), "{shown:?}");
        let (shown, _) = on_a_terminal(test, &["check"], &[("NO_COLOR", "1")]).await;
        assert!(
            shown.contains("ok ") && !shown.contains('\u{1b}'),
            "{shown:?}"
        );
        let piped = run(test, command(test, &args), "").await.ends(2);
        assert!(
            piped.out.contains("+ ") && !piped.out.contains('\u{1b}'),
            "{piped:?}"
        );
        assert_eq!(piped.err, "");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn markdown_shows_what_differs_and_nothing_of_it_is_a_mark() {
    test(async |test| {
        let name = test.name("a|b <script> `x` @all *c*");
        let stage = json!({"name": name, "notConfiguredAction": "deny"});
        let args = ["diff", "-f", "-", "--output", "markdown"];
        let manifests = stream(&[manifest(test, VALIDATE, "mfa", stage)]);
        let said = run(test, command(test, &args), &manifests).await.ends(2);
        assert!(
            said.out.starts_with("### authentik: 1 to create\n"),
            "{said:?}"
        );
        for mark in ["<script>", "@all", "`x`", "*c*", "a|b"] {
            assert!(!said.out.contains(mark), "{mark}: {said:?}");
        }
        assert!(said.out.contains("&lt;script&gt;"), "{said:?}");
    })
    .await;
}

/// `... | head` ends the reader first.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_no_further_is_no_error() {
    test(async |test| {
        let file = file(test);
        for args in [
            &["crds"][..],
            &["diff", "-f", &file],
            &["permissions"],
            &["--help"],
        ] {
            let mut command = command(test, args);
            let child = command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            let mut child = child.expect("the program starts");
            drop(child.stdout.take());
            let output = tokio::time::timeout(patience(), child.wait_with_output()).await;
            let output = output.expect("it ends in time").expect("it can be awaited");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(
                (output.status.code(), said.as_str()),
                (Some(0), ""),
                "{args:?}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn help_has_an_example_for_each_command() {
    test(async |test| {
        for name in ["diff", "apply"] {
            let said = run(test, bare(&[name, "--help"]), "").await.ends(0);
            assert!(said.out.contains("Examples:"), "{name}: {said:?}");
        }
    })
    .await;
}
