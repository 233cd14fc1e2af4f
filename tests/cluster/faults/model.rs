//! What has to hold once all is calm: worked out from the resources and the history alone, by rules of its own.

use std::collections::BTreeMap;

use authentik_stage_operator::authentik::Collection;
use devkit::gateway::Exchange;
use kube::{
    ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::{Map, Value, json};

use super::{
    fields::Secret,
    history::History,
    lasting::Lasting,
    objects::{Object, objects},
    resource::Resource,
    sick::{self, is_sick},
    world::At,
};
use crate::{
    harness::{condition, is_true, text},
    harness_more::CONNECTION,
};

/// Both sides at one moment.
pub struct Snapshot<'a> {
    /// Those on the healthy server.
    pub resources: Vec<Resource>,
    /// Those on the sick one.
    sick: Vec<Resource>,
    /// The connections to the healthy server.
    pub connections: BTreeMap<At, DynamicObject>,
    /// The stages and flows of this history, by UUID.
    pub objects: BTreeMap<String, Object>,
    /// The brand that names flows.
    pub brand: Map<String, Value>,
    /// What is always there.
    pub lasting: &'a [Lasting],
    /// By namespace and name.
    pub secrets: BTreeMap<(At, String), Secret>,
}

impl<'a> Snapshot<'a> {
    /// Looks at both sides.
    pub async fn take(history: &'a History<'_>) -> Self {
        let (mut resources, mut connections) = (Vec::new(), BTreeMap::new());
        for at in [At::Home, At::Away] {
            resources.extend(listed(history, at).await);
            let api = history.world.api(at, CONNECTION);
            let connection = api.get_opt("default").await;
            let connection = connection.expect("Kubernetes answers");
            connections.extend(connection.map(|connection| (at, connection)));
        }
        let is_sick = |resource: &Resource| is_sick(resource.spec());
        let (sick, resources) = resources.into_iter().partition(is_sick);
        Self {
            resources,
            sick,
            connections,
            objects: objects(history.test, &history.cast.kinds).await,
            brand: history.brand().await,
            lasting: &history.lasting,
            secrets: secrets(history).await,
        }
    }

    /// The object among these of this label.
    pub fn labelled(&self, names: Collection, label: &str) -> Option<&Object> {
        let mut objects = self.objects.values();
        objects.find(|object| object.is(names, label))
    }

    /// All that is not as it has to be.
    pub fn problems(&self, history: &History<'_>) -> Vec<String> {
        let sent = history.test.gateway.history();
        let asked = history.asked();
        let mut problems = Vec::new();
        for resource in &self.resources {
            let judged = match resource.is_deleted() {
                true => self.judge_deletion(resource, history.teardown),
                false => self.judge(resource, &sent),
            };
            let judged = judged.and_then(|()| is_clean(resource));
            if let Err(problem) = judged {
                let status = json!(resource.object.data["status"]);
                problems.push(format!(
                    "{}: {problem}; its status is {status}",
                    resource.id()
                ));
            }
        }
        problems.extend(self.mutual_conflicts());
        problems.extend(self.objects_of_nobody(history, &sent, &asked));
        problems.extend(self.touched(history));
        problems.extend(self.connections(history));
        problems.extend(self.sick.iter().filter_map(sick::problem));
        problems
    }

    /// Whether a resource that only observes does not stand for the object that it could: others may wait for it.
    fn is_yet_to_see(&self, resource: &Resource) -> bool {
        let own = resource.recorded().and_then(|uuid| self.objects.get(uuid));
        let called = self.labelled(resource.names(), resource.label());
        own.is_none() && called.is_some_and(|called| called.kind == Some(resource.kind))
    }

    /// Whether this resource says rightly how it is.
    fn judge(&self, resource: &Resource, sent: &[Exchange]) -> Result<(), String> {
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
        let better = self.better_claims(resource);
        let held_in_authentik = right.contains("NameConflict") && !better.is_certain;
        if better.is_certain {
            right.remove("AdoptionRefused");
        } else if right.is_empty() {
            expect(!self.is_yet_to_see(resource), "it is yet to see its object")?;
            let differs = self.differs_from_its_own(resource);
            // Of what was never written from here nothing is known of the secrets that do not show.
            let managed = resource.manages().is_some() || !resource.observes();
            let secrets = managed.then(|| self.secrets_were_sent(resource, sent).err());
            let differs = differs.or_else(|| secrets.flatten());
            let drifted = resource.observes() && differs.is_some();
            right.insert(match drifted {
                true => "Drifted",
                false if self.is_ahead_of_its_server(resource) => "FieldUnsupported",
                false => "InSync",
            });
            if ["InSync", "FieldUnsupported"].contains(&reason) {
                differs.map_or(Ok(()), Err)?;
            }
        }
        if !better.of.is_empty() {
            right.insert("NameConflict");
        }
        if reason == "NameConflict" && !held_in_authentik {
            better.is_told(text(&ready["message"]))?;
        }
        expect(
            right.contains(reason),
            &format!("{reason} is wrong, {right:?} would be right"),
        )
    }
}

/// The resources of a namespace.
async fn listed(history: &History<'_>, at: At) -> Vec<Resource> {
    let mut resources = Vec::new();
    for kind in history.cast.kinds.iter().copied() {
        let api = history.world.api(at, kind);
        let list = api.list(&ListParams::default()).await;
        for object in list.expect("the resources are listed") {
            // The watch may be behind.
            history.test.record.note(kind, &object);
            let shown = object.data.to_string();
            history.test.canaries.search("a resource", shown);
            resources.push(Resource { at, kind, object });
        }
    }
    resources
}

async fn secrets(history: &History<'_>) -> BTreeMap<(At, String), Secret> {
    let mut secrets = BTreeMap::new();
    for at in [At::Home, At::Away] {
        let list = history.world.secrets(at).list(&ListParams::default()).await;
        let list = list.expect("Secrets are listed").items.into_iter();
        secrets.extend(list.filter_map(|secret| {
            let value = secret.data.as_ref()?.get("secret")?;
            let value = String::from_utf8_lossy(&value.0).into_owned();
            let (name, uid) = (secret.name_any(), secret.uid()?);
            let secret = Secret {
                value,
                uid: Some(uid),
                version: secret.resource_version(),
            };
            Some(((at, name), secret))
        }));
    }
    secrets
}

/// Whether its status shows nothing that a terminal or a reader would take for something else.
fn is_clean(resource: &Resource) -> Result<(), String> {
    let is_harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut values = vec![&resource.object.data["status"]];
    while let Some(value) = values.pop() {
        match value {
            Value::String(text) if text.contains(is_harmful) => {
                return Err(format!("it shows {text:?}"));
            }
            Value::Array(items) => values.extend(items),
            Value::Object(fields) => values.extend(fields.values()),
            _ => {}
        }
    }
    Ok(())
}

/// Fails with this problem where it does not hold.
pub fn expect(holds: bool, problem: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(problem.to_owned())
    }
}
