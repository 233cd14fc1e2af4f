//! Everything deleted at once: connection, Secret and stages, in every order. All of it ends, and the stages are gone
//! from authentik.

use devkit::gateway::{Fault, FaultKind};
use kube::{ResourceExt, api::DynamicObject};
use reqwest::Method;
use serde_json::json;

use crate::{
    harness::{DUO, PROBE, Test, VALIDATE, alone, patience, test, with},
    harness_more::{CLUSTER_CONNECTION, CONNECTION},
};

/// What is on a connection while a stage needs it.
const FINALIZER: &str = "authentik-operator.io/connection";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Connection,
    Secret,
    Stages,
}

use Part::{Connection, Secret, Stages};

const ORDERS: [[Part; 3]; 6] = [
    [Connection, Secret, Stages],
    [Connection, Stages, Secret],
    [Secret, Connection, Stages],
    [Secret, Stages, Connection],
    [Stages, Connection, Secret],
    [Stages, Secret, Connection],
];

/// What happens between the deletions.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Between {
    Nothing,
    /// The operator sees each before the next.
    Notice,
    /// The operator is killed and started again, as long as the Secret is there.
    Restart,
}

/// A connection, its Secret and the two stages that need it.
struct Bundle<'a> {
    test: &'a Test,
    kind: &'static str,
    connection: String,
    secret: String,
    validate: String,
    duo: String,
}

impl<'a> Bundle<'a> {
    /// All of it, in sync.
    async fn create(test: &'a Test, kind: &'static str, n: usize) -> Self {
        let bundle = Self {
            test,
            kind,
            connection: test.name(&format!("connection-{n}")),
            secret: format!("secret-{n}"),
            validate: format!("mfa-{n}"),
            duo: format!("duo-{n}"),
        };
        let data = json!({"token": test.token(), "client": test.canary("client")});
        test.secret(&bundle.secret, data).await;
        bundle.connect().await;
        let reference = json!({"kind": kind, "name": bundle.connection});
        let validate = json!({"connectionRef": reference, "deletionPolicy": "Delete"});
        test.validate(&bundle.validate, validate).await;
        let client = json!({"secretKeyRef": {"name": bundle.secret, "key": "client"}});
        let duo = json!({
            "name": test.name(&bundle.duo), "connectionRef": reference, "deletionPolicy": "ForceDelete",
            "clientSecret": client,
        });
        let duo = with(test.duo_spec_without_secret(), duo);
        test.apply(DUO, &bundle.duo, duo).await;
        test.in_sync(VALIDATE, &bundle.validate).await;
        test.in_sync(DUO, &bundle.duo).await;
        finalizer(test, kind, &bundle.connection, true).await;
        bundle
    }

    async fn connect(&self) {
        let mut token = json!({"name": self.secret, "key": "token"});
        let mut spec = json!({"url": self.test.gateway.url(), "resyncInterval": "1h"});
        if self.kind == CLUSTER_CONNECTION {
            token["namespace"] = json!(self.test.namespace);
            spec["allowedNamespaces"] = json!({});
        }
        spec["tokenSecretRef"] = token;
        self.test.apply(self.kind, &self.connection, spec).await;
    }

    async fn delete(&self, part: Part) {
        match part {
            Connection => self.test.delete(self.kind, &self.connection).await,
            Secret => self.test.delete_secret(&self.secret).await,
            Stages => {
                self.test.delete(VALIDATE, &self.validate).await;
                self.test.delete(DUO, &self.duo).await;
            }
        }
    }

    /// Deletes all of it in this order.
    async fn delete_all(&self, order: [Part; 3], between: Between) {
        for (n, part) in order.into_iter().enumerate() {
            self.delete(part).await;
            let deleted = &order[..=n];
            match between {
                Between::Nothing => {}
                Between::Notice => self.noticed(part, deleted).await,
                Between::Restart if deleted.contains(&Secret) => {}
                Between::Restart => self.restart(deleted).await,
            }
        }
    }

    /// Waits until what is there shows that the operator has seen the deletion.
    async fn noticed(&self, part: Part, deleted: &[Part]) {
        match part {
            Connection if !deleted.contains(&Stages) => {
                let connection = self.test.get(self.kind, &self.connection).await;
                assert!(connection.metadata.deletion_timestamp.is_some());
            }
            Connection => self.test.gone(self.kind, &self.connection).await,
            Secret if !deleted.contains(&Connection) => {
                let kind = self.kind;
                let connection = &self.connection;
                self.test.reason(kind, connection, "SecretNotFound").await;
            }
            Secret => {}
            Stages => self.stages_are_gone().await,
        }
    }

    /// Starts the operator anew, and waits until it has read the token if anything still needs it.
    async fn restart(&self, deleted: &[Part]) {
        self.test.take_operator().await.kill();
        self.test.gateway.clear();
        self.test.start_operator().await;
        if deleted.contains(&Stages) {
            return self.stages_are_gone().await;
        }
        let probed = self.test.gateway.wait_for(
            |audit| audit.iter().any(|exchange| exchange.path == PROBE),
            patience(),
        );
        assert!(probed.await, "a connection that is needed is not used");
    }

    async fn stages_are_gone(&self) {
        self.test.gone(VALIDATE, &self.validate).await;
        self.test.gone(DUO, &self.duo).await;
    }

    /// Waits until all of it is gone, from authentik too.
    async fn is_gone(&self) {
        self.stages_are_gone().await;
        self.test.gone(self.kind, &self.connection).await;
        for (kind, name) in [("validate", &self.validate), ("duo", &self.duo)] {
            let stage = self.test.name(name);
            assert_eq!(self.test.authentik.stage(kind, &stage).await, None);
        }
    }
}

async fn ends_in_every_order(test: &Test, kind: &'static str, between: Between) {
    for (n, order) in ORDERS.into_iter().enumerate() {
        eprintln!("{order:?}, {between:?} in between");
        let bundle = Bundle::create(test, kind, n).await;
        bundle.delete_all(order, between).await;
        bundle.is_gone().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_at_once_ends_in_every_order() {
    test(async |test| ends_in_every_order(test, CONNECTION, Between::Nothing).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_after_the_other_ends_in_every_order() {
    test(async |test| ends_in_every_order(test, CONNECTION, Between::Notice).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_outlives_the_operator_ends_in_every_order() {
    test(async |test| ends_in_every_order(test, CONNECTION, Between::Restart).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_cluster_connection_it_ends_in_every_order() {
    alone(async |test| {
        for between in [Between::Nothing, Between::Notice, Between::Restart] {
            ends_in_every_order(test, CLUSTER_CONNECTION, between).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_out_of_reach_is_soon_asked_again_though_the_secret_is_gone() {
    test(async |test| {
        let bundle = Bundle::create(test, CONNECTION, 0).await;
        bundle.delete(Secret).await;
        let connection = &bundle.connection;
        test.reason(CONNECTION, connection, "SecretNotFound").await;
        let busy = || Fault::new(FaultKind::ServiceUnavailable);
        test.gateway.inject(busy().method(Method::DELETE).times(1));
        // Half a minute after each of these would be too long.
        test.gateway.inject(busy().path(PROBE).times(3));
        bundle.delete(Connection).await;
        bundle.delete(Stages).await;
        bundle.is_gone().await;
    })
    .await;
}

/// Waits until the connection has the finalizer, or has it no more.
async fn finalizer(test: &Test, kind: &str, name: &str, there: bool) {
    let has = |object: Option<&DynamicObject>| {
        let finalizers = object.map(ResourceExt::finalizers).unwrap_or_default();
        // On a cluster connection each operator has its own.
        finalizers
            .iter()
            .any(|finalizer| finalizer.starts_with(FINALIZER))
            == there
    };
    let what = if there { "held" } else { "free" };
    test.until(kind, name, what, has).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_held_only_while_a_stage_needs_it() {
    test(async |test| {
        test.connect().await;
        test.validate("left", json!({})).await;
        test.in_sync(VALIDATE, "left").await;
        let policy = |policy: &str| json!({"spec": {"deletionPolicy": policy}});
        for needs in ["Delete", "ForceDelete"] {
            finalizer(test, CONNECTION, "default", false).await;
            test.patch(VALIDATE, "left", policy(needs)).await;
            finalizer(test, CONNECTION, "default", true).await;
            test.patch(VALIDATE, "left", policy("Orphan")).await;
        }
        finalizer(test, CONNECTION, "default", false).await;
        // It is let go too when the stage goes, and when the stage goes elsewhere.
        test.patch(VALIDATE, "left", policy("Delete")).await;
        finalizer(test, CONNECTION, "default", true).await;
        test.connection("other", &test.gateway.url(), json!({}))
            .await;
        let other = json!({"spec": {"connectionRef": {"name": "other"}}});
        test.patch(VALIDATE, "left", other).await;
        finalizer(test, CONNECTION, "other", true).await;
        finalizer(test, CONNECTION, "default", false).await;
        test.delete(VALIDATE, "left").await;
        test.gone(VALIDATE, "left").await;
        finalizer(test, CONNECTION, "other", false).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_connection_stays_usable_and_says_what_it_waits_for() {
    test(async |test| {
        test.connect().await;
        for name in ["one", "two"] {
            test.validate(name, json!({"deletionPolicy": "Delete"}))
                .await;
            test.in_sync(VALIDATE, name).await;
        }
        test.validate("left", json!({})).await;
        test.in_sync(VALIDATE, "left").await;
        finalizer(test, CONNECTION, "default", true).await;
        test.delete(CONNECTION, "default").await;
        let waits_for = |names: &[&str]| {
            let names: Vec<_> = names
                .iter()
                .map(|name| format!("{VALIDATE} {}/{name}", test.namespace))
                .collect();
            move |object: Option<&DynamicObject>| {
                let Some(object) = object else { return false };
                let told = object.data["status"]["conditions"].to_string();
                names.iter().all(|name| told.contains(name))
                    && !told.contains("/left")
                    && (names.len() == 2 || !told.contains("/one"))
            }
        };
        test.until(CONNECTION, "default", "waiting", waits_for(&["one", "two"]))
            .await;
        // It goes on serving those that it waits for.
        test.validate(
            "one",
            json!({"deletionPolicy": "Delete", "notConfiguredAction": "deny"}),
        )
        .await;
        test.in_sync(VALIDATE, "one").await;
        test.delete(VALIDATE, "one").await;
        test.gone(VALIDATE, "one").await;
        let stage = test.authentik.stage("validate", &test.name("one")).await;
        assert_eq!(stage, None);
        test.until(CONNECTION, "default", "waiting", waits_for(&["two"]))
            .await;
        let orphan = json!({"spec": {"deletionPolicy": "Orphan"}});
        test.patch(VALIDATE, "two", orphan).await;
        test.gone(CONNECTION, "default").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_only_orphans_use_goes_at_once_and_one_that_others_use_does_not() {
    test(async |test| {
        test.connect().await;
        test.validate("mfa", json!({"deletionPolicy": "Delete"}))
            .await;
        test.in_sync(VALIDATE, "mfa").await;
        finalizer(test, CONNECTION, "default", true).await;
        test.delete(CONNECTION, "default").await;
        let waits = test.get(CONNECTION, "default").await;
        assert!(waits.metadata.deletion_timestamp.is_some());
        test.delete(VALIDATE, "mfa").await;
        test.gone(CONNECTION, "default").await;

        test.connection("default", &test.gateway.url(), json!({}))
            .await;
        test.validate("mfa", json!({})).await;
        test.in_sync(VALIDATE, "mfa").await;
        // With no finalizer, Kubernetes deletes it in the same request.
        test.delete(CONNECTION, "default").await;
        let left = test.api(CONNECTION).get_opt("default").await;
        assert!(left.expect("Kubernetes answers").is_none());
        test.reason(VALIDATE, "mfa", "ConnectionNotReady").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_secret_and_after_a_restart_orphan_frees_the_stage() {
    test(async |test| {
        let bundle = Bundle::create(test, CONNECTION, 0).await;
        test.take_operator().await.stop().await;
        for part in [Connection, Secret, Stages] {
            bundle.delete(part).await;
        }
        test.start_operator().await;
        for (kind, name) in [(VALIDATE, &bundle.validate), (DUO, &bundle.duo)] {
            let stuck = test
                .until(kind, name, "waiting", |object| {
                    object.is_some_and(|object| {
                        let told = object.data["status"]["conditions"].to_string();
                        told.contains("deletionPolicy: Orphan")
                    })
                })
                .await;
            let stuck = stuck.expect("it is there");
            assert!(stuck.metadata.deletion_timestamp.is_some());
        }
        let connection = test.get(CONNECTION, &bundle.connection).await;
        assert!(connection.metadata.deletion_timestamp.is_some());
        let orphan = json!({"spec": {"deletionPolicy": "Orphan"}});
        test.patch(VALIDATE, &bundle.validate, orphan.clone()).await;
        test.patch(DUO, &bundle.duo, orphan).await;
        bundle.stages_are_gone().await;
        test.gone(CONNECTION, &bundle.connection).await;
        let left = test.name(&bundle.validate);
        assert!(test.authentik.stage("validate", &left).await.is_some());
    })
    .await;
}
