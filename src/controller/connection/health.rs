//! What requests have shown of a server and of its token, whoever sent them.

use std::{collections::BTreeSet, time::Duration};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    authentik::{DeniedKind, Error, Observed, model_permission},
    plan::failure::{Failure, Reason},
};

/// Whether requests make sense.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Health {
    /// Nothing is known: it was not probed yet.
    Unknown,
    /// As far as is known, they do.
    Up,
    /// A request has failed in a way that may concern all: the connection's task probes, everything else waits.
    Suspect,
    /// The server asked to be left alone.
    Busy {
        /// What it said.
        cause: String,
        /// For how long.
        pause: Duration,
    },
    /// The probe failed too.
    Down(Failure),
}

/// What is known of a server and its token.
#[derive(Debug)]
pub struct Learned {
    health: Mutex<Health>,
    missing_permissions: Mutex<BTreeSet<String>>,
    /// Wakes the connection's task.
    pub poke: Notify,
}

impl Learned {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self {
            health: Mutex::new(Health::Unknown),
            missing_permissions: Mutex::default(),
            poke: Notify::new(),
        }
    }

    /// What is known of the same server, when it has to be probed anew.
    pub fn renewed(&self) -> Self {
        Self {
            missing_permissions: Mutex::new(self.missing_permissions.lock().clone()),
            ..Self::new()
        }
    }

    /// The present health.
    pub fn health(&self) -> Health {
        self.health.lock().clone()
    }

    /// Sets the health. Returns whether that changed it.
    pub fn set_health(&self, health: Health) -> bool {
        let mut known = self.health.lock();
        let changed = *known != health;
        *known = health;
        changed
    }

    /// What refused requests have shown the token to lack, sorted.
    pub fn missing_permissions(&self) -> Vec<String> {
        self.missing_permissions.lock().iter().cloned().collect()
    }

    /// Draws from a request what concerns others.
    pub fn observe(&self, observed: &Observed<'_>) {
        match observed.error {
            None => self.granted(observed),
            Some(Error::Unavailable {
                retry_after: Some(pause),
                cause,
                ..
            }) => self.suspect(Health::Busy {
                cause: cause.to_string(),
                pause: *pause,
            }),
            Some(Error::Unavailable { .. })
            | Some(Error::AccessDenied {
                kind: DeniedKind::Token,
                ..
            }) => self.suspect(Health::Suspect),
            Some(Error::AccessDenied {
                permission: Some(permission),
                ..
            }) => {
                if self.missing_permissions.lock().insert(permission.clone()) {
                    self.poke.notify_one();
                }
            }
            Some(_) => {}
        }
    }

    fn granted(&self, observed: &Observed<'_>) {
        let mut missing = self.missing_permissions.lock();
        let Some(collection) = observed.collection.filter(|_| !missing.is_empty()) else {
            return;
        };
        let permission = model_permission(collection, observed.method);
        if permission.is_some_and(|permission| missing.remove(&permission)) {
            self.poke.notify_one();
        }
    }

    fn suspect(&self, suspicion: Health) {
        let mut health = self.health.lock();
        if *health == Health::Up {
            *health = suspicion;
            self.poke.notify_one();
        }
    }
}

/// What a request that failed says of the whole server.
pub fn down(error: Error) -> Failure {
    match &error {
        Error::Unavailable {
            retry_after: Some(pause),
            cause,
            ..
        } => asked_to_wait(cause.as_str(), *pause),
        _ => Failure {
            connection_down: true,
            ..Failure::from(error)
        },
    }
}

/// What a server says that asked to be left alone.
pub fn asked_to_wait(cause: &str, pause: Duration) -> Failure {
    let advice = if cause.contains("429") {
        "; lower requestsPerSecond if this keeps coming back"
    } else {
        ""
    };
    Failure {
        retry_after: Some(pause),
        ..Failure::down(
            Reason::AuthentikUnavailable,
            format!("authentik asks to be left alone for a while: {cause}{advice}"),
        )
    }
}
