//! The operator's process, as the system sees it.
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Result;
use crate::kubernetes::{Kubernetes, Supervised, User};

/// How long the operator may take to tell where its metrics are.
const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// How long it may make no progress.
const PROGRESSES_WITHIN: Duration = Duration::from_secs(120);

/// The kernel counts CPU time in hundredths of a second, whatever the machine.
const TICKS_A_SECOND: f64 = 100.0;

/// A running operator. It ends when it is dropped.
pub(super) struct Operator {
    process: Supervised,
    pid: u32,
    metrics: String,
    http: reqwest::Client,
}

impl Operator {
    /// Starts the operator for one namespace. `name` is that of its log. Its Lease is in a namespace of its own: one that
    /// is started after another need not wait for the other's Lease to run out.
    pub(super) async fn start(
        kubernetes: &Kubernetes,
        program: &Path,
        name: &'static str,
        namespace: &str,
    ) -> Result<Self> {
        let lease = kubernetes.namespace("lease").await?;
        let args = [
            "run",
            "--log-format=json",
            "--listen=127.0.0.1:0",
            &format!("--namespaces={namespace}"),
            &format!("--lease-namespace={lease}"),
        ];
        let args = args.map(Into::into);
        let mut process = kubernetes.start_program(name, program, args, User::Operator)?;
        let address = address(&mut process).await?;
        Ok(Self {
            pid: process.pid()?,
            process,
            metrics: format!("http://{address}/metrics"),
            http: reqwest::Client::new(),
        })
    }

    /// MiB that are resident.
    pub(super) fn resident(&self) -> Result<f64> {
        self.memory("VmRSS")
    }

    /// The most MiB that were resident at any time.
    pub(super) fn peak(&self) -> Result<f64> {
        self.memory("VmHWM")
    }

    fn memory(&self, field: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.trim_start_matches(':').split_whitespace().next());
        let kib: f64 = kib
            .ok_or("no such memory in the process's status")?
            .parse()?;
        Ok(kib / 1024.0)
    }

    /// CPU time so far, in seconds.
    pub(super) fn cpu(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The program's name is in parentheses and may hold anything. utime and stime are 11 fields after the state.
        let (_, after) = stat
            .rsplit_once(')')
            .ok_or("the process's stat is malformed")?;
        let ticks = after.split_whitespace().skip(11).take(2);
        let ticks: std::result::Result<Vec<f64>, _> = ticks.map(str::parse).collect();
        Ok(ticks?.iter().sum::<f64>() / TICKS_A_SECOND)
    }

    /// Waits until the sum of a metric over all lines with this label is that much at least.
    pub(super) async fn until(&mut self, metric: &str, label: &str, least: usize) -> Result<()> {
        let begun = Instant::now();
        let mut best = (0.0, begun);
        loop {
            let now = self.metric(metric, label).await;
            // One that has ended says why in its log.
            self.process.check_running()?;
            let now = now?;
            if now >= least as f64 {
                return Ok(());
            }
            if now > best.0 {
                best = (now, Instant::now());
            }
            if best.1.elapsed() > PROGRESSES_WITHIN {
                let log = self.process.log_tail();
                return Err(format!("{metric} stays at {now} and is to be {least}\n{log}").into());
            }
            // Asking costs the operator time: the longer it takes, the less often.
            let pause = begun.elapsed() / 200;
            let pause = pause.clamp(Duration::from_millis(5), Duration::from_secs(1));
            tokio::time::sleep(pause).await;
        }
    }

    /// The sum of a metric over all lines with this label.
    pub(super) async fn metric(&self, metric: &str, label: &str) -> Result<f64> {
        let text = self.http.get(&self.metrics).send().await?.text().await?;
        let lines = text
            .lines()
            .filter(|line| line.starts_with(&format!("authentik_operator_{metric}{{")))
            .filter(|line| line.contains(label));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum())
    }
}

/// Where it serves its metrics, as its log says.
async fn address(process: &mut Supervised) -> Result<String> {
    const LOOPBACK: &str = "127.0.0.1:";
    let deadline = Instant::now() + STARTS_WITHIN;
    loop {
        let log = fs::read_to_string(process.log())?;
        let serving = log.lines().find(|line| line.contains("serving health"));
        if let Some((_, port)) = serving.and_then(|line| line.split_once(LOOPBACK)) {
            let port: String = port.chars().take_while(char::is_ascii_digit).collect();
            return Ok(format!("{LOOPBACK}{port}"));
        }
        process.check_running()?;
        if Instant::now() > deadline {
            return Err("the operator does not serve its metrics".into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
