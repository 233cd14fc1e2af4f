//! One authentik server, as reconciles see it.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{health::Learned, inventory::Inventory, sources::Given};
use crate::{
    api::ConnectionSettings,
    authentik::{Client, Error, Remote, Shown, Version},
    controller::keys::ConnectionKey,
    plan::failure::{Failure, Reason},
};

/// One authentik server: its client, its lists, and what is known of it.
pub struct Server {
    /// The connection that leads to it.
    pub key: ConnectionKey,
    /// Its normalised URL, which is its identity.
    pub url: String,
    /// How often it is listed.
    pub resync: Duration,
    /// What it holds.
    pub inventory: Arc<Inventory>,
    /// The client.
    pub client: Client,
    /// Its health, and what its token lacks.
    pub learned: Arc<Learned>,
    /// What it was built from.
    pub(super) settings: ConnectionSettings,
    pub(super) given: Given,
    version: Mutex<Option<Version>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl Server {
    /// A server that is not yet probed.
    pub(super) fn new(
        key: ConnectionKey,
        settings: ConnectionSettings,
        given: Given,
        client: Client,
        learned: Arc<Learned>,
    ) -> Self {
        Self {
            key,
            url: crate::authentik::base_url(&settings.url),
            resync: settings.resync_interval(),
            inventory: Arc::default(),
            client,
            learned,
            settings,
            given,
            version: Mutex::default(),
        }
    }

    /// The same server through another client, with what is known of it. It is to be probed.
    pub(super) fn through(&self, client: Client, given: Given, learned: Arc<Learned>) -> Self {
        Self {
            key: self.key.clone(),
            url: self.url.clone(),
            resync: self.resync,
            inventory: self.inventory.clone(),
            client,
            learned,
            settings: self.settings.clone(),
            given,
            version: Mutex::new(self.version.lock().clone()),
        }
    }

    /// authentik's version, once it has been probed.
    ///
    /// # Errors
    /// Before that.
    pub fn version(&self) -> Result<Version, Failure> {
        self.version.lock().clone().ok_or_else(|| {
            Failure::down(
                Reason::AuthentikUnavailable,
                "authentik has not answered yet",
            )
        })
    }

    /// Asks for the version, which any valid token may, and so learns whether server and token are good.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn probe(&self) -> Result<(), Error> {
        let version = self.client.version().await?;
        tracing::debug!(server = self.url, %version, "probed");
        *self.version.lock() = Some(version);
        Ok(())
    }

    /// A text of the server, fit to be shown.
    pub fn show(&self, text: &Remote) -> Shown {
        self.client.show(text)
    }
}
