//! What keeps a resource from being in sync.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{fields::SECRET, model::Snapshot, places::places, resource::Resource, world::At};

impl Snapshot {
    /// Why a resource can't be in sync.
    pub fn obstacles(&self, resource: &Resource) -> BTreeSet<&'static str> {
        let mut obstacles = BTreeSet::new();
        let spec = resource.spec();
        let references = spec["configurationStages"].as_array().into_iter().flatten();
        if references
            .clone()
            .any(|reference| self.referred(resource.at, reference).is_none())
        {
            obstacles.insert("ReferenceNotFound");
        }
        let wanted = spec["flows"].as_array().map_or(0, Vec::len);
        // Where there is no stage to be observed, that is the first thing to say.
        let is_missed = !(resource.observes() && resource.recorded().is_none());
        if is_missed && wanted > places(spec, &self.flows).unwrap_or_default().len() {
            obstacles.insert("ReferenceNotFound");
        }
        let mut secrets = SECRET
            .iter()
            .filter_map(|(field, _)| spec[field]["secretKeyRef"]["name"].as_str());
        if secrets.any(|secret| !self.secrets.contains_key(&(resource.at, secret.to_owned()))) {
            obstacles.insert("SecretNotFound");
        }
        if resource.observes() {
            return obstacles;
        }
        let own = resource
            .manages()
            .filter(|uuid| self.stages.contains_key(*uuid));
        if let Some((uuid, kind, live)) = self.stage_named(resource.stage_name())
            && own != Some(uuid)
        {
            let policy = spec["adoptionPolicy"].as_str().unwrap_or("IfMatch");
            if own.is_some() || kind != Some(resource.kind) {
                obstacles.insert("NameConflict");
            } else if policy == "Never" || policy == "IfMatch" && !self.matches(resource, live) {
                obstacles.insert("AdoptionRefused");
            }
        }
        obstacles
    }

    /// The UUID that a reference stands for.
    pub fn referred(&self, at: At, reference: &Value) -> Option<&str> {
        if let Some(name) = reference["name"].as_str() {
            return self.stage_named(name).map(|(uuid, _, _)| uuid);
        }
        let named = &reference["resource"];
        let is_named = |other: &&Resource| {
            other.at == at && named["kind"] == other.kind && named["name"] == other.name()
        };
        let uuid = self.resources.iter().find(is_named)?.recorded()?;
        self.stages.contains_key(uuid).then_some(uuid)
    }
}
