//! Whose every stage is, and which are to be left alone.

use std::collections::{BTreeMap, BTreeSet};

use devkit::gateway::Exchange;
use serde_json::Value;

use super::{
    history::{History, Untouched},
    model::Snapshot,
    resource::Resource,
};
use crate::{factor, harness::text, harness_more::reason_of, record::Asked};

impl Snapshot {
    /// Every stage is some resource's, by just one claim, or was made by hand, or may have been left.
    pub fn stages_of_nobody(
        &self,
        history: &History<'_>,
        sent: &[Exchange],
        asked: &BTreeMap<String, Asked>,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        let names = factor::names(sent);
        for (uuid, (_, stage)) in &self.stages {
            let managers = self.managers(uuid);
            let claim = |resource: &&&Resource| {
                resource.is_active() && reason_of(&resource.object) != Some("NameConflict")
            };
            let owners: Vec<_> = managers.iter().filter(claim).map(|of| of.id()).collect();
            if owners.len() > 1 {
                problems.push(format!("{} belongs to all of {owners:?}", stage["name"]));
            }
            if !managers.is_empty() || history.by_hand.contains(uuid) {
                continue;
            }
            let mut called = names.get(uuid).cloned().unwrap_or_default();
            called.insert(text(&stage["name"]).to_owned());
            let recorded = |asked: &Asked| asked.stages.contains(uuid);
            let left = asked.iter().any(|(uid, asked)| {
                let was_its = recorded(asked) || called.iter().any(|name| asked.wanted(name));
                was_its && history.left.contains(uid)
            });
            // docs/troubleshooting.md, AdoptionRefused: what only a killed operator knew is lost.
            let lost = !asked.values().any(recorded)
                && created_before(history.killed_after, &called, sent);
            if !(left || lost) {
                problems.push(format!("nobody asked for the stage {stage}"));
            }
        }
        problems
    }

    /// The stages that the operator should have left alone, and did not.
    pub fn touched(&self, history: &History<'_>) -> Vec<String> {
        let mut problems = Vec::new();
        for (uuid, Untouched { stage, .. }) in &history.untouched {
            let now = self.stages.get(uuid).map(|(_, stage)| stage);
            let same = now.is_some_and(|now| comparable(now) == comparable(stage));
            if !same {
                problems.push(format!("nobody asked to touch {stage}, now {now:?}"));
            }
        }
        problems
    }

    /// The stages that the operator has no business with as things stand.
    pub fn untouched(&self) -> BTreeMap<String, Untouched> {
        let mut untouched = BTreeMap::new();
        for (uuid, (_, stage)) in &self.stages {
            let stands_for = |resource: &&Resource| resource.recorded() == Some(uuid);
            let may_write = |resource: &Resource| {
                let wants = resource.stage_name() == stage["name"];
                resource.is_active() && (wants || stands_for(&resource))
            };
            if !self.resources.iter().any(may_write) {
                let resources = self.resources.iter().filter(stands_for);
                let untouched_stage = Untouched {
                    stage: stage.clone(),
                    resources: resources.map(Resource::id).collect(),
                };
                untouched.insert(uuid.clone(), untouched_stage);
            }
        }
        untouched
    }
}

/// Whether a creation that may have made a stage of these names was sent no later than this request.
fn created_before(last: u64, called: &BTreeSet<String>, sent: &[Exchange]) -> bool {
    let creations = sent.iter().filter(|exchange| exchange.method == "POST");
    creations
        .take_while(|exchange| exchange.n <= last)
        .filter_map(|exchange| exchange.body.as_ref()?["name"].as_str())
        .any(|name| called.contains(name))
}

/// What changes only by a write to the stage itself.
fn comparable(stage: &Value) -> Value {
    let mut stage = stage.clone();
    if let Value::Object(fields) = &mut stage {
        for follows_others in ["configuration_stages", "flow_set"] {
            fields.remove(follows_others);
        }
    }
    stage
}
