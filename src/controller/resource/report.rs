//! From how a reconcile ended to the resource's status, its events, and when it is next due.

use std::time::Duration;

use tokio::time::Instant;

use super::{stop::Stop, subject::Subject};
use crate::{
    api::{Status, conditions},
    controller::{context::Context, keys::Dependency, memory::Concerned},
    kinds::Kind,
    ops::traces,
    plan::{
        Grace, Note, Outcome, Record, conclude, failure::Failure, pace, suspended as suspend,
        warning,
    },
};

/// How the steps of a reconcile ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The connection's task is about to find out more.
    NotYet,
    /// With this.
    With(Result<Outcome, Failure>),
}

impl From<Stop> for Ended {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::NotYet => Self::NotYet,
            Stop::Failed(failure) => Self::With(Err(failure)),
        }
    }
}

/// Writes the status where it has changed, publishes the events, and says when the resource is next due.
pub(super) async fn report<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    mut record: Record,
    ended: Ended,
) -> Option<Duration> {
    let result = match ended {
        Ended::With(result) => result,
        Ended::NotYet => {
            wait(ctx, subject, &mut record).await;
            return None;
        }
    };
    let memory = &ctx.shared.memory;
    memory.with(&subject.uid, |entry| entry.waits_since = None);
    let is_reported = result
        .as_ref()
        .err()
        .is_none_or(|failure| failure.reason.is_reported());
    let mut again = None;
    if is_reported {
        conclude(
            &mut record.status,
            &result,
            subject.resource.meta().generation,
        );
        again = warn(ctx, subject, &mut record, &result);
    }
    let written = write_status(ctx, subject, &record.before, &record.status).await;
    publish(ctx, subject, &mut record).await;
    measure::<K>(ctx, subject, &result);
    let failure = match (result, written) {
        (Ok(_), Ok(())) => {
            memory.succeeded(&subject.uid);
            return again;
        }
        (Err(failure), Ok(())) => {
            let reason = failure.reason.as_str();
            tracing::info!(resource = %subject.id, reason, "{}", failure.message);
            failure
        }
        (_, Err(failure)) => {
            tracing::warn!(resource = %subject.id, "status not written: {}", failure.message);
            failure
        }
    };
    let resync = resync(ctx, subject);
    Some(memory.failed(&subject.uid, subject.request(), &failure, resync, again))
}

/// The resync interval of the resource's connection.
fn resync<K: Kind>(ctx: &Context, subject: &Subject<K>) -> Duration {
    let reference = subject.resource.common().connection_ref.as_ref();
    let server = ctx.registry.working(&subject.id.namespace, reference);
    server.map_or(pace::LONGEST, |server| server.resync)
}

/// The resource is woken once its connection's task has found out more. What was found so far is on record.
async fn wait<K: Kind>(ctx: &Context, subject: &Subject<K>, record: &mut Record) {
    traces::ends("NotYet", false);
    let memory = &ctx.shared.memory;
    memory.with(&subject.uid, |entry| {
        entry.waits_since.get_or_insert_with(Instant::now);
    });
    if record.status != record.before
        && let Err(failure) = write_status(ctx, subject, &record.before, &record.status).await
    {
        tracing::warn!(resource = %subject.id, "status not written: {}", failure.message);
    }
    publish(ctx, subject, record).await;
    let reference = subject.resource.common().connection_ref.as_ref();
    ctx.registry.wait(&subject.id, reference);
}

/// Marks the resource as suspended and leaves `Ready` and what belongs to it as it was.
pub(super) async fn suspended<K: Kind>(ctx: &Context, subject: Subject<K>) -> Option<Duration> {
    let record = subject.record();
    let mut status = record.status;
    suspend(&mut status, subject.resource.meta().generation);
    traces::ends("Suspended", false);
    match write_status(ctx, &subject, &record.before, &status).await {
        Ok(()) => None,
        Err(failure) => {
            let (memory, resync) = (&ctx.shared.memory, pace::LONGEST);
            Some(memory.failed(&subject.uid, subject.request(), &failure, resync, None))
        }
    }
}

fn measure<K: Kind>(ctx: &Context, subject: &Subject<K>, result: &Result<Outcome, Failure>) {
    let failed = result.is_err();
    let result = match result {
        Ok(Outcome::InSync) => "InSync",
        Ok(Outcome::Drifted(_)) => "Drifted",
        Err(failure) => failure.reason.as_str(),
    };
    traces::ends(result, failed);
    let elapsed = subject.began.elapsed();
    ctx.shared.metrics.reconciled(K::KIND, result, elapsed);
}

/// Adds the warning that the outcome gives, if it gives one now. Returns after what time it may give one.
fn warn<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    record: &mut Record,
    result: &Result<Outcome, Failure>,
) -> Option<Duration> {
    let memory = &ctx.shared.memory;
    let ready = |status: &Status| {
        status
            .condition(conditions::READY)
            .map(|ready| (ready.reason.clone(), ready.message.clone()))
    };
    let Some((_, message)) = ready(&record.status).filter(|_| *result != Ok(Outcome::InSync))
    else {
        memory.recovered(&subject.uid);
        return None;
    };
    let failed = Note::warning("", message);
    let is_old = ready(&record.before) == ready(&record.status);
    let (failing_for, is_warned) = memory.failing(&subject.uid, &failed, is_old);
    let is_new = subject.view.is_new;
    match warning(&record.status, result, is_warned, is_new, failing_for) {
        Grace::Nothing => None,
        Grace::Wait(left) => Some(left),
        Grace::Warn(mut note) => {
            if let Some(by) = &record.by {
                note.text = format!("{}; {by}", note.text);
            }
            if matches!(result, Ok(Outcome::Drifted(_))) {
                ctx.shared.metrics.drift_found(K::KIND);
            }
            memory.warned(&subject.uid);
            record.notes.push(note);
            None
        }
    }
}

/// Writes the status if it is another than before: no change, no write.
async fn write_status<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    before: &Status,
    status: &Status,
) -> Result<(), Failure> {
    if status == before && subject.view.is_written {
        return Ok(());
    }
    let shared = &ctx.shared;
    let written = shared
        .kubernetes
        .apply_status(&subject.target(ctx), &K::status_json(status))
        .await;
    let version = match &written {
        Ok(None) => return Ok(()),
        Ok(version) => version.as_deref(),
        Err(_) => None,
    };
    let concerned = shared.memory.wrote_status(&subject.uid, version, status);
    tell_dependents(ctx, subject, before, status, concerned);
    written.map(drop)
}

/// Tells whoever refers to this resource that its stage may be another now, and whoever wants what it has let go or has
/// taken.
fn tell_dependents<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    before: &Status,
    status: &Status,
    concerned: Concerned,
) {
    let shared = &ctx.shared;
    if concerned.need_changed {
        let reference = subject.resource.common().connection_ref.as_ref();
        ctx.registry.poke(&subject.id.namespace, reference);
    }
    let uuid = |status: &Status| status.stage.as_ref().map(|stage| stage.uuid);
    if uuid(before) != uuid(status) {
        shared.changed(&Dependency::Resource(subject.id.clone()));
    }
    let name = |status: &Status| status.stage.as_ref().map(|stage| stage.name.clone());
    if uuid(before) != uuid(status) || name(before) != name(status) {
        shared.due(&concerned.rivals);
        for name in [name(before), name(status)].into_iter().flatten() {
            shared.changed(&Dependency::Object(K::NAMES, name));
        }
    }
}

/// Publishes the events.
pub(super) async fn publish<K: Kind>(ctx: &Context, subject: &Subject<K>, record: &mut Record) {
    let about = subject.target(ctx).reference();
    for note in record.notes.drain(..) {
        tracing::info!(resource = %subject.id, reason = note.reason, "{}", note.text);
        ctx.shared.events.publish(&about, note).await;
    }
}
