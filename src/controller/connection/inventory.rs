//! All lists of one server. A list that nothing asks for is never read.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    list::{Differences, List, Listed, Rows, hash},
    rows::bindings_of,
};
use crate::{
    authentik::{Client, Collection, DeniedKind, Error, Keyed, Remote, Weigh},
    controller::memory::Memory,
    kinds::{Bound, Kind},
    plan::{AnyRow, Live, Referred, Row, bindings::Binding, pace},
};

/// The most rows that a moving reading left in doubt and that are asked for one by one. The others stay as they are until
/// the next reading.
const MOST_DOUBTS: usize = 100;

type Reading<'a, T> = BoxFuture<'a, Result<Rows<T>, Error>>;
type Getting<'a, T> = BoxFuture<'a, Result<Option<T>, Error>>;
type Looking<'a> = BoxFuture<'a, Result<(), Error>>;

/// How a list is read, and how one of its rows is.
#[derive(Debug)]
struct Source<T> {
    collection: Collection,
    read: for<'a> fn(Collection, &'a List<T>, &'a Client, &'a Memory) -> Reading<'a, T>,
    get: for<'a> fn(Collection, &'a Client, Uuid) -> Getting<'a, T>,
    look: for<'a> fn(&'a Source<T>, &'a List<T>, &'a Client) -> Looking<'a>,
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
            look: |source, list, client| Box::pin(source.look_at_each(list, client)),
        }
    }

    /// Asks for each row that the list holds.
    async fn look_at_each(&self, list: &List<T>, client: &Client) -> Result<(), Error> {
        for row in list.held() {
            self.correct(list, client, row.uuid()).await?;
        }
        Ok(())
    }

    /// Asks for this row.
    ///
    /// # Errors
    /// Those that concern the whole server.
    async fn correct(&self, list: &List<T>, client: &Client, uuid: Uuid) -> Result<(), Error> {
        match (self.get)(self.collection, client, uuid).await {
            Ok(found) => list.corrects(uuid, found),
            Err(error) if concerns_the_server(&error) => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }
}

impl Source<Binding> {
    /// Asks for the bindings of each stage of which the list holds one.
    async fn look_at_stages(&self, list: &List<Binding>, client: &Client) -> Result<(), Error> {
        let held = list.held();
        let stages: BTreeSet<_> = held.iter().map(|row| row.stage.as_str()).collect();
        for stage in stages {
            let Ok(uuid) = stage.parse() else {
                continue;
            };
            let listing = match bindings_of(client, Bound::Stage, uuid).await {
                Ok(listing) => listing,
                Err(error) if concerns_the_server(&error) => return Err(error),
                Err(_) => continue,
            };
            let gone = held.iter().filter(|row| row.stage == stage);
            for row in gone.filter(|row| !listing.keys.contains(&row.pk)) {
                self.correct(list, client, row.pk).await?;
            }
            for row in listing.rows {
                list.corrects(row.pk, Some(row));
            }
        }
        Ok(())
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
            binding_source: Source {
                look: |source, list, client| Box::pin(source.look_at_stages(list, client)),
                ..Source::of::<Binding>(Collection::BINDINGS)
            },
        }
    }
}

/// What was found different.
#[derive(Debug, Default)]
pub struct Different {
    /// Stages of our kinds, UUID and name.
    pub stages: Differences,
    /// Stages whose bindings are others, and when those were last seen before.
    pub bound: Vec<(Uuid, Option<Instant>)>,
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

    /// What the next look at every list that is in use costs.
    pub fn price(&self) -> Duration {
        let kinds = self.kinds.lock();
        let kinds = kinds.values().map(|(list, _)| list.price());
        let referred = self.referred.lock();
        let referred = referred.values().map(|(list, _)| list.price());
        let all = kinds.chain(referred).chain([self.bindings.price()]);
        all.map(|price| price.next()).sum()
    }

    /// Reads the lists that are asked for, and looks at the others as far as `looks` says. Returns how long the server took to
    /// answer.
    ///
    /// # Errors
    /// The first that concerns the whole server.
    pub async fn refresh(
        &self,
        looks: Looks,
        client: &Client,
        memory: &Memory,
    ) -> Result<Duration, Error> {
        let kinds: Vec<_> = self.kinds.lock().values().cloned().collect();
        let referred: Vec<_> = self.referred.lock().values().cloned().collect();
        let reader = Reader {
            looks,
            client,
            memory,
        };
        let mut spent = Duration::ZERO;
        for (list, source) in &kinds {
            spent += reader.read(list, source).await?;
        }
        for (list, source) in &referred {
            spent += reader.read(list, source).await?;
        }
        spent += reader.read(&self.bindings, &self.binding_source).await?;
        Ok(spent)
    }

    /// What readings have found different since the last call.
    pub fn take_differences(&self) -> Different {
        let kinds = self.kinds.lock();
        let stages = kinds.values().flat_map(|(list, _)| list.take_differences());
        let bound = self.bindings.take_differences().into_iter();
        let referred = self.referred.lock();
        let references = referred.values().flat_map(|(list, source)| {
            let differences = list.take_differences().into_iter();
            differences.map(|found| (source.collection, found.uuid, found.label))
        });
        Different {
            stages: stages.collect(),
            bound: bound
                .filter_map(|found| Some((found.label.parse().ok()?, found.since)))
                .collect(),
            references: references.collect(),
        }
    }
}

/// What a look is to show.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Looks {
    /// The lists that are asked for.
    Wanted,
    /// Every list that is in use.
    All,
    /// The rows of every list in use that somebody has to do with; all rows where that is cheaper, and every five minutes.
    Own,
}

struct Reader<'a> {
    looks: Looks,
    client: &'a Client,
    memory: &'a Memory,
}

impl Reader<'_> {
    async fn read<T: Listed>(&self, list: &List<T>, source: &Source<T>) -> Result<Duration, Error> {
        let is_due = list.is_wanted() || (self.looks != Looks::Wanted && list.is_in_use());
        if !is_due {
            return Ok(Duration::ZERO);
        }
        let (client, meter) = self.client.metered();
        if self.looks == Looks::Own && !list.is_wanted() && may_go_by_rows(list) {
            let began = Instant::now();
            (source.look)(source, list, &client).await?;
            list.looked(began, meter.spent());
            return Ok(meter.spent());
        }
        let began = list.begins();
        let read = (source.read)(source.collection, list, &client, self.memory).await;
        if let Err(error) = &read
            && concerns_the_server(error)
        {
            list.breaks_off();
            return Err(error.clone());
        }
        let doubtful = list.ends(began, read);
        for row in doubtful.iter().take(MOST_DOUBTS) {
            source.correct(list, &client, row.uuid()).await?;
        }
        list.done(began, meter.spent());
        Ok(meter.spent())
    }
}

/// Whether it is enough to ask for the rows that a list holds.
fn may_go_by_rows<T: Listed>(list: &List<T>) -> bool {
    let is_recent = |read_at: Instant| read_at.elapsed() < pace::LONGEST;
    list.read_at().is_some_and(is_recent) && list.price().is_cheaper_one_by_one()
}

/// Whether other requests would fare alike; else this one list can't be read, and nothing else is affected.
fn concerns_the_server(error: &Error) -> bool {
    match error {
        Error::Unavailable { .. } | Error::Closed => true,
        Error::AccessDenied { kind, .. } => *kind == DeniedKind::Token,
        _ => false,
    }
}
