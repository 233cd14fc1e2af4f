//! What becomes of the stage when its resource is deleted.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;
use uuid::Uuid;

use super::{
    bindings,
    observe::{self, look_up, note_gone},
    report::{Ended, publish, report},
    resolve,
    rivals::belongs_to_another,
    stop::{Steps, Stop},
    subject::Subject,
};
use crate::{
    api::{DeletionPolicy, FINALIZER, StageIdentity},
    authentik::{Collection, Error, UsedBy},
    controller::{
        connection::{Flow, Server},
        context::Context,
    },
    ops::traces,
    plan::{
        Fact, Live, Record, Row,
        bindings::Binding,
        decide::{Fate, fate},
        failure::{Failure, Reason},
        has_become,
    },
    stages::{AuthenticatorValidateStage, StageKind},
};

/// The release from which authentik's database keeps a stage from being deleted while people have devices enrolled through
/// it: it answers 500 for ever (read in authentik's sources).
const PROTECTS_DEVICES: (u16, u16) = (2026, 8);

/// The most users of a stage that a message names.
const MOST_NAMED: usize = 10;

/// Applies the deletion policy and lets the resource go, or says why it can't. Returns when it is next due by itself.
pub(super) async fn delete<K: StageKind>(ctx: &Context, subject: Subject<K>) -> Option<Duration> {
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
            let ended = Ended::With(Err(explain(failure)));
            report(ctx, &subject, record, ended).await
        }
    }
}

async fn apply_policy<K: StageKind>(
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
async fn find_lost<K: StageKind>(
    subject: &Subject<K>,
    server: &Server,
) -> Steps<Option<StageIdentity>> {
    let Some(lost) = subject.lost_on(&server.url) else {
        return Ok(None);
    };
    let live = look_up::<K>(server, &lost.desired.name).await?;
    let own = live.filter(|live| has_become::<K>(&lost.desired, live));
    Ok(own.map(|live| StageIdentity {
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
async fn remove<K: StageKind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Arc<Server>,
    stage: Uuid,
) -> Steps<bool> {
    let policy = subject.resource.common().deletion_policy;
    let version = server.version()?;
    let (year, minor) = PROTECTS_DEVICES;
    let protects = version.at_least(year, minor);
    if policy == Some(DeletionPolicy::Delete) {
        unused(ctx, subject, server, stage).await?;
    } else if protects {
        no_devices::<K>(server, stage).await?;
    }
    subject.writes.begin();
    match server.client.delete(K::COLLECTION, stage).await {
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
                no_devices::<K>(server, stage).await?;
            }
            Err(error.into())
        }
    }
}

async fn release<K: StageKind>(ctx: &Context, subject: &Subject<K>) -> Steps<()> {
    let mut finalizers = subject.resource.finalizers().to_vec();
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    let target = subject.target(ctx);
    let kubernetes = &ctx.shared.kubernetes;
    kubernetes.set_finalizers(&target, &finalizers).await?;
    Ok(())
}

/// Refuses when anything uses the stage: a flow, a user's device, or a validate stage that enrols through it. The bindings
/// that the spec itself declares are its own and don't count.
async fn unused<K: StageKind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Arc<Server>,
    stage: Uuid,
) -> Steps<()> {
    let Some(used_by) = used_by::<K>(server, stage).await? else {
        return Ok(());
    };
    let mut users: BTreeSet<_> = used_by
        .iter()
        .filter(|user| uses(user))
        .map(describe)
        .collect();
    users.extend(foreign_bindings(ctx, subject, server, stage).await?);
    users.extend(enrolling(ctx, subject, server, stage, users.is_empty()).await?);
    if users.is_empty() {
        return Ok(());
    }
    Err(blocked(format!(
        "the stage is in use by {}; take it out of there, or set deletionPolicy: Orphan to leave it or ForceDelete to delete it all the same",
        named(users)
    )))
}

/// What uses the stage, as far as the token may see it; nothing where the stage is gone already.
async fn used_by<K: StageKind>(server: &Server, stage: Uuid) -> Steps<Option<Vec<UsedBy>>> {
    match server.client.used_by(K::COLLECTION, stage).await {
        Ok(used_by) => Ok(Some(used_by)),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Refuses where authentik itself would, with an internal error.
async fn no_devices<K: StageKind>(server: &Server, stage: Uuid) -> Steps<()> {
    let used_by = used_by::<K>(server, stage).await?.unwrap_or_default();
    let devices: BTreeSet<_> = used_by
        .iter()
        .filter(|user| is_device(user))
        .map(describe)
        .collect();
    if devices.is_empty() {
        return Ok(());
    }
    let (year, minor) = PROTECTS_DEVICES;
    Err(blocked(format!(
        "people have devices enrolled through the stage: {}. authentik {year}.{minor} and newer refuses to delete such a stage, with an internal error; delete the devices in authentik first, or set deletionPolicy: Orphan to leave the stage",
        named(devices)
    )))
}

fn blocked(message: String) -> Stop {
    Failure::new(Reason::DeletionBlocked, message).into()
}

fn named(users: BTreeSet<String>) -> String {
    let more = users.len().saturating_sub(MOST_NAMED);
    let first: Vec<_> = users.into_iter().take(MOST_NAMED).collect();
    match more {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// The flows that the stage is bound to by others. A token that may not view bindings is refused here, while `used_by/`
/// would leave them out without a word.
async fn foreign_bindings<K: StageKind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Arc<Server>,
    stage: Uuid,
) -> Steps<BTreeSet<String>> {
    let bindings = match bindings::look_up(server, stage).await {
        // "Select a valid choice.": the stage is gone.
        Err(Error::Rejected { .. }) => return Ok(BTreeSet::new()),
        bindings => bindings?,
    };
    let declared = match bindings.is_empty() {
        true => None,
        false => resolve::desired_bindings(ctx, subject, server).await?,
    };
    let is_declared = |binding: &Binding| {
        let declared = declared.as_ref();
        declared.is_some_and(|declared| declared.declares(binding))
    };
    let foreign = bindings.iter().filter(|binding| !is_declared(binding));
    let flows: BTreeSet<_> = foreign.map(|binding| binding.target).collect();
    let mut names = BTreeSet::new();
    for (n, flow) in flows.into_iter().enumerate() {
        let slug = match n < MOST_NAMED {
            true => slug(server, flow).await,
            false => flow.to_string(),
        };
        names.insert(format!("flow {slug}"));
    }
    Ok(names)
}

/// A flow's slug; its UUID has to do where the token may not view flows.
async fn slug(server: &Server, flow: Uuid) -> String {
    let uuid = flow.to_string();
    let filter = [("flow_uuid", uuid.as_str())];
    let keep = |found: Flow| (found.pk == flow).then_some(found);
    let found = server.client.list(Collection::FLOWS, &filter, keep).await;
    let found = found.ok().and_then(|mut listing| listing.rows.pop());
    found.map_or(uuid, |flow| server.show(&flow.slug).into_string())
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

/// A validate stage's own configuration stages are among its users, the wrong way round; bindings are looked at by
/// themselves.
fn uses(user: &UsedBy) -> bool {
    let is_of_flows = user.app.as_str() == "authentik_flows";
    let model = user.model_name.as_str();
    !(is_of_flows && matches!(model, "stage" | "flow" | "flowstagebinding"))
}

fn is_device(user: &UsedBy) -> bool {
    user.model_name.as_str().ends_with("device")
}

fn describe(user: &UsedBy) -> String {
    let name = user.name.as_str();
    match user.model_name.as_str() {
        "duodevice" => format!("Duo device {name:?}"),
        model => format!("{model} {name:?}"),
    }
}

/// The validate stages that use this one for configuration, which `used_by/` does not list. Those that held up the deletion
/// last are asked first; only where none of them does, others are looked for, and only where that can still change anything.
async fn enrolling<K: StageKind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Server,
    uuid: Uuid,
    can_decide: bool,
) -> Steps<Vec<String>> {
    let mut users = Vec::new();
    for blocker in &subject.view.blockers {
        let blocker = observe::get::<AuthenticatorValidateStage>(server, *blocker).await?;
        users.extend(blocker.filter(|live| enrols_through(live, uuid)));
    }
    if users.is_empty() && can_decide {
        users = list_enrolling(server, uuid).await?;
    }
    let blockers = users
        .iter()
        .map(|live| live.uuid)
        .take(MOST_NAMED)
        .collect();
    let memory = &ctx.shared.memory;
    memory.with(&subject.uid, |entry| entry.blockers = blockers);
    let name =
        |live: &Arc<Live>| format!("validation stage {:?}", server.show(&live.name).as_str());
    Ok(users.iter().map(name).collect())
}

/// authentik is asked for the users alone: a list of all moves while others make and delete stages, and then proves nothing.
async fn list_enrolling(server: &Server, uuid: Uuid) -> Steps<Vec<Arc<Live>>> {
    let keep = |row: Row<AuthenticatorValidateStage>| {
        enrols_through(&row.0, uuid).then(|| Arc::new(row.0))
    };
    let collection = AuthenticatorValidateStage::COLLECTION;
    let used = uuid.to_string();
    let filter = [("configuration_stages", used.as_str())];
    let listing = match server.client.list(collection, &filter, keep).await {
        // "Select a valid choice.": the stage is gone.
        Err(Error::Rejected { .. }) => return Ok(Vec::new()),
        listing => listing?,
    };
    if listing.rows.is_empty() && !(listing.complete && listing.unreadable.is_empty()) {
        return Err(Failure::new(
            Reason::AuthentikUnavailable,
            "whether a validation stage enrols people through the stage could not be seen, for validation stages were made or deleted meanwhile or can't be read",
        )
        .into());
    }
    Ok(listing.rows)
}

fn enrols_through(live: &Live, uuid: Uuid) -> bool {
    let stages = live.fields.get("configuration_stages");
    let mut stages = stages.and_then(Value::as_array).into_iter().flatten();
    let wanted = uuid.to_string();
    live.uuid != uuid && stages.any(|stage| stage.as_str() == Some(&wanted))
}
