//! Whether a stage is what a resource asks for.

use std::collections::BTreeSet;

use devkit::gateway::Exchange;
use serde_json::Value;

use super::{
    model::{Snapshot, expect},
    places::{Place, bound, places},
    resource::Resource,
};
use crate::factor;

/// The fields of the specs that histories use: of Kubernetes and of authentik.
pub const PLAIN: [(&str, &str); 6] = [
    ("notConfiguredAction", "not_configured_action"),
    ("deviceClasses", "device_classes"),
    ("lastAuthThreshold", "last_auth_threshold"),
    ("clientId", "client_id"),
    ("apiHostname", "api_hostname"),
    ("friendlyName", "friendly_name"),
];
pub const SECRET: [(&str, &str); 2] = [
    ("clientSecret", "client_secret"),
    ("adminSecretKey", "admin_secret_key"),
];

impl Snapshot {
    /// How the stage that the resource stands for is not what it asks for, if so.
    pub fn differs_from_its_own(&self, resource: &Resource) -> Option<String> {
        let own = resource.recorded().and_then(|uuid| self.stages.get(uuid));
        match own {
            Some((Some(kind), live)) if *kind == resource.kind => self.differs(resource, live),
            _ => Some("it has no stage".to_owned()),
        }
    }

    /// Whether `adoptionPolicy: IfMatch` takes this stage: bindings may be missing.
    pub fn matches(&self, resource: &Resource, live: &Value) -> bool {
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
            .map(|reference| self.referred(resource.at, reference).map(Value::from));
        let wanted: Option<Vec<_>> = wanted.collect();
        let found = &live["configuration_stages"];
        let same = wanted.is_some_and(|wanted| set(&Value::from(wanted)) == set(found));
        (!same).then(|| format!("configurationStages is {found}"))
    }

    /// Whether the values that Secrets hold now are those that were sent last.
    pub fn secrets_were_sent(&self, resource: &Resource, sent: &[Exchange]) -> Result<(), String> {
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
            let (value, uid, version) = &self.secrets[&(resource.at, secret.to_owned())];
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
}

/// Lists without their order.
pub fn set(value: &Value) -> Value {
    let mut value = value.clone();
    if let Value::Array(list) = &mut value {
        list.sort_by_key(Value::to_string);
    }
    value
}
