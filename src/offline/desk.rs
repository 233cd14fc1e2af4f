//! Objects in memory, and what has changed of them.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

/// Names an object: by the plural of its kind, its namespace and its name.
pub type Name = (String, String, String);

/// A change, as a watch shows it.
#[derive(Clone, Debug)]
struct Change {
    version: u64,
    plural: String,
    object: Value,
}

#[derive(Debug, Default)]
struct Inner {
    version: u64,
    objects: BTreeMap<Name, Value>,
    changes: Vec<Change>,
}

/// The objects.
#[derive(Debug)]
pub struct Desk {
    inner: Mutex<Inner>,
    version: watch::Sender<u64>,
}

impl Desk {
    /// Without objects.
    pub fn new() -> Self {
        Self {
            inner: Mutex::default(),
            version: watch::Sender::new(0),
        }
    }

    /// Puts an object there, before anybody watches.
    pub fn put(&self, name: Name, mut object: Value) {
        let mut inner = self.inner.lock();
        inner.version += 1;
        // What a Secret was sent as is known by its version in the cluster.
        if object.pointer("/metadata/resourceVersion").is_none() || name.0 != "secrets" {
            set_version(&mut object, inner.version);
        }
        inner.objects.insert(name, object);
    }

    /// All objects of a plural, and the version at which they are so.
    pub fn list(&self, plural: &str) -> (Vec<Value>, u64) {
        let inner = self.inner.lock();
        let objects = inner.objects.iter();
        let of_plural = objects.filter(|((of, _, _), _)| of == plural);
        (
            of_plural.map(|(_, object)| object.clone()).collect(),
            inner.version,
        )
    }

    /// One object.
    pub fn get(&self, name: &Name) -> Option<Value> {
        self.inner.lock().objects.get(name).cloned()
    }

    /// Changes an object; returns it as it is then, or nothing where there is none.
    pub fn change(
        &self,
        name: &Name,
        change: impl FnOnce(&mut Map<String, Value>),
    ) -> Option<Value> {
        let mut inner = self.inner.lock();
        let version = inner.version + 1;
        let object = inner.objects.get_mut(name)?;
        change(object.as_object_mut()?);
        set_version(object, version);
        let object = object.clone();
        inner.version = version;
        inner.changes.push(Change {
            version,
            plural: name.0.clone(),
            object: object.clone(),
        });
        drop(inner);
        self.version.send_replace(version);
        Some(object)
    }

    /// What has changed of a plural after this version, and the version up to which that is.
    fn changes(&self, plural: &str, after: u64) -> (Vec<Value>, u64) {
        let inner = self.inner.lock();
        let first = inner
            .changes
            .partition_point(|change| change.version <= after);
        let changes = inner.changes[first..].iter();
        let changes = changes.filter(|change| change.plural == plural);
        (
            changes.map(|change| change.object.clone()).collect(),
            inner.version,
        )
    }

    /// Waits for any change.
    pub async fn changed(&self) {
        let mut version = self.version.subscribe();
        // The sender is part of self.
        let _ = version.changed().await;
    }

    /// Waits for changes of a plural after this version.
    pub async fn next(&self, plural: &str, after: u64) -> (Vec<Value>, u64) {
        let mut version = self.version.subscribe();
        let mut after = after;
        loop {
            let (changes, seen) = self.changes(plural, after);
            if !changes.is_empty() {
                return (changes, seen);
            }
            after = after.max(seen);
            // The sender is part of self.
            let _ = version.wait_for(|version| *version > after).await;
        }
    }
}

fn set_version(object: &mut Value, version: u64) {
    if let Some(Value::Object(meta)) = object.get_mut("metadata") {
        meta.insert("resourceVersion".to_owned(), json!(version.to_string()));
    }
}

/// Merges as a JSON merge patch does (RFC 7396).
pub fn merge(into: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match (value, into.get_mut(key)) {
            (Value::Null, _) => drop(into.remove(key)),
            (Value::Object(patch), Some(Value::Object(into))) => merge(into, patch),
            (value, _) => drop(into.insert(key.clone(), value.clone())),
        }
    }
}
