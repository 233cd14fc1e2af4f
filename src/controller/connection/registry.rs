//! All connections, and which one a resource uses.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::{Mutex, RwLock};
use tokio::task::JoinSet;

use super::{
    declared::Declared,
    handle::Handle,
    health::Health,
    server::Server,
    sources::Holds,
    status::reason,
    task,
    turns::{Calls, Turn, Turns},
};
use crate::{
    api::ConnectionReference,
    controller::{
        keys::{ConnectionKey, candidates, kind_name},
        shared::Shared,
    },
    kinds::ResourceId,
    ops::metrics,
    plan::failure::{Failure, Reason},
};

/// How many reconciles without a connection run at one time.
const WITHOUT_CONNECTION: usize = 32;

/// What a resource finds when it looks for its server.
pub enum Found {
    /// Its server.
    Server(Arc<Server>, Arc<Handle>),
    /// The connection exists, and its task is about to find out more.
    NotYet(Arc<Handle>),
}

/// All connections.
pub struct Registry {
    shared: Arc<Shared>,
    handles: RwLock<HashMap<ConnectionKey, Arc<Handle>>>,
    calls: Arc<Calls>,
    without_connection: Arc<Turns>,
    tasks: Mutex<JoinSet<()>>,
}

impl Registry {
    /// No connection yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        let woken = shared.clone();
        let calls = Calls::new(move |id| {
            let is_there = woken.memory.knows(id);
            if is_there {
                woken.queue.add(id);
            }
            is_there
        });
        Self {
            shared,
            handles: RwLock::default(),
            without_connection: Turns::new(WITHOUT_CONNECTION, calls.clone()),
            calls,
            tasks: Mutex::default(),
        }
    }

    /// Notes what a connection's object says. A new connection gets its task.
    pub fn declare(&self, key: ConnectionKey, declared: Declared) {
        let mut handles = self.handles.write();
        if let Some(handle) = handles.get(&key) {
            handle.declare(declared);
            return;
        }
        let handle = Arc::new(Handle::new(key.clone(), declared, self.calls.clone()));
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task::run(self.shared.clone(), handle.clone()));
        handles.insert(key, handle);
    }

    /// Whether there is such a connection.
    pub fn exists(&self, key: &ConnectionKey) -> bool {
        self.handles.read().contains_key(key)
    }

    /// The connection is gone, and its task ends.
    pub fn forget(&self, key: &ConnectionKey) {
        let handle = self.handles.write().remove(key);
        if let Some(handle) = handle {
            handle.declared.send_replace(None);
        }
    }

    /// Every connection of this kind in this namespace (none: all), to find those that have gone unseen.
    pub fn keys(&self, kind: &str, namespace: Option<&str>) -> Vec<ConnectionKey> {
        let handles = self.handles.read();
        let keys = handles.keys().filter(|key| kind_name(key.kind) == kind);
        keys.filter(|key| namespace.is_none_or(|namespace| key.namespace == namespace))
            .cloned()
            .collect()
    }

    /// Has the tasks of the connections look that take something from this object.
    pub fn source_changed(&self, holds: Holds, namespace: &str, name: &str) {
        for handle in self.handles.read().values() {
            let declared = handle.declared.borrow();
            let sources = declared.as_ref().map(|declared| &declared.sources);
            if sources.is_some_and(|sources| sources.name(holds, namespace, name)) {
                handle.poke.notify_one();
            }
        }
    }

    /// Has the task of this connection look.
    pub fn poke_one(&self, key: &ConnectionKey) {
        if let Some(handle) = self.handles.read().get(key) {
            handle.poke.notify_one();
        }
    }

    /// Has the task look of each connection that a resource of this namespace may use.
    pub fn poke(&self, namespace: &str, reference: Option<&ConnectionReference>) {
        let handles = self.handles.read();
        for key in candidates(namespace, reference) {
            if let Some(handle) = handles.get(&key) {
                handle.poke.notify_one();
            }
        }
    }

    /// The turn to which this resource has been called, if it has. It goes to the next when it is dropped.
    pub fn called(&self, id: &ResourceId) -> Option<Turn> {
        self.calls.take(id)
    }

    /// The turn of a resource, if it is now; else it is woken when it is. Resources of one connection wait for each other
    /// and for nobody else.
    pub fn turn(
        &self,
        id: &ResourceId,
        reference: Option<&ConnectionReference>,
        called: Option<Turn>,
    ) -> Option<Turn> {
        match self.handle(&id.namespace, reference) {
            Some(handle) => handle.turns.enter(id, called),
            None => self.turn_without_connection(id, called),
        }
    }

    /// As [`Self::turn`], where no connection is needed.
    pub fn turn_without_connection(&self, id: &ResourceId, called: Option<Turn>) -> Option<Turn> {
        self.without_connection.enter(id, called)
    }

    fn handle(
        &self,
        namespace: &str,
        reference: Option<&ConnectionReference>,
    ) -> Option<Arc<Handle>> {
        let handles = self.handles.read();
        candidates(namespace, reference)
            .iter()
            .find_map(|key| handles.get(key).cloned())
    }

    /// The server that a resource of this namespace uses. A deletion may use it also where the connection's Secret is
    /// gone already.
    ///
    /// # Errors
    /// Why there is none, or why it is out of reach.
    pub fn find(
        &self,
        namespace: &str,
        reference: Option<&ConnectionReference>,
        is_deletion: bool,
    ) -> Result<Found, Failure> {
        let handle = self
            .handle(namespace, reference)
            .ok_or_else(|| not_there(namespace, reference))?;
        let known = handle.known.read().clone();
        let Some(allowed) = known.allowed else {
            return Ok(Found::NotYet(handle));
        };
        allowed.check(&handle.key, &self.shared.namespaces, namespace)?;
        let server = match (known.server, known.failure) {
            (Some(server), None) => server,
            (Some(server), Some(_)) if is_deletion => server,
            (_, Some(failure)) => {
                return Err(Failure::down(
                    Reason::ConnectionNotReady,
                    format!("{} is not ready: {}", handle.key, failure.message),
                ));
            }
            (None, None) => return Ok(Found::NotYet(handle)),
        };
        match server.learned.health() {
            Health::Up => Ok(Found::Server(server, handle)),
            Health::Down(failure) => Err(failure),
            Health::Unknown | Health::Suspect | Health::Busy { .. } => Ok(Found::NotYet(handle)),
        }
    }

    /// The server of a resource of this namespace, if it could work there now: the connection is allowed, and its last
    /// probe with its own token succeeded.
    pub fn working(
        &self,
        namespace: &str,
        reference: Option<&ConnectionReference>,
    ) -> Option<Arc<Server>> {
        match self.find(namespace, reference, false) {
            Ok(Found::Server(server, _)) => Some(server),
            _ => None,
        }
    }

    /// The URL that the connection of a resource of this namespace leads to, whether or not it answers.
    pub fn url(&self, namespace: &str, reference: Option<&ConnectionReference>) -> Option<String> {
        let handle = self.handle(namespace, reference)?;
        let known = handle.known.read();
        Some(known.server.as_ref()?.url.clone())
    }

    /// Wakes this resource of ours as soon as its connection's task has found out something more.
    pub fn wait(&self, id: &ResourceId, reference: Option<&ConnectionReference>) {
        if let Some(handle) = self.handle(&id.namespace, reference) {
            handle.wait(id);
        }
    }

    /// Name and `Ready` reason of every connection.
    pub fn reasons(&self) -> Vec<(String, String)> {
        let handles = self.handles.read();
        let reason_of = |handle: &Handle| {
            let known = handle.known.read();
            if let Some(failure) = &known.failure {
                return Some(reason(failure));
            }
            match known.server.as_ref()?.learned.health() {
                Health::Down(failure) => Some(reason(&failure)),
                Health::Unknown => None,
                _ => Some("Connected"),
            }
        };
        handles
            .values()
            .filter_map(|handle| Some((handle.key.path(), reason_of(handle)?.to_owned())))
            .collect()
    }

    /// Name of every connection that has listed its server, and how long ago.
    pub fn inventory_ages(&self) -> Vec<(String, Duration)> {
        self.of_servers(|connection, server| Some((connection, server.inventory.age()?)))
    }

    /// The last look at the server of every connection that has looked.
    pub fn looks(&self) -> Vec<metrics::Look> {
        self.of_servers(|connection, server| {
            let look = server.last_look()?;
            Some(metrics::Look {
                connection,
                took: look.took,
                interval: look.interval,
            })
        })
    }

    /// What there is to tell of each connection's server, by the connection's name.
    fn of_servers<T>(&self, told: impl Fn(String, &Server) -> Option<T>) -> Vec<T> {
        let handles = self.handles.read();
        let told = |handle: &Arc<Handle>| {
            let known = handle.known.read();
            told(handle.key.path(), known.server.as_ref()?)
        };
        handles.values().filter_map(told).collect()
    }

    /// The operator is ending: what has been sent to any server is finished, and nothing more is begun.
    pub fn close(&self) {
        for handle in self.handles.read().values() {
            if let Some(server) = &handle.known.read().server {
                server.client.close();
            }
            handle.declared.send_replace(None);
        }
    }

    /// Waits until all tasks have ended, after [`Self::close`].
    pub async fn ended(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        while tasks.join_next().await.is_some() {}
    }
}

fn not_there(namespace: &str, reference: Option<&ConnectionReference>) -> Failure {
    let message = match reference {
        Some(reference) => {
            let kind = kind_name(reference.kind.unwrap_or_default());
            format!(
                "{kind} {} does not exist; create it, or name another in spec.connectionRef",
                reference.name
            )
        }
        None => format!(
            "there is no connection named default; create an AuthentikConnection of that name in namespace {namespace}, or name another in spec.connectionRef"
        ),
    };
    Failure::down(Reason::ConnectionNotReady, message)
}
