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
//! act         one step: one write, and what it has shown
//! bindings    the same for the stage's places in flows
//! sync        the steps, until nothing is left to do
//! delete      what becomes of the stage when its resource is deleted
//! report      the status, the events, and when the resource is next due
//! unreadable  a resource that the operator can't read
//! ```

mod act;
mod bindings;
mod delete;
mod lookup;
mod observe;
mod references;
mod report;
mod resolve;
mod rivals;
mod stop;
mod subject;
mod sync;
mod unreadable;

use std::{sync::Arc, time::Duration};

use kube::ResourceExt;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use self::subject::Subject;
pub use self::{
    references::dependencies,
    unreadable::{refuse, unreadable},
};
use super::{context::Context, keys::Uid};
use crate::{ops::traces, stages::StageKind};

/// Reconciles one resource. Returns when it is next due by itself, if at all: a resource in sync waits for its connection's
/// lists, which tell what has changed.
pub async fn reconcile<K: StageKind>(ctx: Arc<Context>, resource: Arc<K>) -> Option<Duration> {
    ctx.shared.synced().await;
    // Boxed, and only once it has its turn: who waits for a turn does not need the memory of who works.
    match way(&ctx, resource) {
        Way::None => {
            traces::ends("Outdated", false);
            None
        }
        Way::Wait(wait) => {
            traces::ends("Waiting", false);
            Some(wait)
        }
        Way::Suspend(subject) => {
            let _turn = ctx.registry.turn_without_connection().await;
            Box::pin(report::suspended(&ctx, *subject)).await
        }
        Way::Delete(subject) => {
            let _turn = match subject.leaves_its_stage() {
                true => ctx.registry.turn_without_connection().await,
                false => turn(&ctx, &*subject.resource).await,
            };
            Box::pin(delete::delete(&ctx, *subject)).await
        }
        Way::Sync(resource, uid) => until_deleted(&ctx, resource, uid).await,
    }
}

/// What a reconcile is to do.
enum Way<K> {
    /// Nothing: the resource is outdated, or goes without us.
    None,
    /// Nothing before this time has passed.
    Wait(Duration),
    /// Say that it is suspended.
    Suspend(Box<Subject<K>>),
    /// Apply its deletion policy.
    Delete(Box<Subject<K>>),
    /// Bring authentik up to date.
    Sync(Arc<K>, Uid),
}

fn way<K: StageKind>(ctx: &Context, resource: Arc<K>) -> Way<K> {
    let Some(subject) = Subject::new(ctx, resource) else {
        return Way::None;
    };
    if let Some(wait) = ctx.shared.memory.wait(&subject.uid, &subject.request()) {
        return Way::Wait(wait);
    }
    match (subject.is_deleted(), subject.is_suspended()) {
        (true, _) if !subject.has_finalizer() => Way::None,
        (true, _) => Way::Delete(Box::new(subject)),
        (false, true) => Way::Suspend(Box::new(subject)),
        (false, false) => Way::Sync(subject.resource, subject.uid),
    }
}

async fn turn<K: StageKind>(ctx: &Context, resource: &K) -> Option<OwnedSemaphorePermit> {
    let namespace = resource.namespace().unwrap_or_default();
    let reference = resource.common().connection_ref.as_ref();
    ctx.registry.turn(&namespace, reference).await
}

/// Syncs the resource; its deletion ends whatever that waits for.
async fn until_deleted<K: StageKind>(
    ctx: &Arc<Context>,
    resource: Arc<K>,
    uid: Uid,
) -> Option<Duration> {
    let (tell, mut deleted) = oneshot::channel();
    let memory = &ctx.shared.memory;
    memory.with(&uid, |entry| entry.on_deletion = Some(tell));
    // Its deletion may have been seen just before that.
    if memory.begin(&*resource).is_none() {
        traces::ends("Outdated", false);
        return None;
    }
    let _turn = tokio::select! {
        biased;
        _ = &mut deleted => return None,
        turn = turn(ctx, &*resource) => turn,
    };
    // What is known of the resource may have become outdated during the wait.
    let Some(subject) = Subject::new(ctx, resource) else {
        traces::ends("Outdated", false);
        return None;
    };
    let writes = subject.writes.clone();
    let leaves = subject.leaves_its_stage();
    let synced = Box::pin(sync::sync_and_report(ctx, subject));
    let cancelled = async {
        // Told or not: the resource may be gone, or be reconciled anew.
        if deleted.await.is_err() || (writes.has_begun() && !leaves) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        next = synced => next,
        () = cancelled => {
            traces::ends("Deleted", false);
            None
        }
    }
}
