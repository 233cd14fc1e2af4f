//! What is right of resources that are to be deleted, and of their connections.

use kube::api::DynamicObject;

use super::{
    history::History,
    model::{Snapshot, expect},
    places::{bound, places},
    resource::Resource,
    teardown::{Teardown, is_held},
    world::At,
};
use crate::harness::{condition, message, text};

impl Snapshot {
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
        let enrols = |uuid: &str| {
            let mut others = self.stages.iter().filter(|(other, _)| *other != uuid);
            others.any(|(_, (_, stage))| {
                let stages = stage["configuration_stages"].as_array();
                stages.is_some_and(|stages| stages.iter().any(|stage| stage == uuid))
            })
        };
        let declared = places(resource.spec(), &self.flows).unwrap_or_default();
        let stands_elsewhere = |uuid: &str| {
            let stage = self.stages.get(uuid);
            stage.is_some_and(|(_, stage)| !bound(stage).is_subset(&declared))
        };
        let in_use = |uuid: &str| enrols(uuid) || stands_elsewhere(uuid);
        let blocked =
            resource.spec()["deletionPolicy"] == "Delete" && resource.manages().is_some_and(in_use);
        expect(
            blocked && reason == Some("DeletionBlocked"),
            &format!("it is not gone, and {reason:?} is no reason"),
        )
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
