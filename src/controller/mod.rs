//! The controller: watches Kubernetes, keeps each authentik server's inventory, and brings the two together.

mod bindings;
pub mod connections;
mod context;
mod delete;
mod dependents;
mod events;
mod failure;
mod inventory;
mod known;
mod ownership;
mod report;
mod resolve;
mod retry;
mod secrets;
mod server;
mod stage;
mod watch;
mod write;

use std::{future::Future, sync::Arc};

use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, Shared},
    stream::FuturesUnordered,
};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{DeserializeGuard, PartialObjectMeta},
};

use self::{
    connections::{Connection, kind_name},
    context::{Context, Id},
    dependents::{ConnectionKey, Dependency},
    secrets::Watched,
    watch::{Hooks, control, follow},
};
use crate::{
    api::{AuthentikConnection, ClusterAuthentikConnection, ConnectionKind},
    ops::{leader::Leadership, metrics},
    stages::{ForEachKind, ResourceId, StageKind, for_each_kind},
};

/// What the controller watches, and when it works.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespaces whose resources are reconciled; none: all.
    pub namespaces: Vec<String>,
    /// Whether Secrets are watched; else one is looked at whenever what names it is.
    pub watch_secrets: bool,
    /// Whether this replica works; by default it always does.
    pub leadership: Leadership,
}

type Stop = Shared<BoxFuture<'static, ()>>;
type Task = BoxFuture<'static, ()>;

/// The controller.
pub struct Controller {
    ctx: Arc<Context>,
    /// One a watched namespace, or a single one for all.
    scopes: Vec<Option<String>>,
    watch_secrets: bool,
}

impl Controller {
    /// A controller that does nothing yet.
    #[must_use]
    pub fn new(client: Client, options: Options) -> Self {
        let scopes: Vec<_> = match options.namespaces.as_slice() {
            [] => vec![None],
            namespaces => namespaces.iter().cloned().map(Some).collect(),
        };
        let mut kinds = Count(0);
        for_each_kind(&mut kinds);
        // Each scope has one watch a stage kind, one of connections and, where they are watched, one of Secrets;
        // cluster connections and namespaces have one each.
        let watches = scopes.len() * (kinds.0 + 1 + usize::from(options.watch_secrets)) + 2;
        let watched = match options.namespaces {
            _ if !options.watch_secrets => Watched::Nowhere,
            namespaces if namespaces.is_empty() => Watched::Everywhere,
            namespaces => Watched::In(namespaces),
        };
        let ctx = Context::new(client, watched, watches, options.leadership, Arc::default());
        Self {
            ctx,
            scopes,
            watch_secrets: options.watch_secrets,
        }
    }

    /// Whether every watch has shown all there is.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.ctx.is_synced()
    }

    /// All metrics as OpenMetrics text.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.ctx.metrics.text(metrics::Count {
            resources: self.ctx.resources.count(),
            connections: self.ctx.connections.reasons(),
            queued: self.ctx.queued(),
            listed: self.ctx.connections.inventory_ages(),
            leads: self.ctx.leadership.is_held(),
        })
    }

    /// Runs until `stop`, then ends once the requests under way have been answered and recorded.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send + 'static) {
        let stop = stop.boxed().shared();
        let mut tasks = Tasks {
            ctx: self.ctx.clone(),
            stop: stop.clone(),
            namespace: None,
            running: vec![start_work(self.ctx.clone(), stop).boxed()],
        };
        tasks.namespaces();
        tasks.connections::<ClusterAuthentikConnection>(Api::all(self.ctx.client.clone()), true);
        for scope in &self.scopes {
            tasks.namespace.clone_from(scope);
            if self.watch_secrets {
                tasks.secrets();
            }
            tasks.connections::<AuthentikConnection>(tasks.api(), false);
            for_each_kind(&mut tasks);
        }
        tasks.closing();
        let mut running: FuturesUnordered<_> =
            tasks.running.into_iter().map(tokio::spawn).collect();
        while running.next().await.is_some() {}
    }
}

/// When a standby becomes the leader, everything it knows of is due.
async fn start_work(ctx: Arc<Context>, stop: Stop) {
    if ctx.leadership.is_held() {
        return;
    }
    tokio::select! {
        () = ctx.leadership.begins() => {}
        () = stop => return,
    }
    for key in ctx.connections.all() {
        ctx.enqueue(&Id::Connection(key));
    }
    for id in ctx.resources.all() {
        ctx.enqueue(&Id::Stage(id));
    }
}

struct Count(usize);

impl ForEachKind for Count {
    fn kind<K: StageKind>(&mut self) {
        self.0 += 1;
    }
}

/// Everything that runs until the end, while it is put together.
struct Tasks {
    ctx: Arc<Context>,
    stop: Stop,
    namespace: Option<String>,
    running: Vec<Task>,
}

impl ForEachKind for Tasks {
    fn kind<K: StageKind>(&mut self) {
        let hooks = Hooks::<DeserializeGuard<K>> {
            kind: K::KIND,
            seen: |ctx, guard| {
                if let Ok(resource) = &guard.0 {
                    seen(ctx, resource);
                }
            },
            gone: |ctx, namespace, name| {
                ctx.forget(&ResourceId {
                    kind: K::KIND,
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                });
            },
            known: |ctx, namespace| {
                let ids = ctx.resources.ids(K::KIND, namespace).into_iter();
                ids.map(|id| (id.namespace, id.name)).collect()
            },
            optional: false,
        };
        let queue = self.ctx.open_queue(K::KIND, self.namespace.clone());
        let reconcile = |ctx: Arc<Context>, guard: Arc<DeserializeGuard<K>>| {
            reconcile_stage(ctx, guard).boxed()
        };
        self.running.push(
            control(
                self.ctx.clone(),
                self.api(),
                hooks,
                self.namespace.clone(),
                queue,
                reconcile,
                self.stop.clone(),
            )
            .boxed(),
        );
    }
}

/// Notes a resource, and lets those look again that wanted or had what it wanted or has.
fn seen<K: StageKind>(ctx: &Context, resource: &K) {
    let id = ResourceId::of(resource);
    let before = ctx.resources.rivals(&id);
    ctx.resources.seen(resource);
    let after = ctx.resources.rivals(&id);
    ctx.due(before.into_iter().chain(after).collect());
}

async fn reconcile_stage<K: StageKind>(
    ctx: Arc<Context>,
    guard: Arc<DeserializeGuard<K>>,
) -> Option<std::time::Duration> {
    match &guard.0 {
        Ok(resource) => stage::reconcile(ctx, Arc::new(resource.clone())).await,
        Err(invalid) => {
            let failure = report::unreadable(&invalid.error);
            report::report_unreadable::<K>(&ctx, &invalid.metadata, failure).await;
            None
        }
    }
}

async fn reconcile_connection<C: Connection>(
    ctx: Arc<Context>,
    guard: Arc<DeserializeGuard<C>>,
) -> Option<std::time::Duration> {
    ctx.synced().await;
    match &guard.0 {
        Ok(connection) => Some(connections::reconcile(ctx, Arc::new(connection.clone())).await),
        Err(invalid) => {
            connections::unreadable::<C>(&ctx, &invalid.metadata, &invalid.error).await;
            None
        }
    }
}

impl Tasks {
    fn api<T>(&self) -> Api<T>
    where
        T: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        let client = self.ctx.client.clone();
        match &self.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        }
    }

    /// At the end nothing more is sent, however many resources are waiting for their turn.
    fn closing(&mut self) {
        let (ctx, stop) = (self.ctx.clone(), self.stop.clone());
        self.running
            .push(stop.map(move |()| ctx.connections.close()).boxed());
    }

    fn connections<C: Connection>(&mut self, api: Api<DeserializeGuard<C>>, optional: bool) {
        let hooks = Hooks::<DeserializeGuard<C>> {
            kind: kind_name(C::KIND),
            // One that can't be read exists all the same: whoever uses it is told why it is no use.
            seen: |ctx, guard| ctx.connections.exists(connections::key::<C>(guard.meta())),
            gone: |ctx, namespace, name| {
                let key = ConnectionKey {
                    kind: C::KIND,
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                };
                ctx.connections.forget(&key);
                ctx.dependents.forget(&Id::Connection(key.clone()));
                ctx.changed(&Dependency::Connection(key));
            },
            known: |ctx, namespace| {
                let keys = ctx.connections.keys(C::KIND, namespace).into_iter();
                keys.map(|key| (key.namespace, key.name)).collect()
            },
            optional,
        };
        // A cluster connection's queue takes what has no namespace.
        let scope = match C::KIND {
            ConnectionKind::ClusterAuthentikConnection => None,
            ConnectionKind::AuthentikConnection => self.namespace.clone(),
        };
        let queue = self.ctx.open_queue(kind_name(C::KIND), scope.clone());
        let reconcile = |ctx: Arc<Context>, guard: Arc<DeserializeGuard<C>>| {
            reconcile_connection(ctx, guard).boxed()
        };
        self.running.push(
            control(
                self.ctx.clone(),
                api,
                hooks,
                scope,
                queue,
                reconcile,
                self.stop.clone(),
            )
            .boxed(),
        );
    }

    fn secrets(&mut self) {
        let hooks = Hooks::<PartialObjectMeta<Secret>> {
            kind: "Secret",
            seen: |ctx, secret| {
                let (namespace, name) = (secret.namespace().unwrap_or_default(), secret.name_any());
                let (uid, version) = (
                    secret.uid().unwrap_or_default(),
                    secret.resource_version().unwrap_or_default(),
                );
                if ctx.secrets.seen(&namespace, &name, uid, version) {
                    ctx.changed(&Dependency::Secret(namespace, name));
                }
            },
            gone: |ctx, namespace, name| {
                ctx.secrets.forget(namespace, name);
                ctx.changed(&Dependency::Secret(namespace.to_owned(), name.to_owned()));
            },
            known: |ctx, namespace| ctx.secrets.keys(namespace),
            optional: false,
        };
        self.follow(self.api(), hooks);
    }

    fn namespaces(&mut self) {
        let hooks = Hooks::<PartialObjectMeta<Namespace>> {
            kind: "Namespace",
            seen: |ctx, namespace| {
                let labels = namespace.labels().clone();
                let mut namespaces = ctx.namespaces.write().expect("no panic while held");
                let old = namespaces.insert(namespace.name_any(), labels.clone());
                drop(namespaces);
                if old.as_ref() != Some(&labels) {
                    ctx.changed(&Dependency::Namespace(namespace.name_any()));
                }
            },
            gone: |ctx, _, name| {
                ctx.namespaces
                    .write()
                    .expect("no panic while held")
                    .remove(name);
            },
            known: |ctx, _| {
                let namespaces = ctx.namespaces.read().expect("no panic while held");
                namespaces
                    .keys()
                    .map(|name| (String::new(), name.clone()))
                    .collect()
            },
            optional: true,
        };
        self.follow(Api::all(self.ctx.client.clone()), hooks);
    }

    fn follow<T: watch::Watchable>(&mut self, api: Api<T>, hooks: Hooks<T>) {
        let task = follow(
            self.ctx.clone(),
            api,
            hooks,
            self.namespace.clone(),
            self.stop.clone(),
        );
        self.running.push(task.boxed());
    }
}
