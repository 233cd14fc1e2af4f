//! What becomes of the stage when its resource is deleted.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kube::ResourceExt;
use serde_json::Value;
use uuid::Uuid;

use super::{
    bindings::slug,
    failure::{Failure, Reason},
    retry::Request,
    server::Server,
    stage::Run,
};
use crate::{
    api::{DeletionPolicy, FINALIZER, ManagementPolicy, StageIdentity},
    authentik::{self, UsedBy},
    ops::traces,
    plan::bindings::Binding,
    stages::{AuthenticatorValidateStage, StageKind},
};

impl<K: StageKind> Run<K> {
    /// Applies the deletion policy and lets the resource go, or says why it can't.
    pub(super) async fn delete(mut self, request: Request) -> Option<Duration> {
        if !self
            .resource
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == FINALIZER)
        {
            return None;
        }
        let result = match self.apply_deletion_policy().await {
            Ok(true) => self.release().await,
            // The connection has yet to be looked at.
            Ok(false) => return None,
            Err(failure) => Err(failure),
        };
        match result {
            Ok(()) => {
                traces::ends("Deleted", false);
                self.publish().await;
                None
            }
            Err(failure) => self.report(Err(explain(failure)), request).await,
        }
    }

    /// Returns whether the stage has met its fate.
    async fn apply_deletion_policy(&mut self) -> Result<bool, Failure> {
        let common = self.resource.common();
        let policy = common.deletion_policy.unwrap_or_default();
        let leave = policy == DeletionPolicy::Orphan
            || common.suspend == Some(true)
            || common.management_policy == Some(ManagementPolicy::Observe);
        let recorded = self.status.stage.clone().filter(|stage| stage.managed);
        let stage = match recorded {
            None if self.lost.is_some() && !leave => {
                let Some(server) = self.server().await? else {
                    return Ok(false);
                };
                self.find_lost(&server).await?
            }
            recorded => recorded,
        };
        let Some(stage) = stage else {
            return Ok(true);
        };
        if leave {
            self.orphaned(&stage);
            return Ok(true);
        }
        let Some(server) = self.server().await? else {
            return Ok(false);
        };
        if server.url != stage.server {
            self.orphaned(&stage);
            return Ok(true);
        }
        if policy == DeletionPolicy::Delete {
            self.unused(&server, stage.uuid).await?;
        }
        let was_there = server.delete(K::COLLECTION, stage.uuid).await?;
        server.inventory.kind::<K>().wrote(stage.uuid, None);
        server.inventory.stages.wrote(stage.uuid, None);
        if was_there {
            self.note(
                "Deleted",
                format!(
                    "deleted stage {:?} ({}) on {}",
                    stage.name, stage.uuid, stage.server
                ),
            );
        }
        Ok(true)
    }

    /// Nothing is recorded as this resource's own. All the same it may have created a stage whose answer was lost.
    async fn find_lost(&self, server: &Arc<Server>) -> Result<Option<StageIdentity>, Failure> {
        let Some(lost) = self.lost_on(server) else {
            return Ok(None);
        };
        let live = self.look_up(server, &lost.desired.name).await?;
        let own = live.filter(|live| lost.made::<K>(live));
        Ok(own.map(|live| StageIdentity {
            uuid: live.uuid,
            name: live.name.clone(),
            server: server.url.clone(),
            managed: true,
            flows: Vec::new(),
            bindings: Vec::new(),
        }))
    }

    fn orphaned(&mut self, stage: &StageIdentity) {
        self.note(
            "Orphaned",
            format!(
                "left stage {:?} ({}) on {}",
                stage.name, stage.uuid, stage.server
            ),
        );
    }

    async fn release(&self) -> Result<(), Failure> {
        let finalizers = self.resource.finalizers().iter();
        self.set_finalizers(
            finalizers
                .filter(|finalizer| *finalizer != FINALIZER)
                .cloned()
                .collect(),
        )
        .await
    }

    /// Refuses when anything uses the stage: a flow, a user's device, or a validate stage that enrols through it.
    /// The bindings that the spec itself declares are its own and don't count.
    async fn unused(&self, server: &Arc<Server>, stage: Uuid) -> Result<(), Failure> {
        let mut users = BTreeSet::new();
        match server.used_by(K::COLLECTION, stage).await {
            Ok(used_by) => users.extend(used_by.iter().filter(|user| uses(user)).map(describe)),
            // Gone already: nothing uses it.
            Err(authentik::Error::NotFound) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        users.extend(self.foreign_bindings(server, stage).await?);
        users.extend(enrolling(server, stage).await?);
        if users.is_empty() {
            return Ok(());
        }
        let users = users.into_iter().collect::<Vec<_>>().join(", ");
        Err(Failure::new(
            Reason::DeletionBlocked,
            format!(
                "the stage is in use by {users}; take it out of there, or set deletionPolicy: Orphan to leave it or ForceDelete to delete it all the same"
            ),
        ))
    }

    /// The flows that the stage is bound to by others. A token that may not view bindings is refused here, while
    /// `used_by/` would leave them out without a word.
    async fn foreign_bindings(
        &self,
        server: &Arc<Server>,
        stage: Uuid,
    ) -> Result<BTreeSet<String>, Failure> {
        let bindings = match self.look_up_bindings(server, stage).await {
            // "Select a valid choice.": the stage is gone.
            Err(failure) if failure.reason == Reason::Rejected => return Ok(BTreeSet::new()),
            bindings => bindings?,
        };
        let declared = self.wanted_bindings(server).await?;
        let is_declared = |binding: &Binding| {
            declared
                .as_ref()
                .is_some_and(|declared| declared.declares(binding))
        };
        let foreign: Vec<_> = bindings
            .iter()
            .filter(|binding| !is_declared(binding))
            .collect();
        if !foreign.is_empty() {
            // Only for the flows' names; their UUIDs have to do where the token may not view flows.
            let _ = server
                .inventory
                .flows
                .at_most(self.resync, server.client())
                .await;
        }
        Ok(foreign
            .iter()
            .map(|binding| format!("flow {}", slug(server, binding.target)))
            .collect())
    }
}

/// Why the deletion waits, and how to get out.
fn explain(failure: Failure) -> Failure {
    if failure.reason == Reason::DeletionBlocked || !failure.reason.is_reported() {
        return failure;
    }
    Failure {
        message: format!(
            "the deletion waits: {}; or set deletionPolicy: Orphan to leave the stage in authentik",
            failure.message
        ),
        ..failure
    }
}

/// A validate stage's own configuration stages are among its users, the wrong way round; bindings are looked at
/// by themselves.
fn uses(user: &UsedBy) -> bool {
    !(user.app == "authentik_flows"
        && matches!(
            user.model_name.as_str(),
            "stage" | "flow" | "flowstagebinding"
        ))
}

fn describe(user: &UsedBy) -> String {
    match user.model_name.as_str() {
        "duodevice" => format!("Duo device {:?}", user.name),
        model => format!("{model} {:?}", user.name),
    }
}

/// The validate stages that use this one for configuration, which `used_by/` does not list.
async fn enrolling(server: &Arc<Server>, uuid: Uuid) -> Result<Vec<String>, Failure> {
    let list = server.inventory.kind::<AuthenticatorValidateStage>();
    let read = list.at_most(Duration::ZERO, server.client()).await;
    server.learn(
        AuthenticatorValidateStage::COLLECTION,
        &reqwest::Method::GET,
        read,
    )?;
    let wanted = uuid.to_string();
    let users = list.filter(|stage| {
        let stages = stage
            .fields
            .get("configuration_stages")
            .and_then(Value::as_array);
        stage.uuid != uuid
            && stages
                .is_some_and(|stages| stages.iter().any(|stage| stage.as_str() == Some(&wanted)))
    });
    Ok(users
        .iter()
        .map(|stage| format!("validation stage {:?}", stage.name))
        .collect())
}
