//! The end of a test: what is checked of every one, and what is taken away.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Test, VALIDATE, kinds, patience, text};
use crate::factor;

/// What the names of stages begin with that are made to tell servers apart.
const CHECK: &str = "authentik-stage-operator-check-";

/// How many rows are taken away at once.
const HANDS: usize = 8;

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
        let connections = ["AuthentikConnection", "ClusterAuthentikConnection"];
        for kind in kinds().into_iter().chain(connections) {
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

    /// Takes what bears the test's name from a server that goes on after it, and what its operator has made to tell
    /// servers apart.
    async fn clean_authentik(&self) {
        // Before the flows that they name.
        self.clean_collection("core/brands/", "domain", "brand_uuid")
            .await;
        self.clean_collection("providers/oauth2/", "name", "pk")
            .await;
        self.clean_collection("propertymappings/notification/", "name", "pk")
            .await;
        self.clean_collection("core/users/", "username", "pk").await;
        self.clean_collection("stages/all/", "name", "pk").await;
        self.clean_collection("flows/instances/", "slug", "slug")
            .await;
        self.clean_collection("propertymappings/notification/", "name", "pk")
            .await;
        let made = self.gateway.history().into_iter();
        let made = made.filter_map(|exchange| exchange.body?["name"].as_str().map(str::to_owned));
        let checks: BTreeSet<_> = made.filter(|name| name.starts_with(CHECK)).collect();
        for name in checks {
            let rows = format!("stages/all/?name={name}");
            self.take_away("stages/all/", "pk", self.authentik.list(&rows).await)
                .await;
        }
    }

    /// Page by page: some tests make hundreds of rows.
    async fn clean_collection(&self, collection: &str, label: &str, key: &str) {
        let search = format!("{collection}?search={}&page_size=100", self.namespace);
        loop {
            let mut rows = self.authentik.list(&search).await;
            rows.retain(|row| text(&row[label]).starts_with(&self.namespace));
            if rows.is_empty() {
                return;
            }
            self.take_away(collection, key, rows).await;
        }
    }

    async fn take_away(&self, collection: &str, key: &str, rows: Vec<Value>) {
        let take = |row: Value| async move {
            // Some keys are numbers.
            let key = row[key]
                .as_str()
                .map_or_else(|| row[key].to_string(), str::to_owned);
            let path = format!("{collection}{key}/");
            let (status, answer) = self.authentik.send(Method::DELETE, &path, None).await;
            // What the test has let go of may have been on its way out.
            assert!([204, 404].contains(&status), "DELETE {path}: {answer}");
        };
        stream::iter(rows).for_each_concurrent(HANDS, take).await;
    }
}
