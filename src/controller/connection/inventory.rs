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

use super::{
    list::{Differences, List, Listed, Rows, hash},
    rows::{AnyStage, DeviceType, Flow},
};
use crate::{
    authentik::{Client, Collection, DeniedKind, Error, Weigh},
    controller::memory::Memory,
    plan::{Live, Row, bindings::Binding},
    stages::StageKind,
};

/// The most rows that a moving reading left in doubt and that are asked for one by one. The others stay as they are until
/// the next reading.
const MOST_DOUBTS: usize = 100;

type Reading<'a, T> = BoxFuture<'a, Result<Rows<T>, Error>>;
type Getting<'a, T> = BoxFuture<'a, Result<Option<T>, Error>>;

/// How a list is read, and how one of its rows is.
#[derive(Debug)]
pub struct Source<T> {
    read: for<'a> fn(&'a List<T>, &'a Client, &'a Memory) -> Reading<'a, T>,
    get: for<'a> fn(&'a Client, Uuid) -> Getting<'a, T>,
}

/// Reads a list, and keeps what somebody has to do with.
fn read<'a, R, T>(
    list: &'a List<T>,
    client: &'a Client,
    memory: &'a Memory,
    collection: Collection,
    row: fn(R) -> T,
) -> Reading<'a, T>
where
    R: DeserializeOwned + Weigh + Send + 'a,
    T: Listed,
{
    Box::pin(async move {
        let left_out = Mutex::new(HashSet::new());
        let keep = |decoded: R| {
            let row = row(decoded);
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
    })
}

fn get<'a, R, T>(
    client: &'a Client,
    collection: Collection,
    uuid: Uuid,
    row: fn(R) -> T,
) -> Getting<'a, T>
where
    R: DeserializeOwned + Send + 'a,
    T: 'a,
{
    Box::pin(async move {
        let found: Option<R> = client.get(collection, &uuid.to_string()).await?;
        Ok(found.map(row))
    })
}

/// A flow's page is found by its slug, so its UUID is a filter.
fn get_flow(client: &Client, uuid: Uuid) -> Getting<'_, Flow> {
    Box::pin(async move {
        let filter = uuid.to_string();
        let filter = [("flow_uuid", filter.as_str())];
        let keep = |flow: Flow| (flow.pk == uuid).then_some(flow);
        Ok(client
            .list(Collection::FLOWS, &filter, keep)
            .await?
            .rows
            .pop())
    })
}

fn kind<K: StageKind>() -> Source<Live> {
    Source {
        read: |list, client, memory| read(list, client, memory, K::COLLECTION, |row: Row<K>| row.0),
        get: |client, uuid| get(client, K::COLLECTION, uuid, |row: Row<K>| row.0),
    }
}

const STAGES: Source<AnyStage> = Source {
    read: |list, client, memory| {
        read(
            list,
            client,
            memory,
            Collection::ALL_STAGES,
            |row: AnyStage| row,
        )
    },
    get: |client, uuid| get(client, Collection::ALL_STAGES, uuid, |row: AnyStage| row),
};

const FLOWS: Source<Flow> = Source {
    read: |list, client, memory| read(list, client, memory, Collection::FLOWS, |row: Flow| row),
    get: get_flow,
};

const DEVICE_TYPES: Source<DeviceType> = Source {
    read: |list, client, memory| {
        let collection = Collection::WEBAUTHN_DEVICE_TYPES;
        read(list, client, memory, collection, |row: DeviceType| row)
    },
    get: |client, uuid| {
        let collection = Collection::WEBAUTHN_DEVICE_TYPES;
        get(client, collection, uuid, |row: DeviceType| row)
    },
};

const BINDINGS: Source<Binding> = Source {
    read: |list, client, memory| {
        read(
            list,
            client,
            memory,
            Collection::BINDINGS,
            |row: Binding| row,
        )
    },
    get: |client, uuid| get(client, Collection::BINDINGS, uuid, |row: Binding| row),
};

/// The list of one kind's stages, and how it is read.
type Kind = (Arc<List<Live>>, Arc<Source<Live>>);

/// All lists of one server.
#[derive(Debug, Default)]
pub struct Inventory {
    kinds: Mutex<BTreeMap<&'static str, Kind>>,
    /// Stages of every kind that specs refer to.
    pub stages: List<AnyStage>,
    /// Flows that specs refer to.
    pub flows: List<Flow>,
    /// WebAuthn device types that specs refer to.
    pub device_types: List<DeviceType>,
    /// Where managed stages stand in flows.
    pub bindings: List<Binding>,
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
    /// The list of this kind's stages.
    pub fn kind<K: StageKind>(&self) -> Arc<List<Live>> {
        let mut kinds = self.kinds.lock();
        let list = || (Arc::default(), Arc::new(kind::<K>()));
        kinds.entry(K::KIND).or_insert_with(list).0.clone()
    }

    /// Whether the list of this kind's stages has been read and holds no such stage.
    pub fn lacks(&self, kind: &str, uuid: Uuid) -> bool {
        let kinds = self.kinds.lock();
        kinds
            .get(kind)
            .is_some_and(|(list, _)| list.read_at().is_some() && list.get(uuid).is_none())
    }

    /// How long ago the oldest of the lists in use was read; nothing where none is.
    pub fn age(&self) -> Option<Duration> {
        let kinds = self.kinds.lock();
        let kinds = kinds.values().filter_map(|(list, _)| list.read_at());
        let others = [
            self.stages.read_at(),
            self.flows.read_at(),
            self.device_types.read_at(),
            self.bindings.read_at(),
        ];
        let oldest = kinds.chain(others.into_iter().flatten()).min();
        oldest.map(|read_at| read_at.elapsed())
    }

    /// Reads the lists that are asked for or, with `all`, every list that is in use.
    ///
    /// # Errors
    /// The first that concerns the whole server.
    pub async fn refresh(&self, all: bool, client: &Client, memory: &Memory) -> Result<(), Error> {
        let kinds: Vec<_> = self.kinds.lock().values().cloned().collect();
        let reader = Reader {
            all,
            client,
            memory,
        };
        for (list, source) in &kinds {
            reader.read(list, source).await?;
        }
        reader.read(&self.stages, &STAGES).await?;
        reader.read(&self.flows, &FLOWS).await?;
        reader.read(&self.device_types, &DEVICE_TYPES).await?;
        reader.read(&self.bindings, &BINDINGS).await
    }

    /// What readings have found different since the last call.
    pub fn take_differences(&self) -> Different {
        let kinds = self.kinds.lock();
        let stages = kinds.values().flat_map(|(list, _)| list.take_differences());
        let bound = self.bindings.take_differences().into_iter();
        let references = [
            (Collection::ALL_STAGES, self.stages.take_differences()),
            (Collection::FLOWS, self.flows.take_differences()),
            (
                Collection::WEBAUTHN_DEVICE_TYPES,
                self.device_types.take_differences(),
            ),
        ];
        Different {
            stages: stages.collect(),
            bound: bound.filter_map(|(_, stage)| stage.parse().ok()).collect(),
            references: references
                .into_iter()
                .flat_map(|(collection, changes)| {
                    changes
                        .into_iter()
                        .map(move |(uuid, label)| (collection, uuid, label))
                })
                .collect(),
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
        let read = (source.read)(list, self.client, self.memory).await;
        if let Err(error) = &read
            && concerns_the_server(error)
        {
            list.breaks_off();
            return Err(error.clone());
        }
        let doubtful = list.ends(began, read);
        for row in doubtful.iter().take(MOST_DOUBTS) {
            let uuid = row.uuid();
            match (source.get)(self.client, uuid).await {
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
