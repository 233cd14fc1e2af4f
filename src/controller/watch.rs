//! The watches: one a kind and namespace, each feeding what it sees to the context and, for the kinds that are
//! reconciled, to a queue of its own.

use std::{
    collections::HashSet, convert::Infallible, fmt::Debug, future::Future, sync::Arc,
    time::Duration,
};

use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream};
use kube::{
    Api, Resource, ResourceExt,
    runtime::{
        WatchStreamExt, applier,
        controller::{self, Action},
        reflector,
        reflector::ObjectRef,
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::{
    context::{Context, Key},
    failure::{Failure, Reason},
    retry::backoff,
};
use crate::ops::traces;

/// How many objects of one kind are reconciled at one time. Most of that time they wait for authentik, whose own
/// limit is the connection's.
const CONCURRENCY: u16 = 64;

/// What a watch does with what it sees.
pub struct Hooks<T> {
    /// The name of the kind.
    pub kind: &'static str,
    /// An object is there, new or changed.
    pub seen: fn(&Context, &T),
    /// An object is gone: namespace and name.
    pub gone: fn(&Context, &str, &str),
    /// All that are known in this namespace (none: all), to find those that have gone unseen.
    pub known: fn(&Context, Option<&str>) -> Vec<Key>,
    /// Whether the operator can do without when Kubernetes refuses the watch.
    pub optional: bool,
}

/// An object that can be watched.
pub trait Watchable:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}
impl<T: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static>
    Watchable for T
{
}

/// Follows one watch.
struct Tracker<T> {
    ctx: Arc<Context>,
    hooks: Hooks<T>,
    namespace: Option<String>,
    listed: HashSet<Key>,
    synced: bool,
}

impl<T: Watchable> Tracker<T> {
    fn new(ctx: Arc<Context>, hooks: Hooks<T>, namespace: Option<String>) -> Self {
        Self {
            ctx,
            hooks,
            namespace,
            listed: HashSet::new(),
            synced: false,
        }
    }

    /// Notes an event. Returns the objects to reconcile: those of a list only once it is complete, for the store
    /// shows them no earlier.
    fn track(&mut self, event: watcher::Result<watcher::Event<T>>) -> Vec<Key> {
        match event {
            Ok(watcher::Event::Init) => self.listed.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                (self.hooks.seen)(&self.ctx, &object);
                self.listed.insert(key(&object));
            }
            Ok(watcher::Event::InitDone) => return self.list_done(),
            Ok(watcher::Event::Apply(object)) => {
                (self.hooks.seen)(&self.ctx, &object);
                return vec![key(&object)];
            }
            Ok(watcher::Event::Delete(object)) => {
                let (namespace, name) = key(&object);
                (self.hooks.gone)(&self.ctx, &namespace, &name);
            }
            Err(error) => self.failed(&error),
        }
        Vec::new()
    }

    fn list_done(&mut self) -> Vec<Key> {
        for (namespace, name) in (self.hooks.known)(&self.ctx, self.namespace.as_deref()) {
            if !self.listed.contains(&(namespace.clone(), name.clone())) {
                (self.hooks.gone)(&self.ctx, &namespace, &name);
            }
        }
        self.sync();
        // Not drained: an empty set keeps the room that it once needed.
        std::mem::take(&mut self.listed).into_iter().collect()
    }

    fn sync(&mut self) {
        if !std::mem::replace(&mut self.synced, true) {
            self.ctx.watch_synced();
        }
    }

    fn failed(&mut self, error: &watcher::Error) {
        let refused = matches!(
            error,
            watcher::Error::InitialListFailed(kube::Error::Api(status)) | watcher::Error::WatchError(status)
                if status.code == 403
        );
        if refused && self.hooks.optional {
            tracing::warn!(
                kind = self.hooks.kind,
                "Kubernetes refuses the watch; going on without"
            );
            self.sync();
        } else {
            tracing::warn!(kind = self.hooks.kind, %error, "watch interrupted; trying again");
        }
    }
}

fn key(object: &impl ResourceExt) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn watch<T: Watchable>(
    api: Api<T>,
) -> impl Stream<Item = watcher::Result<watcher::Event<T>>> + Send {
    // Nothing reads the managed fields, and they can be larger than the rest.
    watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(|object| object.meta_mut().managed_fields = None)
}

/// Watches without reconciling.
pub async fn follow<T: Watchable>(
    ctx: Arc<Context>,
    api: Api<T>,
    hooks: Hooks<T>,
    namespace: Option<String>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let mut tracker = Tracker::new(ctx, hooks, namespace);
    let mut events = std::pin::pin!(watch(api).take_until(stop));
    while let Some(event) = events.next().await {
        tracker.track(event);
    }
}

/// How an object is reconciled. Returns when it is next due by itself, if at all.
pub type Reconcile<T> = fn(Arc<Context>, Arc<T>) -> BoxFuture<'static, Option<Duration>>;

/// Watches and reconciles until `stop`; then ends once the reconciles under way have.
pub async fn control<T: Watchable>(
    ctx: Arc<Context>,
    api: Api<T>,
    hooks: Hooks<T>,
    namespace: Option<String>,
    triggers: mpsc::UnboundedReceiver<Key>,
    reconcile: Reconcile<T>,
    stop: impl Future<Output = ()> + Clone + Send + 'static,
) {
    // Until every watch has shown what there is nothing is reconciled, so nothing has to be finished; the runtime
    // would wait for its store.
    let (synced, early) = (ctx.clone(), stop.clone());
    let too_early = async move {
        early.await;
        if synced.is_synced() {
            std::future::pending().await
        }
    };
    let (reader, writer) = reflector::store::<T>();
    let kind = hooks.kind;
    let due = ctx.clone();
    let mut tracker = Tracker::new(ctx.clone(), hooks, namespace);
    let seen =
        reflector(writer, watch(api)).flat_map(move |event| stream::iter(tracker.track(event)));
    let asked = stream::unfold(triggers, |mut triggers| async move {
        Some((triggers.recv().await?, triggers))
    });
    let queue = stream::select(seen, asked).map(move |(namespace, name)| {
        due.is_due((kind, (namespace.clone(), name.clone())));
        let object = ObjectRef::<T>::new(&name);
        Ok::<_, Infallible>(if namespace.is_empty() {
            object
        } else {
            object.within(&namespace)
        })
    });
    let reconciles = applier(
        move |object, ctx| guarded(kind, reconcile, ctx, object).boxed(),
        |_, error: &Infallible, _| match *error {},
        ctx,
        reader,
        queue.take_until(stop).boxed(),
        controller::Config::default().concurrency(CONCURRENCY),
    )
    .for_each(|_| std::future::ready(()));
    tokio::select! {
        () = reconciles => {}
        () = too_early => {}
    }
}

/// Runs a reconcile on a task of its own: a panic is logged and ends nothing else.
async fn guarded<T: Watchable>(
    kind: &'static str,
    reconcile: Reconcile<T>,
    ctx: Arc<Context>,
    object: Arc<T>,
) -> Result<Action, Infallible> {
    let (namespace, name) = key(&*object);
    if !ctx.begin(&(kind, (namespace.clone(), name.clone()))) {
        return Ok(Action::await_change());
    }
    let span = traces::reconcile(kind, &namespace, &name);
    let next = match tokio::spawn(reconcile(ctx, object).instrument(span.clone())).await {
        Ok(next) => next,
        Err(_) => {
            // The panic's own message may hold anything, a secret included.
            let failure = Failure::new(Reason::Internal, "the reconcile panicked");
            tracing::error!(kind, namespace, name, "{}", failure.message);
            span.in_scope(|| traces::ends("Panicked", true));
            Some(backoff(6))
        }
    };
    Ok(next.map_or_else(Action::await_change, Action::requeue))
}
