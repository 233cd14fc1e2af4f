//! What is right of resources that are to be deleted, and of their connections.

use kube::api::DynamicObject;
use serde_json::Value;

use super::{
    history::History,
    model::{Snapshot, expect},
    objects::Object,
    resource::Resource,
    teardown::{Teardown, is_held},
    world::At,
};
use crate::harness::{condition, message, text};

impl Snapshot<'_> {
    /// A resource that is to be deleted and still there has to say why.
    pub fn judge_deletion(
        &self,
        resource: &Resource,
        teardown: Option<Teardown>,
    ) -> Result<(), String> {
        let reason = condition(&resource.object, "Ready").map(|ready| text(&ready["reason"]));
        if resource.at == At::Away && teardown.is_some_and(|teardown| teardown.may_wait) {
            let waits = ["ConnectionNotReady", "SecretNotFound"];
            let waits = reason.is_some_and(|reason| waits.contains(&reason));
            if waits && resource.deletes() {
                let told = message(&resource.object).contains("deletionPolicy: Orphan");
                return expect(told, "it does not say how it gets free");
            }
        }
        let is_used = |uuid: &str| self.is_used(resource, uuid);
        let blocked = resource.spec()["deletionPolicy"] == "Delete"
            && resource.manages().is_some_and(is_used);
        expect(
            blocked && reason == Some("DeletionBlocked"),
            &format!("it is not gone, and {reason:?} is no reason"),
        )
    }

    /// Whether anything would lose by the deletion of this object, apart from what its resource has asked for itself.
    fn is_used(&self, resource: &Resource, uuid: &str) -> bool {
        let Some(object) = self.objects.get(uuid) else {
            return false;
        };
        let names_it = |value: &Value| value.as_str() == Some(uuid);
        let mut others = self.objects.values().filter(|other| other.uuid() != uuid);
        let is_named = others.any(|other| {
            let stages = other.shown["configuration_stages"].as_array();
            let stages = stages.into_iter().flatten();
            stages.chain([&other.shown["configure_flow"]]).any(names_it)
        });
        let is_of_brand = self.brand.values().any(names_it);
        is_named || is_of_brand || self.is_bound_by_others(resource, object)
    }

    /// Whether a stage stands where its resource has not put it, or a flow has a stage that no resource of the flow's
    /// namespace manages.
    fn is_bound_by_others(&self, resource: &Resource, object: &Object) -> bool {
        let declared = self.places(resource).unwrap_or_default();
        let holds = |other: &Object| other.places.iter().any(|(flow, _)| flow == object.uuid());
        let is_ours = |stage: &Object| {
            let managers = self.managers(stage.uuid());
            managers.iter().any(|manager| manager.at == resource.at)
        };
        let mut held = self.objects.values().filter(|other| holds(other));
        !object.places.is_subset(&declared) || held.any(|stage| !is_ours(stage))
    }

    /// The connections are there as long as they are needed, and held just as long.
    pub fn connections(&self, history: &History<'_>) -> Vec<String> {
        let mut problems = Vec::new();
        for at in [At::Home, At::Away] {
            let is_torn_down = at == At::Away && history.teardown.is_some();
            let judged = match self.connections.get(&at) {
                Some(connection) => self.connection(at, connection, is_torn_down),
                None => expect(is_torn_down, "it is gone"),
            };
            problems.extend(
                judged
                    .err()
                    .map(|why| format!("the connection {at:?}: {why}")),
            );
        }
        let mut stays = self.resources.iter().filter(|resource| {
            resource.at == At::Away && history.teardown.is_some() && !resource.is_deleted()
        });
        problems.extend(stays.next().map(|stays| format!("{} stays", stays.id())));
        problems
    }

    fn connection(
        &self,
        at: At,
        connection: &DynamicObject,
        is_torn_down: bool,
    ) -> Result<(), String> {
        let resources = self.resources.iter().filter(|resource| resource.at == at);
        let mut deleting = resources.filter(|resource| resource.deletes()).peekable();
        let may_be_held = deleting.peek().is_some();
        let is_needed = deleting.any(|resource| resource.manages().is_some());
        let is_deleted = connection.metadata.deletion_timestamp.is_some();
        expect(is_deleted == is_torn_down, "whether it is deleted is wrong")?;
        expect(!is_deleted || may_be_held, "it does not go")?;
        expect(!is_held(connection) || may_be_held, "it is held for nobody")?;
        expect(is_held(connection) || !is_needed, "nothing holds it")
    }
}
