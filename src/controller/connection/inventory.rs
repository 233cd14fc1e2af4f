//! All lists of one server. A list that nothing asks for is never read.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::list::{Differences, List, Listed, Rows, hash};
use crate::{
    authentik::{Client, Collection, DeniedKind, Error, Keyed, Remote, Weigh},
    controller::memory::Memory,
    kinds::Kind,
    plan::{AnyRow, Live, Referred, Row, bindings::Binding},
};

/// The most rows that a moving reading left in doubt and that are asked for one by one. The others stay as they are until
/// the next reading.
const MOST_DOUBTS: usize = 100;

type Reading<'a, T> = BoxFuture<'a, Result<Rows<T>, Error>>;
type Getting<'a, T> = BoxFuture<'a, Result<Option<T>, Error>>;

/// How a list is read, and how one of its rows is.
#[derive(Debug)]
struct Source<T> {
    collection: Collection,
    read: for<'a> fn(Collection, &'a List<T>, &'a Client, &'a Memory) -> Reading<'a, T>,
    get: for<'a> fn(Collection, &'a Client, Uuid) -> Getting<'a, T>,
}

impl<T: Listed> Source<T> {
    /// The source of rows that are decoded as `R`.
    fn of<R: FromRow<T>>(collection: Collection) -> Self {
        Self {
            collection,
            read: |collection, list, client, memory| {
                Box::pin(read::<R, T>(collection, list, client, memory))
            },
            get: |collection, client, uuid| Box::pin(get::<R, T>(collection, client, uuid)),
        }
    }
}

/// What a row is decoded as, before it becomes what a list holds.
trait FromRow<T>: DeserializeOwned + Weigh + Keyed + Send + 'static {
    /// What a list of this collection holds of it.
    fn listed(self, collection: Collection) -> Option<T>;
}

impl<K: Kind> FromRow<Live> for Row<K> {
    fn listed(self, _: Collection) -> Option<Live> {
        Some(self.0)
    }
}

impl FromRow<Referred> for AnyRow {
    fn listed(self, collection: Collection) -> Option<Referred> {
        self.of(collection)
    }
}

impl FromRow<Binding> for Binding {
    fn listed(self, _: Collection) -> Option<Binding> {
        Some(self)
    }
}

/// Reads a list, and keeps what somebody has to do with.
async fn read<R: FromRow<T>, T: Listed>(
    collection: Collection,
    list: &List<T>,
    client: &Client,
    memory: &Memory,
) -> Result<Rows<T>, Error> {
    let left_out = Mutex::new(HashSet::new());
    let keep = |decoded: R| {
        let row = decoded.listed(collection)?;
        let is_kept = row.concerns_somebody(memory);
        if !is_kept {
            left_out.lock().insert(hash(row.label()));
        }
        is_kept.then(|| list.kept(row))
    };
    let listing = client.list(collection, &[], keep).await?;
    Ok(Rows {
        listing,
        left_out: left_out.into_inner(),
    })
}

async fn get<R: FromRow<T>, T: Listed>(
    collection: Collection,
    client: &Client,
    uuid: Uuid,
) -> Result<Option<T>, Error> {
    let found: Option<R> = client.get(collection, uuid).await?;
    Ok(found.and_then(|row| row.listed(collection)))
}

/// A list, and how it is read.
type Readable<T> = (Arc<List<T>>, Arc<Source<T>>);

/// All lists of one server.
#[derive(Debug)]
pub struct Inventory {
    /// Of each kind, the objects that its resources stand for.
    kinds: Mutex<BTreeMap<&'static str, Readable<Live>>>,
    /// By their paths, the objects that specs refer to.
    referred: Mutex<BTreeMap<&'static str, Readable<Referred>>>,
    /// Where managed stages stand in flows.
    pub bindings: List<Binding>,
    binding_source: Source<Binding>,
}

impl Default for Inventory {
    fn default() -> Self {
        Self {
            kinds: Mutex::default(),
            referred: Mutex::default(),
            bindings: List::default(),
            binding_source: Source::of::<Binding>(Collection::BINDINGS),
        }
    }
}

/// What was found different.
#[derive(Debug, Default)]
pub struct Different {
    /// Stages of our kinds, UUID and name.
    pub stages: Differences,
    /// Stages whose bindings are others.
    pub bound: Vec<Uuid>,
    /// Objects that specs refer to: where they are, and what they are known by.
    pub references: Vec<(Collection, Uuid, String)>,
}

impl Inventory {
    /// The list of this kind's objects.
    pub fn kind<K: Kind>(&self) -> Arc<List<Live>> {
        let mut kinds = self.kinds.lock();
        let list = || {
            (
                Arc::default(),
                Arc::new(Source::of::<Row<K>>(K::COLLECTION)),
            )
        };
        kinds.entry(K::KIND).or_insert_with(list).0.clone()
    }

    /// The list of the objects of a collection that specs refer to.
    pub fn referred(&self, collection: Collection) -> Arc<List<Referred>> {
        let mut referred = self.referred.lock();
        let list = || (Arc::default(), Arc::new(Source::of::<AnyRow>(collection)));
        let known = referred.entry(collection.path()).or_insert_with(list);
        known.0.clone()
    }

    /// Whether the list of this kind's objects has been read and holds no such object.
    pub fn lacks(&self, kind: &str, uuid: Uuid) -> bool {
        let kinds = self.kinds.lock();
        kinds
            .get(kind)
            .is_some_and(|(list, _)| list.read_at().is_some() && list.get(uuid).is_none())
    }

    /// What people call an object that specs refer to or that a resource stands for, as far as it is known.
    pub fn label_of(&self, collection: Collection, uuid: Uuid) -> Option<Remote> {
        if let Some(known) = self.referred(collection).get(uuid) {
            return Some(known.label.clone());
        }
        let kinds = self.kinds.lock();
        let mut lists = kinds.values();
        let (list, _) = lists.find(|(_, source)| source.collection == collection)?;
        list.get(uuid).map(|live| live.name.clone())
    }

    /// As [`Self::label_of`], of an object that may be in the list of a kind whose labels are kept apart with others'.
    pub fn name_of(&self, collection: Collection, uuid: Uuid) -> Option<Remote> {
        self.label_of(collection, uuid).or_else(|| {
            let kinds = self.kinds.lock();
            let mut found = kinds.values().filter_map(|(list, _)| list.get(uuid));
            found.next().map(|live| live.name.clone())
        })
    }

    /// What a rehearsal has called an object of ours.
    pub fn rehearsed_name(&self, uuid: Uuid) -> Option<Remote> {
        let kinds = self.kinds.lock();
        let mut rehearsed = kinds.values().filter_map(|(list, _)| list.rehearsed(uuid));
        rehearsed.next().map(|live| live.name.clone())
    }

    /// How long ago the oldest of the lists in use was read; nothing where none is.
    pub fn age(&self) -> Option<Duration> {
        let kinds = self.kinds.lock();
        let kinds = kinds.values().filter_map(|(list, _)| list.read_at());
        let referred = self.referred.lock();
        let referred = referred.values().filter_map(|(list, _)| list.read_at());
        let oldest = kinds.chain(referred).chain(self.bindings.read_at()).min();
        oldest.map(|read_at| read_at.elapsed())
    }

    /// Reads the lists that are asked for or, with `all`, every list that is in use.
    ///
    /// # Errors
    /// The first that concerns the whole server.
    pub async fn refresh(&self, all: bool, client: &Client, memory: &Memory) -> Result<(), Error> {
        let kinds: Vec<_> = self.kinds.lock().values().cloned().collect();
        let referred: Vec<_> = self.referred.lock().values().cloned().collect();
        let reader = Reader {
            all,
            client,
            memory,
        };
        for (list, source) in &kinds {
            reader.read(list, source).await?;
        }
        for (list, source) in &referred {
            reader.read(list, source).await?;
        }
        reader.read(&self.bindings, &self.binding_source).await
    }

    /// What readings have found different since the last call.
    pub fn take_differences(&self) -> Different {
        let kinds = self.kinds.lock();
        let stages = kinds.values().flat_map(|(list, _)| list.take_differences());
        let bound = self.bindings.take_differences().into_iter();
        let referred = self.referred.lock();
        let references = referred.values().flat_map(|(list, source)| {
            let differences = list.take_differences().into_iter();
            differences.map(|(uuid, label)| (source.collection, uuid, label))
        });
        Different {
            stages: stages.collect(),
            bound: bound.filter_map(|(_, stage)| stage.parse().ok()).collect(),
            references: references.collect(),
        }
    }
}

struct Reader<'a> {
    all: bool,
    client: &'a Client,
    memory: &'a Memory,
}

impl Reader<'_> {
    async fn read<T: Listed>(&self, list: &List<T>, source: &Source<T>) -> Result<(), Error> {
        let is_due = list.is_wanted() || (self.all && list.is_in_use());
        if !is_due {
            return Ok(());
        }
        let began = list.begins();
        let read = (source.read)(source.collection, list, self.client, self.memory).await;
        if let Err(error) = &read
            && concerns_the_server(error)
        {
            list.breaks_off();
            return Err(error.clone());
        }
        let doubtful = list.ends(began, read);
        for row in doubtful.iter().take(MOST_DOUBTS) {
            let uuid = row.uuid();
            match (source.get)(source.collection, self.client, uuid).await {
                Ok(found) => list.corrects(uuid, found),
                Err(error) if concerns_the_server(&error) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Whether other requests would fare alike; else this one list can't be read, and nothing else is affected.
fn concerns_the_server(error: &Error) -> bool {
    match error {
        Error::Unavailable { .. } | Error::Closed => true,
        Error::AccessDenied { kind, .. } => *kind == DeniedKind::Token,
        _ => false,
    }
}
