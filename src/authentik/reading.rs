//! One reading of a list: what its pages have shown so far.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};
use uuid::Uuid;

use super::{
    answer::AtMost,
    collection::Collection,
    error::Error,
    shown::{Redactor, Shown},
};

/// Most rows of a list.
pub(super) const MAX_ROWS: usize = 50_000;

/// Most bytes of memory that the rows of a list may need, as they were read. Twenty thousand stages need so much.
pub(super) const MAX_WEIGHT: usize = 24 * 1024 * 1024;

/// Most rows of a page. A hundred are asked for.
const MAX_PAGE_ROWS: usize = 1000;

/// Most pages of a list; on a server that grants 20 rows a page they hold [`MAX_ROWS`].
const MAX_PAGES: u64 = 2500;

/// How many bytes of memory a row needs. Lists are bounded by it.
pub trait Weigh {
    /// About so many bytes, what it points to included.
    fn weight(&self) -> usize;
}

/// What is found by its primary key.
pub trait Keyed {
    /// The primary key.
    fn key(&self) -> Uuid;
}

impl Weigh for Value {
    fn weight(&self) -> usize {
        let inner = match self {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(Weigh::weight).sum(),
            Value::Object(fields) => fields
                .iter()
                .map(|(key, value)| key.len() + value.weight())
                .sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        };
        size_of::<Value>() + inner
    }
}

/// What a list has shown. It is true of the rows that it shows.
#[derive(Debug)]
pub struct Listing<R> {
    /// What was kept, in the order of the keys.
    pub rows: Vec<R>,
    /// The keys of all rows that are there, kept or not, readable or not.
    pub keys: HashSet<Uuid>,
    /// The keys of the rows that are there and can't be read.
    pub unreadable: HashSet<Uuid>,
    /// False when rows moved while the list was read, or had no key: a row that is missing may be there all the same.
    pub complete: bool,
}

/// One page as it came.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    pagination: Pagination,
    #[serde(borrow)]
    results: AtMost<&'a RawValue, MAX_PAGE_ROWS>,
}

impl Page<'_> {
    /// How many rows there are on all pages.
    pub fn count(&self) -> u64 {
        self.pagination.count
    }
}

#[derive(Deserialize)]
struct Pagination {
    /// Number of the next page, 0 on the last.
    next: u64,
    count: u64,
}

/// One reading of a list.
pub(super) struct Reading<R> {
    collection: Collection,
    kept: BTreeMap<Uuid, Kept<R>>,
    keys: HashSet<Uuid>,
    unreadable: HashSet<Uuid>,
    without_key: usize,
    weight: usize,
    pages: u64,
    /// How many rows the server counted with the first page, and with the latest.
    counts: Option<(u64, u64)>,
    moved: bool,
}

struct Kept<R> {
    row: R,
    weight: usize,
}

impl<R> Reading<R> {
    pub fn new(collection: Collection) -> Reading<R> {
        Reading {
            collection,
            kept: BTreeMap::new(),
            keys: HashSet::new(),
            unreadable: HashSet::new(),
            without_key: 0,
            weight: 0,
            pages: 0,
            counts: None,
            moved: false,
        }
    }

    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Whether rows moved towards the beginning, so that one may have been missed.
    pub fn has_moved(&self) -> bool {
        self.moved
    }

    pub fn note_moved(&mut self) {
        self.moved = true;
    }

    /// Takes the page of this number; the number of the next one, if there is one.
    pub fn take<T: DeserializeOwned + Weigh>(
        &mut self,
        number: u64,
        page: Page<'_>,
        keep: impl Fn(T) -> Option<R>,
        redactor: &Redactor,
    ) -> Result<Option<u64>, Error> {
        let Pagination { next, count } = page.pagination;
        if count > MAX_ROWS as u64 {
            return Err(too_many_rows(redactor));
        }
        let (first, latest) = self.counts.unwrap_or((count, count));
        self.counts = Some((first, count));
        self.pages += 1;
        for raw in page.results.0 {
            self.add(raw, &keep, redactor)?;
        }
        let seen = (self.keys.len() + self.without_key) as u64;
        self.moved |= count < latest || next == 0 && seen < first;
        match next {
            0 => Ok(None),
            next if next > number && next <= MAX_PAGES => Ok(Some(next)),
            _ => Err(Error::unavailable(
                Shown::fixed("the pages of authentik's list lead nowhere"),
                false,
            )),
        }
    }

    /// Takes a row. One that was seen before may have changed since.
    fn add<T: DeserializeOwned + Weigh>(
        &mut self,
        raw: &RawValue,
        keep: impl Fn(T) -> Option<R>,
        redactor: &Redactor,
    ) -> Result<(), Error> {
        let Some(key) = key(self.collection, raw) else {
            self.without_key += 1;
            return self.check(redactor);
        };
        self.keys.insert(key);
        self.forget(key);
        match serde_json::from_str::<T>(raw.get()) {
            Ok(row) => {
                let weight = row.weight();
                if let Some(row) = keep(row) {
                    self.weight += weight;
                    self.kept.insert(key, Kept { row, weight });
                }
            }
            Err(_) => {
                self.unreadable.insert(key);
            }
        }
        self.check(redactor)
    }

    fn forget(&mut self, key: Uuid) {
        self.unreadable.remove(&key);
        if let Some(old) = self.kept.remove(&key) {
            self.weight -= old.weight;
        }
    }

    fn check(&self, redactor: &Redactor) -> Result<(), Error> {
        if self.keys.len() + self.without_key > MAX_ROWS {
            return Err(too_many_rows(redactor));
        }
        if self.weight > MAX_WEIGHT {
            let what = format!("a list whose rows need more than {MAX_WEIGHT} bytes");
            let what = redactor.clean(&what);
            return Err(Error::TooMuch { what });
        }
        Ok(())
    }

    /// This reading together with a later one of the same list. A reading in which nothing moved needs no other.
    pub fn followed_by(mut self, later: Reading<R>) -> Reading<R> {
        if !later.moved {
            return later;
        }
        for key in &later.keys {
            self.forget(*key);
        }
        self.keys.extend(later.keys);
        self.unreadable.extend(later.unreadable);
        self.kept.extend(later.kept);
        self.without_key = self.without_key.max(later.without_key);
        self.weight += later.weight;
        self.pages = later.pages;
        self
    }

    pub fn finish(self) -> Listing<R> {
        Listing {
            rows: self.kept.into_values().map(|kept| kept.row).collect(),
            keys: self.keys,
            unreadable: self.unreadable,
            complete: !self.moved && self.without_key == 0,
        }
    }
}

fn too_many_rows(redactor: &Redactor) -> Error {
    Error::TooMuch {
        what: redactor.clean(&format!("a list of more than {MAX_ROWS} rows")),
    }
}

/// The row's primary key, if it has one that can be read: a UUID or, as those of providers are, a number.
fn key(collection: Collection, raw: &RawValue) -> Option<Uuid> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Keys<'a> {
        #[serde(borrow)]
        pk: Option<&'a RawValue>,
        #[serde(borrow)]
        aaguid: Option<&'a RawValue>,
        #[serde(borrow)]
        brand_uuid: Option<&'a RawValue>,
    }
    let keys: Keys<'_> = serde_json::from_str(raw.get()).ok()?;
    let key = match collection.key() {
        "aaguid" => keys.aaguid,
        "brand_uuid" => keys.brand_uuid,
        _ => keys.pk,
    };
    let key = key?.get();
    match serde_json::from_str::<String>(key) {
        Ok(text) => collection.parse_key(&text),
        Err(_) => collection.parse_key(key),
    }
}
