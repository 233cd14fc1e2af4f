//! The controller: watches Kubernetes, keeps each authentik server's lists, and brings the two together.
//!
//! ```text
//! keys        the names of what is kept apart
//! kubernetes  every write to Kubernetes
//! events      Kubernetes events
//! secrets     the versions and values of Secrets and ConfigMaps
//! namespaces  the namespaces' labels
//! queue       what is due
//! memory      what is known of each resource
//! rehearsal   what would be written
//! shared      all of that
//! connection  one task a connection
//! context     the connections beside it
//! resource    one reconcile
//! watch       the watches
//! hooks       what the watches of each kind do
//! ```
//! Each room uses those above it only.

pub mod connection;
mod context;
mod events;
mod hooks;
mod keys;
mod kubernetes;
mod memory;
mod namespaces;
mod queue;
mod rehearsal;
mod resource;
mod secrets;
mod shared;
mod watch;

use std::{future::Future, sync::Arc};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use kube::Client;

pub use self::rehearsal::{FieldChange, Manner, Planned, Rehearsal};
use self::{context::Context, hooks::Tasks, secrets::Watched, shared::Shared, watch::Stop};
use crate::{
    authentik,
    kinds::{ForEachKind, Kind, ResourceId, for_each_kind},
    ops::{leader::Leadership, metrics},
};

/// What the controller watches, and when it works.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespaces whose resources are reconciled; none: all.
    pub namespaces: Vec<String>,
    /// Whether Secrets and ConfigMaps are watched; else one is looked at whenever what names it is.
    pub watch_secrets: bool,
    /// Whether this replica works; by default it always does.
    pub leadership: Leadership,
    /// The URL prefixes that connections may lead to; none: all.
    pub allowed_servers: Vec<String>,
    /// Whether events, logs and statuses may name people who changed something in authentik.
    pub names_people: bool,
}

/// The controller.
pub struct Controller {
    ctx: Arc<Context>,
    /// One a watched namespace, or a single one for all.
    scopes: Vec<Option<String>>,
    watch_secrets: bool,
}

impl Controller {
    /// An operator's controller, which does nothing yet.
    #[must_use]
    pub fn new(client: Client, options: Options) -> Self {
        Self::in_manner(client, options, Manner::default())
    }

    /// A controller that works in this manner, and does nothing yet.
    #[must_use]
    pub fn in_manner(client: Client, options: Options, manner: Manner) -> Self {
        let scopes: Vec<_> = match options.namespaces.as_slice() {
            [] => vec![None],
            namespaces => namespaces.iter().cloned().map(Some).collect(),
        };
        let mut kinds = Kinds(0);
        for_each_kind(&mut kinds);
        // Each scope has one watch a stage kind, one of connections and, where they are watched, one of Secrets and one of
        // ConfigMaps; cluster connections and namespaces have one each.
        let watches = scopes.len() * (kinds.0 + 1 + 2 * usize::from(options.watch_secrets)) + 2;
        let namespaces = options.namespaces.clone();
        let watched = match options.namespaces {
            _ if !options.watch_secrets => Watched::Nowhere,
            namespaces if namespaces.is_empty() => Watched::Everywhere,
            namespaces => Watched::In(namespaces),
        };
        let leadership = options.leadership;
        let allowed = options.allowed_servers;
        let names = options.names_people;
        let shared = Shared::new(
            client, watched, watches, leadership, allowed, names, namespaces,
        );
        for_each_kind(&mut Counted(&shared.metrics));
        Self {
            ctx: Arc::new(Context::new(Arc::new(shared), manner)),
            scopes,
            watch_secrets: options.watch_secrets,
        }
    }

    /// Whether every watch has shown all there is, or is refused.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.ctx.shared.is_synced()
    }

    /// Waits until every resource has been looked at and none is about to be looked at again, but for those that try again
    /// later.
    pub async fn settled(&self) {
        self.ctx.shared.settled().await;
    }

    /// A client of the server of this resource; nothing where that can't be used.
    #[must_use]
    pub fn client_of(&self, id: &ResourceId) -> Option<authentik::Client> {
        let standing = self.ctx.shared.memory.standing(id)?;
        let reference = standing.connection.as_ref();
        let server = self.ctx.registry.working(&id.namespace, reference)?;
        Some(server.client.clone())
    }

    /// All metrics as OpenMetrics text.
    #[must_use]
    pub fn metrics(&self) -> String {
        let shared = &self.ctx.shared;
        shared.metrics.text(metrics::Gauges {
            resources: shared.memory.reasons(),
            connections: self.ctx.registry.reasons(),
            queued: shared.queue.kinds(),
            listed: self.ctx.registry.inventory_ages(),
            looks: self.ctx.registry.looks(),
            weak: shared.memory.weak(),
            refused_watches: shared.refused_watches(),
            leads: shared.leadership.is_held(),
        })
    }

    /// Runs until `stop`, then ends once the requests under way have been answered and recorded.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send + 'static) {
        let stop = stop.boxed().shared();
        let mut tasks = Tasks::new(self.ctx.clone(), stop.clone());
        tasks.run(start_work(self.ctx.clone(), stop.clone()));
        tasks.namespaces();
        tasks.cluster_connections();
        for scope in &self.scopes {
            tasks.in_scope(scope.clone(), self.watch_secrets);
        }
        let ctx = self.ctx.clone();
        tasks.run(async move {
            stop.await;
            // At the end nothing more is sent, however many resources are waiting for their turn.
            ctx.registry.close();
            ctx.registry.ended().await;
        });
        let running = tasks.into_running();
        let mut running: FuturesUnordered<_> = running.into_iter().map(tokio::spawn).collect();
        while running.next().await.is_some() {}
    }
}

/// When every watch has shown what there is and this replica leads, everything that is known is due.
async fn start_work(ctx: Arc<Context>, stop: Stop) {
    let begins = async {
        ctx.shared.synced().await;
        ctx.shared.leadership.begins().await;
    };
    tokio::select! {
        () = begins => {}
        () = stop => return,
    }
    ctx.shared.wake(&ctx.shared.memory.all());
    ctx.shared.has_begun();
}

struct Counted<'a>(&'a metrics::Metrics);

impl ForEachKind for Counted<'_> {
    fn kind<K: Kind>(&mut self) {
        self.0.begins_to_count(K::KIND);
    }
}

struct Kinds(usize);

impl ForEachKind for Kinds {
    fn kind<K: Kind>(&mut self) {
        self.0 += 1;
    }
}
