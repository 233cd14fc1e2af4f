//! Builds programs from Go modules that are pinned here.
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::kubernetes::{Error, Result, tail};

/// How often a long build says that it is still going.
const PROGRESS_EVERY: Duration = Duration::from_secs(15);

/// A Go module in a folder of the developer kit that pins another one to build from.
pub struct Module {
    /// The folder.
    pub directory: &'static str,
    /// The other module.
    pub path: &'static str,
    /// The file that pins it.
    pub go_mod: &'static str,
    /// What the linker writes into the programs, so that they tell the version they are.
    pub link_flags: fn(version: &str) -> String,
    /// The build tags of the programs, separated by commas.
    pub tags: &'static str,
}

impl Module {
    /// The version of the other module that is pinned.
    pub fn version(&self) -> &'static str {
        self.go_mod
            .lines()
            .filter_map(|line| {
                line.trim_start()
                    .trim_start_matches("require ")
                    .split_once(' ')
            })
            .find(|(path, _)| *path == self.path)
            .and_then(|(_, rest)| rest.split(' ').next())
            .expect("go.mod requires the module it is for")
    }

    /// Go, as it is used in the folder.
    fn go(&self) -> Command {
        let mut go = Command::new("go");
        go.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(self.directory))
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off");
        go
    }

    /// The folder with the other module's files, downloaded where they are missing.
    ///
    /// # Errors
    ///
    /// When Go is missing or the download fails.
    pub fn files(&self, tool: &'static str) -> Result<PathBuf> {
        let mut command = self.go();
        command.args(["mod", "download", "-json", self.path]);
        let printed = run(tool, command)?;
        let downloaded: Downloaded = serde_json::from_slice(&printed)
            .map_err(io::Error::from)
            .map_err(Error::io("read what is printed by", "go mod download"))?;
        Ok(downloaded.dir)
    }

    /// The path of a tool of this name, built from `package` first where it is missing: always the version that is pinned.
    ///
    /// # Errors
    ///
    /// When Go is missing or the build fails.
    pub fn tool(&self, name: &'static str, package: &str) -> Result<PathBuf> {
        let file = format!("{name}-{}", self.version());
        let built = target().join("tools").join(file);
        if !built.is_file() {
            self.build_once(name, package, &built)?;
        }
        Ok(built)
    }

    /// Builds `package`, of this module or of the other, as `built`, unless another process does so first.
    ///
    /// # Errors
    ///
    /// When Go is missing or the build fails.
    pub fn build_once(&self, tool: &'static str, package: &str, built: &Path) -> Result<()> {
        let directory = built.parent().expect("a program is in a directory");
        fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
        let _lock = lock(tool, &directory.join("lock"))?;
        if built.is_file() {
            return Ok(());
        }
        // Go writes the file piece by piece; what bears the final name has to be whole.
        let partial = built.with_extension("partial");
        report_progress(tool, self.version(), || {
            build(tool, self, package, &partial)
        })?;
        fs::rename(&partial, built).map_err(Error::io("rename", &partial))
    }
}

/// What `go mod download -json` prints, as far as it is used.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    dir: PathBuf,
}

/// The workspace's target directory.
pub fn target() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    workspace.canonicalize().unwrap_or(workspace).join("target")
}

/// Waits until no other process builds; the lock ends with the returned file.
fn lock(tool: &str, path: &Path) -> Result<File> {
    let file = File::create(path).map_err(Error::io("create", path))?;
    let locked = match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
        Err(TryLockError::WouldBlock) => {
            say(&format!("{tool}: waiting for another process to build it"));
            file.lock()
        }
    };
    locked.map(|()| file).map_err(Error::io("lock", path))
}

fn build(tool: &'static str, module: &Module, package: &str, output: &Path) -> Result<()> {
    let flags = format!("-s -w {}", (module.link_flags)(module.version()));
    let mut command = module.go();
    command
        .args(["build", "-buildvcs=false", "-trimpath", "-tags"])
        .args([module.tags, "-ldflags", &flags])
        .arg("-o")
        .arg(output)
        .arg(package);
    run(tool, command).map(drop)
}

/// Runs Go; returns what it prints.
fn run(tool: &'static str, mut command: Command) -> Result<Vec<u8>> {
    match command.output() {
        Ok(done) if done.status.success() => Ok(done.stdout),
        Ok(done) => Err(Error::Build {
            tool,
            output: tail(&done.stderr),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::GoMissing { tool }),
        Err(error) => Err(Error::io("run", "go")(error)),
    }
}

/// Says what is being built while `build` runs, and how long it takes.
fn report_progress(tool: &str, version: &str, build: impl FnOnce() -> Result<()>) -> Result<()> {
    say(&format!(
        "{tool} {version}: building with Go; this happens once and takes minutes"
    ));
    let started = Instant::now();
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while is_done.recv_timeout(PROGRESS_EVERY) == Err(RecvTimeoutError::Timeout) {
                say(&format!(
                    "{tool}: still building, {} s",
                    started.elapsed().as_secs()
                ));
            }
        });
        let result = build();
        drop(done);
        result
    })?;
    say(&format!(
        "{tool}: built in {} s",
        started.elapsed().as_secs()
    ));
    Ok(())
}

/// Prints a line. Not by `eprintln!`, which tests capture: a test that builds would seem to hang.
fn say(line: &str) {
    // Without a standard error there is nobody to tell.
    let _ = writeln!(io::stderr(), "{line}");
}
