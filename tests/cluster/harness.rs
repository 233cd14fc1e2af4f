//! What a test works with: a namespace of its own, an authentik behind a gateway, and the operator.

use std::{
    fmt::Debug,
    panic::AssertUnwindSafe,
    path::PathBuf,
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

use authentik_stage_operator::{
    api::conditions,
    controller::{Controller, Options},
    ops::{leader::Leadership, rbac},
    stages,
};
use devkit::{
    gateway::{Exchange, Gateway},
    kubernetes::{self, AuditedWrite, Kubernetes, User},
    simulator::{Simulator, Version},
};
use futures::FutureExt;
use k8s_openapi::api::{
    core::v1::Secret,
    events::v1::Event,
    rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule},
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    core::GroupVersionKind,
    runtime::wait::await_condition,
};
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    process::Command,
    runtime::{Builder, Runtime},
    sync::OnceCell,
    task::JoinHandle,
};

use crate::{canaries::Canaries, factor, record::Record};

/// The collection of validation stages in authentik.
pub const VALIDATES: &str = "/api/v3/stages/authenticator/validate/";

/// What a connection is probed with.
pub const PROBE: &str = "/api/v3/admin/version/";

/// The kinds of stage.
pub const VALIDATE: &str = "AuthenticatorValidateStage";
pub const DUO: &str = "DuoStage";

/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long the operator may take to end.
pub const GRACE: Duration = Duration::from_secs(10);

/// An authentik, asked directly, past the gateway: what a person does by hand.
pub struct Authentik {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Authentik {
    /// The server at this URL, asked with this token.
    pub fn at(url: &str, token: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            url: url.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
        }
    }

    /// Sends a request; returns status and body.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self
            .http
            .request(method, format!("{}/api/v3/{path}", self.url))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("authentik answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("authentik's answer has a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Creates something; panics unless authentik does.
    pub async fn create(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.send(Method::POST, path, Some(body)).await;
        assert_eq!(status, 201, "POST {path}: {answer}");
        answer
    }

    /// Changes something; panics unless authentik does.
    pub async fn patch(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.send(Method::PATCH, path, Some(body)).await;
        assert_eq!(status, 200, "PATCH {path}: {answer}");
        answer
    }

    /// Deletes something; panics unless authentik does.
    pub async fn delete(&self, path: &str) {
        let (status, answer) = self.send(Method::DELETE, path, None).await;
        assert_eq!(status, 204, "DELETE {path}: {answer}");
    }

    /// What a list holds under these filters, such as `stages/all/?name=x`.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let (status, answer) = self.send(Method::GET, path, None).await;
        assert_eq!(status, 200, "GET {path}: {answer}");
        answer["results"].as_array().cloned().unwrap_or_default()
    }

    /// The stage of this kind and name, if there is one; `kind` as in `stages/authenticator/{kind}/`.
    pub async fn stage(&self, kind: &str, name: &str) -> Option<Value> {
        let mut rows = self
            .list(&format!("stages/authenticator/{kind}/?name={name}"))
            .await;
        assert!(rows.len() < 2, "more than one stage named {name}");
        rows.pop()
    }
}

/// The operator, running in this process as the Kubernetes user that has just its own rights.
pub struct Operator {
    controller: Arc<Controller>,
    canaries: Canaries,
    stop: tokio::sync::watch::Sender<bool>,
    task: JoinHandle<()>,
    /// Of its own, so that everything it has started can be ended with it.
    runtime: Option<Runtime>,
}

impl Operator {
    fn start(kubernetes: &'static Kubernetes, options: Options, canaries: Canaries) -> Self {
        let (stop, mut stopped) = tokio::sync::watch::channel(false);
        let of_threads = canaries.clone();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .on_thread_start(move || of_threads.watch_thread())
            .build()
            .expect("there are threads");
        let controller = {
            let _entered = runtime.enter();
            let client = kubernetes.client(User::Operator);
            Arc::new(Controller::new(client, options))
        };
        let running = controller.clone();
        let task = runtime.spawn(async move {
            let stopped = async move {
                let _ = stopped.wait_for(|stopped| *stopped).await;
            };
            running.run(stopped).await;
        });
        Self {
            controller,
            canaries,
            stop,
            task,
            runtime: Some(runtime),
        }
    }

    /// Stops it and waits until it has ended, as Kubernetes does with a pod.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let ended = tokio::time::timeout(GRACE, &mut self.task).await;
        let ended = ended.expect("the operator ends in time");
        ended.expect("it ends without a panic");
    }

    /// Ends it at once, in the middle of whatever it does.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.canaries
            .search("the metrics", self.controller.metrics());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

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

/// Gives Kubernetes the CRDs and the operator its rights.
async fn prepare(kubernetes: &Kubernetes) {
    let kube = kubernetes.client(User::Admin);
    let params = PatchParams::apply("test").force();
    let crds = Api::all(kube.clone());
    for crd in stages::crds() {
        let name = crd.name_any();
        let applied = crds.patch(&name, &params, &Patch::Apply(&crd)).await;
        applied.expect("the CRD is accepted");
        let established = kube::runtime::conditions::is_crd_established();
        let established = await_condition(crds.clone(), &name, established).await;
        established.expect("the CRD is established");
    }
    grant(&kube, &rbac::all_rules(true)).await;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "operator"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "operator"}],
    });
    let bindings: Api<ClusterRoleBinding> = Api::all(kube);
    let applied = bindings
        .patch("operator", &params, &Patch::Apply(binding))
        .await;
    applied.expect("the binding is accepted");
}

/// Gives the operator just these rights, in all namespaces.
pub async fn grant(kube: &Client, rules: &[PolicyRule]) {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "operator"}, "rules": rules,
    });
    let roles: Api<ClusterRole> = Api::all(kube.clone());
    let params = PatchParams::apply("test").force();
    let applied = roles.patch("operator", &params, &Patch::Apply(role)).await;
    applied.expect("the role is accepted");
}

/// The real authentik to test against, if there is one.
fn real_authentik() -> Option<(String, String)> {
    Some((
        std::env::var("AUTHENTIK_URL").ok()?,
        std::env::var("AUTHENTIK_TOKEN").ok()?,
    ))
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
        let kinds = [VALIDATE, DUO].map(|kind| (kind, api(&kube, &namespace, kind)));
        let test = Self {
            record: Record::begin(kinds),
            namespace,
            kube,
            gateway,
            simulator,
            authentik: Authentik::at(&url, &token),
            canaries,
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
        let deadline = tokio::time::Instant::now() + PATIENCE;
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

    /// A name that no other test uses in authentik.
    pub fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace)
    }

    /// Whether a real authentik is behind the gateway: it takes no orders on tokens, devices or its state.
    pub fn is_real(&self) -> bool {
        self.simulator.is_none()
    }

    /// The release of the authentik: year and minor.
    pub async fn release(&self) -> (u16, u16) {
        let (_, version) = self
            .authentik
            .send(Method::GET, "admin/version/", None)
            .await;
        let version = version["version_current"].as_str().expect("a version");
        let mut parts = version.splitn(3, '.').map(|part| part.parse().ok());
        parts
            .next()
            .flatten()
            .zip(parts.next().flatten())
            .expect("year and minor")
    }

    /// The token that the connection uses.
    pub fn token(&self) -> &str {
        &self.authentik.token
    }

    /// The connection `default` and its Secret, as most tests use them. A resync interval of an hour shows that
    /// nothing waits for it.
    pub async fn connect(&self) {
        self.connect_with(json!({"resyncInterval": "1h"})).await;
    }

    /// As [`Self::connect`], with more or other settings.
    pub async fn connect_with(&self, settings: Value) {
        self.secret("authentik", json!({"token": self.token()}))
            .await;
        self.connection("default", &self.gateway.url(), settings)
            .await;
        self.reason("AuthentikConnection", "default", "Connected")
            .await;
    }

    /// A connection of the namespace to this server, with the token of the Secret `authentik`.
    pub async fn connection(&self, name: &str, url: &str, settings: Value) {
        let mut spec = json!({"url": url, "tokenSecretRef": {"name": "authentik", "key": "token"}});
        merge(&mut spec, settings);
        self.apply("AuthentikConnection", name, spec).await;
    }

    /// A resource for a validation stage of the same name, in this test's part of authentik.
    pub async fn validate(&self, name: &str, settings: Value) {
        let mut spec = json!({"name": self.name(name), "notConfiguredAction": "skip"});
        merge(&mut spec, settings);
        self.apply(VALIDATE, name, spec).await;
    }

    /// A value for a Secret, of this test alone, that can be told wherever it shows.
    pub fn canary(&self, word: &str) -> String {
        format!("{word}-canary-of-{}", self.namespace)
    }

    /// A Secret with this data. Nothing that the operator says may show it.
    pub async fn secret(&self, name: &str, data: Value) -> Secret {
        for value in data.as_object().expect("data by key").values() {
            self.canaries.add(text(value));
        }
        let secrets: Api<Secret> = Api::namespaced(self.kube.clone(), &self.namespace);
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        let params = PatchParams::apply("test").force();
        secrets
            .patch(name, &params, &Patch::Apply(secret))
            .await
            .expect("the Secret is accepted")
    }

    /// Deletes a Secret.
    pub async fn delete_secret(&self, name: &str) {
        let secrets: Api<Secret> = Api::namespaced(self.kube.clone(), &self.namespace);
        secrets
            .delete(name, &DeleteParams::default())
            .await
            .expect("the Secret is deleted");
    }

    /// Objects of one of our kinds.
    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        api(&self.kube, &self.namespace, kind)
    }

    /// Checks over all that was written so far that no second factor was made weaker than was asked for.
    async fn no_factor_was_weakened(&self) {
        if let Some(operator) = self.operator.lock().await.take() {
            operator.kill();
        }
        // What is shown of it shows that all before it has been.
        let last = json!({"suspend": true});
        if let Ok(last) = self.try_apply(VALIDATE, "last", last).await {
            let uid = last.uid().unwrap_or_default();
            assert!(self.record.shows(&uid, PATIENCE).await, "no watch");
        }
        let weakened = factor::weakened(&self.gateway.history(), &self.record.asked());
        assert!(weakened.is_empty(), "{weakened:#?}");
    }

    /// Applies a spec, as `kubectl apply --server-side` does.
    pub async fn apply(&self, kind: &str, name: &str, spec: Value) -> DynamicObject {
        self.try_apply(kind, name, spec)
            .await
            .expect("the resource is accepted")
    }

    /// Applies a spec that Kubernetes may refuse.
    pub async fn try_apply(
        &self,
        kind: &str,
        name: &str,
        spec: Value,
    ) -> Result<DynamicObject, kube::Error> {
        let object = json!({
            "apiVersion": "authentik-operator.io/v1alpha1", "kind": kind,
            "metadata": {"name": name, "labels": {"test": self.namespace}}, "spec": spec,
        });
        let params = PatchParams::apply("test").force();
        let applied = self
            .api(kind)
            .patch(name, &params, &Patch::Apply(object))
            .await?;
        self.record.note(kind, &applied);
        Ok(applied)
    }

    /// Changes a part of a resource, as `kubectl patch` does; a null removes.
    pub async fn patch(&self, kind: &str, name: &str, change: Value) -> DynamicObject {
        let changed = self
            .api(kind)
            .patch(name, &PatchParams::default(), &Patch::Merge(change))
            .await
            .expect("the change is accepted");
        self.record.note(kind, &changed);
        changed
    }

    /// Sets the annotation that asks for a reconcile at once.
    pub async fn request_reconcile(&self, kind: &str, name: &str, at: &str) {
        let annotation = json!({"authentik-operator.io/reconcile-requested-at": at});
        self.patch(kind, name, json!({"metadata": {"annotations": annotation}}))
            .await;
    }

    /// Lets the operator look at a resource in sync anew, twice: the second look shows that the reconcile that
    /// made the first has ended.
    pub async fn looked_at_anew(&self, kind: &str, name: &str) {
        let list = format!("/api/v3/{}", collection(kind));
        for time in ["once", "once more"] {
            let before = self.gateway.count("GET", &list);
            let at = format!("{time} after {before}");
            self.request_reconcile(kind, name, &at).await;
            let looks = |audit: &[Exchange]| {
                let looks = audit.iter().filter(|exchange| exchange.method == "GET");
                looks.filter(|exchange| exchange.path == list).count()
            };
            let looked = self
                .gateway
                .wait_for(|audit| looks(audit) > before, PATIENCE)
                .await;
            assert!(looked, "{kind} {name} is not looked at anew");
        }
    }

    /// The resource as it is.
    pub async fn get(&self, kind: &str, name: &str) -> DynamicObject {
        self.api(kind)
            .get(name)
            .await
            .expect("the resource is there")
    }

    /// Asks for the resource to be deleted.
    pub async fn delete(&self, kind: &str, name: &str) {
        let deleted = self.api(kind).delete(name, &DeleteParams::default()).await;
        if let Some(object) = deleted.expect("the resource is deleted").left() {
            self.record.note(kind, &object);
        }
    }

    /// Waits until the resource is gone.
    pub async fn gone(&self, kind: &str, name: &str) {
        let gone = |object: Option<&DynamicObject>| object.is_none();
        self.until(kind, name, "gone", gone).await;
    }

    /// Waits until the resource's `Ready` condition has this reason for the present spec.
    pub async fn reason(&self, kind: &str, name: &str, reason: &str) -> DynamicObject {
        let found = |object: Option<&DynamicObject>| {
            object.is_some_and(|object| {
                object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation
                    && condition(object, conditions::READY)
                        .is_some_and(|ready| ready["reason"] == reason)
            })
        };
        self.until(kind, name, reason, found)
            .await
            .expect("it is there")
    }

    /// Waits until the resource is in sync.
    pub async fn in_sync(&self, kind: &str, name: &str) -> DynamicObject {
        let object = self.reason(kind, name, "InSync").await;
        assert_eq!(
            condition(&object, conditions::READY).expect("Ready is there")["status"],
            "True"
        );
        object
    }

    /// Waits until a resource is as the predicate says.
    pub async fn until(
        &self,
        kind: &str,
        name: &str,
        what: &str,
        predicate: impl Fn(Option<&DynamicObject>) -> bool,
    ) -> Option<DynamicObject> {
        let waited =
            tokio::time::timeout(PATIENCE, await_condition(self.api(kind), name, predicate)).await;
        match waited {
            Ok(found) => found.expect("the watch goes on"),
            Err(_) => {
                let now = self
                    .api(kind)
                    .get_opt(name)
                    .await
                    .expect("Kubernetes answers");
                let now = serde_json::to_string_pretty(&now).expect("an object is JSON");
                panic!(
                    "{kind} {name} is not {what} in time; it is {now}\nwrites: {:#?}",
                    self.writes()
                );
            }
        }
    }

    /// Waits until authentik's stage of this kind and name is as the predicate says.
    pub async fn stage_until(
        &self,
        kind: &str,
        name: &str,
        predicate: impl Fn(Option<&Value>) -> bool,
    ) -> Option<Value> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let seen = self.gateway.audit().len();
            let stage = self.authentik.stage(kind, name).await;
            if predicate(stage.as_ref()) {
                return stage;
            }
            // What the operator does shows at the gateway first.
            let more = self
                .gateway
                .wait_for(|audit| audit.len() > seen, PATIENCE)
                .await;
            assert!(
                more && tokio::time::Instant::now() < deadline,
                "the stage {name} is not so in time: {stage:?}"
            );
        }
    }

    /// The notes of the events about a resource, by reason, oldest first.
    pub async fn events(&self, name: &str) -> Vec<(String, String)> {
        let events: Api<Event> = Api::namespaced(self.kube.clone(), &self.namespace);
        let mut events = events
            .list(&ListParams::default())
            .await
            .expect("events are listed")
            .items;
        events.retain(|event| {
            event
                .regarding
                .as_ref()
                .is_some_and(|about| about.name.as_deref() == Some(name))
        });
        events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        let text = |text: Option<String>| text.unwrap_or_default();
        events
            .into_iter()
            .map(|event| (text(event.reason), text(event.note)))
            .collect()
    }

    /// A stage of a kind that the operator does not manage, made by hand; returns its UUID.
    pub async fn totp_stage(&self, name: &str) -> Value {
        let body = json!({"name": self.name(name), "digits": "6"});
        let stage = self.authentik.create("stages/authenticator/totp/", body);
        stage.await["pk"].clone()
    }

    /// A flow, made by hand; returns its UUID.
    pub async fn flow(&self, name: &str) -> Value {
        let slug = self.name(name);
        let body = json!({"name": slug, "slug": slug, "title": slug, "designation": "stage_configuration"});
        self.authentik.create("flows/instances/", body).await["pk"].clone()
    }

    /// Binds a stage to a flow by hand, both by UUID; returns the binding's path.
    pub async fn bind(&self, flow: &Value, stage: &Value, order: u32) -> String {
        let binding = json!({"target": flow, "stage": stage, "order": order});
        let binding = self.authentik.create("flows/bindings/", binding).await;
        format!("flows/bindings/{}/", text(&binding["pk"]))
    }

    /// The least spec of a Duo stage, and the Secret that it names.
    pub async fn duo_spec(&self) -> Value {
        self.secret("duo", json!({"secret": self.canary("s3cr3t")}))
            .await;
        self.duo_spec_without_secret()
    }

    /// The least spec of a Duo stage, whose Secret is left to the test.
    pub fn duo_spec_without_secret(&self) -> Value {
        json!({
            "name": self.name("duo"), "clientId": "DIXXXXXXXXXXXXXXXXXX", "apiHostname": "api-1.duosecurity.com",
            "clientSecret": {"secretKeyRef": {"name": "duo", "key": "secret"}},
        })
    }

    /// Waits until there is an event of this reason about a resource; returns its note.
    pub async fn event(&self, name: &str, reason: &str) -> String {
        self.events_of(name, reason, 1).await.swap_remove(0)
    }

    /// Waits until there are this many events of this reason about a resource; returns their notes, oldest
    /// first.
    pub async fn events_of(&self, name: &str, reason: &str, at_least: usize) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let events = self.events(name).await;
            let notes = events.iter().filter(|(of, _)| of == reason);
            let notes: Vec<_> = notes.map(|(_, note)| note.clone()).collect();
            if notes.len() >= at_least {
                return notes;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "not {at_least} events {reason} about {name}: {events:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The writes that the operator sent to authentik.
    pub fn writes(&self) -> Vec<Exchange> {
        self.gateway.writes()
    }

    /// Method, path below `/api/v3/` (with `{uuid}`) and body of each of these writes.
    pub fn written(&self) -> Vec<(String, String, Value)> {
        let writes = self.writes().into_iter();
        writes
            .map(|write| {
                let path = write.template();
                let path = path.trim_start_matches("/api/v3/").to_owned();
                (write.method, path, write.body.unwrap_or_default())
            })
            .collect()
    }

    /// Waits until the connection has listed authentik this many times more.
    pub async fn resyncs(&self, times: usize) {
        let probes = |audit: &[Exchange]| {
            audit
                .iter()
                .filter(|exchange| exchange.path == PROBE)
                .count()
        };
        let before = probes(&self.gateway.audit());
        // The probe comes before the lists: one more shows that the last lists were complete.
        let done = self
            .gateway
            .wait_for(|audit| probes(audit) > before + times, PATIENCE)
            .await;
        assert!(done, "the connection is not listed in time");
    }

    /// Kubernetes writes of everybody in the namespace so far.
    pub fn all_kubernetes_writes(&self) -> Vec<AuditedWrite> {
        self.kubernetes.writes(&self.namespace)
    }

    /// Kubernetes writes of the operator in the namespace so far.
    pub fn kubernetes_writes(&self) -> Vec<impl Debug> {
        let writes = self.kubernetes.writes(&self.namespace).into_iter();
        writes
            .filter(|write| write.user == User::Operator.name())
            .collect()
    }

    /// Stops the operator and takes from authentik and the cluster what the test has put there.
    async fn clean_up(self, failed: bool) {
        if failed {
            eprintln!("writes to authentik: {:#?}", self.written());
        }
        if let Some(operator) = self.operator.lock().await.take() {
            operator.kill();
        }
        self.search_kubernetes().await;
        self.clean_cluster().await;
        if self.is_real() {
            self.clean_authentik().await;
        }
    }

    /// Searches the test's resources and their events for secrets.
    async fn search_kubernetes(&self) {
        let ours = ListParams::default().labels(&format!("test={}", self.namespace));
        for kind in [
            VALIDATE,
            DUO,
            "AuthentikConnection",
            "ClusterAuthentikConnection",
        ] {
            let resources = self.api(kind).list(&ours).await;
            for resource in resources.expect("resources are listed") {
                self.search(&format!("a resource of kind {kind}"), &resource);
            }
        }
        let events: Api<Event> = Api::namespaced(self.kube.clone(), &self.namespace);
        let events = events.list(&ListParams::default()).await;
        for event in events.expect("events are listed") {
            self.search("an event", &event);
        }
    }

    fn search(&self, place: &str, object: &impl Serialize) {
        let text = serde_json::to_string(object).expect("objects are JSON");
        self.canaries.search(place, text);
    }

    /// Objects outside namespaces would be seen by the operators of other tests.
    async fn clean_cluster(&self) {
        let connections = self.api("ClusterAuthentikConnection");
        let all = connections.list(&ListParams::default()).await;
        for connection in all.expect("cluster connections are listed") {
            let name = connection.name_any();
            if connection.labels().get("test") == Some(&self.namespace) {
                let deleted = connections.delete(&name, &DeleteParams::default()).await;
                deleted.expect("the cluster connection is deleted");
            }
        }
    }

    async fn clean_authentik(&self) {
        let ours = |row: &Value, key: &str| {
            row[key]
                .as_str()
                .is_some_and(|text| text.starts_with(&self.namespace))
        };
        for row in self
            .authentik
            .list(&format!(
                "stages/all/?search={}&page_size=100",
                self.namespace
            ))
            .await
        {
            if ours(&row, "name") {
                self.authentik
                    .delete(&format!(
                        "stages/all/{}/",
                        row["pk"].as_str().unwrap_or_default()
                    ))
                    .await;
            }
        }
        for row in self
            .authentik
            .list(&format!(
                "flows/instances/?search={}&page_size=100",
                self.namespace
            ))
            .await
        {
            if ours(&row, "slug") {
                self.authentik
                    .delete(&format!(
                        "flows/instances/{}/",
                        row["slug"].as_str().unwrap_or_default()
                    ))
                    .await;
            }
        }
    }
}

/// Objects of one of our kinds in a namespace.
pub fn api(kube: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("authentik-operator.io", "v1alpha1", kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, &format!("{}s", kind.to_lowercase()));
    if kind.starts_with("Cluster") {
        Api::all_with(kube.clone(), &resource)
    } else {
        Api::namespaced_with(kube.clone(), namespace, &resource)
    }
}

/// A JSON text as text.
pub fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// Whether this condition of a resource is true.
pub fn is_true(object: &DynamicObject, type_: &str) -> bool {
    condition(object, type_).is_some_and(|condition| condition["status"] == "True")
}

/// A condition of a resource.
pub fn condition<'a>(object: &'a DynamicObject, type_: &str) -> Option<&'a Value> {
    object.data["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == type_)
}

/// The message of a resource's `Ready` condition.
pub fn message(object: &DynamicObject) -> String {
    let ready = condition(object, conditions::READY).expect("Ready is there");
    ready["message"]
        .as_str()
        .expect("it has a message")
        .to_owned()
}

/// Where authentik keeps the stages of this kind.
pub fn collection(kind: &str) -> &'static str {
    match kind {
        DUO => "stages/authenticator/duo/",
        _ => "stages/authenticator/validate/",
    }
}

/// The write that creates a stage of this kind, as [`Test::written`] shows it.
pub fn post(kind: &str, body: Value) -> (String, String, Value) {
    ("POST".to_owned(), collection(kind).to_owned(), body)
}

/// The write that changes one.
pub fn patch(kind: &str, body: Value) -> (String, String, Value) {
    let path = format!("{}{{uuid}}/", collection(kind));
    ("PATCH".to_owned(), path, body)
}

/// An object with these fields beside or instead; unlike in [`merge`], null is a value.
pub fn with(mut object: Value, fields: Value) -> Value {
    for (field, value) in fields.as_object().expect("fields") {
        object[field] = value.clone();
    }
    object
}

/// Merges objects, the second over the first; a null removes.
pub fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                if value.is_null() {
                    into.remove(&key);
                } else {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (into, from) => *into = from,
    }
}
