//! A namespace that is deleted with all that is in it, at once and in any order.

use std::time::Duration;

use devkit::gateway::Exchange;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    runtime::wait::await_condition,
};
use serde_json::json;
use tokio::time::Instant;

use super::{
    cast::Slot,
    history::{History, Setting, Untouched},
    specs::SECRETS,
    world::{At, TOKEN},
};
use crate::{harness::patience, harness_more::CONNECTION};

/// What is on a connection while a resource needs it.
pub const FINALIZER: &str = "authentik-operator.io/connection";

/// Kubernetes looks again at a namespace that is not empty yet, less and less often.
const NAMESPACE_PATIENCE: Duration = Duration::from_secs(180);

/// What became of the second namespace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Teardown {
    /// Whether the Secret with the token is gone.
    pub token_is_gone: bool,
    /// Whether resources may wait for ever: nobody has the token any more, or nothing held the connection yet.
    pub may_wait: bool,
    /// Whether the namespace itself is deleted.
    pub for_good: bool,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Connection,
    Secret(&'static str),
    Resource(Slot),
}

/// Whether this connection is kept for resources.
pub fn is_held(connection: &DynamicObject) -> bool {
    let mut finalizers = connection.finalizers().iter();
    finalizers.any(|finalizer| finalizer == FINALIZER)
}

impl History<'_> {
    /// Deletes all objects of the second namespace, in any order.
    pub(super) async fn tear_down(&mut self) {
        self.tell("all that is away is deleted");
        self.teardown = Some(Teardown::default());
        let slots = self.specs.keys().filter(|slot| slot.at == At::Away);
        let mut parts: Vec<_> = slots.copied().map(Part::Resource).collect();
        parts.push(Part::Connection);
        parts.extend([TOKEN, SECRETS[0], SECRETS[1]].map(Part::Secret));
        for part in self.dice.shuffled(parts) {
            // A replica that is killed beside another is missed for many seconds.
            let kills = self.kills && self.setting != Setting::Replicas && self.dice.percent(25);
            if kills && !self.torn_down().token_is_gone {
                self.kill_meanwhile().await;
            }
            self.take_away(part).await;
        }
    }

    fn torn_down(&mut self) -> &mut Teardown {
        self.teardown.get_or_insert_default()
    }

    async fn take_away(&mut self, part: Part) {
        match part {
            Part::Resource(slot) => self.delete(slot).await,
            Part::Secret(secret) => {
                if secret == TOKEN {
                    let is_lost = !self.token_was_read();
                    let teardown = self.torn_down();
                    teardown.token_is_gone = true;
                    teardown.may_wait |= is_lost;
                }
                self.delete_secret(At::Away, secret).await;
            }
            Part::Connection => {
                self.tell("the connection is deleted");
                let api = self.world.api(At::Away, CONNECTION);
                let deleted = api.delete("default", &DeleteParams::default()).await;
                let left = deleted.expect("the connection is deleted").left();
                self.torn_down().may_wait |= !left.is_some_and(|left| is_held(&left));
            }
        }
    }

    /// Kills the operator, and waits until it has read the token again if it still needs it.
    async fn kill_meanwhile(&mut self) {
        self.tell("all calms down, and replica 0 is killed");
        self.shut.clear();
        self.replicas.calm().await;
        self.kill(0).await;
        let deadline = Instant::now() + patience();
        while !self.token_was_read() && self.connection_is_there().await {
            assert!(
                Instant::now() < deadline,
                "the token is not read again in time: {}",
                self.replicas.log()
            );
            let seen = self.replicas.kubernetes.audit().len();
            let more = |audit: &[Exchange]| audit.len() > seen;
            let second = Duration::from_secs(1);
            self.replicas.kubernetes.wait_for(more, second).await;
        }
    }

    async fn connection_is_there(&self) -> bool {
        let api = self.world.api(At::Away, CONNECTION);
        let connection = api.get_opt("default").await;
        connection.expect("Kubernetes answers").is_some()
    }

    /// Whether the operator that runs now has read the token of the second namespace.
    fn token_was_read(&self) -> bool {
        let namespace = self.world.namespace(At::Away);
        let secret = format!("/namespaces/{namespace}/secrets/{TOKEN}");
        let requests = self.replicas.kubernetes.history().into_iter();
        requests
            .filter(|request| request.n > self.read_after && request.status == Some(200))
            .any(|request| request.method == "GET" && request.path.ends_with(&secret))
    }

    /// Deletes the second namespace itself, as `kubectl delete namespace` does; or, where nothing runs that does that, all
    /// that is in it. Something goes wrong meanwhile.
    pub(super) async fn tear_down_for_good(&mut self) {
        let itself = self.setting != Setting::Alone && self.dice.percent(40);
        self.fault();
        if !itself {
            self.tear_down().await;
            self.torn_down().for_good = true;
            self.fault();
            return;
        }
        self.tell("the namespace is deleted");
        let connection = self.world.api(At::Away, CONNECTION).get("default").await;
        self.teardown = Some(Teardown {
            token_is_gone: true,
            may_wait: !(self.token_was_read() && is_held(&connection.expect("it is there"))),
            for_good: true,
        });
        self.specs.retain(|slot, _| slot.at == At::Home);
        let away = self.cast.at(At::Away).into_iter();
        let away: Vec<_> = away.map(|slot| self.world.id(slot)).collect();
        let is_away = |object: &Untouched| away.iter().any(|id| object.resources.contains(id));
        self.untouched.retain(|_, object| !is_away(object));
        for resource in self.resources_away().await {
            self.may_leave(&resource);
        }
        let namespaces: Api<Namespace> = Api::all(self.test.kube.clone());
        let name = self.world.namespace(At::Away);
        let deleted = namespaces.delete(name, &DeleteParams::default()).await;
        deleted.expect("the namespace is to be deleted");
        self.fault();
    }

    async fn resources_away(&self) -> Vec<DynamicObject> {
        let mut all = Vec::new();
        for kind in self.cast.kinds.clone() {
            let api = self.world.api(At::Away, kind);
            let list = api.list(&ListParams::default()).await;
            all.extend(list.expect("the resources are listed"));
        }
        all
    }

    /// Lets go what rightly waits, as its message tells a user to, and sees that nothing is left.
    pub(super) async fn ends(&mut self) {
        let orphan = Patch::Merge(json!({"spec": {"deletionPolicy": "Orphan"}}));
        for kind in self.cast.kinds.clone() {
            let api = self.world.api(At::Away, kind);
            let list = api.list(&ListParams::default()).await;
            for waiting in list.expect("the resources are listed") {
                let name = waiting.name_any();
                self.tell(format_args!("{name} away is left to itself"));
                self.left.extend(waiting.uid());
                // It may be gone by now.
                let patched = api.patch(&name, &PatchParams::default(), &orphan).await;
                if let Ok(patched) = patched {
                    self.test.record.note(kind, &patched);
                }
                self.is_gone(&api, &name).await;
            }
        }
        let connections = self.world.api(At::Away, CONNECTION);
        self.is_gone(&connections, "default").await;
        if self.torn_down().for_good {
            self.namespace_ends().await;
        }
    }

    async fn is_gone(&self, api: &Api<DynamicObject>, name: &str) {
        let is_gone = |object: Option<&DynamicObject>| object.is_none();
        let gone = await_condition(api.clone(), name, is_gone);
        let gone = tokio::time::timeout(patience(), gone).await;
        assert!(
            gone.is_ok(),
            "{name} away is not gone in time: {:?}\n{}\n{}",
            api.get_opt(name).await,
            self.told(),
            self.replicas.log()
        );
    }

    /// Waits until the namespace is gone, where it was to be deleted.
    async fn namespace_ends(&self) {
        let namespaces: Api<Namespace> = Api::all(self.test.kube.clone());
        let name = self.world.namespace(At::Away);
        let now = namespaces.get_opt(name).await.expect("Kubernetes answers");
        if now.is_none_or(|now| now.metadata.deletion_timestamp.is_none()) {
            return;
        }
        let is_gone = |namespace: Option<&Namespace>| namespace.is_none();
        let gone = await_condition(namespaces.clone(), name, is_gone);
        let gone = tokio::time::timeout(NAMESPACE_PATIENCE, gone).await;
        assert!(gone.is_ok(), "{:?}", namespaces.get_opt(name).await);
    }

    /// Makes the second namespace anew, if it was torn down.
    pub(super) async fn build_again(&mut self) {
        if self.teardown.is_none() {
            return;
        }
        self.ends().await;
        self.tell("what was away is made again");
        self.teardown = None;
        self.world.connect(At::Away).await;
        for secret in SECRETS {
            self.rotate(At::Away, secret).await;
        }
    }
}
