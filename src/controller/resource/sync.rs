//! The steps of a reconcile, until nothing is left to do.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;

use super::{
    act::Actor,
    bindings,
    drift::Finding,
    observe,
    observe::{Sight, slugs},
    rehearse,
    report::{Ended, report},
    resolve::resolve,
    rivals::{own_claim, rivals},
    stop::Steps,
    subject::Subject,
};
use crate::{
    controller::{connection::Server, context::Context},
    kinds::Kind,
    plan::{
        Desired, Fact, Outcome, Record, Show,
        decide::{Situation, Step, decide},
        diff,
        failure::{Failure, Reason},
        held_secrets,
    },
};

/// Syncs the resource and reports how that ended. Returns when it is next due by itself.
pub(super) async fn sync_and_report<K: Kind>(
    ctx: &Context,
    subject: Subject<K>,
) -> Option<Duration> {
    let mut record = subject.record();
    let ended = match sync(ctx, &subject, &mut record).await {
        Ok(result) => Ended::With(result),
        Err(stop) => stop.into(),
    };
    report(ctx, &subject, record, ended).await
}

async fn sync<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    record: &mut Record,
) -> Steps<Result<Outcome, Failure>> {
    let server = observe::server(ctx, subject, false)?;
    stand_at(record, &server);
    let (mut sight, facts) = observe::observe(ctx, subject, &server, record).await?;
    for fact in facts {
        record.note(fact, Timestamp::now());
    }
    let memory = &ctx.shared.memory;
    memory.with(&subject.uid, |entry| entry.looked = Some(subject.began));
    sight.bindings = bindings::observe(subject, &server, record, &sight).await?;
    let mut desired = resolve(ctx, subject, &server).await?;
    forget_unmanaged::<K>(record, &desired);
    if !subject.observes() {
        record.status.drift.clear();
    }
    let ended = steps(ctx, subject, &server, record, &mut sight, &mut desired).await;
    let finding = Finding {
        ctx,
        subject,
        server: &server,
        sight: &sight,
        desired: &desired,
    };
    // Last of all: no answer of the audit log keeps anything waiting that has to be put right.
    finding.tell_repaired(record).await;
    ended
}

/// One step after the other, until nothing is left to do.
async fn steps<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Arc<Server>,
    record: &mut Record,
    sight: &mut Sight,
    desired: &mut Desired,
) -> Steps<Result<Outcome, Failure>> {
    let mut rounds = Rounds::default();
    loop {
        let step = next(ctx, subject, server, record, sight, desired)?;
        if let Step::End(result) = step {
            rehearse_refusal::<K>(ctx, subject, server, sight, desired, &result);
            identify(subject, server, record, sight, desired, &result);
            if let Ok(outcome) = &result {
                let finding = Finding {
                    ctx,
                    subject,
                    server,
                    sight,
                    desired,
                };
                finding.conclude(record, outcome).await;
            }
            return Ok(result);
        }
        rounds.count(&step, K::NOUN)?;
        let mut actor = Actor {
            ctx,
            subject,
            server,
            record,
            sight,
            desired,
        };
        actor.act(step).await?;
    }
}

/// From here on the record is about this server.
pub(super) fn stand_at(record: &mut Record, server: &Arc<Server>) {
    record.server.clone_from(&server.url);
    let shown = server.clone();
    record.show = Show(Arc::new(move |text| shown.show(text)));
    let stage = record.status.stage.as_ref();
    if stage.is_some_and(|stage| stage.server != server.url) {
        record.note(Fact::Moved, Timestamp::now());
    }
}

/// Of a secret that the spec does not set any more nothing is known: someone else may change it now, so it is sent again
/// when the spec sets it again.
fn forget_unmanaged<K: Kind>(record: &mut Record, desired: &Desired) {
    record.status.secrets.retain(|sent| {
        let mut rows = K::FIELDS.iter().filter(|row| row.field.spec == sent.field);
        rows.any(|row| desired.secrets.contains_key(row.field.api))
    });
}

fn next<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Server,
    record: &Record,
    sight: &Sight,
    desired: &Desired,
) -> Result<Step, Failure> {
    let live = sight.live.as_deref();
    let common = subject.resource.common();
    Ok(decide::<K>(&Situation {
        own: own_claim(subject, record, sight),
        observes: subject.observes(),
        adoption: common.adoption_policy.unwrap_or_default(),
        has_finalizer: sight.has_finalizer,
        server: &server.url,
        version: &server.version()?,
        desired,
        live,
        is_certain: sight.is_certain,
        bindings: &sight.bindings,
        slugs: &slugs(server, sight, desired),
        rivals: &rivals(ctx, subject, server, &desired.name, live),
        holder: sight.holder.as_ref(),
        sent: &record.status.secrets,
        ignored: &sight.ignored,
        lost: sight.lost.as_ref().map(|lost| &lost.desired),
        was_in_sync: record.was_in_sync,
        show: &|text| server.client.show_str(text),
    }))
}

/// Records which stage the resource stands for, now that nothing is left to do.
fn identify<K: Kind>(
    subject: &Subject<K>,
    server: &Server,
    record: &mut Record,
    sight: &Sight,
    desired: &Desired,
    result: &Result<Outcome, Failure>,
) {
    let refused = |reason| {
        result
            .as_ref()
            .is_err_and(|failure| failure.reason == reason)
    };
    let fact = match &sight.live {
        _ if refused(Reason::AdoptionRefused) => Some(Fact::NotAdopted),
        // Whose stage it is, its holder's status tells.
        _ if refused(Reason::NameConflict) => None,
        Some(live) if subject.observes() => Some(Fact::Observed(live.clone())),
        Some(live) => {
            record.identify(live, true);
            let held = held_secrets::<K>(desired, live, &record.status.secrets);
            Some(Fact::Holds(held))
        }
        None => Some(Fact::NotAdopted),
    };
    if let Some(fact) = fact {
        record.note(fact, Timestamp::now());
    }
    let stage = record.status.stage.as_ref().map(|stage| stage.uuid);
    let is_seen = stage.is_some() && stage == sight.live.as_ref().map(|live| live.uuid);
    if record.manages_bindings && is_seen {
        record.identify_bindings(bindings::bound(server, sight, desired));
    }
}

/// Of an object that is not taken over a person wants to know how it differs.
fn rehearse_refusal<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Server,
    sight: &Sight,
    desired: &Desired,
    result: &Result<Outcome, Failure>,
) {
    let (Some(rehearsal), Some(live)) = (&ctx.manner.rehearsal, &sight.live) else {
        return;
    };
    let failure = result.as_ref().err();
    if failure.is_some_and(|failure| failure.reason == Reason::AdoptionRefused) {
        let diff = diff::<K>(desired, live, &[]);
        rehearsal.note(&subject.id, |planned| {
            planned.changes = rehearse::changes(server, &diff);
            let mut after = live.fields.clone();
            after.extend(desired.fields.clone());
            planned.before = Some(live.fields.clone());
            planned.after = Some(after);
        });
    }
}

/// How often one reconcile does each kind of step. Past that, someone else writes as well.
#[derive(Debug, Default)]
struct Rounds {
    patches: u32,
    binds: u32,
    others: u32,
}

/// The most patches of one reconcile, and the most rounds of bindings.
const MOST_WRITES: u32 = 3;
/// The most steps beside them.
const MOST_OTHERS: u32 = 12;

impl Rounds {
    fn count(&mut self, step: &Step, noun: &str) -> Result<(), Failure> {
        let (count, most, what) = match step {
            Step::Patch(_) => (&mut self.patches, MOST_WRITES, ""),
            Step::Bind(_) => (&mut self.binds, MOST_WRITES, "'s bindings"),
            _ => (&mut self.others, MOST_OTHERS, ""),
        };
        *count += 1;
        if *count <= most {
            return Ok(());
        }
        Err(Failure::new(
            Reason::AuthentikUnavailable,
            format!(
                "the {noun}{what} kept changing in authentik while it was written; someone else may be writing it"
            ),
        ))
    }
}
