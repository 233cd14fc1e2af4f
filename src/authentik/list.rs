//! Reading a collection page by page, while others may be writing to it.

use std::time::Duration;

use reqwest::Method;
use serde::de::DeserializeOwned;

use super::{
    client::{Client, MAX_PAGE},
    collection::Collection,
    error::Error,
    reading::{Listing, MAX_ROWS, Page, Reading, Weigh},
    transport::Request,
    versions::PAGE_SIZE,
};

/// How often a short list is read before it is given as it is.
const READINGS: usize = 3;

/// Most pages of a short list. A longer one is read once: under constant change no other reading would fare better.
const SHORT: u64 = 5;

/// A collection from afar.
#[derive(Clone, Copy, Debug)]
pub struct Glance {
    /// How many rows it has.
    pub rows: u64,
    /// How long authentik takes to list all of them: as many times as long as for the first page as there are pages.
    pub takes: Duration,
}

impl Client {
    /// The rows of a collection that pass the filter, each as `keep` makes it of the row, as soon as its page is there.
    ///
    /// Rows are ordered by primary key, so a row created meanwhile moves others to later pages: they are seen twice, and kept once.
    /// A row deleted meanwhile moves others to earlier pages, where they may be missed. The list is then read to its end all the same
    /// and given as not [`complete`](Listing::complete), a short one after it was read anew. One creation and one deletion between the
    /// same two pages can't be told from nothing, so before acting on a row's absence ask for it with [`Client::get`].
    ///
    /// authentik ignores unknown filters and those with an empty value, and answers with everything (measured on 2024.2 to 2026.5).
    /// A filter by a UUID that doesn't exist is [`Error::Rejected`]. With permissions on single objects only, the others are left out.
    ///
    /// # Errors
    /// [`Error::TooMuch`] when there are more rows than are read. Never because others write, nor because of a row that can't be read.
    pub async fn list<T: DeserializeOwned + Weigh, R>(
        &self,
        collection: Collection,
        filter: &[(&str, &str)],
        keep: impl Fn(T) -> Option<R>,
    ) -> Result<Listing<R>, Error> {
        let mut reading = self.read(collection, filter, &keep).await?;
        for _ in 1..READINGS {
            if !reading.has_moved() || reading.pages() > SHORT {
                break;
            }
            let later = self.read(collection, filter, &keep).await?;
            reading = reading.followed_by(later);
        }
        Ok(reading.finish())
    }

    /// How many rows a collection has, and how long it takes to read them.
    ///
    /// # Errors
    /// As any request.
    pub async fn glance(&self, collection: Collection) -> Result<Glance, Error> {
        let (client, meter) = self.metered();
        let request = client.page(collection, &[], 1);
        let rows = self.0.call(&request, |success| {
            let page: Page<'_> = success.decode()?;
            Ok(page.count().min(MAX_ROWS as u64))
        });
        let rows = rows.await?;
        let pages = rows.div_ceil(u64::from(PAGE_SIZE)).max(1);
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        Ok(Glance {
            rows,
            takes: meter.spent().saturating_mul(pages),
        })
    }

    /// Reads the list once.
    async fn read<T: DeserializeOwned + Weigh, R>(
        &self,
        collection: Collection,
        filter: &[(&str, &str)],
        keep: impl Fn(T) -> Option<R>,
    ) -> Result<Reading<R>, Error> {
        let mut reading = Reading::new(collection);
        let mut number = 1;
        loop {
            let request = self.page(collection, filter, number);
            let taken = self.0.call(&request, |success| {
                let page = success.decode()?;
                reading.take(number, page, &keep, success.redactor)
            });
            match taken.await {
                Ok(Some(next)) => number = next,
                Ok(None) => return Ok(reading),
                // "Invalid page.": the list has become shorter.
                Err(Error::NotFound) => {
                    reading.note_moved();
                    return Ok(reading);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn page(
        &self,
        collection: Collection,
        filter: &[(&str, &str)],
        number: u64,
    ) -> Request<'static> {
        let mut url = self.url(collection.path(), &[]);
        url.query_pairs_mut()
            .extend_pairs(filter)
            .append_pair("ordering", collection.key())
            .append_pair("page_size", &PAGE_SIZE.to_string())
            .append_pair("page", &number.to_string());
        Request {
            collection: Some(collection),
            // The first page is always there; a later one may be gone.
            object: number > 1,
            ..self.request(Method::GET, url, MAX_PAGE)
        }
    }
}
