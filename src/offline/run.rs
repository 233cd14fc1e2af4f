//! The controller, until there is nothing left to do.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{sync::oneshot, task::JoinHandle, time::Instant};

use super::{
    connect::{Server, objects},
    desk::{Desk, Name},
    names::{is_connection, name_of, plurals},
    serve::{OnEvent, client},
};
use crate::{
    api::{DriftedField, condition_in, conditions},
    authentik::Client,
    controller::{Controller, Manner, Options, Planned, Rehearsal},
    kinds::{ResourceId, kind_named},
    manifests::{Manifest, Set},
    ops::leader::Leadership,
    plan::failure::Reason,
};

/// How a resource ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The resource.
    pub id: ResourceId,
    /// The reason of its `Ready` condition; empty where it has none.
    pub reason: String,
    /// The message of that condition.
    pub message: String,
    /// Whether it is suspended.
    pub is_suspended: bool,
    /// What it found different under `Observe`.
    pub drift: Vec<DriftedField>,
    /// What would be written.
    pub planned: Planned,
}

impl Ended {
    /// Whether it may end well by itself a little later.
    #[must_use]
    pub fn may_recover(&self) -> bool {
        [Reason::AuthentikUnavailable, Reason::ConnectionNotReady]
            .iter()
            .any(|reason| reason.as_str() == self.reason)
    }
}

/// Told of the reason and text of every event about a resource.
pub type Progress = Arc<dyn Fn(&str, &str, &str) + Send + Sync>;

/// A controller at work on manifests.
pub struct Session {
    desk: Arc<Desk>,
    controller: Arc<Controller>,
    rehearsal: Option<Arc<Rehearsal>>,
    ids: Vec<(ResourceId, Name)>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Session {
    /// Starts to write what these manifests say.
    ///
    /// # Errors
    /// Where no server is named, or it has no token.
    pub fn write(set: &Set, server: &Server, progress: Progress) -> Result<Self, String> {
        Self::start(set, server, None, progress)
    }

    /// Starts to find out what would be written for these manifests.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn rehearse(set: &Set, server: &Server) -> Result<Self, String> {
        let rehearsal = Some(Arc::default());
        Self::start(set, server, rehearsal, Arc::new(|_, _, _| {}))
    }

    fn start(
        set: &Set,
        server: &Server,
        rehearsal: Option<Arc<Rehearsal>>,
        progress: Progress,
    ) -> Result<Self, String> {
        let manner = Manner {
            rehearsal: rehearsal.clone(),
            passes_over_missing_secrets: true,
        };
        let desk = Arc::new(Desk::new());
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        for (name, object) in objects(set, server, &variable)? {
            desk.put(name, object);
        }
        let options = Options {
            namespaces: Vec::new(),
            watch_secrets: false,
            allowed_servers: Vec::new(),
            names_people: true,
            leadership: Leadership::default(),
        };
        let kubernetes = client(desk.clone(), told(progress));
        let controller = Controller::in_manner(kubernetes, options, manner);
        let controller = Arc::new(controller);
        let (stop, stopped) = oneshot::channel();
        let working = controller.clone();
        let running = tokio::spawn(async move {
            working
                .run(async {
                    // Dropped means stopped, too.
                    let _ = stopped.await;
                })
                .await;
        });
        Ok(Self {
            desk,
            controller,
            rehearsal,
            ids: ids(set),
            stop: Some(stop),
            running,
        })
    }

    /// Waits until nothing is left to do; where something may end well a little later, at most for so long.
    pub async fn settled(&self, patience: Duration) -> Vec<Ended> {
        let until = Instant::now() + patience;
        loop {
            self.controller.settled().await;
            let ended = self.ended();
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !ended.iter().any(Ended::may_recover) {
                return ended;
            }
            // What is tried again is seen by what it changes, or by the time that is up.
            let _ = tokio::time::timeout(left, self.desk.changed()).await;
        }
    }

    /// How the resources have ended so far, in the order of the manifests.
    pub fn ended(&self) -> Vec<Ended> {
        let ids = self.ids.iter();
        ids.map(|(id, name)| {
            let status = self.desk.get(name).unwrap_or_default();
            let planned = self.rehearsal.as_ref();
            let planned = planned.map(|rehearsal| rehearsal.planned(id));
            ended(id.clone(), &status["status"], planned.unwrap_or_default())
        })
        .collect()
    }

    /// A client of the server of this resource; nothing where that can't be used.
    pub fn client_of(&self, id: &ResourceId) -> Option<Client> {
        self.controller.client_of(id)
    }

    /// Ends once the requests under way have been answered.
    pub async fn end(mut self) {
        drop(self.stop.take());
        // A panic in there was logged.
        let _ = self.running.await;
    }
}

fn ids(set: &Set) -> Vec<(ResourceId, Name)> {
    let plurals = plurals();
    let stages = set
        .ours
        .iter()
        .filter(|manifest| !is_connection(&manifest.kind));
    let id = |manifest: &Manifest| {
        let id = ResourceId {
            kind: kind_named(&manifest.kind)?.kind,
            namespace: manifest.namespace.clone(),
            name: manifest.name.clone(),
        };
        Some((id, name_of(manifest, &plurals)))
    };
    stages.filter_map(id).collect()
}

fn ended(id: ResourceId, status: &Value, planned: Planned) -> Ended {
    let ready = condition_in(status, conditions::READY);
    let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
    Ended {
        id,
        reason: text("reason"),
        message: text("message"),
        is_suspended: condition_in(status, conditions::SUSPENDED).is_object(),
        drift: serde_json::from_value(status["drift"].clone()).unwrap_or_default(),
        planned,
    }
}

fn told(progress: Progress) -> OnEvent {
    Arc::new(move |event| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let about = &event["regarding"];
        let about = format!(
            "{} {}/{}",
            text(&about["kind"]),
            text(&about["namespace"]),
            text(&about["name"])
        );
        progress(&about, &text(&event["reason"]), &text(&event["note"]));
    })
}
