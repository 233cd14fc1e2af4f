//! Processes that never outlive this one.
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::error::{Error, Result};

/// Runs "$@" until it ends or the pipe at standard input closes.
///
/// The pipe's other end is ours, so the kernel closes it when this process ends, even by SIGKILL,
/// when no code of ours can run any more.
const SUPERVISE: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
{ read -r _ <&3; kill -9 "$child"; } &
watch=$!
wait "$child"
status=$?
kill "$watch"
exit "$status"
"#;

/// Removes the directory $1 once the pipe at standard input closes.
///
/// The processes that write to the directory are killed at the same moment; until they are gone it
/// may not be empty yet, hence the attempts.
const SWEEP: &str = r#"
read -r _
for attempt in 1 2 3 4 5; do
  rm -rf -- "$1" && exit
  sleep 1
done
"#;

/// How much of a log an error repeats.
const TAIL_LINES: usize = 30;

/// A child process with a log, killed when this is dropped or the process ends.
#[derive(Debug)]
pub struct Supervised {
    name: &'static str,
    log: PathBuf,
    shell: Child,
}

impl Supervised {
    /// Starts `program`, with `environment` beside our own; what it prints is appended to `log`.
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        args: impl IntoIterator<Item = OsString>,
        environment: &[(&str, &OsStr)],
        log: PathBuf,
    ) -> Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(Error::io("open", &log))?;
        let errors = output.try_clone().map_err(Error::io("open", &log))?;
        let shell = shell(SUPERVISE)
            .arg(program)
            .args(args)
            .envs(environment.iter().copied())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(Error::io("start", program))?;
        Ok(Self { name, log, shell })
    }

    /// Fails, with the end of the log, when the process has ended.
    ///
    /// # Errors
    ///
    /// That it has.
    pub fn check_running(&mut self) -> Result<()> {
        let ended = self
            .shell
            .try_wait()
            .map_err(Error::io("await", self.name))?;
        match ended {
            None => Ok(()),
            Some(_) => Err(Error::Ended {
                component: self.name,
                log: self.log_tail(),
            }),
        }
    }

    /// The process's identifier.
    ///
    /// # Errors
    ///
    /// When the process has not started yet, or has ended.
    pub fn pid(&self) -> Result<u32> {
        let shell = self.shell.id();
        let path = format!("/proc/{shell}/task/{shell}/children");
        let children = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        // The shell starts the process first, and then what watches over it.
        let first = children.split_whitespace().next();
        let pid = first.and_then(|pid| pid.parse().ok());
        pid.ok_or_else(|| Error::Ended {
            component: self.name,
            log: self.log_tail(),
        })
    }

    /// The file that holds what it prints.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines that it printed.
    pub fn log_tail(&self) -> String {
        tail(&fs::read(&self.log).unwrap_or_default())
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        close_pipe_and_wait(&mut self.shell);
    }
}

/// A directory, removed when this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    shell: Child,
}

impl Directory {
    /// Makes a directory only the current user can read.
    pub(crate) fn create(prefix: &str) -> Result<Self> {
        let path = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir()
            .map_err(Error::io("make a directory in", std::env::temp_dir()))?
            .keep();
        let shell = shell(SWEEP)
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::io("watch over", &path))?;
        Ok(Self { path, shell })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        close_pipe_and_wait(&mut self.shell);
    }
}

/// A shell that runs `script` with a pipe from us as its standard input.
fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", script, "sh"])
        .stdin(Stdio::piped())
        // Not in our group: an interrupt from the terminal is for us to handle, in order.
        .process_group(0);
    command
}

fn close_pipe_and_wait(shell: &mut Child) {
    // `wait` closes the pipe first. Nothing can be done about a failure, least of all in a drop.
    let _: io::Result<_> = shell.wait();
}

/// The last lines of what a process printed.
pub(crate) fn tail(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// A `--name=value` argument whose value need not be valid Unicode.
pub(crate) fn flag(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(value);
    flag
}
