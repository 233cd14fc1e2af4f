//! From how a reconcile ended to the resource's status, its events, and when it is next due.

use std::time::Duration;

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::{ApiResource, DynamicObject, ObjectMeta},
};
use serde_json::json;

use super::{
    context::{Context, Id},
    events::Note,
    failure::{Failure, Reason},
    retry::Request,
    stage::{Done, Run},
};
use crate::{
    api::{MANAGER, StageStatus, conditions, set_condition, without_condition},
    authentik,
    ops::traces,
    stages::StageKind,
};

/// The status that this outcome makes of the one that the reconcile has worked on.
fn conclude(status: &mut StageStatus, result: &Result<Done, Failure>, generation: Option<i64>) {
    status.observed_generation = generation;
    let list = &mut status.conditions;
    let progress = result
        .as_ref()
        .err()
        .map(|failure| failure.reason.progress());
    for type_ in [
        conditions::RECONCILING,
        conditions::STALLED,
        conditions::SUSPENDED,
    ] {
        // The one that goes on keeps its time: a status that says the same as before is not written.
        if Some(type_) != progress {
            without_condition(list, type_);
        }
    }
    match result {
        Ok(Done::Drifted) => {
            let fields: Vec<_> = status
                .drift
                .iter()
                .map(|drift| drift.field.as_str())
                .collect();
            let message = format!(
                "authentik differs in {}, and managementPolicy: Observe keeps it so; see status.drift, and set Enforce to mend it",
                fields.join(", ")
            );
            set_condition(
                list,
                conditions::READY,
                false,
                "Drifted",
                &message,
                generation,
            );
        }
        Ok(_) => {
            let message = "authentik holds what the spec says";
            set_condition(list, conditions::READY, true, "InSync", message, generation);
        }
        Err(failure) => {
            let (reason, message) = (failure.reason.as_str(), failure.message.as_str());
            let progress = failure.reason.progress();
            set_condition(list, conditions::READY, false, reason, message, generation);
            set_condition(list, progress, true, reason, message, generation);
        }
    }
}

impl<K: StageKind> Run<K> {
    /// Writes the status where it has changed, publishes the events, and says when the resource is next due.
    pub(super) async fn report(
        mut self,
        result: Result<Done, Failure>,
        request: Request,
    ) -> Option<Duration> {
        let id = Id::Stage(self.id.clone());
        let reported = match &result {
            Ok(_) => true,
            Err(failure) => failure.reason.is_reported(),
        };
        if reported {
            conclude(&mut self.status, &result, self.resource.meta().generation);
            self.note_failure(&result);
        }
        let written = self.write_status().await;
        self.publish().await;
        self.measure(&result);
        match (result, written) {
            (Ok(Done::Drifted), Ok(())) | (Ok(Done::InSync | Done::Pending), Ok(())) => {
                self.ctx.retries.forget(&id);
                None
            }
            (Err(failure), Ok(())) => {
                tracing::info!(resource = %self.id, reason = failure.reason.as_str(), "{}", failure.message);
                Some(self.ctx.retries.failed(&id, request, &failure, self.resync))
            }
            (_, Err(failure)) => {
                tracing::warn!(resource = %self.id, "status not written: {}", failure.message);
                Some(self.ctx.retries.failed(&id, request, &failure, self.resync))
            }
        }
    }

    /// Marks the resource as suspended and leaves `Ready` and what belongs to it as it was.
    pub(super) async fn suspended(mut self) -> Option<Duration> {
        // Or whoever waits for this generation to be seen would wait for as long as it is suspended.
        self.status.observed_generation = self.resource.meta().generation;
        let list = &mut self.status.conditions;
        without_condition(list, conditions::RECONCILING);
        without_condition(list, conditions::STALLED);
        let message = "spec.suspend is true: nothing is read or written until it is false";
        set_condition(
            list,
            conditions::SUSPENDED,
            true,
            "Suspended",
            message,
            self.resource.meta().generation,
        );
        traces::ends("Suspended", false);
        match self.write_status().await {
            Ok(()) => None,
            Err(failure) => {
                let id = Id::Stage(self.id.clone());
                Some(
                    self.ctx
                        .retries
                        .failed(&id, Request::default(), &failure, self.resync),
                )
            }
        }
    }

    fn measure(&self, result: &Result<Done, Failure>) {
        let metrics = &self.ctx.metrics;
        let failed = result.is_err();
        let result = match result {
            Ok(Done::InSync | Done::Pending) => "InSync",
            Ok(Done::Drifted) => "Drifted",
            Err(failure) => failure.reason.as_str(),
        };
        traces::ends(result, failed);
        metrics.reconciled(K::KIND, result, self.began.elapsed());
    }

    /// A failure is an event when it is another than before.
    fn note_failure(&mut self, result: &Result<Done, Failure>) {
        let ready = |status: &StageStatus| {
            status
                .condition(conditions::READY)
                .map(|ready| (ready.reason.clone(), ready.message.clone()))
        };
        let Some((reason, text)) =
            ready(&self.status).filter(|_| ready(&self.before) != ready(&self.status))
        else {
            return;
        };
        match result {
            Err(failure) => self.notes.push(Note {
                warning: true,
                reason: failure.reason.as_str(),
                text,
            }),
            Ok(Done::Drifted) if reason == "Drifted" => {
                self.ctx.metrics.drift_found(K::KIND);
                self.notes.push(Note {
                    warning: true,
                    reason: "Drifted",
                    text,
                });
            }
            Ok(_) => {}
        }
    }

    /// Writes the status if it is another than before: no change, no write.
    pub(super) async fn write_status(&self) -> Result<(), Failure> {
        if self.status == self.before && self.known_to_kubernetes {
            return Ok(());
        }
        let written = if self.ctx.leadership.is_certain() {
            patch_status(&self.api(), &self.id.name, &self.status).await
        } else {
            // Another replica may have found out more meanwhile.
            Err(authentik::Error::Closed.into())
        };
        let version = match &written {
            Ok(None) => return Ok(()),
            Ok(version) => version.as_deref(),
            Err(_) => None,
        };
        let rivals = self.ctx.resources.rivals(&self.id);
        self.ctx
            .resources
            .wrote(&self.id, version, self.status.clone());
        self.tell_dependents(rivals);
        written.map(drop)
    }

    pub(super) async fn publish(&mut self) {
        let about = self.resource.object_ref(&());
        for note in self.notes.drain(..) {
            tracing::info!(resource = %self.id, reason = note.reason, "{}", note.text);
            self.ctx.events.publish(&about, note).await;
        }
    }
}

/// Writes a status. Returns the new resourceVersion, or nothing where the resource is gone.
async fn patch_status<K: StageKind>(
    api: &Api<K>,
    name: &str,
    status: &StageStatus,
) -> Result<Option<String>, Failure> {
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::KIND,
        "status": status,
    });
    let params = PatchParams::apply(MANAGER).force();
    match api.patch_status(name, &params, &Patch::Apply(patch)).await {
        Ok(written) => Ok(Some(written.resource_version().unwrap_or_default())),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Why a resource that the operator can't read is left alone. Such a resource has passed an older CRD, or one that
/// this operator is too old for.
pub fn unreadable(error: &str) -> Failure {
    Failure::new(
        Reason::InvalidSpec,
        format!(
            "the resource can't be read: {error}; mend the field, and see that the operator and its CRDs are of one version"
        ),
    )
}

/// Writes that to the resource's status.
pub async fn report_unreadable<R>(ctx: &Context, meta: &ObjectMeta, failure: Failure)
where
    R: Resource<DynamicType = ()>,
{
    traces::ends(failure.reason.as_str(), true);
    let name = meta.name.as_deref().unwrap_or_default();
    let resource = ApiResource::erase::<R>(&());
    let api = match meta.namespace.as_deref() {
        Some(namespace) => Api::namespaced_with(ctx.client.clone(), namespace, &resource),
        None => Api::all_with(ctx.client.clone(), &resource),
    };
    if let Err(error) = write_unreadable(api, name, failure).await {
        tracing::warn!(
            kind = %R::kind(&()),
            namespace = meta.namespace,
            name,
            "status not written: {}",
            Failure::from(error).message
        );
    }
}

async fn write_unreadable(
    api: Api<DynamicObject>,
    name: &str,
    failure: Failure,
) -> Result<(), kube::Error> {
    let Some(object) = api.get_opt(name).await? else {
        return Ok(());
    };
    let before = object
        .data
        .get("status")
        .and_then(|status| status.get("conditions"))
        .cloned();
    let mut status = StageStatus {
        conditions: before
            .and_then(|list| serde_json::from_value(list).ok())
            .unwrap_or_default(),
        ..StageStatus::default()
    };
    let before = status.conditions.clone();
    conclude(&mut status, &Err(failure), object.metadata.generation);
    if status.conditions == before {
        return Ok(());
    }
    let patch = json!({"status": {"conditions": status.conditions, "observedGeneration": status.observed_generation}});
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    api.patch_status(name, &params, &Patch::Merge(patch))
        .await?;
    Ok(())
}
