//! A real etcd and kube-apiserver, for tests and the demo.
//!
//! One call gives a working Kubernetes API: the binaries are found or built ([`Binaries`]), etcd and
//! the API server run on free loopback ports in a directory of their own, and every write is audited
//! ([`Kubernetes::writes`]). Nothing outlives the program that started it, however it ends.
//!
//! There is no scheduler and no kubelet: objects are stored, checked, watched and, with the
//! controller manager, garbage collected, but no pod runs.
mod audit;
mod binaries;
mod components;
mod error;
mod helm;
mod process;
mod release;
mod state;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta, PostParams};

use crate::gateway::Gateway;

pub use audit::AuditedWrite;
pub use binaries::Binaries;
pub use error::{Error, Result};
pub use helm::{helm, helm_command};
pub use process::Supervised;
pub(crate) use process::{Directory, flag, tail};
pub use release::Release;
pub use state::User;
pub(crate) use state::free_port;

use state::State;

/// How long a component may take until it answers; generous, for busy machines.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// How often to start over when another process took a port that was free a moment ago.
const START_ATTEMPTS: u32 = 3;

/// What to start beside etcd and the API server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Run kube-controller-manager, for garbage collection, the deletion of namespaces and the
    /// aggregation of cluster roles.
    pub controller_manager: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            controller_manager: true,
        }
    }
}

/// A running etcd and kube-apiserver; both end when this is dropped or the process ends.
#[derive(Debug)]
pub struct Kubernetes {
    // Dropped in this order: clients of a component before the component, the files last.
    controller_manager: Option<Supervised>,
    apiserver: Mutex<Option<Supervised>>,
    etcd: Mutex<Supervised>,
    binaries: Binaries,
    state: State,
}

impl Kubernetes {
    /// Starts etcd and the API server, building the binaries first where they are missing.
    ///
    /// # Errors
    ///
    /// When a binary cannot be built or a component does not become ready.
    pub async fn start(options: Options) -> Result<Self> {
        // An error means that the process has a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let binaries = tokio::task::spawn_blocking(Binaries::find_or_build)
            .await
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        for _ in 1..START_ATTEMPTS {
            match Self::launch(binaries.clone(), &options).await {
                Err(error) if error.is_port_taken() => {}
                done => return done,
            }
        }
        Self::launch(binaries, &options).await
    }

    /// The server that all tests of one process share, started by the first that asks.
    ///
    /// It belongs to no test's runtime and ends with the process. Tests keep apart by namespace;
    /// one that stops the API server has to [start](Self::start) its own.
    ///
    /// # Panics
    ///
    /// When the server cannot be started.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<std::result::Result<Kubernetes, String>> = OnceLock::new();
        SHARED
            .get_or_init(|| block_on_own_thread(Self::start(Options::default())))
            .as_ref()
            .unwrap_or_else(|error| panic!("no Kubernetes to test with: {error}"))
    }

    async fn launch(binaries: Binaries, options: &Options) -> Result<Self> {
        let state = State::create()?;
        let mut etcd = components::etcd(&binaries, &state)?;
        await_listening("etcd", &mut etcd, state.etcd_port).await?;
        let mut kubernetes = Self {
            controller_manager: None,
            apiserver: Mutex::new(None),
            etcd: Mutex::new(etcd),
            binaries,
            state,
        };
        kubernetes.start_apiserver().await?;
        if options.controller_manager {
            let started = components::controller_manager(&kubernetes.binaries, &kubernetes.state)?;
            kubernetes.controller_manager = Some(started);
        }
        Ok(kubernetes)
    }

    /// A client that acts as `user`, for the runtime it is called in.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn client(&self, user: User) -> kube::Client {
        kube::Client::try_from(self.state.client_config(user))
            .expect("a configuration made of our own certificate and token is valid")
    }

    /// The path of a kubeconfig file that acts as `user`.
    pub fn kubeconfig(&self, user: User) -> PathBuf {
        self.state.kubeconfig(user)
    }

    /// A gateway in front of the API server, and the path of a kubeconfig file that acts as `user` through it.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written.
    pub async fn gateway(&self, user: User) -> Result<(Gateway, PathBuf)> {
        let gateway = Gateway::in_front_of(&self.state.apiserver_url())
            .trusting(&self.state.ca_pem()?)
            .streaming()
            .launch()
            .await;
        let kubeconfig = self.state.write_kubeconfig(user, gateway.address())?;
        Ok((gateway, kubeconfig))
    }

    /// Creates a namespace with a new name that starts with `prefix`, and returns the name.
    ///
    /// It need not be deleted: it ends with the server.
    ///
    /// # Errors
    ///
    /// When the API server refuses, for example a prefix that is no valid name.
    pub async fn namespace(&self, prefix: &str) -> Result<String> {
        let namespace = Namespace {
            metadata: ObjectMeta {
                generate_name: Some(format!("{prefix}-")),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let created = Api::<Namespace>::all(self.client(User::Admin))
            .create(&PostParams::default(), &namespace)
            .await?;
        Ok(created.metadata.name.unwrap_or_default())
    }

    /// The writes to `namespace` that the API server has answered, refused ones included, oldest
    /// first; an empty `namespace` selects those to objects outside all namespaces.
    ///
    /// Complete: a write is recorded before its answer ends.
    ///
    /// # Panics
    ///
    /// When the audit log cannot be read.
    pub fn writes(&self, namespace: &str) -> Vec<AuditedWrite> {
        audit::read(&self.state.audit_log(), namespace)
            .unwrap_or_else(|error| panic!("cannot read the audit log: {error}"))
    }

    /// Kills the API server and starts it again with the same address and data.
    ///
    /// # Errors
    ///
    /// When it does not become ready again.
    pub async fn restart_apiserver(&self) -> Result<()> {
        self.stop_apiserver();
        self.start_apiserver().await
    }

    /// Kills the API server: its clients lose their connections and find nothing at its address.
    pub fn stop_apiserver(&self) {
        drop(lock(&self.apiserver).take());
    }

    /// Starts the API server, at the same address as before, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it does not become ready.
    pub async fn start_apiserver(&self) -> Result<()> {
        let started = components::apiserver(&self.binaries, &self.state)?;
        *lock(&self.apiserver) = Some(started);
        let client = &self.client(User::Admin);
        let check_running = || self.check_running();
        await_ready("kube-apiserver", check_running, || is_serving(client)).await
    }

    /// The path of kubectl.
    pub fn kubectl(&self) -> PathBuf {
        self.binaries.kubectl.clone()
    }

    /// A kubectl command with `args` that acts as the administrator.
    pub fn kubectl_command<I>(&self, args: I) -> Command
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let mut command = Command::new(self.kubectl());
        command.args(args).envs(BTreeMap::from([
            ("KUBECONFIG", self.kubeconfig(User::Admin)),
            // Ports are used again: discovery cached in the home directory would be another
            // server's.
            ("KUBECACHEDIR", self.state.kubectl_cache()),
        ]));
        command
    }

    /// Starts a program that acts as `user`: `KUBECONFIG` tells it how, and its log is beside those of the
    /// servers.
    ///
    /// Drop it before the servers, or it sees them go.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_program(
        &self,
        name: &'static str,
        program: &Path,
        args: impl IntoIterator<Item = OsString>,
        user: User,
    ) -> Result<Supervised> {
        let kubeconfig = self.kubeconfig(user);
        let environment = [("KUBECONFIG", kubeconfig.as_os_str())];
        let log = self.state.file(&format!("{name}.log"));
        Supervised::start(name, program, args, &environment, log)
    }

    fn check_running(&self) -> Result<()> {
        lock(&self.etcd).check_running()?;
        match lock(&self.apiserver).as_mut() {
            Some(apiserver) => apiserver.check_running(),
            None => Ok(()),
        }
    }
}

/// Locks; what a panicking thread leaves behind is still a process to end.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `start` to its end on a runtime that nothing else depends on, wherever the caller runs.
fn block_on_own_thread<T: Send>(
    start: impl Future<Output = Result<T>> + Send,
) -> std::result::Result<T, String> {
    let run = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?
            .block_on(start)
            .map_err(|error| error.to_string())
    };
    thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Waits until a component, which `name` names in errors, listens on a port.
pub(crate) async fn await_listening(
    name: &'static str,
    component: &mut Supervised,
    port: u16,
) -> Result<()> {
    await_ready(name, || component.check_running(), || is_listening(port)).await
}

async fn is_listening(port: u16) -> std::result::Result<(), String> {
    let connected = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
    connected.map(drop).map_err(|error| error.to_string())
}

/// Whether the API server is ready and has made the namespace everything starts in.
async fn is_serving(client: &kube::Client) -> std::result::Result<(), String> {
    let readyz = http::Request::get("/readyz")
        .body(Vec::new())
        .expect("a constant request is valid");
    let ready = async {
        client.request_text(readyz).await?;
        Api::<Namespace>::all(client.clone()).get("default").await
    };
    ready.await.map(drop).map_err(|error| error.to_string())
}

/// Polls `probe` until it succeeds, as long as `check_running` does.
async fn await_ready<F>(
    component: &'static str,
    mut check_running: impl FnMut() -> Result<()>,
    probe: impl Fn() -> F,
) -> Result<()>
where
    F: Future<Output = std::result::Result<(), String>>,
{
    let deadline = Instant::now() + READY_WITHIN;
    let mut pause = Duration::from_millis(20);
    loop {
        check_running()?;
        let reason = match probe().await {
            Ok(()) => return Ok(()),
            Err(reason) => reason,
        };
        if Instant::now() > deadline {
            return Err(Error::NotReady { component, reason });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_millis(300));
    }
}
