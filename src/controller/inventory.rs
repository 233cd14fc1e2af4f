//! What one authentik server holds, read as paged lists: one refresh a resync interval, shared by all
//! reconciles, and kept current by the answers to our own writes.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
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

type Read<T> = for<'a> fn(&'a List<T>, &'a Client) -> BoxFuture<'a, Result<Vec<Arc<T>>, Error>>;

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
    written: Option<HashMap<Uuid, Option<Arc<T>>>>,
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

    /// How long ago it was read; nothing where it never was.
    pub fn age(&self) -> Option<Duration> {
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
        self.state().written = Some(HashMap::new());
        let began = Instant::now();
        let read = (self.read)(self, client).await;
        let mut state = self.state();
        let written = state.written.take().unwrap_or_default();
        state.attempts += 1;
        state.last = read.as_ref().map(|_| ()).map_err(Clone::clone);
        let rows = read?;
        match &mut state.snapshot {
            Some(snapshot) => {
                let changes = snapshot.update(rows, written, began);
                state.changes.extend(changes);
            }
            none => {
                // Nobody has seen anything yet that could be different now.
                none.insert(Snapshot::new(began))
                    .update(rows, written, began);
            }
        }
        Ok(())
    }

    /// The row as it is kept: the one that is there already where the two are equal.
    fn kept(&self, row: T) -> Arc<T> {
        let known = self.get(row.uuid()).filter(|known| **known == row);
        known.unwrap_or_else(|| Arc::new(row))
    }

    /// What the lists since the last call have found different, whoever asked for them.
    fn take_changes(&self) -> Changes {
        std::mem::take(&mut self.state().changes)
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        let state = self.state();
        state
            .snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.rows.len())
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
            written.insert(uuid, row.clone());
        }
        if let Some(snapshot) = &mut state.snapshot {
            snapshot.set(uuid, row);
        }
    }
}

impl<T: Listed> Snapshot<T> {
    fn new(read_at: Instant) -> Self {
        Self {
            rows: HashMap::new(),
            labels: HashMap::new(),
            read_at,
        }
    }

    /// Takes over what a list shows, but for the rows that were written while it was read. Returns what is
    /// different. Rows that are as they were stay as they are, so that a steady state costs no memory.
    fn update(
        &mut self,
        rows: Vec<Arc<T>>,
        written: HashMap<Uuid, Option<Arc<T>>>,
        read_at: Instant,
    ) -> Changes {
        self.read_at = read_at;
        let mut changes = Changes::new();
        let mut listed = HashSet::with_capacity(rows.len());
        for row in rows {
            let uuid = row.uuid();
            listed.insert(uuid);
            if written.contains_key(&uuid) {
                continue;
            }
            let known = self.rows.get(&uuid);
            if known == Some(&row) {
                continue;
            }
            changes.push((uuid, row.label().to_owned()));
            // Under its old name and its new one, a renamed row concerns others.
            changes.extend(known.map(|known| (uuid, known.label().to_owned())));
            self.set(uuid, Some(row));
        }
        let gone = self.rows.values().map(|row| (row.uuid(), row.label()));
        let gone: Changes = gone
            .filter(|(uuid, _)| !listed.contains(uuid) && !written.contains_key(uuid))
            .map(|(uuid, label)| (uuid, label.to_owned()))
            .collect();
        for (uuid, _) in &gone {
            self.set(*uuid, None);
        }
        changes.extend(gone);
        for (uuid, row) in written {
            self.set(uuid, row);
        }
        changes
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
            if uuids.is_empty() {
                self.labels.remove(old.label());
            }
        }
        if let Some(label) = label {
            let one = || Vec::with_capacity(1);
            let uuids = self.labels.entry(label).or_insert_with(one);
            if !uuids.contains(&uuid) {
                uuids.push(uuid);
            }
        }
    }
}

fn read<'a, T: Listed + for<'de> Deserialize<'de>>(
    list: &'a List<T>,
    client: &'a Client,
    collection: Collection,
) -> BoxFuture<'a, Result<Vec<Arc<T>>, Error>> {
    let keep = |row: T| list.kept(row);
    Box::pin(async move { client.list_as(collection, &[], keep).await })
}

fn read_kind<'a, K: StageKind>(
    list: &'a List<Live>,
    client: &'a Client,
) -> BoxFuture<'a, Result<Vec<Arc<Live>>, Error>> {
    let keep = |row: Row<K>| list.kept(row.0);
    Box::pin(async move { client.list_as(K::COLLECTION, &[], keep).await })
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
            stages: List::new(|list, client| read(list, client, Collection::ALL_STAGES)),
            flows: List::new(|list, client| read(list, client, Collection::FLOWS)),
            device_types: List::new(|list, client| {
                read(list, client, Collection::WEBAUTHN_DEVICE_TYPES)
            }),
            bindings: List::new(|list, client| read(list, client, Collection::BINDINGS)),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn row(n: u128, name: &str) -> Arc<AnyStage> {
        let (pk, name) = (Uuid::from_u128(n), name.to_owned());
        Arc::new(AnyStage { pk, name })
    }

    fn snapshot(rows: Vec<Arc<AnyStage>>) -> Snapshot<AnyStage> {
        let mut snapshot = Snapshot::new(Instant::now());
        snapshot.update(rows, HashMap::new(), Instant::now());
        snapshot
    }

    fn changed(n: u128, label: &str) -> (Uuid, String) {
        (Uuid::from_u128(n), label.to_owned())
    }

    #[test]
    fn what_came_went_or_was_renamed_is_a_change_and_nothing_else() {
        let mut snapshot = snapshot(vec![row(1, "same"), row(2, "old"), row(3, "gone")]);
        let rows = vec![row(1, "same"), row(2, "new"), row(4, "came")];
        let mut changes = snapshot.update(rows, HashMap::new(), Instant::now());
        changes.sort();
        let expected = [
            changed(2, "new"),
            changed(2, "old"),
            changed(3, "gone"),
            changed(4, "came"),
        ];
        assert_eq!(changes, expected);
        let labels: BTreeSet<_> = snapshot.labels.keys().map(String::as_str).collect();
        assert_eq!(labels, BTreeSet::from(["came", "new", "same"]));
        assert_eq!(snapshot.rows.len(), 3);
    }

    #[test]
    fn an_own_write_counts_more_than_the_list_that_was_read_meanwhile() {
        let mut snapshot = snapshot(vec![row(1, "one"), row(2, "two")]);
        // As written, before the list that still shows what was there.
        snapshot.set(Uuid::from_u128(1), Some(row(1, "renamed")));
        snapshot.set(Uuid::from_u128(2), None);
        let written = HashMap::from([
            (Uuid::from_u128(1), Some(row(1, "renamed"))),
            (Uuid::from_u128(2), None),
        ]);
        let rows = vec![row(1, "one"), row(2, "two")];
        assert_eq!(snapshot.update(rows, written, Instant::now()), []);
        let rows: Vec<_> = snapshot.rows.values().cloned().collect();
        assert_eq!(rows, [row(1, "renamed")]);
    }

    #[test]
    fn a_row_that_is_as_it_was_is_not_kept_twice() {
        let first = row(1, "same");
        let list = List::new(|list, client| read(list, client, Collection::ALL_STAGES));
        list.state().snapshot = Some(snapshot(vec![first.clone()]));
        assert!(Arc::ptr_eq(&list.kept((*first).clone()), &first));
        assert!(!Arc::ptr_eq(&list.kept((*row(1, "other")).clone()), &first));
    }
}
