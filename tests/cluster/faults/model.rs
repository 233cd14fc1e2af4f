//! What has to hold once all is calm: worked out from the resources and the history alone, by rules of its own.

use std::collections::{BTreeMap, BTreeSet};

use devkit::gateway::Exchange;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::{Value, json};

use super::{
    history::{History, Untouched},
    places::{Place, bindings, bound, places},
};
use crate::{
    factor,
    harness::{DUO, VALIDATE, collection, condition, is_true, text},
    record::Asked,
};

/// The fields of the specs that histories use: of Kubernetes and of authentik.
pub const PLAIN: [(&str, &str); 6] = [
    ("notConfiguredAction", "not_configured_action"),
    ("deviceClasses", "device_classes"),
    ("lastAuthThreshold", "last_auth_threshold"),
    ("clientId", "client_id"),
    ("apiHostname", "api_hostname"),
    ("friendlyName", "friendly_name"),
];
const SECRET: [(&str, &str); 2] = [
    ("clientSecret", "client_secret"),
    ("adminSecretKey", "admin_secret_key"),
];

/// One resource at the end.
struct Resource {
    kind: &'static str,
    object: DynamicObject,
}

/// Both sides at one moment.
pub struct Snapshot {
    resources: Vec<Resource>,
    /// The stages of this history, by UUID; with the kind that they are of, where it is one of ours.
    stages: BTreeMap<String, (Option<&'static str>, Value)>,
    /// The flows' UUIDs, by slug.
    flows: BTreeMap<String, String>,
    /// Name to value, uid and resourceVersion.
    secrets: BTreeMap<String, (String, String, String)>,
}

impl Resource {
    fn name(&self) -> String {
        self.object.name_any()
    }

    fn spec(&self) -> &Value {
        &self.object.data["spec"]
    }

    fn stage_name(&self) -> &str {
        text(&self.spec()["name"])
    }

    fn observes(&self) -> bool {
        self.spec()["managementPolicy"] == "Observe"
    }

    fn is_suspended(&self) -> bool {
        self.spec()["suspend"] == true
    }

    fn is_deleted(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }

    fn recorded(&self) -> Option<&str> {
        self.object.data["status"]["stage"]["uuid"].as_str()
    }

    fn recorded_name(&self) -> Option<&str> {
        self.object.data["status"]["stage"]["name"].as_str()
    }

    fn manages(&self) -> Option<&str> {
        self.recorded()
            .filter(|_| self.object.data["status"]["stage"]["managed"] == true)
    }
}

impl Snapshot {
    /// Looks at both sides, and again until nothing has changed meanwhile in Kubernetes.
    pub async fn take(history: &History<'_>) -> Self {
        let test = history.test;
        let mut resources = Vec::new();
        for kind in [VALIDATE, DUO] {
            let list = test.api(kind).list(&ListParams::default()).await;
            let list = list.expect("the resources are listed").items;
            resources.extend(list.into_iter().map(|object| Resource { kind, object }));
        }
        let mut stages = BTreeMap::new();
        let prefix = format!("{}-", test.namespace);
        for (kind, path) in [
            (None, "stages/all/".to_owned()),
            (Some(VALIDATE), collection(VALIDATE).to_owned()),
            (Some(DUO), collection(DUO).to_owned()),
        ] {
            let search = format!("{path}?search={prefix}&page_size=100");
            for row in test.authentik.list(&search).await {
                if text(&row["name"]).starts_with(&prefix) {
                    stages.insert(text(&row["pk"]).to_owned(), (kind, row));
                }
            }
        }
        let mut bindings = bindings(test, history.flows.values()).await;
        for (uuid, (_, stage)) in &mut stages {
            stage["bindings"] = json!(bindings.remove(uuid).unwrap_or_default());
        }
        let secrets: Api<Secret> = Api::namespaced(test.kube.clone(), &test.namespace);
        let secrets = secrets.list(&ListParams::default()).await;
        let secrets = secrets.expect("Secrets are listed").items.into_iter();
        let secrets = secrets.filter_map(|secret| {
            let value = secret.data.as_ref()?.get("secret")?;
            let value = String::from_utf8_lossy(&value.0).into_owned();
            Some((
                secret.name_any(),
                (value, secret.uid()?, secret.resource_version()?),
            ))
        });
        Self {
            resources,
            stages,
            flows: history.flows.clone(),
            secrets: secrets.collect(),
        }
    }

    fn stage_named(&self, name: &str) -> Option<(&str, Option<&'static str>, &Value)> {
        let mut stages = self.stages.iter();
        stages
            .find(|(_, (_, stage))| stage["name"] == name)
            .map(|(uuid, (kind, stage))| (uuid.as_str(), *kind, stage))
    }

    /// All that is not as it has to be.
    pub fn problems(&self, history: &History<'_>) -> Vec<String> {
        let sent = history.test.gateway.history();
        let asked = history.test.record.asked();
        let mut problems = Vec::new();
        for resource in &self.resources {
            if let Err(problem) = self.judge(resource, &sent) {
                let status = json!(resource.object.data["status"]);
                problems.push(format!(
                    "{}: {problem}; its status is {status}",
                    resource.name()
                ));
            }
        }
        problems.extend(self.stages_of_nobody(history, &sent, &asked));
        problems.extend(self.touched(history));
        problems
    }

    /// Whether this resource says rightly how it is.
    fn judge(&self, resource: &Resource, sent: &[Exchange]) -> Result<(), String> {
        if resource.is_deleted() {
            return self.judge_deletion(resource);
        }
        let status = &resource.object.data["status"];
        if status["observedGeneration"].as_i64() != resource.object.metadata.generation {
            return Err("its spec has not been seen".to_owned());
        }
        if resource.is_suspended() {
            return expect(
                is_true(&resource.object, "Suspended"),
                "it does not say that it is suspended",
            );
        }
        let ready = condition(&resource.object, "Ready").ok_or("there is no condition Ready")?;
        let reason = text(&ready["reason"]);
        let mut right = self.obstacles(resource);
        if right.is_empty() {
            let differs = self.differs_from_its_own(resource);
            // Of a stage that was never written from here nothing is known of the secrets.
            let managed = resource.manages().is_some() || !resource.observes();
            let secrets = managed.then(|| self.secrets_were_sent(resource, sent).err());
            let differs = differs.or_else(|| secrets.flatten());
            let drifted = resource.observes() && differs.is_some();
            right.insert(if drifted { "Drifted" } else { "InSync" });
            if reason == "InSync" {
                differs.map_or(Ok(()), Err)?;
            }
        }
        if self.has_rivals(resource) {
            right.insert("NameConflict");
        }
        expect(
            right.contains(reason),
            &format!("{reason} is wrong, {right:?} would be right"),
        )
    }

    /// How the stage that the resource stands for is not what it asks for, if so.
    fn differs_from_its_own(&self, resource: &Resource) -> Option<String> {
        let own = resource.recorded().and_then(|uuid| self.stages.get(uuid));
        match own {
            Some((Some(kind), live)) if *kind == resource.kind => self.differs(resource, live),
            _ => Some("it has no stage".to_owned()),
        }
    }

    /// Why a resource can't be in sync.
    fn obstacles(&self, resource: &Resource) -> BTreeSet<&'static str> {
        let mut obstacles = BTreeSet::new();
        let spec = resource.spec();
        let references = spec["configurationStages"].as_array().into_iter().flatten();
        if references
            .clone()
            .any(|reference| self.referred(reference).is_none())
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
        if secrets.any(|secret| !self.secrets.contains_key(secret)) {
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
    fn referred(&self, reference: &Value) -> Option<&str> {
        if let Some(name) = reference["name"].as_str() {
            return self.stage_named(name).map(|(uuid, _, _)| uuid);
        }
        let named = &reference["resource"];
        let is_named =
            |other: &&Resource| named["kind"] == other.kind && named["name"] == other.name();
        let uuid = self.resources.iter().find(is_named)?.recorded()?;
        self.stages.contains_key(uuid).then_some(uuid)
    }

    /// Whether another resource wants or has the name, or the stage.
    fn has_rivals(&self, resource: &Resource) -> bool {
        let name = resource.stage_name();
        self.resources.iter().any(|other| {
            let same_stage = other.recorded().is_some() && other.recorded() == resource.recorded();
            (other.kind, other.name()) != (resource.kind, resource.name())
                && (other.stage_name() == name || other.recorded_name() == Some(name) || same_stage)
        })
    }

    /// Whether `adoptionPolicy: IfMatch` takes this stage: bindings may be missing.
    fn matches(&self, resource: &Resource, live: &Value) -> bool {
        let wanted = places(resource.spec(), &self.flows);
        let fits = |wanted: BTreeSet<Place>| bound(live).is_subset(&wanted);
        self.differs_itself(resource, live).is_none() && wanted.is_none_or(fits)
    }

    /// How this stage is not what the resource asks for, if so.
    fn differs(&self, resource: &Resource, live: &Value) -> Option<String> {
        let wanted = places(resource.spec(), &self.flows);
        let differs = wanted.is_some_and(|wanted| wanted != bound(live));
        let bindings = differs.then(|| format!("it stands at {}", live["bindings"]));
        self.differs_itself(resource, live).or(bindings)
    }

    /// The first field in which this stage is not what the resource asks for, if there is one.
    fn differs_itself(&self, resource: &Resource, live: &Value) -> Option<String> {
        let spec = resource.spec();
        if live["name"] != spec["name"] {
            return Some(format!("the stage's name is {}", live["name"]));
        }
        for (field, api) in PLAIN {
            let wanted = &spec[field];
            if !wanted.is_null() && set(wanted) != set(&live[api]) {
                return Some(format!("{field} is {}", live[api]));
            }
        }
        let references = spec["configurationStages"].as_array()?;
        let wanted = references
            .iter()
            .map(|reference| self.referred(reference).map(Value::from));
        let wanted: Option<Vec<_>> = wanted.collect();
        let found = &live["configuration_stages"];
        let same = wanted.is_some_and(|wanted| set(&Value::from(wanted)) == set(found));
        (!same).then(|| format!("configurationStages is {found}"))
    }

    /// Whether the values that Secrets hold now are those that were sent last.
    fn secrets_were_sent(&self, resource: &Resource, sent: &[Exchange]) -> Result<(), String> {
        let uuid = resource.manages().ok_or("no stage is recorded")?;
        let names = factor::names(sent);
        let names = names.get(uuid);
        for (field, api) in SECRET {
            let Some(secret) = resource.spec()[field]["secretKeyRef"]["name"].as_str() else {
                continue;
            };
            let writes = sent.iter().filter(|write| match write.method.as_str() {
                "POST" => names.is_some_and(|names| {
                    names.contains(
                        write
                            .body
                            .as_ref()
                            .and_then(|body| body["name"].as_str())
                            .unwrap_or_default(),
                    )
                }),
                "PATCH" => write.path.ends_with(&format!("/{uuid}/")),
                _ => false,
            });
            let mut values = writes.filter_map(|write| write.body.as_ref()?[api].as_str());
            let (value, uid, version) = &self.secrets[secret];
            let last = values.next_back();
            expect(
                last == Some(value),
                &format!("{field} was last sent as {last:?}, not {value}"),
            )?;
            let recorded = resource.object.data["status"]["secrets"]
                .as_array()
                .into_iter()
                .flatten();
            let recorded = recorded.clone().find(|recorded| recorded["field"] == field);
            let is_present = |recorded: &Value| {
                recorded["uid"] == *uid && recorded["resourceVersion"] == *version
            };
            expect(
                recorded.is_some_and(is_present),
                &format!("{field} is not recorded as it is"),
            )?;
        }
        Ok(())
    }

    /// A resource that is to be deleted and still there has to say why.
    fn judge_deletion(&self, resource: &Resource) -> Result<(), String> {
        let reason = condition(&resource.object, "Ready").map(|ready| text(&ready["reason"]));
        let enrols = |uuid: &str| {
            let mut others = self.stages.iter().filter(|(other, _)| *other != uuid);
            others.any(|(_, (_, stage))| {
                let stages = stage["configuration_stages"].as_array();
                stages.is_some_and(|stages| stages.iter().any(|stage| stage == uuid))
            })
        };
        let declared = places(resource.spec(), &self.flows).unwrap_or_default();
        let stands_elsewhere = |uuid: &str| {
            let stage = self.stages.get(uuid);
            stage.is_some_and(|(_, stage)| !bound(stage).is_subset(&declared))
        };
        let in_use = |uuid: &str| enrols(uuid) || stands_elsewhere(uuid);
        let blocked =
            resource.spec()["deletionPolicy"] == "Delete" && resource.manages().is_some_and(in_use);
        expect(
            blocked && reason == Some("DeletionBlocked"),
            &format!("it is not gone, and {reason:?} is no reason"),
        )
    }

    /// Every stage is some resource's, by just one claim, or was made by hand, or may have been left.
    fn stages_of_nobody(
        &self,
        history: &History<'_>,
        sent: &[Exchange],
        asked: &BTreeMap<String, Asked>,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        let names = factor::names(sent);
        for (uuid, (_, stage)) in &self.stages {
            let owners: Vec<_> = self
                .resources
                .iter()
                .filter(|resource| resource.manages() == Some(uuid))
                .map(Resource::name)
                .collect();
            if owners.len() > 1 {
                problems.push(format!("{} belongs to all of {owners:?}", stage["name"]));
            }
            if !owners.is_empty() || history.by_hand.contains(uuid) {
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
    fn touched(&self, history: &History<'_>) -> Vec<String> {
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
            let resource = self.resources.iter().find(stands_for);
            let wanted = self
                .resources
                .iter()
                .any(|resource| resource.stage_name() == stage["name"]);
            let is_left_alone = match resource {
                Some(resource) => resource.is_suspended() || resource.observes(),
                None => !wanted,
            };
            if is_left_alone {
                let untouched_stage = Untouched {
                    stage: stage.clone(),
                    resource: resource.map(Resource::name),
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

/// Lists without their order.
pub fn set(value: &Value) -> Value {
    let mut value = value.clone();
    if let Value::Array(list) = &mut value {
        list.sort_by_key(Value::to_string);
    }
    value
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

fn expect(holds: bool, problem: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(problem.to_owned())
    }
}
