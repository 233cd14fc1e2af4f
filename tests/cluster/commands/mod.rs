//! The command line, as people and pipelines run it.

mod apply;
mod check;
mod diff;
mod ending;
mod impact;
mod manuals;
mod many;
mod moving_in;
mod output;
mod refused;
mod status;
mod terminal;
mod tutorial;
mod watch;

use std::{path::PathBuf, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
};

use crate::harness::{Test, patience};

/// How a command has ended.
#[derive(Debug)]
pub struct Said {
    /// The exit code.
    pub code: i32,
    /// What it wrote to the standard output.
    pub out: String,
    /// What it wrote to the standard error.
    pub err: String,
}

impl Said {
    /// It has ended with this code.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// The standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// A command against the test's authentik, with these arguments, and nothing in its environment but what is added.
pub fn command(test: &Test, args: &[&str]) -> Command {
    let mut command = bare(args);
    command
        .env("AUTHENTIK_URL", test.gateway.url())
        .env("AUTHENTIK_TOKEN", test.token());
    command
}

/// A command with these arguments and an empty environment.
pub fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_authentik-stage-operator"));
    command.args(args).env_clear().kill_on_drop(true);
    command
}

/// Runs a command with this input. Neither of its outputs may show a secret.
pub async fn run(test: &Test, command: Command, input: &str) -> Said {
    ended(test, started(command, input).await).await
}

/// Starts a command with this input.
async fn started(mut command: Command, input: &str) -> Child {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    // Who does not read its input is not fed.
    let _ = stdin.write_all(input.as_bytes()).await;
    child
}

/// Waits for its end. Neither of its outputs may show a secret.
async fn ended(test: &Test, child: Child) -> Said {
    let output = tokio::time::timeout(patience(), child.wait_with_output()).await;
    let output = output.expect("it ends in time").expect("it can be awaited");
    let text = |bytes: &[u8]| {
        test.canaries.search("a command's output", bytes);
        String::from_utf8(bytes.to_vec()).expect("it writes text")
    };
    Said {
        code: output.status.code().expect("it ends by itself"),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

/// A manifest in the test's namespace.
pub fn manifest(test: &Test, kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "authentik-operator.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": test.namespace}, "spec": spec,
    })
}

/// These manifests as one text.
pub fn stream(manifests: &[Value]) -> String {
    let texts = manifests
        .iter()
        .map(|manifest| format!("---\n{manifest}\n"));
    texts.collect()
}

/// What `diff` says of these manifests, as JSON.
pub async fn diff(test: &Test, manifests: &[Value], args: &[&str]) -> Said {
    let args = [&["diff", "-f", "-", "--output", "json"], args].concat();
    run(test, command(test, &args), &stream(manifests)).await
}

/// What `apply --yes` says of these manifests.
pub async fn apply(test: &Test, manifests: &[Value], args: &[&str]) -> Said {
    let args = [&["apply", "-f", "-", "--yes"], args].concat();
    run(test, command(test, &args), &stream(manifests)).await
}

/// A folder of this test alone.
pub fn folder(test: &Test) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(&test.namespace);
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

/// Action by `Kind name` of a report.
pub fn actions(report: &Value) -> Vec<(String, String)> {
    let rows = report["resources"].as_array().expect("resources");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    rows.iter()
        .map(|row| {
            let resource = format!("{} {}", text(&row["kind"]), text(&row["name"]));
            (resource, text(&row["action"]))
        })
        .collect()
}
