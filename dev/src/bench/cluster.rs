//! The Kubernetes side of the benchmark: what is applied there, and what is written.
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Result;
use super::mix::{Kinds, Object, SECRET};
use crate::kubernetes::{Kubernetes, User};

const GROUP: &str = "authentik-operator.io";

/// The kind of the stages.
pub(super) const STAGE: &str = "AuthenticatorValidateStage";

/// The kind of the connections.
pub(super) const CONNECTION: &str = "AuthentikConnection";

/// The connection that stages use which name none, and the Secret with its token.
pub(super) const DEFAULT: &str = "default";

/// How many stages the operator reconciles at one time.
const CONCURRENCY: usize = 64;

/// A Kubernetes with the CRDs and one namespace for the operator.
pub(super) struct Cluster {
    pub(super) kubernetes: Kubernetes,
    pub(super) namespace: String,
    client: kube::Client,
}

impl Cluster {
    pub(super) async fn start(program: &Path) -> Result<Self> {
        let kubernetes = Kubernetes::start(crate::kubernetes::Options {
            controller_manager: false,
        })
        .await?;
        let cluster = Self {
            namespace: kubernetes.namespace("bench").await?,
            client: kubernetes.client(User::Admin),
            kubernetes,
        };
        cluster.install(program).await?;
        Ok(cluster)
    }

    async fn install(&self, program: &Path) -> Result<()> {
        for subcommand in ["crds", "rbac"] {
            let printed = Command::new(program).arg(subcommand).output().await?;
            self.kubectl("apply --server-side --filename=-", &printed.stdout)
                .await?;
        }
        let operator = User::Operator.name();
        self.kubectl(
            &format!("create clusterrolebinding operator --clusterrole=authentik-stage-operator --user={operator}"),
            b"",
        )
        .await?;
        self.kubectl(
            "wait --for=condition=Established crd --all --timeout=60s",
            b"",
        )
        .await
    }

    async fn kubectl(&self, line: &str, input: &[u8]) -> Result<()> {
        let mut child = Command::from(self.kubernetes.kubectl_command(line.split(' ')))
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input).await?;
        }
        let output = child.wait_with_output().await?;
        if output.status.success() {
            return Ok(());
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(format!("kubectl {line}: {errors}").into())
    }

    /// Connects the namespace to a server.
    pub(super) async fn connect(&self, url: &str, token: &str) -> Result<()> {
        self.secret(DEFAULT, token).await?;
        self.secret(SECRET, "bench").await?;
        self.create(CONNECTION, DEFAULT, connection(url)).await
    }

    /// Makes a Secret with this token.
    pub(super) async fn secret(&self, name: &str, token: &str) -> Result<()> {
        let secret = json!({"metadata": {"name": name}, "stringData": {"token": token}});
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        secrets
            .create(&PostParams::default(), &serde_json::from_value(secret)?)
            .await?;
        Ok(())
    }

    /// Changes how often authentik is listed.
    pub(super) async fn resync_every(&self, interval: &str) -> Result<()> {
        self.change_connection(json!({"spec": {"resyncInterval": interval}}))
            .await
    }

    /// Asks the operator to list authentik now.
    pub(super) async fn resync_now(&self) -> Result<()> {
        let asked = json!({"authentik-operator.io/reconcile-requested-at": "now"});
        self.change_connection(json!({"metadata": {"annotations": asked}}))
            .await
    }

    async fn change_connection(&self, patch: Value) -> Result<()> {
        let connections = self.api(CONNECTION, &self.namespace);
        let params = PatchParams::default();
        connections
            .patch(DEFAULT, &params, &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    /// Makes a resource of each of these names.
    pub(super) async fn create_all(
        &self,
        kind: &str,
        names: &[String],
        spec: &Value,
    ) -> Result<()> {
        self.create_all_in(&self.namespace, kind, names, spec).await
    }

    /// Makes these resources.
    pub(super) async fn create_each(&self, objects: &[Object]) -> Result<()> {
        stream::iter(objects)
            .map(Ok)
            .try_for_each_concurrent(CONCURRENCY, |(kind, name)| {
                self.create(kind.kind, name, kind.spec())
            })
            .await
    }

    async fn create_all_in(
        &self,
        namespace: &str,
        kind: &str,
        names: &[String],
        spec: &Value,
    ) -> Result<()> {
        stream::iter(names)
            .map(Ok)
            .try_for_each_concurrent(CONCURRENCY, |name| {
                self.create_in(namespace, kind, name, spec.clone())
            })
            .await
    }

    /// Makes one resource. Returns how long it takes to be `Ready`.
    pub(super) async fn time_to_ready(
        &self,
        kind: &str,
        name: &str,
        spec: Value,
    ) -> Result<Duration> {
        let api = self.api(kind, &self.namespace);
        let ready = await_condition(api, name, |object: Option<&DynamicObject>| {
            object.is_some_and(is_ready)
        });
        let create = async {
            let begun = Instant::now();
            let created = self.create(kind, name, spec).await;
            created.map(|()| begun)
        };
        let (ready, begun) = tokio::join!(ready, create);
        ready?;
        Ok(begun?.elapsed())
    }

    /// Deletes one resource. Returns how long it takes to be gone.
    pub(super) async fn time_until_gone(&self, kind: &str, name: &str) -> Result<Duration> {
        let api = self.api(kind, &self.namespace);
        let gone = await_condition(api.clone(), name, |object: Option<&DynamicObject>| {
            object.is_none()
        });
        let begun = Instant::now();
        api.delete(name, &DeleteParams::default()).await?;
        gone.await?;
        Ok(begun.elapsed())
    }

    /// How many resources of these kinds are `Ready`.
    pub(super) async fn ready(&self, kinds: Kinds) -> Result<usize> {
        let mut ready = 0;
        for kind in kinds.list() {
            let api = self.api(kind.kind, &self.namespace);
            let list = api.list(&Default::default()).await?;
            ready += list.iter().filter(|object| is_ready(object)).count();
        }
        Ok(ready)
    }

    /// How many writes the operator has made to the namespace.
    pub(super) fn writes(&self) -> usize {
        let writes = self.kubernetes.writes(&self.namespace);
        let operator = User::Operator.name();
        writes.iter().filter(|write| write.user == operator).count()
    }

    /// Makes the writes that a new stage costs, for as many resources as there are names, in a namespace where no
    /// operator is. Returns how long that took.
    pub(super) async fn floor_of_writes(&self, names: &[String]) -> Result<Duration> {
        let namespace = &self.kubernetes.namespace("floor").await?;
        self.create_all_in(namespace, STAGE, names, &stage())
            .await?;
        let stages = &self.api(STAGE, namespace);
        let begun = Instant::now();
        stream::iter(names)
            .map(Ok)
            .try_for_each_concurrent(CONCURRENCY, |name| {
                self.write_what_a_stage_costs(stages, namespace, name)
            })
            .await?;
        Ok(begun.elapsed())
    }

    async fn write_what_a_stage_costs(
        &self,
        stages: &Api<DynamicObject>,
        namespace: &str,
        name: &str,
    ) -> Result<()> {
        let finalizer = json!({"metadata": {"finalizers": [format!("{GROUP}/stage")]}});
        let params = PatchParams::default();
        stages
            .patch_metadata(name, &params, &Patch::Merge(finalizer))
            .await?;
        let status = json!({
            "apiVersion": format!("{GROUP}/v1alpha1"),
            "kind": STAGE,
            "status": {"observedGeneration": 1, "conditions": [{
                "type": "Ready", "status": "True", "reason": "InSync", "observedGeneration": 1,
                "message": "authentik holds what the spec says", "lastTransitionTime": Timestamp::now(),
            }]},
        });
        let params = PatchParams::apply("bench").force();
        stages
            .patch_status(name, &params, &Patch::Apply(status))
            .await?;
        let event = json!({
            "metadata": {"name": name},
            "action": "Reconcile", "reason": "Created", "type": "Normal", "note": "created stage",
            "eventTime": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
            "reportingController": "bench", "reportingInstance": "bench",
            "regarding": {"apiVersion": format!("{GROUP}/v1alpha1"), "kind": STAGE, "name": name, "namespace": namespace},
        });
        let events: Api<k8s_openapi::api::events::v1::Event> =
            Api::namespaced(self.client.clone(), namespace);
        events
            .create(&PostParams::default(), &serde_json::from_value(event)?)
            .await?;
        Ok(())
    }

    /// Makes one resource.
    pub(super) async fn create(&self, kind: &str, name: &str, spec: Value) -> Result<()> {
        self.create_in(&self.namespace, kind, name, spec).await
    }

    async fn create_in(&self, namespace: &str, kind: &str, name: &str, spec: Value) -> Result<()> {
        let object = DynamicObject::new(name, &resource(kind)).data(json!({"spec": spec}));
        let api = self.api(kind, namespace);
        api.create(&PostParams::default(), &object).await?;
        Ok(())
    }

    fn api(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource(kind))
    }
}

fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1alpha1", kind))
}

/// The spec of a stage of the default connection.
pub(super) fn stage() -> Value {
    json!({
        "notConfiguredAction": "skip",
        "deviceClasses": ["totp", "webauthn"],
        "lastAuthThreshold": "hours=12",
    })
}

/// The spec of a stage of this connection.
pub(super) fn stage_on(connection: &str) -> Value {
    let mut stage = stage();
    stage["connectionRef"] = json!({"name": connection});
    stage
}

/// The spec of a connection that lists its server once an hour.
pub(super) fn connection(url: &str) -> Value {
    json!({
        "url": url,
        "tokenSecretRef": {"name": DEFAULT, "key": "token"},
        "resyncInterval": "1h",
    })
}

fn is_ready(object: &DynamicObject) -> bool {
    let conditions = object.data["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
