//! One resource at the end of a history.

use authentik_stage_operator::authentik::Collection;
use kube::{ResourceExt, api::DynamicObject};
use serde_json::Value;

use super::{user::deletes, world::At};
use crate::harness::{identity, label_of, naming, text};

/// One resource at the end.
pub struct Resource {
    pub at: At,
    pub kind: &'static str,
    pub object: DynamicObject,
}

impl Resource {
    pub fn name(&self) -> String {
        self.object.name_any()
    }

    pub fn spec(&self) -> &Value {
        &self.object.data["spec"]
    }

    /// What it wants its object to be called.
    pub fn label(&self) -> &str {
        text(&self.spec()[label_of(self.kind)])
    }

    /// Among which objects no two have one label.
    pub fn names(&self) -> Collection {
        naming(self.kind).names
    }

    /// Whether it wants an object that is of these and called so.
    pub fn wants(&self, names: Collection, label: &str) -> bool {
        self.names() == names && self.label() == label
    }

    pub fn observes(&self) -> bool {
        self.spec()["managementPolicy"] == "Observe"
    }

    pub fn is_suspended(&self) -> bool {
        self.spec()["suspend"] == true
    }

    pub fn is_deleted(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }

    pub fn recorded(&self) -> Option<&str> {
        identity(self.kind, &self.object)["uuid"].as_str()
    }

    /// The label of its object, as it says.
    pub fn recorded_label(&self) -> Option<&str> {
        identity(self.kind, &self.object)[label_of(self.kind)].as_str()
    }

    pub fn manages(&self) -> Option<&str> {
        self.recorded()
            .filter(|_| identity(self.kind, &self.object)["managed"] == true)
    }

    /// As messages name it.
    pub fn id(&self) -> String {
        let namespace = self.object.namespace().unwrap_or_default();
        format!("{} {namespace}/{}", self.kind, self.name())
    }

    /// Whether it claims anything: who observes or is suspended does not.
    pub fn is_active(&self) -> bool {
        !(self.observes() || self.is_suspended())
    }

    /// When it was created, to the second.
    pub fn created(&self) -> String {
        let created = self.object.metadata.creation_timestamp.as_ref();
        created.map(|time| time.0.to_string()).unwrap_or_default()
    }

    /// Whether it needs its connection to be deleted, as far as its spec goes.
    pub fn deletes(&self) -> bool {
        deletes(&self.object)
    }
}
