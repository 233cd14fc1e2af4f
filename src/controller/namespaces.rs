//! The labels of the namespaces, for `allowedNamespaces`.

use std::collections::{BTreeMap, HashMap};

use parking_lot::RwLock;

type Labels = BTreeMap<String, String>;

/// The labels of all namespaces that the watch has shown.
#[derive(Debug, Default)]
pub struct Namespaces(RwLock<HashMap<String, Labels>>);

impl Namespaces {
    /// Notes a namespace's labels. Returns whether they are others than before.
    pub fn seen(&self, name: String, labels: Labels) -> bool {
        let mut all = self.0.write();
        all.insert(name, labels.clone()) != Some(labels)
    }

    /// The namespace is gone.
    pub fn forget(&self, name: &str) {
        self.0.write().remove(name);
    }

    /// The names of all that are known.
    pub fn names(&self) -> Vec<String> {
        self.0.read().keys().cloned().collect()
    }

    /// The namespace's labels; nothing where they are not known, which is not the same as none.
    pub fn labels(&self, name: &str) -> Option<Labels> {
        self.0.read().get(name).cloned()
    }
}
