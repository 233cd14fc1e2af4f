//! One reconcile of one resource: observe, resolve, decide, act, report. Each step takes values and returns values; what to
//! do is decided in [`crate::plan`].
//!
//! ```text
//! stop        how a step ends that is not done
//! subject     which resource, and what is known of it when its reconcile begins
//! references  what a spec depends on
//! lookup      how an object of authentik is found that a spec names
//! resolve     what the spec asks for, its references looked up
//! observe     what authentik holds
//! rivals      who else wants the stage
//! body        the body of a write, with secrets; and why it was refused
//! drift       what is told of drift
//! act         one step: one write, and what it has shown
//! rehearse    one step that writes nothing
//! bindings    the same for the stage's places in flows
//! sync        the steps, until nothing is left to do
//! users       what uses an object
//! delete      what becomes of the stage when its resource is deleted
//! report      the status, the events, and when the resource is next due
//! unreadable  a resource that the operator can't read
//! ```

mod act;
mod bindings;
mod body;
mod delete;
mod drift;
mod lookup;
mod observe;
mod references;
mod rehearse;
mod report;
mod resolve;
mod rivals;
mod stop;
mod subject;
mod sync;
mod unreadable;
mod users;

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use tokio::sync::oneshot;

use self::subject::{Subject, is_deleted, is_suspended, leaves_its_stage};
pub use self::{
    references::dependencies,
    unreadable::{refuse, unreadable},
};
use super::{connection::Turn, context::Context};
use crate::{
    kinds::{Kind, ResourceId},
    ops::traces,
};

/// How a reconcile has begun. It ends with when the object is next due by itself, if at all.
pub enum Begun {
    /// It has ended already.
    Done(Option<Duration>),
    /// It goes on.
    Runs(BoxFuture<'static, Option<Duration>>),
}

/// Begins to reconcile one resource, if it is its turn; `called` is the turn to which it was called. A resource in sync is
/// not due again by itself: it waits for its connection's lists, which tell what has changed.
pub fn reconcile<K: Kind>(
    ctx: Arc<Context>,
    id: &ResourceId,
    resource: &K,
    called: Option<Turn>,
) -> Begun {
    // First of all, for thousands may have to wait.
    let Some(turn) = turn(&ctx, id, resource, called) else {
        traces::ends("Queued", false);
        return Begun::Done(None);
    };
    let Some(subject) = Subject::new(&ctx, Arc::new(resource.clone())) else {
        traces::ends("Outdated", false);
        return Begun::Done(None);
    };
    if let Some(wait) = ctx.shared.memory.wait(&subject.uid, &subject.request()) {
        traces::ends("Waiting", false);
        return Begun::Done(Some(wait));
    }
    if subject.is_deleted() && !subject.has_finalizer() {
        return Begun::Done(None);
    }
    let run = async move {
        let _turn = turn;
        match (subject.is_deleted(), subject.is_suspended()) {
            (true, _) => delete::delete(&ctx, subject).await,
            (false, true) => report::suspended(&ctx, subject).await,
            (false, false) => until_deleted(&ctx, subject).await,
        }
    };
    Begun::Runs(run.boxed())
}

fn turn<K: Kind>(
    ctx: &Context,
    id: &ResourceId,
    resource: &K,
    called: Option<Turn>,
) -> Option<Turn> {
    if is_suspended(resource) || (is_deleted(resource) && leaves_its_stage(resource)) {
        return ctx.registry.turn_without_connection(id, called);
    }
    let reference = resource.common().connection_ref.as_ref();
    ctx.registry.turn(id, reference, called)
}

/// Syncs the resource; its deletion ends whatever that waits for.
async fn until_deleted<K: Kind>(ctx: &Arc<Context>, subject: Subject<K>) -> Option<Duration> {
    let (tell, deleted) = oneshot::channel();
    let memory = &ctx.shared.memory;
    memory.with(&subject.uid, |entry| entry.on_deletion = Some(tell));
    // Its deletion may have been seen just before that.
    if memory.begin(&*subject.resource).is_none() {
        traces::ends("Outdated", false);
        return None;
    }
    let writes = subject.writes.clone();
    let leaves = subject.leaves_its_stage();
    let cancelled = async {
        // Told or not: the resource may be gone, or be reconciled anew.
        if deleted.await.is_err() || (writes.has_begun() && !leaves) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        next = sync::sync_and_report(ctx, subject) => next,
        () = cancelled => {
            traces::ends("Deleted", false);
            None
        }
    }
}
