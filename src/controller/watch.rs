//! The watches: one a kind and namespace, each feeding what it sees to the context and, for the kinds that are reconciled,
//! to a queue of its own.

use std::{
    collections::HashSet,
    convert::Infallible,
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use futures::{
    FutureExt, Stream, StreamExt,
    future::{BoxFuture, Shared},
    stream,
};
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

use super::{context::Context, queue::Key, resource::Begun};
use crate::{ops::traces, plan::due};

/// How many failures a reconcile that panicked counts for.
const PANIC: u32 = 6;

/// Ends what runs.
pub type Stop = Shared<BoxFuture<'static, ()>>;

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
    /// Kubernetes refuses the watch of this namespace (none: all), or shows it again.
    pub refused: fn(&Context, Option<&str>, bool),
    /// What the watch leaves out, as a field selector; empty: nothing.
    pub fields: &'static str,
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
    refused: bool,
}

impl<T: Watchable> Tracker<T> {
    fn new(ctx: Arc<Context>, hooks: Hooks<T>, namespace: Option<String>) -> Self {
        Self {
            ctx,
            hooks,
            namespace,
            listed: HashSet::new(),
            synced: false,
            refused: false,
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
                self.gone(&namespace, &name);
            }
            Err(error) => self.failed(&error),
        }
        Vec::new()
    }

    fn gone(&self, namespace: &str, name: &str) {
        (self.hooks.gone)(&self.ctx, namespace, name);
        let object = (self.hooks.kind, (namespace.to_owned(), name.to_owned()));
        self.ctx.shared.queue.left(&object);
    }

    fn list_done(&mut self) -> Vec<Key> {
        for (namespace, name) in (self.hooks.known)(&self.ctx, self.namespace.as_deref()) {
            if !self.listed.contains(&(namespace.clone(), name.clone())) {
                self.gone(&namespace, &name);
            }
        }
        self.set_refused(false);
        self.sync();
        // Not drained: an empty set keeps the room that it once needed.
        std::mem::take(&mut self.listed).into_iter().collect()
    }

    fn sync(&mut self) {
        if !std::mem::replace(&mut self.synced, true) {
            self.ctx.shared.watch_synced();
        }
    }

    fn set_refused(&mut self, refused: bool) {
        if std::mem::replace(&mut self.refused, refused) == refused {
            return;
        }
        let namespace = self.namespace.as_deref();
        self.ctx
            .shared
            .watch_refused(self.hooks.kind, namespace, refused);
        (self.hooks.refused)(&self.ctx, namespace, refused);
    }

    /// What Kubernetes refuses to show, because the rights, the namespace or the CRD are gone, counts as empty: it holds up
    /// nothing else. The watch is tried again all the same.
    fn failed(&mut self, error: &watcher::Error) {
        let kind = self.hooks.kind;
        let namespace = self.namespace.as_deref().unwrap_or("(all)");
        if !is_refusal(error) {
            tracing::warn!(kind, namespace, %error, "watch interrupted; trying again");
            return;
        }
        if !self.refused {
            tracing::error!(kind, namespace, %error, "Kubernetes refuses the watch; going on without, and trying again");
        }
        self.set_refused(true);
        self.sync();
    }
}

/// Forbidden, or there is no such kind.
fn is_refusal(error: &watcher::Error) -> bool {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status,
        _ => return false,
    };
    matches!(status.code, 403 | 404)
}

fn key(object: &impl ResourceExt) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn watch<T: Watchable>(
    api: Api<T>,
    fields: &str,
) -> impl Stream<Item = watcher::Result<watcher::Event<T>>> + Send {
    // Nothing reads the managed fields, and they can be larger than the rest. What was last applied may hold a Secret's
    // data, whose metadata alone are watched.
    let config = match fields {
        "" => watcher::Config::default(),
        fields => watcher::Config::default().fields(fields),
    };
    watcher(api, config).default_backoff().modify(|object| {
        object.meta_mut().managed_fields = None;
        object.annotations_mut().remove(LAST_APPLIED);
    })
}

/// Where `kubectl apply` keeps what was last applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Watches without reconciling.
pub async fn follow<T: Watchable>(
    ctx: Arc<Context>,
    api: Api<T>,
    hooks: Hooks<T>,
    namespace: Option<String>,
    stop: Stop,
) {
    let watch = watch(api, hooks.fields);
    let mut tracker = Tracker::new(ctx, hooks, namespace);
    let mut events = std::pin::pin!(watch.take_until(stop));
    while let Some(event) = events.next().await {
        tracker.track(event);
    }
}

/// Begins to reconcile an object.
pub type Reconcile<T> = fn(Arc<Context>, Arc<T>) -> Begun;

/// Watches and reconciles until `stop`; then ends once the reconciles under way have.
pub async fn control<T: Watchable>(
    ctx: Arc<Context>,
    api: Api<T>,
    hooks: Hooks<T>,
    namespace: Option<String>,
    triggers: mpsc::UnboundedReceiver<Key>,
    reconcile: Reconcile<T>,
    stop: Stop,
) {
    // Until this watch has shown what there is the runtime would wait for its store, however long.
    let (synced, early) = (ctx.clone(), stop.clone());
    let too_early = async move {
        early.await;
        if synced.shared.is_synced() && synced.shared.refused_watches().is_empty() {
            std::future::pending().await
        }
    };
    let (reader, writer) = reflector::store::<T>();
    let kind = hooks.kind;
    let watch = watch(api, hooks.fields);
    let due = ctx.clone();
    let mut tracker = Tracker::new(ctx.clone(), hooks, namespace);
    let seen = reflector(writer, watch).flat_map(move |event| stream::iter(tracker.track(event)));
    let asker = ctx.clone();
    let asked = stream::unfold(triggers, move |mut triggers| {
        let asker = asker.clone();
        async move {
            let key = triggers.recv().await?;
            asker.shared.queue.arrives((kind, key.clone()));
            Some((key, triggers))
        }
    });
    let queue = stream::select(seen, asked).map(move |(namespace, name)| {
        due.shared
            .queue
            .waits((kind, (namespace.clone(), name.clone())));
        let object = ObjectRef::<T>::new(&name);
        Ok::<_, Infallible>(if namespace.is_empty() {
            object
        } else {
            object.within(&namespace)
        })
    });
    // No bound here: each connection bounds its own reconciles, so that none takes the turn of another's. The runtime looks
    // at all that run whenever one of them does, so none may run that only waits.
    let reconciles = applier(
        move |object, ctx| guarded(kind, reconcile, ctx, object).boxed(),
        |_, error: &Infallible, _| match *error {},
        ctx,
        reader,
        queue.take_until(stop).boxed(),
        controller::Config::default(),
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
    let shared = ctx.shared.clone();
    let _running = shared.begins();
    shared
        .queue
        .left(&(kind, (namespace.clone(), name.clone())));
    // A standby leaves everything alone, and so does who does not know yet what there is. Then all that is known is due.
    if !shared.is_synced() || !shared.leadership.is_held() {
        return Ok(Action::await_change());
    }
    let span = traces::reconcile(kind, &namespace, &name);
    let begins = || span.in_scope(|| reconcile(ctx, object));
    let next = match catch_unwind(AssertUnwindSafe(begins)) {
        Ok(Begun::Done(next)) => Some(next),
        Ok(Begun::Runs(run)) => tokio::spawn(run.instrument(span.clone())).await.ok(),
        Err(_) => None,
    };
    let next = next.unwrap_or_else(|| {
        // The panic's own message may hold anything, a secret included.
        tracing::error!(kind, namespace, name, "the reconcile panicked");
        span.in_scope(|| traces::ends("Panicked", true));
        Some(due::backoff(PANIC, fastrand::f64()))
    });
    Ok(next.map_or_else(Action::await_change, Action::requeue))
}
