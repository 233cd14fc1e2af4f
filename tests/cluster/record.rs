//! What was asked of the operator in a test: every spec that a resource has had, and every object of authentik that it
//! has stood for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use authentik_stage_operator::{authentik::Collection, kinds::kind_named};
use futures::StreamExt;
use kube::{
    Api, ResourceExt,
    api::DynamicObject,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::Value;
use tokio::{sync::Notify, task::JoinHandle};

use crate::harness::{identity, label_of, naming};

/// One resource, as it was over time.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name in Kubernetes.
    pub name: String,
    /// Its specs, by generation.
    pub specs: BTreeMap<i64, Value>,
    /// What it has managed, by UUID.
    pub managed: BTreeSet<String>,
    /// What it has stood for, managed or not, by UUID.
    pub stood_for: BTreeSet<String>,
    /// Whether it was to be deleted.
    pub deleted: bool,
}

impl Asked {
    /// The label that this spec gives its object.
    pub fn label<'a>(&'a self, spec: &'a Value) -> &'a str {
        spec[label_of(&self.kind)].as_str().unwrap_or(&self.name)
    }

    /// Whether it has ever asked for an object of this label.
    pub fn wanted(&self, label: &str) -> bool {
        let mut specs = self.specs.values();
        specs.any(|spec| self.label(spec) == label)
    }

    /// Among which objects no two have one label.
    pub fn names(&self) -> Collection {
        naming(&self.kind).names
    }

    fn note(&mut self, kind: &str, object: &DynamicObject) {
        kind.clone_into(&mut self.kind);
        self.name = object.name_any();
        self.namespace = object.namespace().unwrap_or_default();
        let generation = object.metadata.generation.unwrap_or_default();
        self.specs.insert(generation, object.data["spec"].clone());
        let identity = identity(kind, object);
        if let Some(uuid) = identity["uuid"].as_str() {
            self.stood_for.insert(uuid.to_owned());
            if identity["managed"] == true {
                self.managed.insert(uuid.to_owned());
            }
        }
        self.deleted |= object.metadata.deletion_timestamp.is_some();
    }
}

#[derive(Default)]
struct Shared {
    /// By uid.
    asked: Mutex<BTreeMap<String, Asked>>,
    changed: Notify,
}

/// Watches the resources of some kinds, each by a task of its own.
pub struct Record {
    shared: Arc<Shared>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Record {
    /// Begins with the resources of these kinds that are there.
    pub fn begin<'a>(kinds: impl IntoIterator<Item = (&'a str, Api<DynamicObject>)>) -> Self {
        let record = Self {
            shared: Arc::default(),
            tasks: Mutex::default(),
        };
        for (kind, api) in kinds {
            record.follow(kind, api);
        }
        record
    }

    /// Watches the resources of this kind too, as those of another namespace.
    pub fn follow(&self, kind: &str, api: Api<DynamicObject>) {
        let task = tokio::spawn(follow(self.shared.clone(), kind.to_owned(), api));
        self.tasks.lock().expect("no panic while held").push(task);
    }

    /// Notes what the API server has answered to a change: a watch that is cut meanwhile may never show it.
    pub fn note(&self, kind: &str, object: &DynamicObject) {
        self.shared.note(kind, object);
    }

    /// All that was asked for, by uid.
    pub fn asked(&self) -> BTreeMap<String, Asked> {
        self.shared.asked().clone()
    }

    /// Waits until this resource is among them, and with it everything that happened before it to resources of its
    /// kind.
    pub async fn shows(&self, uid: &str, patience: Duration) -> bool {
        let shown = async {
            loop {
                let changed = self.shared.changed.notified();
                if self.shared.asked().contains_key(uid) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(patience, shown).await.is_ok()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        for task in self.tasks.get_mut().expect("no panic while held") {
            task.abort();
        }
    }
}

impl Shared {
    /// Connections ask for nothing in authentik.
    fn note(&self, kind: &str, object: &DynamicObject) {
        if kind_named(kind).is_none() {
            return;
        }
        let uid = object.uid().unwrap_or_default();
        self.asked().entry(uid).or_default().note(kind, object);
        self.changed.notify_waiters();
    }

    fn asked(&self) -> MutexGuard<'_, BTreeMap<String, Asked>> {
        self.asked.lock().expect("no panic while held")
    }
}

async fn follow(shared: Arc<Shared>, kind: String, api: Api<DynamicObject>) {
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        let (watcher::Event::Apply(object)
        | watcher::Event::InitApply(object)
        | watcher::Event::Delete(object)) = (match event {
            Ok(event) => event,
            Err(_) => continue,
        })
        else {
            continue;
        };
        shared.note(&kind, &object);
    }
}
