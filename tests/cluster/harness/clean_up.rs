//! The end of a test: what is checked of every one, and what is taken away.

use k8s_openapi::api::events::v1::Event;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{DUO, Test, VALIDATE, patience};
use crate::factor;

impl Test {
    /// Checks over all that was written so far that no second factor was made weaker than was asked for.
    pub(super) async fn no_factor_was_weakened(&self) {
        if let Some(operator) = self.operator.lock().await.take() {
            operator.kill();
        }
        // What is shown of it shows that all before it has been.
        let last = json!({"suspend": true});
        if let Ok(last) = self.try_apply(VALIDATE, "last", last).await {
            let uid = last.uid().unwrap_or_default();
            assert!(self.record.shows(&uid, patience()).await, "no watch");
        }
        let weakened = factor::weakened(&self.gateway.history(), &self.record.asked());
        assert!(weakened.is_empty(), "{weakened:#?}");
    }
    /// Stops the operator and takes from authentik and the cluster what the test has put there.
    pub(super) async fn clean_up(self, failed: bool) {
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
