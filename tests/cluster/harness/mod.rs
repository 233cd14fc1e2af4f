//! What a test works with: a namespace of its own, an authentik behind a gateway, and the operator.

mod asked;
mod authentik;
mod checked;
mod clean_up;
mod cluster;
mod given;
mod objects;
mod operator;
mod resources;

use std::{
    panic::AssertUnwindSafe,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use authentik_stage_operator::{
    controller::Options,
    ops::{leader::Leadership, rbac},
};
use devkit::{
    gateway::Gateway,
    kubernetes::{self, Kubernetes, User},
    simulator::{Simulator, Version},
};
use futures::FutureExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, api::ListParams};
use tokio::{io::AsyncWriteExt, process::Command, sync::OnceCell};

pub use self::{
    authentik::Authentik,
    checked::read,
    cluster::{api, grant},
    objects::{
        collection, condition, identity, is_true, kinds, label_of, merge, message, naming, patch,
        post, put_right, text, with,
    },
    operator::Operator,
};
use self::{authentik::real_authentik, cluster::prepare};
use crate::{canaries::Canaries, record::Record};

/// The collection of validation stages in authentik.
pub const VALIDATES: &str = "/api/v3/stages/authenticator/validate/";

/// What a connection is probed with.
pub const PROBE: &str = "/api/v3/admin/version/";

/// The kinds of stage that most tests use.
pub const VALIDATE: &str = "AuthenticatorValidateStage";
pub const DUO: &str = "DuoStage";

/// The kind of flows.
pub const FLOW: &str = "Flow";

/// How long anything may take that a test waits for. A real server is slower than the simulator, and others use it.
pub fn patience() -> Duration {
    let seconds = if real_authentik().is_some() { 180 } else { 60 };
    Duration::from_secs(seconds)
}

/// How long the operator may take to end.
pub const GRACE: Duration = Duration::from_secs(10);

/// One test's world.
pub struct Test {
    /// The namespace.
    pub namespace: String,
    /// Kubernetes, as an administrator.
    pub kube: Client,
    /// What the operator is sent through.
    pub gateway: Gateway,
    /// The simulator; none where a real authentik is behind the gateway.
    pub simulator: Option<Simulator>,
    /// The authentik, asked directly.
    pub authentik: Authentik,
    /// The secrets that nothing may show.
    pub canaries: Canaries,
    /// What is asked of the operator.
    pub record: Record,
    loose: checked::Loose,
    kubernetes: &'static Kubernetes,
    operator: tokio::sync::Mutex<Option<Operator>>,
}

/// Runs a test on the newest version of the simulator, or on the real server.
pub async fn test(body: impl AsyncFnOnce(&Test)) {
    on(Version::V2026_5, body).await;
}

/// Runs a test on this version of the simulator, or on the real server.
pub async fn on(version: Version, body: impl AsyncFnOnce(&Test)) {
    let kubernetes = tokio::task::spawn_blocking(Kubernetes::shared)
        .await
        .expect("Kubernetes starts");
    static PREPARED: OnceCell<()> = OnceCell::const_new();
    PREPARED.get_or_init(|| prepare(kubernetes)).await;
    run(kubernetes, version, body).await;
}

/// Runs a test on a Kubernetes that it has to itself meanwhile, for what reaches beyond one namespace.
pub async fn alone(body: impl AsyncFnOnce(&Test)) {
    static KUBERNETES: OnceCell<Kubernetes> = OnceCell::const_new();
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _turn = TURN.lock().await;
    let start = || async {
        let options = kubernetes::Options {
            controller_manager: false,
        };
        let kubernetes = Kubernetes::start(options).await.expect("Kubernetes starts");
        prepare(&kubernetes).await;
        kubernetes
    };
    let kubernetes = KUBERNETES.get_or_init(start).await;
    // The test before may have taken some away.
    grant(&kubernetes.client(User::Admin), &rbac::all_rules(true)).await;
    run(kubernetes, Version::V2026_5, body).await;
}

async fn run(kubernetes: &'static Kubernetes, version: Version, body: impl AsyncFnOnce(&Test)) {
    let test = Test::new(kubernetes, version).await;
    let canaries = test.canaries.clone();
    let whole = async {
        body(&test).await;
        test.no_factor_was_weakened().await;
    };
    let outcome = AssertUnwindSafe(whole).catch_unwind().await;
    test.clean_up(outcome.is_err()).await;
    let found = canaries.found();
    if let Err(panic) = outcome {
        eprintln!("secrets that show: {found:#?}");
        std::panic::resume_unwind(panic);
    }
    assert!(found.is_empty(), "secrets show: {found:#?}");
    let panics = canaries.take_panics();
    assert!(panics.is_empty(), "the operator panicked: {panics:#?}");
}

/// Makes one test a version out of `async fn name(test: &Test)`.
#[macro_export]
macro_rules! on_every_version {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use devkit::simulator::Version;
            #[tokio::test(flavor = "multi_thread")]
            async fn v2024_2() { $crate::harness::on(Version::V2024_2, super::$name).await; }
            #[tokio::test(flavor = "multi_thread")]
            async fn v2024_8() { $crate::harness::on(Version::V2024_8, super::$name).await; }
            #[tokio::test(flavor = "multi_thread")]
            async fn v2025_10() { $crate::harness::on(Version::V2025_10, super::$name).await; }
            #[tokio::test(flavor = "multi_thread")]
            async fn v2026_5() { $crate::harness::on(Version::V2026_5, super::$name).await; }
        }
    )+};
}

impl Test {
    async fn new(kubernetes: &'static Kubernetes, version: Version) -> Self {
        let kube = kubernetes.client(User::Admin);
        let namespace = kubernetes
            .namespace("test")
            .await
            .expect("a namespace is made");
        let (simulator, (url, token)) = match real_authentik() {
            Some(real) => (None, real),
            None => {
                let simulator = Simulator::start(version).await;
                let at = (simulator.url(), simulator.token().to_owned());
                (Some(simulator), at)
            }
        };
        let gateway = Gateway::in_front_of(&url).launch().await;
        let canaries = Canaries::default();
        canaries.add(&token);
        let kinds = kinds().into_iter();
        let kinds = kinds.map(|kind| (kind, cluster::api(&kube, &namespace, kind)));
        let test = Self {
            record: Record::begin(kinds),
            namespace,
            kube,
            gateway,
            simulator,
            authentik: Authentik::at(&url, token),
            canaries,
            loose: checked::Loose::new(),
            kubernetes,
            operator: tokio::sync::Mutex::default(),
        };
        test.start_operator().await;
        test
    }

    /// Starts the operator, as at the beginning of the test, after it was taken.
    pub async fn start_operator(&self) {
        self.start_with(self.options()).await;
    }

    /// Takes the running operator, to stop or to kill it.
    pub async fn take_operator(&self) -> Operator {
        self.operator
            .lock()
            .await
            .take()
            .expect("the operator runs")
    }

    /// The metrics of the test's own operator.
    pub async fn metrics(&self) -> String {
        let operator = self.operator.lock().await;
        operator.as_ref().expect("the operator runs").metrics()
    }

    /// One more operator beside the first.
    pub fn spawn_operator(&self) -> Operator {
        self.spawn_with(self.options())
    }

    /// One more operator, with these options.
    pub fn spawn_with(&self, options: Options) -> Operator {
        Operator::start(self.kubernetes, options, self.canaries.clone())
    }

    /// Replaces the operator by one with these options.
    pub async fn restart_with(&self, options: Options) {
        self.take_operator().await.stop().await;
        self.start_with(options).await;
    }

    /// Starts the operator with these options, after it was taken.
    pub async fn start_with(&self, options: Options) {
        *self.operator.lock().await = Some(self.spawn_with(options));
    }

    /// Kubernetes, with the operator's rights.
    pub fn as_operator(&self) -> Client {
        self.kubernetes.client(User::Operator)
    }

    /// Replaces the operator by one that does not watch Secrets, nor may. Only in a test that is [`alone`].
    pub async fn without_watch_of_secrets(&self) {
        self.take_operator().await.stop().await;
        grant(&self.kube, &rbac::all_rules(false)).await;
        let theirs = self.kubernetes.client(User::Operator);
        let secrets: Api<Secret> = Api::namespaced(theirs, &self.namespace);
        // The API server learns of it by a watch, a moment later.
        let deadline = tokio::time::Instant::now() + patience();
        while secrets.list(&ListParams::default()).await.is_ok() {
            assert!(tokio::time::Instant::now() < deadline, "lists are allowed");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let options = Options {
            watch_secrets: false,
            ..self.options()
        };
        self.start_with(options).await;
    }

    /// What the test's own operator is started with.
    pub fn options(&self) -> Options {
        Options {
            namespaces: vec![self.namespace.clone()],
            watch_secrets: true,
            leadership: Leadership::default(),
            allowed_servers: Vec::new(),
            names_people: true,
        }
    }

    /// A gateway in front of the API server, and a kubeconfig file that leads the operator through it.
    pub async fn kubernetes_gateway(&self) -> (Gateway, PathBuf) {
        let gateway = self.kubernetes.gateway(User::Operator).await;
        gateway.expect("a kubeconfig file is written")
    }

    /// Kills the API server and starts it again. Only in a test that is [`alone`].
    pub async fn restart_apiserver(&self) {
        let restarted = self.kubernetes.restart_apiserver().await;
        restarted.expect("the API server starts again");
    }

    /// A kubeconfig file of the operator's user.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubernetes.kubeconfig(User::Operator)
    }

    /// A kubeconfig file of an administrator.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.kubernetes.kubeconfig(User::Admin)
    }

    /// kubectl, as an administrator.
    pub fn kubectl_command(&self) -> std::process::Command {
        self.kubernetes.kubectl_command::<[&str; 0]>([])
    }

    /// Runs kubectl in the namespace, as an administrator, with this input.
    pub async fn kubectl(&self, args: &[&str], input: &str) -> Output {
        let mut command = self.kubernetes.kubectl_command(args);
        command.args(["--namespace", &self.namespace]);
        let mut child = Command::from(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("it has a standard input");
        let fed = stdin.write_all(input.as_bytes()).await;
        fed.expect("kubectl reads its input");
        drop(stdin);
        child.wait_with_output().await.expect("kubectl ends")
    }
}
