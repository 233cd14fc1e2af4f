//! What one authentik server holds, read as paged lists: one refresh a resync interval, shared by all
//! reconciles, and kept current by the answers to our own writes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    authentik::{Client, Collection, Error},
    plan::{Live, Row, bindings::Binding},
    stages::StageKind,
};

/// A row of the list of all stages.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct AnyStage {
    /// Its UUID.
    pub pk: Uuid,
    /// Its name.
    pub name: String,
}

/// A flow.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Flow {
    /// Its UUID.
    pub pk: Uuid,
    /// Its slug.
    pub slug: String,
}

/// A WebAuthn device type.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct DeviceType {
    /// Its AAGUID.
    pub aaguid: Uuid,
    /// What authentik calls it.
    pub description: String,
}

/// Something that a list holds, by its UUID.
pub trait Listed: Clone + PartialEq + Send + Sync + 'static {
    /// Its UUID.
    fn uuid(&self) -> Uuid;
    /// What it is looked up by besides.
    fn label(&self) -> &str;
}

impl Listed for Live {
    fn uuid(&self) -> Uuid {
        self.uuid
    }
    fn label(&self) -> &str {
        &self.name
    }
}

impl Listed for AnyStage {
    fn uuid(&self) -> Uuid {
        self.pk
    }
    fn label(&self) -> &str {
        &self.name
    }
}

impl Listed for Flow {
    fn uuid(&self) -> Uuid {
        self.pk
    }
    fn label(&self) -> &str {
        &self.slug
    }
}

impl Listed for DeviceType {
    fn uuid(&self) -> Uuid {
        self.aaguid
    }
    fn label(&self) -> &str {
        &self.description
    }
}

impl Listed for Binding {
    fn uuid(&self) -> Uuid {
        self.pk
    }
    /// The stage.
    fn label(&self) -> &str {
        &self.stage
    }
}

type Read<T> = fn(Client) -> BoxFuture<'static, Result<Vec<T>, Error>>;

#[derive(Debug)]
struct Snapshot<T> {
    rows: HashMap<Uuid, Arc<T>>,
    labels: HashMap<String, Vec<Uuid>>,
    read_at: Instant,
}

#[derive(Debug)]
struct State<T> {
    /// Nothing until the first list.
    snapshot: Option<Snapshot<T>>,
    /// Own writes since the list under way began: it may or may not show them.
    written: Option<Vec<(Uuid, Option<Arc<T>>)>>,
    /// What the lists since the last resync have found different.
    changes: Changes,
    /// How many lists have ended, and how the last one did.
    attempts: u64,
    last: Result<(), Error>,
}

/// One list of one server.
#[derive(Debug)]
pub struct List<T> {
    read: Read<T>,
    state: Mutex<State<T>>,
    one_at_a_time: tokio::sync::Mutex<()>,
}

/// What lists found different: UUID and label of each row that came, went or changed.
pub type Changes = Vec<(Uuid, String)>;

impl<T: Listed> List<T> {
    fn new(read: Read<T>) -> Self {
        Self {
            read,
            state: Mutex::new(State {
                snapshot: None,
                written: None,
                changes: Changes::new(),
                attempts: 0,
                last: Ok(()),
            }),
            one_at_a_time: tokio::sync::Mutex::default(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State<T>> {
        self.state.lock().expect("no panic while held")
    }

    fn age(&self) -> Option<Duration> {
        self.state()
            .snapshot
            .as_ref()
            .map(|snapshot| snapshot.read_at.elapsed())
    }

    /// Whether what it holds was read longer ago than this.
    pub fn is_older_than(&self, age: Duration) -> bool {
        self.age().is_none_or(|own| own > age)
    }

    /// Reads the list unless it was read within `max_age` before this call. One read at a time; whoever waits
    /// for it shares its result, its failure included.
    ///
    /// # Errors
    /// Those of the list.
    pub async fn at_most(&self, max_age: Duration, client: &Client) -> Result<(), Error> {
        let called = Instant::now();
        let current = || {
            self.age()
                .is_some_and(|age| age <= max_age.saturating_add(called.elapsed()))
        };
        if current() {
            return Ok(());
        }
        let attempts = self.state().attempts;
        let _turn = self.one_at_a_time.lock().await;
        {
            let state = self.state();
            if state.attempts != attempts {
                state.last.clone()?;
            }
        }
        // What was read meanwhile may have begun too early.
        if current() {
            return Ok(());
        }
        self.refresh(client).await
    }

    async fn refresh(&self, client: &Client) -> Result<(), Error> {
        self.state().written = Some(Vec::new());
        let began = Instant::now();
        let read = (self.read)(client.clone()).await;
        let mut state = self.state();
        let written = state.written.take().unwrap_or_default();
        state.attempts += 1;
        state.last = read.as_ref().map(|_| ()).map_err(Clone::clone);
        let mut new = Snapshot::from_rows(read?, began);
        for (uuid, row) in written {
            new.set(uuid, row);
        }
        let changes = new.changes_since(state.snapshot.as_ref());
        state.changes.extend(changes);
        state.snapshot = Some(new);
        Ok(())
    }

    /// What the lists since the last call have found different, whoever asked for them.
    fn take_changes(&self) -> Changes {
        std::mem::take(&mut self.state().changes)
    }

    /// The row with this UUID.
    pub fn get(&self, uuid: Uuid) -> Option<Arc<T>> {
        self.state().snapshot.as_ref()?.rows.get(&uuid).cloned()
    }

    /// The rows with this label.
    pub fn labelled(&self, label: &str) -> Vec<Arc<T>> {
        let state = self.state();
        let Some(snapshot) = &state.snapshot else {
            return Vec::new();
        };
        let uuids = snapshot.labels.get(label).into_iter().flatten();
        uuids
            .filter_map(|uuid| snapshot.rows.get(uuid).cloned())
            .collect()
    }

    /// Every row that passes.
    pub fn filter(&self, pass: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let state = self.state();
        let rows = state
            .snapshot
            .iter()
            .flat_map(|snapshot| snapshot.rows.values());
        rows.filter(|row| pass(row)).cloned().collect()
    }

    /// Notes what a write of ours made of a row (none: it is gone).
    pub fn wrote(&self, uuid: Uuid, row: Option<Arc<T>>) {
        let mut state = self.state();
        if let Some(written) = &mut state.written {
            written.push((uuid, row.clone()));
        }
        if let Some(snapshot) = &mut state.snapshot {
            snapshot.set(uuid, row);
        }
    }
}

impl<T: Listed> Snapshot<T> {
    fn from_rows(rows: Vec<T>, read_at: Instant) -> Self {
        let mut snapshot = Self {
            rows: HashMap::with_capacity(rows.len()),
            labels: HashMap::with_capacity(rows.len()),
            read_at,
        };
        for row in rows {
            snapshot.set(row.uuid(), Some(Arc::new(row)));
        }
        snapshot
    }

    fn set(&mut self, uuid: Uuid, row: Option<Arc<T>>) {
        let label = row.as_ref().map(|row| row.label().to_owned());
        let old = match row {
            Some(row) => self.rows.insert(uuid, row),
            None => self.rows.remove(&uuid),
        };
        if let Some(old) = old.filter(|old| Some(old.label()) != label.as_deref())
            && let Some(uuids) = self.labels.get_mut(old.label())
        {
            uuids.retain(|other| *other != uuid);
        }
        if let Some(label) = label {
            let uuids = self.labels.entry(label).or_default();
            if !uuids.contains(&uuid) {
                uuids.push(uuid);
            }
        }
    }

    fn changes_since(&self, old: Option<&Self>) -> Changes {
        let Some(old) = old else {
            return Changes::new();
        };
        let changed = self
            .rows
            .values()
            .filter(|row| old.rows.get(&row.uuid()) != Some(row));
        let gone = old
            .rows
            .values()
            .filter(|row| !self.rows.contains_key(&row.uuid()));
        // Under its old name and its new one, a renamed row concerns others.
        let renamed = changed.clone().filter_map(|row| old.rows.get(&row.uuid()));
        changed
            .chain(gone)
            .chain(renamed)
            .map(|row| (row.uuid(), row.label().to_owned()))
            .collect()
    }
}

fn read<T: Listed + for<'de> Deserialize<'de>>(
    client: Client,
    collection: Collection,
) -> BoxFuture<'static, Result<Vec<T>, Error>> {
    Box::pin(async move { client.list::<T>(collection, &[]).await })
}

fn read_kind<K: StageKind>(client: Client) -> BoxFuture<'static, Result<Vec<Live>, Error>> {
    Box::pin(async move {
        let rows = client.list::<Row<K>>(K::COLLECTION, &[]).await?;
        Ok(rows.into_iter().map(|row| row.0).collect())
    })
}

/// All lists of one server. A list that nothing asks for is never read.
#[derive(Debug)]
pub struct Inventory {
    kinds: Mutex<BTreeMap<&'static str, Arc<List<Live>>>>,
    /// Stages of every kind, for references by name or UUID.
    pub stages: List<AnyStage>,
    /// Flows.
    pub flows: List<Flow>,
    /// WebAuthn device types.
    pub device_types: List<DeviceType>,
    /// Which stage stands where in which flow.
    pub bindings: List<Binding>,
}

impl Default for Inventory {
    fn default() -> Self {
        Self {
            kinds: Mutex::default(),
            stages: List::new(|client| read(client, Collection::ALL_STAGES)),
            flows: List::new(|client| read(client, Collection::FLOWS)),
            device_types: List::new(|client| read(client, Collection::WEBAUTHN_DEVICE_TYPES)),
            bindings: List::new(|client| read(client, Collection::BINDINGS)),
        }
    }
}

/// What has been found different since the last refresh of the whole inventory.
#[derive(Debug, Default)]
pub struct Refreshed {
    /// Stages of our kinds that came, went or changed, UUID and name; or whose bindings did, without the name.
    pub stages: Changes,
    /// Whether anything that references point at came, went or changed.
    pub references: bool,
    /// Lists that the token may not read.
    pub refused: Vec<Error>,
}

impl Inventory {
    /// The list of this kind's stages.
    pub fn kind<K: StageKind>(&self) -> Arc<List<Live>> {
        let mut kinds = self.kinds.lock().expect("no panic while held");
        kinds
            .entry(K::KIND)
            .or_insert_with(|| Arc::new(List::new(read_kind::<K>)))
            .clone()
    }

    /// Whether the list of this kind's stages has been read and holds no such stage.
    pub fn lacks(&self, kind: &str, uuid: Uuid) -> bool {
        let kinds = self.kinds.lock().expect("no panic while held");
        kinds
            .get(kind)
            .is_some_and(|list| list.age().is_some() && list.get(uuid).is_none())
    }

    /// How long ago the oldest of the lists in use was read; nothing where none is.
    pub fn age(&self) -> Option<Duration> {
        let kinds = self.kinds.lock().expect("no panic while held");
        let kinds = kinds.values().filter_map(|list| list.age());
        let others = [
            self.stages.age(),
            self.flows.age(),
            self.device_types.age(),
            self.bindings.age(),
        ];
        kinds.chain(others.into_iter().flatten()).max()
    }

    /// Reads every list again that is in use.
    ///
    /// # Errors
    /// The first that is not about what the token may do.
    pub async fn refresh(&self, client: &Client) -> Result<Refreshed, Error> {
        let kinds: Vec<_> = self
            .kinds
            .lock()
            .expect("no panic while held")
            .values()
            .cloned()
            .collect();
        let mut refreshed = Refreshed::default();
        for kind in &kinds {
            refreshed.note(again(kind, client).await)?;
        }
        refreshed.note(again(&self.stages, client).await)?;
        refreshed.note(again(&self.flows, client).await)?;
        refreshed.note(again(&self.device_types, client).await)?;
        refreshed.note(again(&self.bindings, client).await)?;
        refreshed.stages = kinds.iter().flat_map(|kind| kind.take_changes()).collect();
        let bindings = self.bindings.take_changes().into_iter();
        let bound = bindings.filter_map(|(_, stage)| stage.parse().ok());
        refreshed
            .stages
            .extend(bound.map(|stage| (stage, String::new())));
        let references = [
            self.stages.take_changes(),
            self.flows.take_changes(),
            self.device_types.take_changes(),
        ];
        refreshed.references = references.iter().any(|changes| !changes.is_empty());
        Ok(refreshed)
    }
}

impl Refreshed {
    fn note(&mut self, read: Result<(), Error>) -> Result<(), Error> {
        match read {
            Err(error @ (Error::AccessDenied { .. } | Error::EndpointMissing { .. })) => {
                self.refused.push(error);
                Ok(())
            }
            other => other,
        }
    }
}

async fn again<T: Listed>(list: &List<T>, client: &Client) -> Result<(), Error> {
    if list.age().is_none() {
        return Ok(());
    }
    list.at_most(Duration::ZERO, client).await
}
