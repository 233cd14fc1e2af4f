//! One authentik server, as reconciles see it.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{audit::Audit, health::Learned, inventory::Inventory, sources::Given};
use crate::{
    api::ConnectionSettings,
    authentik::{Client, Error, Remote, Shown, Version},
    controller::keys::ConnectionKey,
    plan::{
        due,
        failure::{Failure, Reason},
        pace,
    },
};

/// One authentik server: its client, its lists, and what is known of it.
pub struct Server {
    /// The connection that leads to it.
    pub key: ConnectionKey,
    /// Its normalised URL, which is its identity.
    pub url: String,
    /// How often it is looked at; nothing where that follows what a look costs.
    pub(super) set_interval: Option<Duration>,
    /// How often what can't be put right is tried again, and Secrets that are not watched are looked at.
    pub resync: Duration,
    /// What it holds.
    pub inventory: Arc<Inventory>,
    /// The client.
    pub client: Client,
    /// Its audit log.
    pub audit: Arc<Audit>,
    /// Its health, and what its token lacks.
    pub learned: Arc<Learned>,
    /// What it was built from.
    pub(super) settings: ConnectionSettings,
    pub(super) given: Given,
    version: Mutex<Option<Version>>,
    look: Mutex<Option<Look>>,
}

/// The last look at all that is somebody's.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// How long authentik took to answer.
    pub took: Duration,
    /// The time until the next one.
    pub interval: Duration,
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
        agent: String,
    ) -> Self {
        Self {
            key,
            url: crate::authentik::base_url(&settings.url),
            set_interval: settings.resync_interval(),
            resync: settings.resync_interval().unwrap_or(pace::LONGEST),
            inventory: Arc::default(),
            client,
            audit: Arc::new(Audit::new(agent)),
            learned,
            settings,
            given,
            version: Mutex::default(),
            look: Mutex::default(),
        }
    }

    /// The same server through another client, with what is known of it. It is to be probed.
    pub(super) fn through(&self, client: Client, given: Given, learned: Arc<Learned>) -> Self {
        Self {
            key: self.key.clone(),
            url: self.url.clone(),
            set_interval: self.set_interval,
            resync: self.resync,
            inventory: self.inventory.clone(),
            client,
            audit: self.audit.clone(),
            learned,
            settings: self.settings.clone(),
            given,
            version: Mutex::new(self.version.lock().clone()),
            look: Mutex::new(*self.look.lock()),
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
    pub async fn probe(&self, client: &Client) -> Result<(), Error> {
        let version = client.version().await?;
        tracing::debug!(server = self.url, %version, "probed");
        *self.version.lock() = Some(version);
        Ok(())
    }

    /// A look has ended that took so long. Returns the time until the next one.
    pub(super) fn looked(&self, took: Duration, cost: Duration) -> Duration {
        let chance = fastrand::f64();
        let interval = match self.set_interval {
            Some(set) => due::spread(set, chance),
            None => pace::interval(cost, chance),
        };
        *self.look.lock() = Some(Look { took, interval });
        interval
    }

    /// The last look, if there was one.
    pub fn last_look(&self) -> Option<Look> {
        *self.look.lock()
    }

    /// A text of the server, fit to be shown.
    pub fn show(&self, text: &Remote) -> Shown {
        self.client.show(text)
    }
}
