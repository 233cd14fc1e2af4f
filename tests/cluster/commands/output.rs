//! Terminals and pipes.

use std::process::Stdio;

use serde_json::json;

use super::{command, folder, manifest, run, stream, terminal::Terminal};
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
    Terminal::start(test, args, env).ends().await
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
