//! What authentik can be asked for, one request a method.

use std::{fmt, sync::Arc};

use reqwest::{Method, StatusCode, Url};
use serde::{Deserialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    answer::Success,
    collection::{Address, Collection},
    config::Config,
    error::{ConfigError, Error},
    reading::{Keyed, Weigh},
    receive::FREE,
    shown::{Remote, Shown},
    transport::{Body, Meter, Request, Transport},
    used_by::{self, UsedBy},
    versions::Version,
};

/// Most bytes of the version's page, which has a hundred or two.
const MAX_VERSION: usize = FREE;

/// Most bytes of one object, with all flows that a stage is bound to.
const MAX_OBJECT: usize = 1024 * 1024;

/// Most bytes of a page of a list, and of what uses an object. A page of 100 stages with all their flows has well under one MiB.
pub(super) const MAX_PAGE: usize = 4 * 1024 * 1024;

/// Names one object: by its primary key, and by its label, with which its path may end.
#[derive(Clone, Copy, Debug)]
pub struct ObjectId<'a> {
    /// Its primary key.
    pub key: Uuid,
    /// Its label, as it was last seen.
    pub label: &'a str,
}

impl From<Uuid> for ObjectId<'_> {
    /// An object whose path ends with its primary key.
    fn from(key: Uuid) -> Self {
        Self { key, label: "" }
    }
}

impl ObjectId<'_> {
    /// What the object's path ends with. An object whose label no path may end with is not there to be asked for.
    pub(super) fn end_of_path(&self, collection: Collection) -> Result<String, Error> {
        match collection.address() {
            Address::Key => Ok(collection.key_text(self.key)),
            Address::Label { .. } if is_end_of_path(self.label) => Ok(self.label.to_owned()),
            Address::Label { .. } => Err(Error::NotFound),
        }
    }
}

/// A connection to one authentik server. Clones share its pace, its limits and its connections.
///
/// Nothing is retried. Every request that fails is an [`Error`], whose class says what to do.
#[derive(Clone)]
pub struct Client(pub(super) Arc<Transport>, Meter);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.0.api_root)
    }
}

impl Client {
    /// Whether this is the same client, with the same server and token.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Prepares a client; nothing is sent yet.
    ///
    /// # Errors
    /// When the configuration can't work, naming the field.
    pub fn new(config: &Config) -> Result<Client, ConfigError> {
        Ok(Client(Arc::new(Transport::new(config)?), Meter::default()))
    }

    /// The same client with a meter of its own, which adds up how long the server takes for what is asked through it.
    #[must_use]
    pub fn metered(&self) -> (Client, Meter) {
        let meter = Meter::default();
        (Client(self.0.clone(), meter.clone()), meter)
    }

    /// Sends nothing more: requests that have not been sent end in [`Error::Closed`], those under way as ever.
    pub fn close(&self) {
        self.0.close();
    }

    /// A text of this server, fit to be shown. A text that repeats the token is withheld.
    pub fn show(&self, text: &Remote) -> Shown {
        self.show_str(text.raw())
    }

    /// As [`Self::show`].
    pub fn show_str(&self, text: &str) -> Shown {
        self.0.redactor.clean(text)
    }

    /// The server's version. Any valid token may ask, whatever its permissions (measured on 2024.2 to 2026.5).
    ///
    /// It waits for no other request and no pace, so that it tells how the server is and not how much there is to do.
    ///
    /// # Errors
    /// [`Error::AccessDenied`] means that the token itself is not accepted.
    pub async fn version(&self) -> Result<Version, Error> {
        let request = Request {
            queues: false,
            ..self.request(Method::GET, self.url("admin/version", &[]), MAX_VERSION)
        };
        self.0.call(&request, read_version).await
    }

    /// One object by its primary key; `None` when there is none. Where the path of an object ends with its label, it is asked
    /// for by a filter of the list, for the label may have changed.
    ///
    /// # Errors
    /// Also where the object is there and is no `T`.
    pub async fn get<T: DeserializeOwned + Weigh + Keyed>(
        &self,
        collection: Collection,
        key: Uuid,
    ) -> Result<Option<T>, Error> {
        let Address::Label { key_filter } = collection.address() else {
            return self.page_of(collection, &collection.key_text(key)).await;
        };
        let text = key.to_string();
        let keep = |row: T| (row.key() == key).then_some(row);
        let filter = [(key_filter, text.as_str())];
        let mut listing = self.list(collection, &filter, keep).await?;
        if listing.unreadable.contains(&key) {
            let what = Shown::fixed("an object that is not understood");
            return Err(Error::NotAuthentik { what });
        }
        Ok(listing.rows.pop())
    }

    /// The page of one object, by the end of its path.
    pub(super) async fn page_of<T: DeserializeOwned>(
        &self,
        collection: Collection,
        id: &str,
    ) -> Result<Option<T>, Error> {
        if !is_end_of_path(id) {
            return Ok(None);
        }
        let request = self.object(Method::GET, collection, &[id]);
        match self.decoded(&request).await {
            Ok(object) => Ok(Some(object)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates an object; returns it as stored. Fields that this authentik doesn't know are missing from the answer, without an error.
    ///
    /// # Errors
    /// After one with [`Error::outcome_unknown`] the object may exist: look for it by name before trying again.
    pub async fn create<T: DeserializeOwned>(
        &self,
        collection: Collection,
        body: &Body,
    ) -> Result<T, Error> {
        let request = Request {
            body: Some(body),
            ..self.object(Method::POST, collection, &[])
        };
        self.decoded(&request).await
    }

    /// Changes the given fields (PATCH); returns the object as stored.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the object is gone.
    pub async fn update<'a, T: DeserializeOwned>(
        &self,
        collection: Collection,
        id: impl Into<ObjectId<'a>>,
        body: &Body,
    ) -> Result<T, Error> {
        let id = id.into().end_of_path(collection)?;
        let request = Request {
            body: Some(body),
            ..self.object(Method::PATCH, collection, &[&id])
        };
        self.decoded(&request).await
    }

    /// Deletes an object; `false` when it was gone already. A stage's bindings go with it, and a Duo stage's enrolled devices.
    ///
    /// # Errors
    /// [`Error::Unavailable`] also for another success than the 204 of authentik (measured on 2024.2 to 2026.5): something
    /// else has answered, such as a proxy, and the object may be there still.
    pub async fn delete<'a>(
        &self,
        collection: Collection,
        id: impl Into<ObjectId<'a>>,
    ) -> Result<bool, Error> {
        let Ok(id) = id.into().end_of_path(collection) else {
            return Ok(false);
        };
        let request = self.object(Method::DELETE, collection, &[&id]);
        match self.0.call(&request, is_deleted).await {
            Ok(()) => Ok(true),
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What refers to an object, as far as the token may see it.
    ///
    /// A token that may not view the flows, bindings or devices gets a list without them, not an error; on 2024.2 even one
    /// that may not view the object gets an empty list. A validate stage's own configuration stages are among the entries (as
    /// `stage`), and the validate stages that use a stage for configuration are not (measured on 2024.2 to 2026.5).
    ///
    /// # Errors
    /// [`Error::NotFound`] when the object is gone, [`Error::TooMuch`] when more refers to it than is read.
    pub async fn used_by<'a>(
        &self,
        collection: Collection,
        id: impl Into<ObjectId<'a>>,
    ) -> Result<Vec<UsedBy>, Error> {
        let id = id.into().end_of_path(collection)?;
        let request = Request {
            most: MAX_PAGE,
            ..self.object(Method::GET, collection, &[&id, "used_by"])
        };
        self.0.call(&request, used_by::read).await
    }

    async fn decoded<T: DeserializeOwned>(&self, request: &Request<'_>) -> Result<T, Error> {
        self.0.call(request, |success| success.decode()).await
    }

    /// `<root>/<path>/<more>/`. Without the last slash authentik answers 404, or worse 405.
    pub(super) fn url(&self, path: &str, more: &[&str]) -> Url {
        let mut url = self.0.api_root.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path.split('/')).extend(more).push("");
        }
        url
    }

    pub(super) fn request(&self, method: Method, url: Url, most: usize) -> Request<'static> {
        Request {
            method,
            url,
            collection: None,
            body: None,
            most,
            object: false,
            queues: true,
            meter: self.1.clone(),
        }
    }

    fn object(&self, method: Method, collection: Collection, id: &[&str]) -> Request<'static> {
        Request {
            collection: Some(collection),
            object: true,
            ..self.request(method, self.url(collection.path(), id), MAX_OBJECT)
        }
    }
}

/// Whether a path may end so. authentik's URLs match no other, and answer as they do for a wrong path.
fn is_end_of_path(id: &str) -> bool {
    !id.is_empty() && !id.contains(['/', '.'])
}

pub(super) fn read_version(success: &Success<'_>) -> Result<Version, Error> {
    #[derive(Deserialize)]
    struct Page {
        #[serde(default)]
        version_current: Option<Remote>,
    }
    let page: Page = success.decode()?;
    match page.version_current {
        Some(text) => {
            let text = success.redactor.clean(text.raw());
            Ok(Version::parse(text.as_str()))
        }
        None => Err(Error::NotAuthentik {
            what: Shown::fixed("its version page names no version"),
        }),
    }
}

fn is_deleted(success: &Success<'_>) -> Result<(), Error> {
    if success.answer.status == StatusCode::NO_CONTENT {
        return Ok(());
    }
    let status = success.answer.status.as_u16();
    let cause = format!("answered {status} to a deletion");
    Err(Error::unavailable(success.redactor.clean(&cause), true))
}
