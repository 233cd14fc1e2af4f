//! The connections: which server each leads to, whether it answers, and the clock of the inventory.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, RwLock},
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{
    Api, CustomResourceExt, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::{ObjectMeta, Selector, SelectorExt},
};
use secrecy::SecretString;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::time::Instant;

use super::{
    context::{Context, Id},
    dependents::{ConnectionKey, Dependency},
    events::Note,
    failure::{Failure, MISSING_RETRY, Reason},
    inventory::Refreshed,
    retry::{backoff, spread},
    server::{Health, Server},
};
use crate::{
    api::{
        AuthentikConnection, ClusterAuthentikConnection, ConnectionKind, ConnectionReference,
        ConnectionSettings, ConnectionStatus, DEFAULT_CONNECTION, MANAGER, RECONCILE_ANNOTATION,
        SecretKey, condition, conditions, set_condition, without_condition,
    },
    authentik::{self, Client, Config, Gate, Observer},
    ops::{metrics::Asked, traces},
    plan::SecretVersion,
};

/// The longest time between two probes of a server that is down.
const LONGEST_PROBE: Duration = Duration::from_secs(300);

/// The name of a connection's kind.
#[must_use]
pub fn kind_name(kind: ConnectionKind) -> &'static str {
    match kind {
        ConnectionKind::AuthentikConnection => "AuthentikConnection",
        ConnectionKind::ClusterAuthentikConnection => "ClusterAuthentikConnection",
    }
}

/// A kind of connection.
pub trait Connection:
    Resource<DynamicType = ()>
    + CustomResourceExt
    + Clone
    + std::fmt::Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
    /// Which kind it is.
    const KIND: ConnectionKind;
    /// How to reach the server.
    fn settings(&self) -> &ConnectionSettings;
    /// The namespace of the token's Secret, and its key there.
    fn token(&self) -> (String, SecretKey);
    /// The namespaces that may use it.
    fn allowed(&self) -> Allowed;
    /// The status as last written.
    fn status(&self) -> Option<&ConnectionStatus>;
    /// Where this one's status is written.
    fn api(&self, client: kube::Client) -> Api<Self>;
}

impl Connection for AuthentikConnection {
    const KIND: ConnectionKind = ConnectionKind::AuthentikConnection;

    fn settings(&self) -> &ConnectionSettings {
        &self.spec.settings
    }

    fn token(&self) -> (String, SecretKey) {
        (
            self.namespace().unwrap_or_default(),
            self.spec.token_secret_ref.clone(),
        )
    }

    fn allowed(&self) -> Allowed {
        Allowed::Own
    }

    fn status(&self) -> Option<&ConnectionStatus> {
        self.status.as_ref()
    }

    fn api(&self, client: kube::Client) -> Api<Self> {
        Api::namespaced(client, &self.namespace().unwrap_or_default())
    }
}

impl Connection for ClusterAuthentikConnection {
    const KIND: ConnectionKind = ConnectionKind::ClusterAuthentikConnection;

    fn settings(&self) -> &ConnectionSettings {
        &self.spec.settings
    }

    fn token(&self) -> (String, SecretKey) {
        let token = &self.spec.token_secret_ref;
        let key = SecretKey {
            name: token.name.clone(),
            key: token.key.clone(),
        };
        (token.namespace.clone(), key)
    }

    fn allowed(&self) -> Allowed {
        Allowed::Labels(self.spec.allowed_namespaces.clone())
    }

    fn status(&self) -> Option<&ConnectionStatus> {
        self.status.as_ref()
    }

    fn api(&self, client: kube::Client) -> Api<Self> {
        Api::all(client)
    }
}

/// The namespaces that may use a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Allowed {
    /// Its own.
    Own,
    /// Those with these labels; nothing: none.
    Labels(Option<LabelSelector>),
}

/// What a client was built from. Another one means another client.
#[derive(Clone, Debug, PartialEq)]
struct Recipe {
    settings: ConnectionSettings,
    token: SecretVersion,
}

#[derive(Clone, Debug)]
struct Entry {
    allowed: Allowed,
    /// The server, or why there is none.
    server: Result<Arc<Server>, Failure>,
    recipe: Option<Recipe>,
    /// When it is next probed and listed.
    due: Instant,
    failures: u32,
    requested_at: Option<String>,
}

/// All connections.
#[derive(Debug, Default)]
pub struct Connections {
    /// Those that exist, whether reconciled yet or not.
    existing: RwLock<HashSet<ConnectionKey>>,
    entries: Mutex<HashMap<ConnectionKey, Entry>>,
}

/// What a resource finds when it looks for its server.
#[derive(Debug)]
pub enum Found {
    /// Its server.
    Server(Arc<Server>),
    /// The connection exists and is about to be reconciled; the resource will be told.
    Pending,
}

impl Connections {
    /// Notes that a connection exists.
    pub fn exists(&self, key: ConnectionKey) {
        self.existing
            .write()
            .expect("no panic while held")
            .insert(key);
    }

    /// The connection is gone.
    pub fn forget(&self, key: &ConnectionKey) {
        self.existing
            .write()
            .expect("no panic while held")
            .remove(key);
        let old = self
            .entries
            .lock()
            .expect("no panic while held")
            .remove(key);
        if let Some(old) = old {
            retire(&old, None);
        }
    }

    /// Every connection of this kind in this namespace (none: all), to find those that have gone unseen.
    pub fn keys(&self, kind: ConnectionKind, namespace: Option<&str>) -> Vec<ConnectionKey> {
        let existing = self.existing.read().expect("no panic while held");
        let keys = existing.iter().filter(|key| key.kind == kind);
        keys.filter(|key| namespace.is_none_or(|namespace| key.namespace == namespace))
            .cloned()
            .collect()
    }

    /// Every connection.
    pub fn all(&self) -> Vec<ConnectionKey> {
        let existing = self.existing.read().expect("no panic while held");
        existing.iter().cloned().collect()
    }

    /// Name and `Ready` reason of every connection.
    pub fn reasons(&self) -> Vec<(String, String)> {
        let entries = self.entries.lock().expect("no panic while held");
        let reason = |entry: &Entry| match &entry.server {
            Ok(server) => match server.health() {
                Health::Down(failure) => reason(&failure),
                _ => "Connected",
            },
            Err(failure) => reason(failure),
        };
        entries
            .iter()
            .map(|(key, entry)| (key.path(), reason(entry).to_owned()))
            .collect()
    }

    /// Name of every connection that has listed its server, and how long ago.
    pub fn inventory_ages(&self) -> Vec<(String, Duration)> {
        let entries = self.entries.lock().expect("no panic while held");
        let age = |entry: &Entry| entry.server.as_ref().ok()?.inventory.age();
        entries
            .iter()
            .filter_map(|(key, entry)| Some((key.path(), age(entry)?)))
            .collect()
    }

    /// The connection that a resource of this namespace uses.
    pub fn key_for(
        &self,
        namespace: &str,
        reference: Option<&ConnectionReference>,
    ) -> Result<ConnectionKey, Failure> {
        let candidates = candidates(namespace, reference);
        let existing = self.existing.read().expect("no panic while held");
        candidates
            .iter()
            .find(|key| existing.contains(key))
            .cloned()
            .ok_or_else(|| not_there(namespace, reference))
    }

    /// The server that a resource of this namespace uses.
    ///
    /// # Errors
    /// Why it has none.
    pub fn find(
        &self,
        ctx: &Context,
        namespace: &str,
        reference: Option<&ConnectionReference>,
    ) -> Result<Found, Failure> {
        let key = self.key_for(namespace, reference)?;
        let entry = self
            .entries
            .lock()
            .expect("no panic while held")
            .get(&key)
            .cloned();
        let Some(entry) = entry else {
            return Ok(Found::Pending);
        };
        if !allows(ctx, &entry.allowed, namespace) {
            return Err(Failure::down(
                Reason::ConnectionNotReady,
                format!(
                    "{key} does not allow namespace {namespace}; add the namespace to its allowedNamespaces, or name another connection"
                ),
            ));
        }
        entry.server.map(Found::Server).map_err(|failure| {
            Failure::down(
                Reason::ConnectionNotReady,
                format!("{key} is not ready: {}", failure.message),
            )
        })
    }

    /// The URL of the server that a resource of this namespace uses, if it has one.
    pub fn url_for(
        &self,
        namespace: &str,
        reference: Option<&ConnectionReference>,
    ) -> Option<String> {
        let key = self.key_for(namespace, reference).ok()?;
        let entries = self.entries.lock().expect("no panic while held");
        Some(entries.get(&key)?.server.as_ref().ok()?.url.clone())
    }

    /// The operator is ending: what has been sent to any server is finished, and nothing more is begun.
    pub fn close(&self) {
        let entries = self.entries.lock().expect("no panic while held");
        for server in entries.values().flat_map(|entry| &entry.server) {
            server.close();
        }
    }

    fn get(&self, key: &ConnectionKey) -> Option<Entry> {
        self.entries
            .lock()
            .expect("no panic while held")
            .get(key)
            .cloned()
    }

    fn put(&self, key: &ConnectionKey, entry: Entry) {
        self.entries
            .lock()
            .expect("no panic while held")
            .insert(key.clone(), entry);
    }
}

/// The connections that a resource may use, the first that exists.
#[must_use]
pub fn candidates(namespace: &str, reference: Option<&ConnectionReference>) -> Vec<ConnectionKey> {
    let key = |kind, name: &str| ConnectionKey {
        kind,
        namespace: match kind {
            ConnectionKind::AuthentikConnection => namespace.to_owned(),
            ConnectionKind::ClusterAuthentikConnection => String::new(),
        },
        name: name.to_owned(),
    };
    match reference {
        Some(reference) => vec![key(reference.kind.unwrap_or_default(), &reference.name)],
        None => vec![
            key(ConnectionKind::AuthentikConnection, DEFAULT_CONNECTION),
            key(
                ConnectionKind::ClusterAuthentikConnection,
                DEFAULT_CONNECTION,
            ),
        ],
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

fn allows(ctx: &Context, allowed: &Allowed, namespace: &str) -> bool {
    match allowed {
        Allowed::Own => true,
        Allowed::Labels(None) => false,
        Allowed::Labels(Some(selector)) => {
            let Ok(selector) = Selector::try_from(selector.clone()) else {
                return false;
            };
            let namespaces = ctx.namespaces.read().expect("no panic while held");
            let labels = namespaces.get(namespace).cloned().unwrap_or_default();
            selector.matches(&labels)
        }
    }
}

/// The URL as an identity: scheme and host in lower case, no slash at the end.
#[must_use]
pub fn normalised(url: &str) -> String {
    let url = url.trim();
    let parsed = reqwest::Url::parse(url).map_or_else(|_| url.to_owned(), String::from);
    parsed.trim_end_matches('/').to_owned()
}

/// The key of the connection of this kind with this metadata.
pub fn key<C: Connection>(meta: &ObjectMeta) -> ConnectionKey {
    ConnectionKey {
        kind: C::KIND,
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
    }
}

/// Says of a connection that the operator can't read that it can't, to its users too.
pub async fn unreadable<C: Connection>(ctx: &Context, meta: &ObjectMeta, error: &str) {
    let key = key::<C>(meta);
    let failure = super::report::unreadable(error);
    let entry = Entry {
        // Nobody is turned away by what can't be read.
        allowed: Allowed::Own,
        server: Err(failure.clone()),
        recipe: None,
        due: Instant::now(),
        failures: 0,
        requested_at: None,
    };
    let old = ctx.connections.get(&key);
    let changed = old.as_ref().is_none_or(|old| differs(old, &entry));
    if let Some(old) = old.filter(|_| changed) {
        retire(&old, None);
    }
    ctx.connections.put(&key, entry);
    super::report::report_unreadable::<C>(ctx, meta, failure).await;
    if changed {
        ctx.reconnected(&key);
    }
}

/// Brings one connection up to date: its client, its health, its inventory, its status. Returns when it is next due.
pub async fn reconcile<C: Connection>(ctx: Arc<Context>, connection: Arc<C>) -> Duration {
    let key = key::<C>(connection.meta());
    let old = ctx.connections.get(&key);
    let (entry, outcome) = look(&ctx, &*connection, &key, old.as_ref()).await;
    let changed = old.as_ref().is_none_or(|old| differs(old, &entry));
    let next = entry.due.saturating_duration_since(Instant::now());
    let server = entry.server.clone();
    if let Some(old) = old.as_ref().filter(|old| differs(old, &entry)) {
        retire(old, entry.server.as_ref().ok());
    }
    ctx.connections.put(&key, entry);
    if let Some(outcome) = outcome {
        let result = outcome.as_ref().map_or_else(reason, |()| "Connected");
        traces::ends(result, outcome.is_err());
        report(&ctx, &*connection, server.as_ref().ok(), &outcome).await;
    }
    if changed {
        ctx.reconnected(&key);
    }
    next
}

/// Lets go whoever waits for a server that is not the connection's any more.
fn retire(old: &Entry, new: Option<&Arc<Server>>) {
    if let Ok(server) = &old.server
        && !new.is_some_and(|new| Arc::ptr_eq(new, server))
    {
        server.set_health(Health::Down(Failure::down(
            Reason::ConnectionNotReady,
            "the connection has changed",
        )));
    }
}

/// Whether the resources of this connection have to know.
fn differs(old: &Entry, new: &Entry) -> bool {
    let same_server = match (&old.server, &new.server) {
        (Ok(old), Ok(new)) => Arc::ptr_eq(old, new),
        (Err(old), Err(new)) => old == new,
        _ => false,
    };
    !same_server || old.allowed != new.allowed
}

/// What a look found: nothing where it was not due.
type Outcome = Option<Result<(), Failure>>;

async fn look<C: Connection>(
    ctx: &Arc<Context>,
    connection: &C,
    key: &ConnectionKey,
    old: Option<&Entry>,
) -> (Entry, Outcome) {
    let (namespace, token) = connection.token();
    let dependency = Dependency::Secret(namespace.clone(), token.name.clone());
    ctx.dependents
        .set(&Id::Connection(key.clone()), HashSet::from([dependency]));
    let requested_at = connection.annotations().get(RECONCILE_ANNOTATION).cloned();
    let mut entry = Entry {
        allowed: connection.allowed(),
        server: Err(Failure::new(
            Reason::ConnectionNotReady,
            "not looked at yet",
        )),
        recipe: None,
        due: Instant::now() + MISSING_RETRY,
        failures: old.map_or(0, |old| old.failures),
        requested_at: requested_at.clone(),
    };
    let token_version = match ctx.secrets.version(&namespace, &token).await {
        Ok(version) => version,
        Err(failure) => return (unusable(entry, failure.clone()), Some(Err(failure))),
    };
    let recipe = Recipe {
        settings: connection.settings().clone(),
        token: token_version,
    };
    let kept = old.filter(|old| old.recipe.as_ref() == Some(&recipe));
    match kept.map(|old| old.server.clone()) {
        Some(Ok(server)) => {
            entry.server = Ok(server);
            entry.recipe = Some(recipe);
        }
        _ => {
            entry.failures = 0;
            match build(ctx, connection, key, &namespace, &token).await {
                Ok((server, version)) => {
                    entry.server = Ok(server);
                    entry.recipe = Some(Recipe {
                        token: version,
                        ..recipe
                    });
                }
                Err(failure) => return (unusable(entry, failure.clone()), Some(Err(failure))),
            }
        }
    }
    let Ok(server) = entry.server.clone() else {
        return (entry, None);
    };
    let asked = kept.is_some_and(|old| old.requested_at != requested_at);
    let due = kept
        .map(|old| old.due)
        .filter(|due| *due > Instant::now() && !asked);
    match (server.health(), due) {
        (Health::Up | Health::Down(_), Some(due)) => {
            entry.due = due;
            let outcome = match server.health() {
                Health::Down(failure) => Err(failure),
                _ => Ok(()),
            };
            (entry, Some(outcome))
        }
        (health, due) => {
            let outcome = visit(ctx, key, &server, &health, due.is_none()).await;
            match (&outcome, due) {
                (Ok(()), Some(due)) => entry.due = due,
                _ => schedule(&mut entry, &server, &outcome),
            }
            (entry, Some(outcome))
        }
    }
}

fn unusable(entry: Entry, failure: Failure) -> Entry {
    Entry {
        server: Err(failure),
        ..entry
    }
}

fn schedule(entry: &mut Entry, server: &Server, outcome: &Result<(), Failure>) {
    let delay = match outcome {
        Ok(()) => {
            entry.failures = 0;
            spread(server.resync)
        }
        Err(failure) => {
            entry.failures = entry.failures.saturating_add(1);
            backoff(entry.failures).max(failure.retry_after.unwrap_or_default().min(LONGEST_PROBE))
        }
    };
    entry.due = Instant::now() + delay;
}

async fn build<C: Connection>(
    ctx: &Arc<Context>,
    connection: &C,
    key: &ConnectionKey,
    namespace: &str,
    token: &SecretKey,
) -> Result<(Arc<Server>, SecretVersion), Failure> {
    let (version, token) = ctx.secrets.read(namespace, token).await?;
    let (metrics, path) = (ctx.metrics.clone(), key.path());
    let observer = Observer::new(move |observed| {
        metrics.asked(&Asked {
            connection: &path,
            method: observed.method,
            path: observed.path,
            status: observed.status,
            elapsed: observed.elapsed,
        });
    });
    let leadership = ctx.leadership.clone();
    let gate = Gate::new(move || leadership.is_certain());
    let client = client(connection.settings(), token, observer, gate)?;
    let settings = connection.settings();
    let (poked, id) = (Arc::downgrade(ctx), Id::Connection(key.clone()));
    let poke = Box::new(move || {
        if let Some(ctx) = poked.upgrade() {
            ctx.enqueue(&id);
        }
    });
    let server = Server::new(
        normalised(&settings.url),
        client,
        settings.resync_interval(),
        poke,
    );
    Ok((Arc::new(server), version))
}

/// The API client that these settings describe.
///
/// # Errors
/// `InvalidSpec`, naming the field.
pub fn client(
    settings: &ConnectionSettings,
    token: SecretString,
    observer: Observer,
    gate: Gate,
) -> Result<Client, Failure> {
    let config = Config {
        url: settings.url.clone(),
        token,
        ca_bundle: settings.ca_bundle.clone(),
        timeout: settings.timeout(),
        requests_per_second: settings.requests_per_second,
        max_concurrent_requests: Some(settings.max_concurrent_requests().into()),
        observer,
        gate,
    };
    Client::new(&config).map_err(|error| Failure::new(Reason::InvalidSpec, error.to_string()))
}

/// Probes the server and, where that is due, lists what is in use.
async fn visit(
    ctx: &Arc<Context>,
    key: &ConnectionKey,
    server: &Arc<Server>,
    health: &Health,
    list: bool,
) -> Result<(), Failure> {
    let visited = match health {
        Health::Suspect {
            leave_alone: Some(wait),
        } => Err(asked_to_wait(*wait)),
        _ => probe(server, list).await,
    };
    match visited {
        Ok(refreshed) => {
            let was_down = matches!(health, Health::Down(_));
            server.set_health(Health::Up);
            tell(ctx, key, &refreshed, was_down);
            if list {
                ctx.look_at_secrets(key);
            }
            Ok(())
        }
        Err(failure) => {
            if server.set_health(Health::Down(failure.clone())) {
                ctx.changed(&Dependency::Connection(key.clone()));
            }
            Err(failure)
        }
    }
}

fn asked_to_wait(wait: Duration) -> Failure {
    Failure {
        retry_after: Some(wait),
        ..Failure::down(
            Reason::AuthentikUnavailable,
            "authentik asks to be left alone for a while (429 Too Many Requests); lower requestsPerSecond if this keeps coming back",
        )
    }
}

async fn probe(server: &Arc<Server>, list: bool) -> Result<Refreshed, Failure> {
    let version = server.probe().await.map_err(down)?;
    tracing::debug!(server = server.url, %version, "probed");
    if !list {
        return Ok(Refreshed::default());
    }
    let refreshed = server
        .inventory
        .refresh(server.client())
        .await
        .map_err(down)?;
    for error in &refreshed.refused {
        server.learn_failure(error);
    }
    Ok(refreshed)
}

fn down(error: authentik::Error) -> Failure {
    Failure {
        connection_down: true,
        ..Failure::from(error)
    }
}

/// Tells whoever is concerned by what a refresh found.
fn tell(ctx: &Context, key: &ConnectionKey, refreshed: &Refreshed, was_down: bool) {
    if was_down || refreshed.references {
        ctx.changed(&Dependency::Connection(key.clone()));
    }
    for (uuid, name) in &refreshed.stages {
        ctx.due(ctx.resources.concerned(*uuid, name));
    }
}

/// The reason of a connection's `Ready` condition.
fn reason(failure: &Failure) -> &'static str {
    match failure.reason {
        Reason::SecretNotFound => "SecretNotFound",
        Reason::InvalidSpec => "InvalidSpec",
        Reason::AccessDenied => "AccessDenied",
        _ => "Unreachable",
    }
}

async fn report<C: Connection>(
    ctx: &Context,
    connection: &C,
    server: Option<&Arc<Server>>,
    outcome: &Result<(), Failure>,
) {
    let old = connection.status().cloned().unwrap_or_default();
    let new = status(&old, connection.meta().generation, server, outcome);
    let reported = outcome
        .as_ref()
        .map_or_else(|failure| failure.reason.is_reported(), |()| true);
    if new == old || !reported {
        return;
    }
    let patch = json!({
        "apiVersion": C::api_version(&()),
        "kind": C::kind(&()),
        "status": new,
    });
    let api = connection.api(ctx.client.clone());
    let params = PatchParams::apply(MANAGER).force();
    if let Err(error) = api
        .patch_status(&connection.name_any(), &params, &Patch::Apply(patch))
        .await
    {
        tracing::warn!(connection = %key::<C>(connection.meta()), error = %Failure::from(error).message, "status not written");
        return;
    }
    let failed = |status: &ConnectionStatus| {
        let ready = condition(&status.conditions, conditions::READY)?;
        (ready.status == "False").then(|| (ready.reason.clone(), ready.message.clone()))
    };
    if let (Err(failure), true) = (outcome, failed(&old) != failed(&new)) {
        let note = Note {
            warning: true,
            reason: reason(failure),
            text: failure.message.clone(),
        };
        ctx.events.publish(&connection.object_ref(&()), note).await;
    }
}

fn status(
    old: &ConnectionStatus,
    generation: Option<i64>,
    server: Option<&Arc<Server>>,
    outcome: &Result<(), Failure>,
) -> ConnectionStatus {
    let version = server
        .and_then(|server| server.version().ok())
        .map(|version| version.to_string());
    let mut new = ConnectionStatus {
        observed_generation: generation,
        conditions: old.conditions.clone(),
        version: version.or_else(|| old.version.clone()),
        missing_permissions: server
            .map(|server| server.missing_permissions())
            .unwrap_or_default(),
    };
    let list = &mut new.conditions;
    let progress = match outcome {
        Ok(()) => None,
        Err(failure) if failure.reason == Reason::InvalidSpec => Some(conditions::STALLED),
        Err(_) => Some(conditions::RECONCILING),
    };
    for type_ in [conditions::RECONCILING, conditions::STALLED] {
        // The one that goes on keeps its time: a status that says the same as before is not written.
        if Some(type_) != progress {
            without_condition(list, type_);
        }
    }
    match outcome {
        Ok(()) => set_condition(
            list,
            conditions::READY,
            true,
            "Connected",
            "authentik answers",
            generation,
        ),
        Err(failure) => {
            let (reason, message) = (reason(failure), failure.message.as_str());
            set_condition(list, conditions::READY, false, reason, message, generation);
            if let Some(progress) = progress {
                set_condition(list, progress, true, reason, message, generation);
            }
        }
    }
    new
}
