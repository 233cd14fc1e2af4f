//! Reading a collection page by page, while others may be writing to it.

use std::collections::HashSet;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Client, Collection, error::Error, redact::Redactor, versions::PAGE_SIZE};

/// How often a list is read before a server on which rows keep vanishing is reported.
const ATTEMPTS: usize = 3;

/// More pages than any real list has: a million rows.
const MAX_PAGES: u64 = 10_000;

#[derive(Deserialize)]
pub(super) struct Page {
    pagination: Pagination,
    results: Vec<Value>,
}

#[derive(Deserialize)]
struct Pagination {
    /// Number of the next page, 0 on the last.
    next: u64,
    count: u64,
}

/// One reading of a list.
pub(super) struct Reading<T> {
    rows: Vec<T>,
    keys: HashSet<String>,
    /// How many rows the server counted with the first page, and with the latest.
    counts: Option<(u64, u64)>,
}

/// What became of one page.
pub(super) enum Step {
    Next(u64),
    Done,
    /// Rows moved towards the beginning, so one may have been skipped.
    Moved,
}

impl Client {
    /// All rows of a collection that pass the filter.
    ///
    /// Rows are ordered by primary key, so a row created meanwhile moves others to later pages: they are seen twice, and kept once.
    /// A row deleted meanwhile moves others to earlier pages, where they would be missed; the list is then read again,
    /// three times at most, and after that is [`Error::Unavailable`]. One creation and one deletion between the same two pages
    /// can't be told from nothing, so before acting on a row's absence ask for it with [`Client::get`].
    ///
    /// authentik ignores unknown filters and those with an empty value, and answers with everything (measured on 2024.2 to 2026.5).
    /// A filter by a UUID that doesn't exist is [`Error::Rejected`]. With permissions on single objects only, the others are left out.
    ///
    /// # Errors
    /// [`Error::Malformed`] when a row is no `T`: a row that can't be read must not look as if it weren't there.
    pub async fn list<T: DeserializeOwned>(
        &self,
        collection: Collection,
        filter: &[(&str, &str)],
    ) -> Result<Vec<T>, Error> {
        self.list_as(collection, filter, |row| row).await
    }

    /// As [`Self::list`], with each row turned into what is kept of it as soon as its page is there.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn list_as<T: DeserializeOwned, R>(
        &self,
        collection: Collection,
        filter: &[(&str, &str)],
        keep: impl Fn(T) -> R,
    ) -> Result<Vec<R>, Error> {
        for _ in 0..ATTEMPTS {
            if let Some(rows) = self.read(collection, filter, &keep).await? {
                return Ok(rows);
            }
        }
        let cause = "the list kept changing while it was read";
        Err(Error::unavailable(cause, false))
    }

    /// Reads the list once; `None` when rows moved in a way that may hide one.
    async fn read<T: DeserializeOwned, R>(
        &self,
        collection: Collection,
        filter: &[(&str, &str)],
        keep: impl Fn(T) -> R,
    ) -> Result<Option<Vec<R>>, Error> {
        let mut reading = Reading::new();
        let mut number = 1;
        loop {
            let page = match self.page(collection, filter, number).await {
                // "Invalid page.": the list has become shorter.
                Err(Error::NotFound) if number > 1 => return Ok(None),
                page => page.map_err(|error| self.no_page(error, collection.path))?,
            };
            match reading.take(collection, number, page, &keep)? {
                Step::Next(next) => number = next,
                Step::Done => return Ok(Some(reading.rows)),
                Step::Moved => return Ok(None),
            }
        }
    }

    async fn page(
        &self,
        collection: Collection,
        filter: &[(&str, &str)],
        number: u64,
    ) -> Result<Page, Error> {
        let mut url = self.url(collection.path, &[]);
        url.query_pairs_mut()
            .extend_pairs(filter)
            .append_pair("ordering", collection.key)
            .append_pair("page_size", &PAGE_SIZE.to_string())
            .append_pair("page", &number.to_string());
        self.read_json(Some(collection), url).await
    }
}

impl<R> Reading<R> {
    pub(super) fn new() -> Reading<R> {
        Reading {
            rows: Vec::new(),
            keys: HashSet::new(),
            counts: None,
        }
    }

    pub(super) fn take<T: DeserializeOwned>(
        &mut self,
        collection: Collection,
        number: u64,
        page: Page,
        keep: impl Fn(T) -> R,
    ) -> Result<Step, Error> {
        let Pagination { next, count } = page.pagination;
        let (first, latest) = self.counts.unwrap_or((count, count));
        self.counts = Some((first, count));
        for row in page.results {
            self.add(collection, row, &keep)?;
        }
        let incomplete = next == 0 && (self.rows.len() as u64) < first;
        if count < latest || incomplete {
            return Ok(Step::Moved);
        }
        match next {
            0 => Ok(Step::Done),
            next if next > number && next <= MAX_PAGES => Ok(Step::Next(next)),
            _ => Err(Error::unavailable(
                "the pages of authentik's list lead nowhere",
                false,
            )),
        }
    }

    fn add<T: DeserializeOwned>(
        &mut self,
        collection: Collection,
        row: Value,
        keep: impl Fn(T) -> R,
    ) -> Result<(), Error> {
        let malformed = |key: &str| Error::Malformed {
            collection: collection.path,
            // Not from a request of ours, so there is nothing secret to look for.
            key: Redactor::new("", None).clean(key),
        };
        let Some(key) = row.get(collection.key).and_then(Value::as_str) else {
            return Err(malformed("without a key"));
        };
        let key = key.to_owned();
        if self.keys.contains(&key) {
            return Ok(());
        }
        // serde's own text would repeat the value.
        let row = serde_json::from_value(row).map_err(|_| malformed(&key))?;
        self.rows.push(keep(row));
        self.keys.insert(key);
        Ok(())
    }
}
