//! kubectl, shown with what it prints.
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Result;
use crate::kubernetes::Kubernetes;

/// Runs kubectl as the administrator.
pub(super) struct Kubectl<'a> {
    kubernetes: &'a Kubernetes,
}

impl<'a> Kubectl<'a> {
    pub(super) fn new(kubernetes: &'a Kubernetes) -> Self {
        Self { kubernetes }
    }

    /// Shows a command, runs it and shows what it prints. Fails when it does.
    pub(super) async fn show(&self, line: &str) -> Result<()> {
        println!("$ kubectl {line}");
        print(line, &self.output(line, b"").await?).map(drop)
    }

    /// As [`Self::show`], for a command that reads `input`: from the standard input where `line` ends with
    /// `-f -`, else in the place of the file that it names.
    pub(super) async fn feed(&self, before: &str, line: &str, input: &[u8]) -> Result<()> {
        println!("$ {before}kubectl {line}");
        let (command, _) = line.rsplit_once(' ').unwrap_or((line, ""));
        print(line, &self.output(&format!("{command} -"), input).await?).map(drop)
    }

    /// Runs a command without showing it and returns what it prints.
    pub(super) async fn ask(&self, line: &str) -> Result<String> {
        let output = self.output(line, b"").await?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(failed(line, &output))
    }

    async fn output(&self, line: &str, input: &[u8]) -> Result<Output> {
        let command = self.kubernetes.kubectl_command(line.split(' '));
        let mut child = Command::from(command)
            // Not in our group: an interrupt from the terminal is for us to handle, in order.
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input).await?;
        }
        Ok(child.wait_with_output().await?)
    }
}

fn print(line: &str, output: &Output) -> Result<()> {
    print!("{}", String::from_utf8_lossy(&output.stdout));
    if output.status.success() {
        return Ok(());
    }
    Err(failed(line, output))
}

fn failed(line: &str, output: &Output) -> Box<dyn std::error::Error + Send + Sync> {
    let errors = String::from_utf8_lossy(&output.stderr);
    format!("kubectl {line}: {}", errors.trim_end()).into()
}
