//! Terminals and pipes.

use std::process::Stdio;

use serde_json::json;

use super::{bare, command, folder, manifest, run, stream, terminal::Terminal};
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

/// The commands that help lists.
fn commands(help: &str) -> Vec<String> {
    let after = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = after.take_while(|line| !line.is_empty());
    // What a line goes on with is further to the right.
    let names = lines.filter_map(|line| line.strip_prefix("  "));
    let names = names.filter(|line| !line.starts_with(' '));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn help_has_an_example_for_each_command() {
    test(async |test| {
        let said = run(test, bare(&["--help"]), "").await.ends(0);
        let all = commands(&said.out);
        for known in ["run", "diff", "check", "status", "man"] {
            assert!(all.iter().any(|name| name == known), "{known}: {all:?}");
        }
        for name in all {
            let said = run(test, bare(&[&name, "--help"]), "").await.ends(0);
            let (_, examples) = said.out.split_once("Examples:\n").unwrap_or_default();
            let call = format!("authentik-stage-operator {name}");
            assert!(examples.contains(&call), "{name}: {said:?}");
        }
    })
    .await;
}

/// kubectl calls a plugin by its name.
#[tokio::test(flavor = "multi_thread")]
async fn as_a_plugin_of_kubectl_it_says_so() {
    test(async |test| {
        let plugin = folder(test).join("kubectl-authentik");
        let _ = std::fs::remove_file(&plugin);
        let program = env!("CARGO_BIN_EXE_authentik-stage-operator");
        std::os::unix::fs::symlink(program, &plugin).unwrap();
        let say = async |args: &[&str]| {
            let mut command = tokio::process::Command::new(&plugin);
            command.args(args).env_clear();
            run(test, command, "").await
        };
        let said = say(&["--help"]).await.ends(0);
        assert!(
            said.out.contains("Usage: kubectl authentik <COMMAND>"),
            "{said:?}"
        );
        let said = say(&["check", "--help"]).await.ends(0);
        assert!(
            said.out.contains("Usage: kubectl authentik check"),
            "{said:?}"
        );
        assert!(
            said.out.contains("kubectl authentik check --url"),
            "{said:?}"
        );
        assert!(!said.out.contains("authentik-stage-operator"), "{said:?}");
        let said = say(&["completions", "bash"]).await.ends(0);
        assert!(said.out.contains("kubectl-authentik"), "{said:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_and_pages_know_every_command() {
    test(async |test| {
        let help = run(test, bare(&["--help"]), "").await.ends(0);
        let all = commands(&help.out);
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let said = run(test, bare(&["completions", shell]), "").await.ends(0);
            let missing = all.iter().find(|name| !said.out.contains(*name));
            assert_eq!(missing, None, "{shell}");
        }
        let pages = folder(test).join("man");
        let args = ["man", "--output-dir", pages.to_str().unwrap()];
        run(test, bare(&args), "").await.ends(0);
        for name in all {
            let page = pages.join(format!("authentik-stage-operator-{name}.1"));
            let text = std::fs::read_to_string(&page).expect("a page");
            assert!(text.contains("Examples:"), "{name}");
        }
        let said = run(test, bare(&["man", "--output-dir", "/dev/null/no"]), "").await;
        let said = said.ends(1);
        assert!(
            said.err.contains("/dev/null/no can't be written"),
            "{said:?}"
        );
    })
    .await;
}
