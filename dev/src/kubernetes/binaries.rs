//! Finds the Kubernetes binaries, or builds them from pinned Go modules.
use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::error::{Error, Result};
use super::process::tail;

/// How often a long build says that it is still going.
const PROGRESS_EVERY: Duration = Duration::from_secs(15);

const KUBERNETES: Module = Module {
    directory: "kubernetes",
    path: "k8s.io/kubernetes",
    go_mod: include_str!("../../kubernetes/kubernetes/go.mod"),
};

const ETCD: Module = Module {
    directory: "etcd",
    path: "go.etcd.io/etcd/server/v3",
    go_mod: include_str!("../../kubernetes/etcd/go.mod"),
};

/// The paths of the binaries that make up a Kubernetes API.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The store.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// Garbage collection, the deletion of namespaces and the aggregation of roles.
    pub kube_controller_manager: PathBuf,
    /// The command line.
    pub kubectl: PathBuf,
}

impl Binaries {
    /// Takes each binary from the directory `KUBEBUILDER_ASSETS` names where it is there, else from
    /// this workspace's target directory, where it is built once.
    ///
    /// A build takes minutes and reports to standard error. Processes that need the same binary
    /// wait for one build.
    ///
    /// # Errors
    ///
    /// When Go is missing or a build fails.
    pub fn find_or_build() -> Result<Self> {
        Ok(Self {
            etcd: find_or_build("etcd", &ETCD, "")?,
            kubectl: find_or_build("kubectl", &KUBERNETES, "/cmd/kubectl")?,
            kube_apiserver: find_or_build("kube-apiserver", &KUBERNETES, "/cmd/kube-apiserver")?,
            kube_controller_manager: find_or_build(
                "kube-controller-manager",
                &KUBERNETES,
                "/cmd/kube-controller-manager",
            )?,
        })
    }
}

/// A Go module of this directory that pins another one to build from.
struct Module {
    directory: &'static str,
    path: &'static str,
    go_mod: &'static str,
}

impl Module {
    /// The version of the other module that is pinned.
    fn version(&self) -> &'static str {
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

    fn source(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("kubernetes")
            .join(self.directory)
    }

    /// What the linker writes into the binaries, so that they tell the version they are.
    fn link_flags(&self) -> String {
        let version = self.version();
        let mut numbers = version.trim_start_matches('v').split('.');
        let major = numbers.next().unwrap_or_default();
        let minor = numbers.next().unwrap_or_default();
        let component = "k8s.io/component-base/version";
        format!(
            "-s -w -X {component}.gitVersion={version} -X {component}.gitMajor={major} \
             -X {component}.gitMinor={minor} -X k8s.io/client-go/pkg/version.gitVersion={version}"
        )
    }
}

fn find_or_build(tool: &'static str, module: &Module, package: &str) -> Result<PathBuf> {
    let downloaded = env::var_os("KUBEBUILDER_ASSETS").map(|assets| Path::new(&assets).join(tool));
    let built = build_directory().join(tool);
    match downloaded
        .into_iter()
        .chain([built.clone()])
        .find(|path| path.is_file())
    {
        Some(found) => Ok(found),
        None => build_once(tool, module, package, &built).map(|()| built),
    }
}

/// A directory for these versions, so that a change of version builds anew.
fn build_directory() -> PathBuf {
    let versions = format!("{}-etcd-{}", KUBERNETES.version(), ETCD.version());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    workspace
        .canonicalize()
        .unwrap_or(workspace)
        .join("target/kubernetes")
        .join(versions)
}

/// Builds `built` unless another process does so first.
fn build_once(tool: &'static str, module: &Module, package: &str, built: &Path) -> Result<()> {
    let directory = build_directory();
    fs::create_dir_all(&directory).map_err(Error::io("create", &directory))?;
    let _lock = lock(tool, &directory.join("lock"))?;
    if built.is_file() {
        return Ok(());
    }
    // Go writes the file piece by piece; what bears the final name has to be whole.
    let partial = built.with_extension("partial");
    report_progress(tool, module.version(), || {
        build(tool, module, package, &partial)
    })?;
    fs::rename(&partial, built).map_err(Error::io("rename", &partial))
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
    let result = Command::new("go")
        .current_dir(module.source())
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .args(["build", "-buildvcs=false", "-trimpath", "-ldflags"])
        .arg(module.link_flags())
        .arg("-o")
        .arg(output)
        .arg(format!("{}{package}", module.path))
        .output();
    match result {
        Ok(done) if done.status.success() => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_modules() {
        for module in [KUBERNETES, ETCD] {
            let version = module.version();
            assert!(
                version.starts_with('v') && version.split('.').count() == 3,
                "{version}"
            );
        }
    }
}
