//! The operator as people run it: the program, in a process of its own, and all that it logs.

use std::process::{ExitStatus, Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
};

use crate::harness::{GRACE, Test, patience};

/// The running program. It is killed when it is dropped.
pub struct Program {
    child: Child,
    log: watch::Receiver<Vec<String>>,
    reader: JoinHandle<()>,
}

impl Program {
    /// Runs it for the test's namespace with these arguments and this environment and no other. It logs everything,
    /// as JSON.
    pub fn start(test: &Test, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_authentik-stage-operator"))
            .args(["run", "--namespaces", &test.namespace])
            .args(["--log", "trace", "--log-format", "json"])
            .args(args)
            .env_clear()
            .env("KUBECONFIG", test.kubeconfig())
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let (sender, log) = watch::channel(Vec::new());
        let canaries = test.canaries.clone();
        // Read all the time: a full pipe would hold it up.
        let reader = tokio::spawn(async move {
            while let Some(line) = lines.next_line().await.expect("the log is text") {
                canaries.search("the program's log", &line);
                sender.send_modify(|log| log.push(line));
            }
        });
        Self { child, log, reader }
    }

    /// Waits until it logs an event with this text in its message; returns the event's fields.
    pub async fn logs(&self, message: &str) -> Value {
        let mut log = self.log.clone();
        let found = async {
            loop {
                let events = events(&log.borrow_and_update(), message);
                if let Some(fields) = events.into_iter().next() {
                    return fields;
                }
                log.changed().await.expect("it goes on logging");
            }
        };
        let found = tokio::time::timeout(patience(), found).await;
        found.unwrap_or_else(|_| panic!("{message:?} is not logged in time"))
    }

    /// The fields of the events logged so far with this text in their message.
    pub fn logged(&self, message: &str) -> Vec<Value> {
        events(&self.log.borrow(), message)
    }

    /// The most memory that it has ever had resident, in bytes.
    pub fn peak_memory(&self) -> usize {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        let status = status.expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
        let kib: usize = kib.and_then(|kib| kib.parse().ok()).expect("a number");
        kib * 1024
    }

    /// Kills it and waits until it is gone; returns all that it has logged, a line each.
    pub async fn kill(mut self) -> Vec<String> {
        self.child.kill().await.expect("it is killed");
        self.all().await
    }

    /// Sends it a signal, such as STOP.
    pub async fn signal(&self, name: &str) {
        signal(&self.child, name).await;
    }

    /// Waits until it ends by itself.
    pub async fn ends(mut self) -> ExitStatus {
        let ended = tokio::time::timeout(patience(), self.child.wait()).await;
        self.all().await;
        ended.expect("it ends").expect("it can be awaited")
    }

    async fn all(self) -> Vec<String> {
        self.reader.await.expect("the log is read to its end");
        self.log.borrow().clone()
    }

    /// Asks it to end and waits until it has; returns all that it has logged, a line each.
    pub async fn terminate(mut self) -> Vec<String> {
        self.signal("TERM").await;
        let ended = tokio::time::timeout(GRACE, self.child.wait()).await;
        let status = ended.expect("it ends in time").expect("it can be awaited");
        assert!(status.success(), "{status}");
        self.all().await
    }
}

/// Sends a signal, such as STOP, to a process that has not been awaited.
pub async fn signal(process: &Child, name: &str) {
    let pid = process.id().expect("it runs").to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status().await;
    assert!(sent.expect("there is a kill command").success());
}

/// The fields of the events with this text in their message.
fn events(log: &[String], message: &str) -> Vec<Value> {
    let lines = log.iter().filter(|line| line.contains(message));
    let fields = lines.map(|line| {
        let event: Value = serde_json::from_str(line).expect("every line is JSON");
        event["fields"].clone()
    });
    let of_message = |fields: &Value| {
        let text = fields["message"].as_str();
        text.is_some_and(|text| text.contains(message))
    };
    fields.filter(of_message).collect()
}
