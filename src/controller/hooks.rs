//! What the watches of each kind do with what they see.

use std::{future::Future, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::{
    Api, Resource, ResourceExt,
    core::{DeserializeGuard, ObjectMeta, PartialObjectMeta},
};

use super::{
    connection::{Connection, Declared, Holds, key},
    context::Context,
    keys::{ConnectionKey, Dependency, kind_name},
    resource::{Begun, dependencies, reconcile, refuse, unreadable},
    secrets::{Held, Holder},
    shared::Shared,
    watch::{Hooks, Stop, Watchable, control, follow},
};
use crate::{
    api::{AuthentikConnection, ClusterAuthentikConnection},
    kinds::{ForEachKind, Kind, ResourceId, for_each_kind},
};

type Task = BoxFuture<'static, ()>;

/// Everything that runs until the end, while it is put together.
pub struct Tasks {
    ctx: Arc<Context>,
    stop: Stop,
    namespace: Option<String>,
    running: Vec<Task>,
}

impl Tasks {
    /// Nothing yet.
    pub fn new(ctx: Arc<Context>, stop: Stop) -> Self {
        Self {
            ctx,
            stop,
            namespace: None,
            running: Vec::new(),
        }
    }

    /// Adds a task.
    pub fn run(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.running.push(task.boxed());
    }

    /// All tasks.
    pub fn into_running(self) -> Vec<Task> {
        self.running
    }

    /// Adds the watches of one namespace, or of all.
    pub fn in_scope(&mut self, scope: Option<String>, watch_secrets: bool) {
        self.namespace = scope;
        if watch_secrets {
            self.held::<Secret>();
            self.held::<ConfigMap>();
        }
        self.connections::<AuthentikConnection>(self.api());
        for_each_kind(self);
        self.namespace = None;
    }

    /// Adds the watch of cluster connections.
    pub fn cluster_connections(&mut self) {
        let api = Api::all(self.ctx.shared.kubernetes.client.clone());
        self.connections::<ClusterAuthentikConnection>(api);
    }

    fn api<T>(&self) -> Api<T>
    where
        T: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        let client = self.ctx.shared.kubernetes.client.clone();
        match &self.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        }
    }

    fn follow<T: Watchable>(&mut self, api: Api<T>, hooks: Hooks<T>) {
        let (ctx, namespace) = (self.ctx.clone(), self.namespace.clone());
        let stop = self.stop.clone();
        self.run(follow(ctx, api, hooks, namespace, stop));
    }

    fn connections<C: Connection>(&mut self, api: Api<DeserializeGuard<C>>) {
        let hooks = Hooks::<DeserializeGuard<C>> {
            kind: kind_name(C::KIND),
            seen: |ctx, guard| {
                let key = key::<C>(guard.meta());
                let is_new = !ctx.registry.exists(&key);
                // One that can't be read exists all the same: whoever uses it is told why it is no use.
                let declared = match &guard.0 {
                    Ok(connection) => Declared::of(connection),
                    Err(invalid) => {
                        Declared::unreadable::<C>(&invalid.metadata, refuse(&invalid.error))
                    }
                };
                ctx.registry.declare(key.clone(), declared);
                if is_new {
                    ctx.shared.changed(&Dependency::Connection(key));
                }
            },
            gone: |ctx, namespace, name| {
                ctx.registry.forget(&ConnectionKey {
                    kind: C::KIND,
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                });
            },
            known: |ctx, namespace| {
                let keys = ctx.registry.keys(kind_name(C::KIND), namespace).into_iter();
                keys.map(|key| (key.namespace, key.name)).collect()
            },
            refused: |_, _, _| {},
            fields: "",
        };
        self.follow(api, hooks);
    }

    /// Adds the watch of what holds values by key.
    fn held<T: Followed>(&mut self) {
        let hooks = Hooks::<PartialObjectMeta<T>> {
            kind: T::KIND,
            seen: |ctx, object| {
                let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
                let (uid, version) = (
                    object.uid().unwrap_or_default(),
                    object.resource_version().unwrap_or_default(),
                );
                if T::held(&ctx.shared).seen(&namespace, &name, uid, version) {
                    T::changed(ctx, &namespace, &name);
                }
            },
            gone: |ctx, namespace, name| {
                T::held(&ctx.shared).forget(namespace, name);
                T::changed(ctx, namespace, name);
            },
            known: |ctx, namespace| T::held(&ctx.shared).keys(namespace),
            refused: |ctx, namespace, refused| T::held(&ctx.shared).refused(namespace, refused),
            fields: T::FIELDS,
        };
        self.follow(self.api(), hooks);
    }

    /// Adds the watch of namespaces.
    pub fn namespaces(&mut self) {
        let hooks = Hooks::<PartialObjectMeta<Namespace>> {
            kind: "Namespace",
            seen: |ctx, namespace| {
                let (name, labels) = (namespace.name_any(), namespace.labels().clone());
                if ctx.shared.namespaces.seen(name.clone(), labels) {
                    ctx.shared.changed(&Dependency::Namespace(name));
                }
            },
            gone: |ctx, _, name| {
                ctx.shared.namespaces.forget(name);
                ctx.shared.changed(&Dependency::Namespace(name.to_owned()));
            },
            known: |ctx, _| {
                let names = ctx.shared.namespaces.names().into_iter();
                names.map(|name| (String::new(), name)).collect()
            },
            refused: |_, _, _| {},
            fields: "",
        };
        let api = Api::all(self.ctx.shared.kubernetes.client.clone());
        self.follow(api, hooks);
    }
}

/// What holds values by key, and who uses them.
trait Followed: Holder {
    /// What its watch leaves out, as a field selector.
    const FIELDS: &'static str;

    /// What is known of such objects.
    fn held(shared: &Shared) -> &Held<Self>;

    /// Tells those that use this object.
    fn changed(ctx: &Context, namespace: &str, name: &str);
}

impl Followed for Secret {
    // Helm keeps its releases in large Secrets of this type, several of each.
    const FIELDS: &'static str = "type!=helm.sh/release.v1";

    fn held(shared: &Shared) -> &Held<Self> {
        &shared.secrets
    }

    fn changed(ctx: &Context, namespace: &str, name: &str) {
        let dependency = Dependency::Secret(namespace.to_owned(), name.to_owned());
        ctx.shared.changed(&dependency);
        let registry = &ctx.registry;
        registry.source_changed(Holds::Secret, namespace, name);
    }
}

impl Followed for ConfigMap {
    const FIELDS: &'static str = "";

    fn held(shared: &Shared) -> &Held<Self> {
        &shared.config_maps
    }

    fn changed(ctx: &Context, namespace: &str, name: &str) {
        let registry = &ctx.registry;
        registry.source_changed(Holds::ConfigMap, namespace, name);
    }
}

impl ForEachKind for Tasks {
    fn kind<K: Kind>(&mut self) {
        let hooks = Hooks::<DeserializeGuard<K>> {
            kind: K::KIND,
            seen: |ctx, guard| match &guard.0 {
                Ok(resource) => seen(ctx, resource),
                Err(invalid) => seen_unreadable::<K>(ctx, &invalid.metadata),
            },
            gone: |ctx, namespace, name| {
                ctx.forget(&ResourceId {
                    kind: K::KIND,
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                });
            },
            known: |ctx, namespace| {
                let ids = ctx.shared.memory.ids(K::KIND, namespace).into_iter();
                ids.map(|id| (id.namespace, id.name)).collect()
            },
            refused: |_, _, _| {},
            fields: "",
        };
        let queue = &self.ctx.shared.queue;
        let triggers = queue.open(K::KIND, self.namespace.clone());
        let (ctx, namespace) = (self.ctx.clone(), self.namespace.clone());
        let (api, stop) = (self.api(), self.stop.clone());
        self.run(control(
            ctx,
            api,
            hooks,
            namespace,
            triggers,
            begin_stage::<K>,
            stop,
        ));
    }
}

/// Notes a resource, and lets those look again that wanted or had what it wanted or has, and those that wait for it.
fn seen<K: Kind>(ctx: &Context, resource: &K) {
    let namespace = resource.namespace().unwrap_or_default();
    let depends = dependencies(resource, &namespace);
    let id = id::<K>(resource.meta());
    let is_new = ctx.shared.memory.standing(&id).is_none();
    let concerned = ctx.shared.memory.seen(resource, depends);
    ctx.shared.due(&concerned.rivals);
    if is_new {
        ctx.shared.changed(&Dependency::Resource(id));
    }
    if concerned.need_changed {
        let reference = resource.common().connection_ref.as_ref();
        ctx.registry.poke(&namespace, reference);
    }
    if let Some(left) = concerned.left {
        ctx.registry.poke_one(&left);
    }
}

fn seen_unreadable<K: Kind>(ctx: &Context, meta: &ObjectMeta) {
    let id = id::<K>(meta);
    let uid = meta.uid.clone().unwrap_or_default();
    let concerned = ctx.shared.memory.seen_unreadable(id, uid);
    ctx.shared.due(&concerned.rivals);
}

fn begin_stage<K: Kind>(ctx: Arc<Context>, guard: Arc<DeserializeGuard<K>>) -> Begun {
    let id = id::<K>(guard.meta());
    let called = ctx.registry.called(&id);
    if let Ok(resource) = &guard.0 {
        return reconcile(ctx, &id, resource, called);
    }
    let Some(turn) = ctx.registry.turn_without_connection(&id, called) else {
        return Begun::Done(None);
    };
    let says = async move {
        let _turn = turn;
        if let Err(invalid) = &guard.0 {
            unreadable::<K>(&ctx, &invalid.metadata, &invalid.error).await;
        }
        None
    };
    Begun::Runs(says.boxed())
}

fn id<K: Kind>(meta: &ObjectMeta) -> ResourceId {
    ResourceId {
        kind: K::KIND,
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
    }
}
