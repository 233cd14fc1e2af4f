//! The operator killed before and after each single write that it makes, one after the other.
//!
//! A read changes nothing, so a kill at one is a kill after the write before it.

use futures::future::{Either, select};
use serde_json::{Value, json};

use super::replicas::{Moment, Replicas, Server};
use crate::harness::{DUO, Test, VALIDATE, patience, test, text, with};

/// What a user does, and how it ends. The resource and its stage have the name that is given.
trait Operation {
    /// What has to be there before.
    async fn prepare(&self, test: &Test, name: &str);
    /// What the user does.
    async fn act(&self, test: &Test, name: &str);
    /// Waits until all is as the user has asked, and checks it.
    async fn done(&self, test: &Test, name: &str);
    /// The event that is the operator's last write.
    const EVENT: &'static str;
}

async fn apply_validate(test: &Test, name: &str, more: Value) {
    let flow = json!([{"flow": {"slug": test.name("flow")}, "order": 7}]);
    let spec = json!({"deviceClasses": ["totp"], "notConfiguredAction": "deny", "deletionPolicy": "Delete", "flows": flow});
    test.validate(name, with(spec, more)).await;
}

/// The stage of a resource in sync, which is there once.
async fn the_stage(test: &Test, kind: &str, name: &str, stage: &str) -> Value {
    let resource = test.in_sync(kind, name).await;
    let api = if kind == DUO { "duo" } else { "validate" };
    let stage = test.authentik.stage(api, &test.name(stage)).await;
    let stage = stage.expect("the stage is there");
    assert_eq!(resource.data["status"]["stage"]["uuid"], stage["pk"]);
    stage
}

struct Create;

impl Operation for Create {
    async fn prepare(&self, _: &Test, _: &str) {}

    async fn act(&self, test: &Test, name: &str) {
        apply_validate(test, name, json!({})).await;
    }

    async fn done(&self, test: &Test, name: &str) {
        let stage = the_stage(test, VALIDATE, name, name).await;
        assert_eq!(stage["flow_set"][0]["slug"], test.name("flow"));
        assert_eq!(stage["flow_set"].as_array().map(Vec::len), Some(1));
    }

    const EVENT: &'static str = "Created";
}

struct Update;

impl Operation for Update {
    async fn prepare(&self, test: &Test, name: &str) {
        Create.act(test, name).await;
        Create.done(test, name).await;
    }

    async fn act(&self, test: &Test, name: &str) {
        let renamed = test.name(&format!("{name}-renamed"));
        let more = json!({"name": renamed, "deviceClasses": ["webauthn", "totp"], "flows": []});
        apply_validate(test, name, more).await;
    }

    async fn done(&self, test: &Test, name: &str) {
        let stage = the_stage(test, VALIDATE, name, &format!("{name}-renamed")).await;
        assert_eq!(stage["device_classes"].as_array().map(Vec::len), Some(2));
        assert_eq!(stage["flow_set"], json!([]));
        assert_eq!(
            test.authentik.stage("validate", &test.name(name)).await,
            None
        );
    }

    const EVENT: &'static str = "Updated";
}

struct Delete;

impl Operation for Delete {
    async fn prepare(&self, test: &Test, name: &str) {
        Create.act(test, name).await;
        Create.done(test, name).await;
    }

    async fn act(&self, test: &Test, name: &str) {
        test.delete(VALIDATE, name).await;
    }

    async fn done(&self, test: &Test, name: &str) {
        test.gone(VALIDATE, name).await;
        assert_eq!(
            test.authentik.stage("validate", &test.name(name)).await,
            None
        );
    }

    const EVENT: &'static str = "Deleted";
}

struct Rotate;

impl Operation for Rotate {
    async fn prepare(&self, test: &Test, name: &str) {
        let mut spec = test.duo_spec().await;
        test.secret(name, json!({"secret": test.canary("old")}))
            .await;
        spec["name"] = json!(test.name(name));
        spec["clientSecret"]["secretKeyRef"]["name"] = json!(name);
        test.apply(DUO, name, spec).await;
        test.in_sync(DUO, name).await;
    }

    async fn act(&self, test: &Test, name: &str) {
        test.secret(name, json!({"secret": test.canary("new")}))
            .await;
    }

    async fn done(&self, test: &Test, name: &str) {
        let api: kube::Api<k8s_openapi::api::core::v1::Secret> =
            kube::Api::namespaced(test.kube.clone(), &test.namespace);
        let secret = api.get(name).await.expect("the Secret is there");
        let version = secret.metadata.resource_version;
        let is_recorded = |resource: Option<&kube::api::DynamicObject>| {
            resource.is_some_and(|resource| {
                resource.data["status"]["secrets"][0]["resourceVersion"].as_str()
                    == version.as_deref()
            })
        };
        test.until(DUO, name, "recorded", is_recorded).await;
        let stage = the_stage(test, DUO, name, name).await;
        let writes = test.gateway.history();
        let last = writes
            .iter()
            .rfind(|write| write.path.contains(text(&stage["pk"])) && write.is_write());
        let body = last
            .and_then(|write| write.body.clone())
            .unwrap_or_default();
        assert_eq!(body["client_secret"], test.canary("new"));
    }

    const EVENT: &'static str = "Updated";
}

/// Goes through the operation once a write, and kills the operator there, until there is no further write.
async fn killed_at_each_write<O: Operation>(operation: O) {
    test(async |test| {
        let mut replicas = Replicas::start(test, std::slice::from_ref(&test.namespace), 1).await;
        test.flow("flow").await;
        test.connect().await;
        for server in [Server::Authentik, Server::Kubernetes] {
            for after in [false, true] {
                let mut request = 0;
                while killed_at(
                    &operation,
                    test,
                    &mut replicas,
                    Moment {
                        server,
                        request,
                        after,
                    },
                )
                .await
                {
                    request += 1;
                }
                assert!(request > 0, "nothing is written to {server:?}");
            }
        }
    })
    .await;
}

/// Returns whether there is such a write.
async fn killed_at<O: Operation>(
    operation: &O,
    test: &Test,
    replicas: &mut Replicas<'_>,
    moment: Moment,
) -> bool {
    let name = format!("{:?}-{}-{}", moment.server, moment.request, moment.after).to_lowercase();
    operation.prepare(test, &name).await;
    let events = test.events(&name).await.len();
    replicas.hold_at(moment);
    operation.act(test, &name).await;
    let ended = async {
        // The last write of all is an event.
        operation.done(test, &name).await;
        while !test.events(&name).await[events..]
            .iter()
            .any(|(reason, _)| reason == O::EVENT)
        {
            tokio::task::yield_now().await;
        }
    };
    let gateway = replicas.gateway(moment.server);
    let held = gateway.hangs(patience());
    let is_held = match select(Box::pin(held), Box::pin(ended)).await {
        Either::Left((held, _)) => held,
        Either::Right(_) => false,
    };
    if is_held {
        replicas.kill(0).await;
    }
    replicas.calm().await;
    replicas.start_again();
    operation.done(test, &name).await;
    is_held
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_survives_a_kill_at_each_write() {
    killed_at_each_write(Create).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_survives_a_kill_at_each_write() {
    killed_at_each_write(Update).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_survives_a_kill_at_each_write() {
    killed_at_each_write(Delete).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_of_a_secret_survives_a_kill_at_each_write() {
    killed_at_each_write(Rotate).await;
}
