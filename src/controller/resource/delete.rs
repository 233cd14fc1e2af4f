//! What becomes of the stage when its resource is deleted.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use uuid::Uuid;

use super::{
    observe::{self, look_up, note_gone},
    report::{Ended, publish, report},
    rivals::belongs_to_another,
    stop::{Steps, Stop},
    subject::Subject,
    users,
};
use crate::{
    api::{DeletionPolicy, FINALIZER, Identity},
    authentik::{ObjectId, Remote},
    controller::{connection::Server, context::Context},
    kinds::Kind,
    ops::traces,
    plan::{
        Fact, Record,
        decide::{Fate, fate},
        failure::{Failure, Reason},
        has_become,
    },
};

/// The release from which authentik's database keeps a stage from being deleted while people have devices enrolled through
/// it: it answers 500 for ever (read in authentik's sources).
const PROTECTS_DEVICES: (u16, u16) = (2026, 8);

/// Applies the deletion policy and lets the resource go, or says why it can't. Returns when it is next due by itself.
pub(super) async fn delete<K: Kind>(ctx: &Context, subject: Subject<K>) -> Option<Duration> {
    let mut record = subject.record();
    let ended = match apply_policy(ctx, &subject, &mut record).await {
        Ok(()) => release(ctx, &subject).await,
        Err(stop) => Err(stop),
    };
    match ended {
        Ok(()) => {
            traces::ends("Deleted", false);
            publish(ctx, &subject, &mut record).await;
            None
        }
        Err(Stop::NotYet) => report(ctx, &subject, record, Ended::NotYet).await,
        Err(Stop::Failed(failure)) => {
            let ended = Ended::With(Err(explain::<K>(failure)));
            report(ctx, &subject, record, ended).await
        }
    }
}

async fn apply_policy<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    record: &mut Record,
) -> Steps<()> {
    let recorded = record.status.stage.clone().filter(|stage| stage.managed);
    // Who has lost the stage to another resource leaves it to that one.
    let is_lost = recorded
        .as_ref()
        .is_some_and(|stage| belongs_to_another(ctx, subject, stage));
    let leave = subject.leaves_its_stage() || is_lost;
    let stage = match fate(leave, recorded.as_ref(), subject.view.lost.is_some()) {
        Fate::Nothing => return Ok(()),
        Fate::Leave(stage) => {
            record.note(Fact::Orphaned(stage), Timestamp::now());
            return Ok(());
        }
        Fate::Delete(stage) => Some(stage),
        Fate::FindAndDelete => None,
    };
    let server = observe::server(ctx, subject, true)?;
    record.server.clone_from(&server.url);
    // Beside the stage on record there may be another, whose creation was not answered.
    let lost = find_lost(subject, &server).await?;
    let lost = lost.filter(|lost| stage.as_ref().is_none_or(|stage| stage.uuid != lost.uuid));
    for stage in stage.into_iter().chain(lost) {
        if server.url != stage.server {
            record.note(Fact::Orphaned(stage), Timestamp::now());
        } else if remove(ctx, subject, &server, stage.uuid).await? {
            record.note(Fact::Deleted(stage), Timestamp::now());
        }
    }
    Ok(())
}

/// Nothing is recorded as this resource's own. All the same it may have created a stage whose answer was lost.
async fn find_lost<K: Kind>(subject: &Subject<K>, server: &Server) -> Steps<Option<Identity>> {
    let Some(lost) = subject.lost_on(&server.url) else {
        return Ok(None);
    };
    let live = look_up::<K>(server, &lost.desired.name).await?;
    let own = live.filter(|live| has_become::<K>(&lost.desired, live));
    Ok(own.map(|live| Identity {
        uuid: live.uuid,
        name: server.show(&live.name).into_string(),
        server: server.url.clone(),
        managed: true,
        flows: Vec::new(),
        bindings: Vec::new(),
    }))
}

/// Deletes the stage in authentik, as far as the policy and the server let it be deleted. Returns whether it is our
/// deletion by which it is gone.
async fn remove<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Arc<Server>,
    stage: Uuid,
) -> Steps<bool> {
    // The label may have changed since it was recorded, and the path with it.
    let label = match K::COLLECTION.is_found_by_label() {
        true => match observe::get::<K>(server, stage).await? {
            Some(live) => live.name.clone(),
            None => return Ok(subject.view.is_uncertain),
        },
        false => Remote::default(),
    };
    let id = ObjectId {
        key: stage,
        label: label.raw(),
    };
    let policy = subject.resource.common().deletion_policy;
    let version = server.version()?;
    let (year, minor) = PROTECTS_DEVICES;
    let protects = version.at_least(year, minor);
    if policy == Some(DeletionPolicy::Delete) {
        unused(ctx, subject, server, id).await?;
    } else if protects {
        no_devices::<K>(server, id).await?;
    }
    subject.writes.begin();
    match server.client.delete(K::COLLECTION, id).await {
        Ok(was_there) => {
            note_gone::<K>(server, stage);
            // Where the answer to an earlier deletion was lost, that has deleted it.
            Ok(was_there || subject.view.is_uncertain)
        }
        Err(error) => {
            if error.outcome_unknown() {
                let memory = &ctx.shared.memory;
                memory.with(&subject.uid, |entry| entry.is_uncertain = true);
                // An answer that tells nothing may have this reason, whatever the version says.
                no_devices::<K>(server, id).await?;
            }
            Err(error.into())
        }
    }
}

async fn release<K: Kind>(ctx: &Context, subject: &Subject<K>) -> Steps<()> {
    let mut finalizers = subject.resource.finalizers().to_vec();
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    let target = subject.target(ctx);
    let kubernetes = &ctx.shared.kubernetes;
    kubernetes.set_finalizers(&target, &finalizers).await?;
    Ok(())
}

/// Refuses when anything uses the object.
async fn unused<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Arc<Server>,
    id: ObjectId<'_>,
) -> Steps<()> {
    let users = users::users(ctx, subject, server, id).await?;
    if users.is_empty() {
        return Ok(());
    }
    Err(blocked(format!(
        "the {} is in use by {}; take it out of there, or set deletionPolicy: Orphan to leave it or ForceDelete to delete it all the same",
        K::NOUN,
        users::named(users)
    )))
}

/// Refuses where authentik itself would, with an internal error.
async fn no_devices<K: Kind>(server: &Server, id: ObjectId<'_>) -> Steps<()> {
    let devices = users::devices::<K>(server, id).await?;
    if devices.is_empty() {
        return Ok(());
    }
    let (year, minor) = PROTECTS_DEVICES;
    Err(blocked(format!(
        "people have devices enrolled through the {noun}: {}. authentik {year}.{minor} and newer refuses to delete such a {noun}, with an internal error; delete the devices in authentik first, or set deletionPolicy: Orphan to leave the {noun}",
        users::named(devices),
        noun = K::NOUN,
    )))
}

fn blocked(message: String) -> Stop {
    Failure::new(Reason::DeletionBlocked, message).into()
}

/// Why the deletion waits, and how to get out.
fn explain<K: Kind>(failure: Failure) -> Failure {
    if failure.reason == Reason::DeletionBlocked || !failure.reason.is_reported() {
        return failure;
    }
    Failure {
        message: format!(
            "the deletion waits: {}; or set deletionPolicy: Orphan to leave the {} in authentik",
            failure.message,
            K::NOUN
        ),
        ..failure
    }
}
