//! Whose every stage and flow is, and which are to be left alone.

use std::collections::{BTreeMap, BTreeSet};

use devkit::gateway::Exchange;

use super::{
    history::{History, Untouched},
    model::Snapshot,
    objects::{Object, comparable},
    resource::Resource,
};
use crate::{factor, harness::naming, harness_more::reason_of, record::Asked};

impl Snapshot<'_> {
    /// Every object is some resource's, by just one claim, or was made by hand, or may have been left.
    pub fn objects_of_nobody(
        &self,
        history: &History<'_>,
        sent: &[Exchange],
        asked: &BTreeMap<String, Asked>,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        let labels = factor::labels(sent);
        for (uuid, object) in &self.objects {
            let managers = self.managers(uuid);
            let claim = |resource: &&&Resource| {
                resource.is_active() && reason_of(&resource.object) != Some("NameConflict")
            };
            let owners: Vec<_> = managers.iter().filter(claim).map(|of| of.id()).collect();
            if owners.len() > 1 {
                problems.push(format!("{} belongs to all of {owners:?}", object.label()));
            }
            if !managers.is_empty() || history.by_hand.contains(uuid) {
                continue;
            }
            let mut called = labels.get(uuid).cloned().unwrap_or_default();
            called.insert(object.label().to_owned());
            let recorded = |asked: &Asked| asked.managed.contains(uuid);
            let left = asked.iter().any(|(uid, asked)| {
                let wanted = called.iter().any(|label| asked.wanted(label));
                let was_its = recorded(asked) || asked.names() == object.names && wanted;
                was_its && history.left.contains(uid)
            });
            // docs/troubleshooting.md, AdoptionRefused: what only a killed operator knew is lost.
            let lost = !asked.values().any(recorded)
                && created_before(history.killed_after, object, &called, sent);
            if !(left || lost) {
                problems.push(format!("nobody asked for {}", object.shown));
            }
        }
        problems
    }

    /// The objects that the operator should have left alone, and did not.
    pub fn touched(&self, history: &History<'_>) -> Vec<String> {
        let flows = self.flows();
        let mut problems = Vec::new();
        for (uuid, Untouched { object, .. }) in &history.untouched {
            let now = self.objects.get(uuid);
            let before = comparable(object, &flows);
            let now = now.map(|now| comparable(now, &flows));
            if now.as_ref() != Some(&before) {
                problems.push(format!("nobody asked to touch {before}, now {now:?}"));
            }
        }
        problems
    }

    /// The UUIDs of the flows that there are.
    fn flows(&self) -> BTreeSet<&str> {
        let flows = self.objects.values();
        let flows = flows.filter(|object| object.is_flow());
        flows.map(Object::uuid).collect()
    }

    /// The objects that the operator has no business with as things stand.
    pub fn untouched(self) -> BTreeMap<String, Untouched> {
        let mut untouched = BTreeMap::new();
        for (uuid, object) in self.objects {
            let stands_for = |resource: &&Resource| resource.recorded() == Some(&uuid);
            let may_write = |resource: &Resource| {
                let wants = resource.wants(object.names, object.label());
                resource.is_active() && (wants || stands_for(&resource))
            };
            if !self.resources.iter().any(may_write) {
                let resources = self.resources.iter().filter(stands_for);
                let resources = resources.map(Resource::id).collect();
                untouched.insert(uuid, Untouched { object, resources });
            }
        }
        untouched
    }
}

/// Whether a creation that may have made an object of these labels was sent no later than this request.
fn created_before(
    last: u64,
    object: &Object,
    called: &BTreeSet<String>,
    sent: &[Exchange],
) -> bool {
    let Some(kind) = object.kind else {
        return false;
    };
    let collection = naming(kind).collection.path();
    let creations = sent.iter().filter(|exchange| exchange.method == "POST");
    creations
        .take_while(|exchange| exchange.n <= last)
        .filter(|exchange| exchange.path.contains(collection))
        .filter_map(|exchange| factor::label(exchange.body.as_ref()?))
        .any(|label| called.contains(label))
}
