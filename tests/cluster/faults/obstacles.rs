//! What keeps a resource from being in sync.

use std::collections::BTreeSet;

use authentik_stage_operator::authentik::Collection;
use serde_json::Value;

use super::{
    model::Snapshot,
    objects::Object,
    places::{Place, entries},
    resource::Resource,
    shapes::{Property, Shape, properties},
};

impl Snapshot<'_> {
    /// Why a resource can't be in sync.
    pub fn obstacles(&self, resource: &Resource) -> BTreeSet<&'static str> {
        let mut obstacles = BTreeSet::new();
        if self.misses_a_reference(resource) {
            obstacles.insert("ReferenceNotFound");
        }
        if self.misses_a_secret(resource) {
            obstacles.insert("SecretNotFound");
        }
        if resource.observes() {
            return obstacles;
        }
        let own = resource
            .manages()
            .filter(|uuid| self.objects.contains_key(*uuid));
        if let Some(holder) = self.labelled(resource.names(), resource.label())
            && own != Some(holder.uuid())
        {
            let policy = resource.spec()["adoptionPolicy"].as_str();
            let policy = policy.unwrap_or("IfMatch");
            if own.is_some() || holder.kind != Some(resource.kind) {
                obstacles.insert("NameConflict");
            } else if policy == "Never" || policy == "IfMatch" && !self.matches(resource, holder) {
                obstacles.insert("AdoptionRefused");
            }
        }
        obstacles
    }

    fn misses_a_reference(&self, resource: &Resource) -> bool {
        let of_fields = properties(resource.kind)
            .iter()
            .any(|property| self.referred_by(resource, property) == Some(None));
        let wanted = entries(resource.spec()).map_or(0, Iterator::count);
        // Where there is no stage to be observed, that is the first thing to say.
        let is_missed = !(resource.observes() && resource.recorded().is_none());
        let found = self.places(resource).unwrap_or_default().len();
        of_fields || is_missed && wanted > found
    }

    fn misses_a_secret(&self, resource: &Resource) -> bool {
        let secrets = properties(resource.kind).iter();
        let mut secrets =
            secrets.filter_map(|of| resource.spec()[&of.spec]["secretKeyRef"]["name"].as_str());
        secrets.any(|secret| !self.secrets.contains_key(&(resource.at, secret.to_owned())))
    }

    /// Whether it sets what its server does not have.
    pub fn is_ahead_of_its_server(&self, resource: &Resource) -> bool {
        let own = resource.recorded().and_then(|uuid| self.objects.get(uuid));
        let is_set = |of: &&Property| resource.spec().get(&of.spec).is_some();
        let open = |of: &&Property| !matches!(of.shape, Shape::Secret);
        let mut set = properties(resource.kind).iter().filter(is_set).filter(open);
        own.is_some_and(|own| set.any(|of| own.shown.get(&of.api).is_none()))
    }

    /// The UUIDs that the references of this field stand for: nothing where it holds none, and none at all where one stands
    /// for nothing.
    pub fn referred_by(
        &self,
        resource: &Resource,
        property: &Property,
    ) -> Option<Option<Vec<&str>>> {
        let (Shape::One(to) | Shape::Many(to)) = property.shape else {
            return None;
        };
        let value = resource.spec().get(&property.spec)?;
        let references = value
            .as_array()
            .map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
        let references = references.iter().filter(|reference| !reference.is_null());
        Some(
            references
                .map(|reference| self.referred(resource, to, reference))
                .collect(),
        )
    }

    /// The places that a resource wants in flows that are there; nothing where it leaves that open.
    pub fn places(&self, resource: &Resource) -> Option<BTreeSet<Place>> {
        let place = |(flow, order): (&Value, i64)| {
            let flow = self.referred(resource, Collection::FLOWS, flow)?;
            Some((flow.to_owned(), order))
        };
        Some(entries(resource.spec())?.filter_map(place).collect())
    }

    /// The UUID that a reference of this resource stands for.
    fn referred(&self, by: &Resource, to: Collection, reference: &Value) -> Option<&str> {
        let mut lasting = self.lasting.iter();
        if let Some(meant) = lasting.find(|lasting| lasting.is_meant(to, reference)) {
            return Some(&meant.uuid);
        }
        if let Some(label) = reference[to.label()].as_str() {
            return self.labelled(to, label).map(Object::uuid);
        }
        let named = &reference["resource"];
        let is_named = |other: &&Resource| {
            other.at == by.at && named["kind"] == other.kind && named["name"] == other.name()
        };
        let uuid = self.resources.iter().find(is_named)?.recorded()?;
        self.objects.contains_key(uuid).then_some(uuid)
    }
}
