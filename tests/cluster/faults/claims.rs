//! Whose an object is: the resource's that manages it; where none does, the older one's. Who observes or is suspended claims
//! nothing.

use super::{
    model::{Snapshot, expect},
    objects::Object,
    resource::Resource,
};
use crate::harness::message;
use crate::harness_more::reason_of;

/// The resources before which another has to give way.
pub struct BetterClaims {
    /// As messages name them. Of two that are equally old either may give way.
    pub of: Vec<String>,
    /// Whether it has to.
    pub is_certain: bool,
}

impl BetterClaims {
    /// Whether this message says who holds the object.
    pub fn is_told(&self, message: &str) -> Result<(), String> {
        let is_told = self.of.iter().any(|id| message.contains(id));
        expect(is_told, &format!("the holder is one of {:?}", self.of))
    }
}

impl Snapshot<'_> {
    /// The resources that manage this object.
    pub fn managers(&self, uuid: &str) -> Vec<&Resource> {
        let resources = self.resources.iter();
        resources
            .filter(|resource| resource.manages() == Some(uuid))
            .collect()
    }

    /// Who has a better claim than this resource to the label that it wants, or to its object.
    pub fn better_claims(&self, resource: &Resource) -> BetterClaims {
        let mut better = BetterClaims {
            of: Vec::new(),
            is_certain: false,
        };
        if !resource.is_active() {
            return better;
        }
        let (names, label) = (resource.names(), resource.label());
        let named = self.labelled(names, label).map(Object::uuid);
        let is_there = |uuid: &&str| self.objects.contains_key(*uuid);
        let own = resource.manages().filter(is_there);
        let has_it = own.is_some() && own == named;
        let others = self.resources.iter().filter(|other| {
            other.is_active() && other.names() == names && other.id() != resource.id()
        });
        for other in others {
            let of = other.manages().filter(is_there);
            let shares = own.is_some() && of == own;
            let holds = of.is_some() && of == named && !has_it;
            let wants = other.label() == label && !has_it;
            // An object of its own that is to get the label, or had it.
            let renames = of.is_some() && (wants || other.recorded_label() == Some(label));
            let is_older = other.created() < resource.created();
            let may_be_older = other.created() <= resource.created();
            if holds || (shares || wants) && may_be_older || renames && !has_it {
                better.of.push(other.id());
            }
            // Nobody's yet: the older one gets it.
            let is_free = named.is_none_or(|uuid| {
                let managers = self.managers(uuid);
                !managers.iter().any(|manager| manager.is_active())
            });
            let claims = wants && own.is_none() && is_free && !other.is_deleted();
            better.is_certain |= holds || (shares || claims) && is_older;
        }
        better
    }

    /// Resources that give way to each other, so that none has the object.
    pub fn mutual_conflicts(&self) -> Vec<String> {
        let in_conflict = || {
            let resources = self.resources.iter();
            resources.filter(|resource| reason_of(&resource.object) == Some("NameConflict"))
        };
        let gives_way =
            |one: &Resource, to: &Resource| message(&one.object).contains(&format!("{};", to.id()));
        let mut problems = Vec::new();
        for one in in_conflict() {
            let mut others = in_conflict().filter(|other| one.is_active() && other.is_active());
            let mutual = others.find(|other| gives_way(one, other) && gives_way(other, one));
            let mutual = mutual.map(|other| format!("{} and {}", one.id(), other.id()));
            problems.extend(mutual.map(|both| format!("{both} give way to each other")));
        }
        problems
    }
}
