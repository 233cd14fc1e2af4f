//! Whose a stage is: the resource's that manages it; where none does, the older one's. Who observes or is suspended claims
//! nothing.

use super::{
    model::{Snapshot, expect},
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
    /// Whether this message says who holds the stage.
    pub fn is_told(&self, message: &str) -> Result<(), String> {
        let is_told = self.of.iter().any(|id| message.contains(id));
        expect(is_told, &format!("the holder is one of {:?}", self.of))
    }
}

impl Snapshot {
    /// The resources that manage this stage.
    pub fn managers(&self, uuid: &str) -> Vec<&Resource> {
        let resources = self.resources.iter();
        resources
            .filter(|resource| resource.manages() == Some(uuid))
            .collect()
    }

    /// Who has a better claim than this resource to the name that it wants, or to its stage.
    pub fn better_claims(&self, resource: &Resource) -> BetterClaims {
        let mut better = BetterClaims {
            of: Vec::new(),
            is_certain: false,
        };
        if !resource.is_active() {
            return better;
        }
        let name = resource.stage_name();
        let named = self.stage_named(name).map(|(uuid, _, _)| uuid);
        let is_there = |uuid: &&str| self.stages.contains_key(*uuid);
        let own = resource.manages().filter(is_there);
        let has_it = own.is_some() && own == named;
        let others = self.resources.iter().filter(|other| {
            other.is_active() && (other.kind, other.id()) != (resource.kind, resource.id())
        });
        for other in others {
            let of = other.manages().filter(is_there);
            let shares = own.is_some() && of == own;
            let holds = of.is_some() && of == named && !has_it;
            let wants = other.stage_name() == name && !has_it;
            // A stage of its own that is to get the name, or had it.
            let renames = of.is_some() && (wants || other.recorded_name() == Some(name));
            let is_older = other.created() < resource.created();
            let may_be_older = other.created() <= resource.created();
            if holds || (shares || wants) && may_be_older || renames && !has_it {
                better.of.push(other.id());
            }
            // Nobody's stage yet: the older one gets it.
            let is_free = named.is_none_or(|uuid| {
                let managers = self.managers(uuid);
                !managers.iter().any(|manager| manager.is_active())
            });
            let claims = wants && own.is_none() && is_free && !other.is_deleted();
            better.is_certain |= holds || (shares || claims) && is_older;
        }
        better
    }

    /// Resources that give way to each other, so that none has the stage.
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
