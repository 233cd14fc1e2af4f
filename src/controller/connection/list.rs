//! One list of one server, as it was last read and as our own writes have changed it since. It holds the rows that some
//! resource has to do with, and no others.

mod difference;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

pub use self::difference::{Difference, Differences};
use crate::{
    authentik::{Error, Listing},
    controller::memory::Memory,
    plan::pace::Price,
};

/// Something that a list holds, by its UUID.
pub trait Listed: Clone + PartialEq + Send + Sync + 'static {
    /// Its UUID.
    fn uuid(&self) -> Uuid;
    /// What it is looked up by besides.
    fn label(&self) -> &str;
    /// Whether some resource has to do with it.
    fn concerns_somebody(&self, memory: &Memory) -> bool;
}

/// What is known of a list.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// It was never read; the connection's task is asked to.
    NotYet,
    /// It was read.
    Read,
    /// It could not be read, for a reason that concerns this list alone.
    Refused(Error),
}

#[derive(Debug)]
struct Inner<T> {
    rows: HashMap<Uuid, Arc<T>>,
    labels: HashMap<String, Vec<Uuid>>,
    /// Rows that are there and can't be understood.
    unreadable: HashSet<Uuid>,
    /// The labels of the rows that nobody has to do with, as hashes.
    left_out: HashSet<u64>,
    /// How many rows the server has, kept or not.
    total: usize,
    /// When the last complete reading began.
    read_at: Option<Instant>,
    /// When the rows that it holds were last looked at, be it one by one.
    looked_at: Option<Instant>,
    /// How long authentik took to answer the last complete reading.
    listing: Duration,
    /// How long it took to answer for the rows that it holds, one by one.
    one_by_one: Option<Duration>,
    refused: Option<(Instant, Error)>,
    /// Since when a reading is asked for.
    wanted: Option<Instant>,
    /// Own writes since the reading under way began: it may or may not show them.
    noted: Option<HashMap<Uuid, Option<Arc<T>>>>,
    /// Rows that a rehearsal has made to what they are. What the server says of them is out of date.
    rehearsed: HashSet<Uuid>,
    /// What was found different since the differences were last taken.
    differences: Differences,
}

/// What one reading has shown.
pub struct Rows<T> {
    /// The rows that somebody has to do with.
    pub listing: Listing<Arc<T>>,
    /// The labels of the others, as hashes.
    pub left_out: HashSet<u64>,
}

/// A label, as it is kept of rows that nobody has to do with.
pub fn hash(label: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    label.hash(&mut hasher);
    hasher.finish()
}

/// One list of one server.
#[derive(Debug)]
pub struct List<T>(Mutex<Inner<T>>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            rows: HashMap::new(),
            labels: HashMap::new(),
            unreadable: HashSet::new(),
            left_out: HashSet::new(),
            total: 0,
            read_at: None,
            looked_at: None,
            listing: Duration::ZERO,
            one_by_one: None,
            refused: None,
            wanted: None,
            noted: None,
            rehearsed: HashSet::new(),
            differences: Differences::new(),
        }))
    }
}

impl<T: Listed> List<T> {
    /// What is known of the list. Where that is nothing, or nothing newer than `not_before`, a reading is asked for.
    /// A refusal counts only after `waits_since`: since when the asking reconcile has waited for it.
    pub fn state(&self, not_before: Option<Instant>, waits_since: Option<Instant>) -> State {
        let mut inner = self.0.lock();
        if let Some(read_at) = inner.read_at
            && not_before.is_none_or(|not_before| read_at >= not_before)
        {
            return State::Read;
        }
        if let Some((at, error)) = &inner.refused
            && waits_since.is_some_and(|since| *at >= since)
        {
            return State::Refused(error.clone());
        }
        inner.wanted.get_or_insert_with(Instant::now);
        State::NotYet
    }

    /// Whether a reading is asked for.
    pub fn is_wanted(&self) -> bool {
        self.0.lock().wanted.is_some()
    }

    /// Whether it was read, or asked for: it is read again with each resync.
    pub fn is_in_use(&self) -> bool {
        let inner = self.0.lock();
        inner.read_at.is_some() || inner.wanted.is_some() || inner.refused.is_some()
    }

    /// When the last complete reading began.
    pub fn read_at(&self) -> Option<Instant> {
        self.0.lock().read_at
    }

    /// When the rows that it holds were last looked at.
    pub fn looked_at(&self) -> Option<Instant> {
        self.0.lock().looked_at
    }

    /// What looking at the list costs.
    pub fn price(&self) -> Price {
        let inner = self.0.lock();
        Price {
            listing: inner.listing,
            one_by_one: inner.one_by_one,
            rows: inner.total,
            own: inner.rows.len() + inner.unreadable.len(),
        }
    }

    /// The reading that began then is done with, what it left in doubt included; authentik took so long to answer.
    pub fn done(&self, began: Instant, cost: Duration) {
        let mut inner = self.0.lock();
        (inner.listing, inner.one_by_one) = (cost, None);
        if inner.read_at == Some(began) {
            inner.looked_at = Some(began);
        }
    }

    /// The rows that it holds, to be looked at one by one.
    pub fn held(&self) -> Vec<Arc<T>> {
        self.0.lock().rows.values().cloned().collect()
    }

    /// All rows that it holds were looked at one by one since this moment, for which authentik took so long.
    pub fn looked(&self, began: Instant, cost: Duration) {
        let mut inner = self.0.lock();
        (inner.looked_at, inner.one_by_one) = (Some(began), Some(cost));
    }

    /// Whether what it holds was read before this moment.
    pub fn is_older_than(&self, moment: Instant) -> bool {
        self.read_at().is_none_or(|read_at| read_at < moment)
    }

    /// A reading begins.
    pub fn begins(&self) -> Instant {
        self.0.lock().noted = Some(HashMap::new());
        Instant::now()
    }

    /// Whether the last reading has shown a row with this label that nobody had to do with then. Rarely it says so where
    /// there was none.
    pub fn left_out(&self, label: &str) -> bool {
        self.0.lock().left_out.contains(&hash(label))
    }

    /// Takes over what a reading shows, but for what was written meanwhile. Returns the rows that it does not show and
    /// that may be there all the same: it was read while rows moved.
    pub fn ends(&self, began: Instant, read: Result<Rows<T>, Error>) -> Vec<Arc<T>> {
        let mut inner = self.0.lock();
        let noted = inner.noted.take().unwrap_or_default();
        inner.wanted = None;
        let listing = match read {
            Ok(listing) => listing,
            Err(error) => {
                inner.refused = Some((Instant::now(), error));
                return Vec::new();
            }
        };
        inner.refused = None;
        inner.left_out = listing.left_out;
        inner.take(listing.listing, &noted, began)
    }

    /// The reading under way failed in a way that concerns the whole server. It stays asked for.
    pub fn breaks_off(&self) {
        self.0.lock().noted = None;
    }

    /// The row as it is kept: the one that is there already where the two are equal.
    pub fn kept(&self, row: T) -> Arc<T> {
        let known = self.get(row.uuid()).filter(|known| **known == row);
        known.unwrap_or_else(|| Arc::new(row))
    }

    /// What was found different since the last call.
    pub fn take_differences(&self) -> Differences {
        std::mem::take(&mut self.0.lock().differences)
    }

    /// How many rows the server has.
    pub fn total(&self) -> usize {
        self.0.lock().total
    }

    /// The row with this UUID.
    pub fn get(&self, uuid: Uuid) -> Option<Arc<T>> {
        self.0.lock().rows.get(&uuid).cloned()
    }

    /// Whether there is such a row that can't be understood.
    pub fn is_unreadable(&self, uuid: Uuid) -> bool {
        self.0.lock().unreadable.contains(&uuid)
    }

    /// The rows with this label.
    pub fn labelled(&self, label: &str) -> Vec<Arc<T>> {
        let inner = self.0.lock();
        let uuids = inner.labels.get(label).into_iter().flatten();
        uuids
            .filter_map(|uuid| inner.rows.get(uuid).cloned())
            .collect()
    }

    /// Takes over what authentik says of a row that the last reading left in doubt.
    pub fn corrects(&self, uuid: Uuid, row: Option<T>) {
        let row = row.map(|row| self.kept(row));
        let mut inner = self.0.lock();
        let known = inner.rows.get(&uuid).cloned();
        if row == known {
            return;
        }
        let rows = [known.as_ref(), row.as_ref()].into_iter().flatten();
        let labels: Vec<_> = rows.map(|row| row.label().to_owned()).collect();
        for label in labels {
            inner.differs(uuid, &label);
        }
        inner.set(uuid, row);
    }

    /// Notes what an answer shows of a row, or what a write of ours made of it (none: it is gone).
    pub fn note(&self, uuid: Uuid, row: Option<Arc<T>>) {
        let mut inner = self.0.lock();
        if inner.rehearsed.contains(&uuid) {
            return;
        }
        if let Some(noted) = &mut inner.noted {
            noted.insert(uuid, row.clone());
        }
        inner.unreadable.remove(&uuid);
        inner.set(uuid, row);
    }

    /// Notes what a write of ours would make of a row (none: it would be gone).
    pub fn rehearse(&self, uuid: Uuid, row: Option<Arc<T>>) {
        let mut inner = self.0.lock();
        inner.rehearsed.insert(uuid);
        inner.set(uuid, row);
    }

    /// What a rehearsal has made of the row with this UUID.
    pub fn rehearsed(&self, uuid: Uuid) -> Option<Arc<T>> {
        let inner = self.0.lock();
        let row = inner.rows.get(&uuid);
        row.filter(|_| inner.rehearsed.contains(&uuid)).cloned()
    }
}

impl<T: Listed> Inner<T> {
    /// Whether what is known of this row is newer than a reading.
    fn is_newer(&self, noted: &HashMap<Uuid, Option<Arc<T>>>, uuid: &Uuid) -> bool {
        noted.contains_key(uuid) || self.rehearsed.contains(uuid)
    }

    /// Rows that are as they were stay as they are, so that a steady state costs no memory.
    fn take(
        &mut self,
        listing: Listing<Arc<T>>,
        noted: &HashMap<Uuid, Option<Arc<T>>>,
        began: Instant,
    ) -> Vec<Arc<T>> {
        // Nobody has seen anything yet that could be different at the first reading.
        let is_first = self.read_at.is_none();
        let before = self.differences.len();
        self.read_at = Some(began);
        self.total = listing.keys.len();
        let kept: HashSet<_> = listing.rows.iter().map(|row| row.uuid()).collect();
        for row in listing.rows {
            let uuid = row.uuid();
            let known = self.rows.get(&uuid).cloned();
            if self.is_newer(noted, &uuid) || known.as_ref() == Some(&row) {
                continue;
            }
            // Under its old name and its new one, a renamed row concerns others.
            for row in [Some(&row), known.as_ref()].into_iter().flatten() {
                self.differs(uuid, row.label());
            }
            self.set(uuid, Some(row));
        }
        for uuid in &listing.unreadable {
            if !self.unreadable.contains(uuid) {
                self.differs(*uuid, "");
            }
        }
        self.unreadable = listing.unreadable;
        let missing = self.rows.values().filter(|row| {
            let uuid = row.uuid();
            !kept.contains(&uuid) && !self.is_newer(noted, &uuid)
        });
        let (doubtful, gone): (Vec<_>, Vec<_>) = missing
            .cloned()
            .partition(|row| !listing.complete && !listing.keys.contains(&row.uuid()));
        for row in gone {
            self.differs(row.uuid(), row.label());
            self.set(row.uuid(), None);
        }
        if is_first {
            self.differences.truncate(before);
        }
        doubtful
    }

    fn differs(&mut self, uuid: Uuid, label: &str) {
        self.differences.push(Difference {
            uuid,
            label: label.to_owned(),
            since: self.looked_at,
        });
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
            let uuids = self.labels.entry(label);
            let uuids = uuids.or_insert_with(|| Vec::with_capacity(1));
            if !uuids.contains(&uuid) {
                uuids.push(uuid);
            }
        }
    }
}
