//! How the components are started.
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use super::{MODULE, NAMESPACE};
use crate::gitops::Result;
use crate::go;
use crate::kubernetes::{Directory, Supervised, await_listening, flag, free_port};

/// The running components; they end when this is dropped or the process ends.
pub(super) struct Components {
    // Dropped in this order: clients of a component before the component, the files last.
    running: [Supervised; 3],
    _directory: Directory,
}

impl Components {
    /// Starts Redis, the repo server and the application controller, with the rights of this kubeconfig.
    ///
    /// # Errors
    /// When Redis is missing, Argo CD can't be built or a component ends.
    pub(super) async fn start(kubeconfig: &Path) -> Result<Self> {
        let directory = Directory::create("devkit-argocd-")?;
        let launch = Launch {
            program: tokio::task::spawn_blocking(build).await??,
            directory: directory.path(),
            environment: environment(directory.path(), kubeconfig)?,
        };
        let redis = launch.redis()?;
        let port = free_port()?;
        let mut repo_server = launch.repo_server(port)?;
        await_listening("argocd-repo-server", &mut repo_server, port).await?;
        let controller = launch.controller(port)?;
        Ok(Self {
            running: [controller, repo_server, redis],
            _directory: directory,
        })
    }

    /// The last lines that each has printed.
    pub(super) fn logs(&self) -> String {
        let logs = self.running.iter();
        let logs = logs.map(|it| format!("{}:\n{}\n", it.log().display(), it.log_tail()));
        logs.collect()
    }
}

/// The path of Argo CD's program, which is all of its components by name; built first where it is missing.
fn build() -> crate::kubernetes::Result<PathBuf> {
    let file = format!("argocd-{}", MODULE.version());
    let built = go::target().join("tools").join(file);
    if !built.is_file() {
        MODULE.build_once("argocd", "github.com/argoproj/argo-cd/v3/cmd", &built)?;
    }
    Ok(built)
}

/// What Argo CD is told by variables: how to reach the cluster, and to keep to the directory.
fn environment(directory: &Path, kubeconfig: &Path) -> Result<Vec<(&'static str, OsString)>> {
    let mut environment = vec![
        ("KUBECONFIG", kubeconfig.into()),
        // That cluster is to be what https://kubernetes.default.svc is in a pod.
        ("ARGOCD_FAKE_IN_CLUSTER", "true".into()),
        ("ARGOCD_GPG_ENABLED", "false".into()),
        ("ARGOCD_ASK_PASS_SOCK", directory.join("ask-pass").into()),
    ];
    for variable in [
        "HOME",
        "TMPDIR",
        "ARGOCD_PLUGINSOCKFILEPATH",
        "ARGOCD_SSH_DATA_PATH",
        "ARGOCD_TLS_DATA_PATH",
    ] {
        let folder = directory.join(variable);
        fs::create_dir(&folder)?;
        environment.push((variable, folder.into()));
    }
    Ok(environment)
}

/// What starting a component needs.
struct Launch<'a> {
    program: PathBuf,
    directory: &'a Path,
    environment: Vec<(&'static str, OsString)>,
}

impl Launch<'_> {
    fn redis(&self) -> Result<Supervised> {
        let program = find("redis-server").ok_or(
            "Argo CD needs redis-server, which is not installed; it is in the package redis-server of Debian and Ubuntu",
        )?;
        let args = [
            // No port: the socket is enough.
            "--port".into(),
            "0".into(),
            "--unixsocket".into(),
            self.redis_socket().into(),
            // It is a cache: nothing is saved.
            "--save".into(),
            "".into(),
        ];
        let log = self.directory.join("redis-server.log");
        Ok(Supervised::start("redis-server", &program, args, &[], log)?)
    }

    fn redis_socket(&self) -> PathBuf {
        self.directory.join("redis")
    }

    fn repo_server(&self, port: u16) -> Result<Supervised> {
        let args = vec![
            flag("redis", self.redis_socket()),
            "--address=127.0.0.1".into(),
            flag("port", port.to_string()),
            "--disable-tls".into(),
            // Any port will do: nothing asks for its metrics.
            "--metrics-address=127.0.0.1".into(),
            "--metrics-port=0".into(),
        ];
        self.component("argocd-repo-server", args)
    }

    fn controller(&self, repo_server: u16) -> Result<Supervised> {
        let args = vec![
            flag("redis", self.redis_socket()),
            flag("namespace", NAMESPACE),
            flag("repo-server", format!("127.0.0.1:{repo_server}")),
            "--repo-server-plaintext".into(),
            "--metrics-port=0".into(),
            // Into the Application, where it can be read without Argo CD's API server.
            "--persist-resource-health".into(),
        ];
        self.component("argocd-application-controller", args)
    }

    /// Starts Argo CD's program as the component of this name.
    fn component(&self, name: &'static str, args: Vec<OsString>) -> Result<Supervised> {
        let environment = self.environment.iter();
        let environment = environment.map(|(variable, value)| (*variable, value.as_os_str()));
        let name_it = [("ARGOCD_BINARY_NAME", OsStr::new(name))];
        let environment: Vec<_> = environment.chain(name_it).collect();
        let log = self.directory.join(format!("{name}.log"));
        let started = Supervised::start(name, &self.program, args, &environment, log);
        Ok(started?)
    }
}

/// A program of the system.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
