//! One authentik server as the reconciles see it: its client, its inventory, its health, and what its token
//! has been shown to lack.

use std::{collections::BTreeSet, fmt, sync::Mutex, time::Duration};

use reqwest::Method;
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    failure::{Failure, Reason},
    inventory::Inventory,
};
use crate::authentik::{Client, Collection, DeniedKind, Error, UsedBy, Version, model_permission};

/// Whether requests make sense.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Health {
    /// As far as is known.
    Up,
    /// A request has failed in a way that may concern all: the connection probes, everything else waits.
    Suspect {
        /// How long the server asked to be left alone.
        leave_alone: Option<Duration>,
    },
    /// The probe failed too.
    Down(Failure),
}

/// One authentik server.
pub struct Server {
    /// Its normalised URL, which is its identity.
    pub url: String,
    /// How often it is listed.
    pub resync: Duration,
    /// What it holds.
    pub inventory: Inventory,
    client: Client,
    version: Mutex<Option<Version>>,
    health: watch::Sender<Health>,
    missing_permissions: Mutex<BTreeSet<String>>,
    /// Asks the connection to look at once.
    poke: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl Server {
    /// A server that is not yet probed. `poke` asks its connection to look at once.
    pub fn new(
        url: String,
        client: Client,
        resync: Duration,
        poke: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            url,
            resync,
            inventory: Inventory::default(),
            client,
            version: Mutex::default(),
            health: watch::Sender::new(Health::Suspect { leave_alone: None }),
            missing_permissions: Mutex::default(),
            poke,
        }
    }

    /// The client, for lists.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// authentik's version, once it has been probed.
    ///
    /// # Errors
    /// Before that.
    pub fn version(&self) -> Result<Version, Failure> {
        let version = self.version.lock().expect("no panic while held").clone();
        version.ok_or_else(|| {
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
    pub async fn probe(&self) -> Result<Version, Error> {
        let version = self.client.version().await?;
        *self.version.lock().expect("no panic while held") = Some(version.clone());
        Ok(version)
    }

    /// The present health.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Sets the health. Returns whether that changed it.
    pub fn set_health(&self, health: Health) -> bool {
        self.health.send_if_modified(|old| {
            let changed = *old != health;
            *old = health;
            changed
        })
    }

    /// Sends nothing more, and lets go whoever waits for the server; what has been sent is waited for.
    pub fn close(&self) {
        self.client.close();
        self.set_health(Health::Down(Error::Closed.into()));
    }

    /// Waits while the connection probes.
    ///
    /// # Errors
    /// Why the server is out of reach.
    pub async fn ready(&self) -> Result<(), Failure> {
        let mut health = self.health.subscribe();
        let settled = health
            .wait_for(|health| !matches!(health, Health::Suspect { .. }))
            .await;
        match settled.as_deref() {
            Ok(Health::Down(failure)) => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    /// What refused requests have shown the token to lack, sorted.
    pub fn missing_permissions(&self) -> Vec<String> {
        self.missing_permissions
            .lock()
            .expect("no panic while held")
            .iter()
            .cloned()
            .collect()
    }

    /// Creates a stage.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn create(&self, collection: Collection, body: &Value) -> Result<Value, Error> {
        self.learn(
            collection,
            &Method::POST,
            self.client.create(collection, body).await,
        )
    }

    /// Changes a stage.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn update(
        &self,
        collection: Collection,
        pk: Uuid,
        body: &Value,
    ) -> Result<Value, Error> {
        self.learn(
            collection,
            &Method::PATCH,
            self.client.update(collection, pk, body).await,
        )
    }

    /// Deletes a stage; `false` when it was gone already.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn delete(&self, collection: Collection, pk: Uuid) -> Result<bool, Error> {
        self.learn(
            collection,
            &Method::DELETE,
            self.client.delete(collection, pk).await,
        )
    }

    /// Reads one object, past the inventory.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn get(&self, collection: Collection, id: &str) -> Result<Option<Value>, Error> {
        self.learn(
            collection,
            &Method::GET,
            self.client.get(collection, id).await,
        )
    }

    /// Reads the objects that pass a filter, past the inventory.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn list(
        &self,
        collection: Collection,
        filter: &[(&str, &str)],
    ) -> Result<Vec<Value>, Error> {
        self.learn(
            collection,
            &Method::GET,
            self.client.list(collection, filter).await,
        )
    }

    /// What uses a stage.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn used_by(&self, collection: Collection, pk: Uuid) -> Result<Vec<UsedBy>, Error> {
        self.learn(
            collection,
            &Method::GET,
            self.client.used_by(collection, pk).await,
        )
    }

    /// Draws from a request's outcome what concerns others: the server's health, the token's permissions.
    pub fn learn<T>(
        &self,
        collection: Collection,
        method: &Method,
        outcome: Result<T, Error>,
    ) -> Result<T, Error> {
        match &outcome {
            Ok(_) => self.granted(collection, method),
            Err(error) => self.learn_failure(error),
        }
        outcome
    }

    fn granted(&self, collection: Collection, method: &Method) {
        let mut missing = self
            .missing_permissions
            .lock()
            .expect("no panic while held");
        if !missing.is_empty()
            && model_permission(collection, method)
                .is_some_and(|permission| missing.remove(&permission))
        {
            (self.poke)();
        }
    }

    /// Draws from a failure what concerns others.
    pub fn learn_failure(&self, error: &Error) {
        match error {
            Error::Unavailable { retry_after, .. } => self.suspect(*retry_after),
            Error::AccessDenied {
                kind: DeniedKind::Token,
                ..
            } => self.suspect(None),
            Error::AccessDenied {
                permission: Some(permission),
                ..
            } => {
                let mut missing = self
                    .missing_permissions
                    .lock()
                    .expect("no panic while held");
                if missing.insert(permission.clone()) {
                    (self.poke)();
                }
            }
            _ => {}
        }
    }

    fn suspect(&self, leave_alone: Option<Duration>) {
        let became_suspect = self.health.send_if_modified(|health| {
            let up = *health == Health::Up;
            if up {
                *health = Health::Suspect { leave_alone };
            }
            up
        });
        if became_suspect {
            (self.poke)();
        }
    }
}
