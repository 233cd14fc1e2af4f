//! Resources: applied, changed, deleted and waited for.

use std::time::Duration;

use authentik_stage_operator::api::conditions;
use devkit::gateway::Exchange;
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    runtime::wait::await_condition,
};
use serde_json::{Value, json};

use super::{Test, cluster, collection, condition, patience};

impl Test {
    /// Objects of one of our kinds.
    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        cluster::api(&self.kube, &self.namespace, kind)
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
            .patch(name, &params, &Patch::Apply(&object))
            .await;
        self.both_agree(&object, &applied);
        let applied = applied?;
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
        // At the stage, or at the list where that costs less.
        let looks = |audit: &[Exchange]| {
            let looks = audit.iter().filter(|exchange| exchange.method == "GET");
            looks
                .filter(|exchange| exchange.path.starts_with(&list))
                .count()
        };
        for time in ["once", "once more"] {
            let before = looks(&self.gateway.audit());
            let at = format!("{time} after {before}");
            self.request_reconcile(kind, name, &at).await;
            let looked = self
                .gateway
                .wait_for(|audit| looks(audit) > before, patience())
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

    /// Where authentik keeps what the resource stands for, below `/api/v3/`.
    pub async fn object_path(&self, kind: &str, name: &str) -> String {
        let status = &self.get(kind, name).await.data["status"];
        let (stage, flow) = (&status["stage"]["uuid"], &status["flow"]["slug"]);
        let id = stage.as_str().or(flow.as_str());
        format!(
            "{}{}/",
            collection(kind),
            id.expect("it stands for something")
        )
    }

    /// Changes by hand what the resource stands for in authentik; returns what it is then.
    pub async fn by_hand(&self, kind: &str, name: &str, body: Value) -> Value {
        let path = self.object_path(kind, name).await;
        self.authentik.patch(&path, body).await
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
            tokio::time::timeout(patience(), await_condition(self.api(kind), name, predicate))
                .await;
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

    /// Waits until there is an event of this reason about a resource; returns its note.
    pub async fn event(&self, name: &str, reason: &str) -> String {
        self.events_of(name, reason, 1).await.swap_remove(0)
    }

    /// Waits until there are this many events of this reason about a resource; returns their notes, oldest
    /// first.
    pub async fn events_of(&self, name: &str, reason: &str, at_least: usize) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + patience();
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
}
