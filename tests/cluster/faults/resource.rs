//! One resource at the end of a history.

use kube::{ResourceExt, api::DynamicObject};
use serde_json::Value;

use super::{user::deletes, world::At};
use crate::harness::text;

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

    pub fn stage_name(&self) -> &str {
        text(&self.spec()["name"])
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
        self.object.data["status"]["stage"]["uuid"].as_str()
    }

    /// The name of its stage, as it says.
    pub fn recorded_name(&self) -> Option<&str> {
        self.object.data["status"]["stage"]["name"].as_str()
    }

    pub fn manages(&self) -> Option<&str> {
        self.recorded()
            .filter(|_| self.object.data["status"]["stage"]["managed"] == true)
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
