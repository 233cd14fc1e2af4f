//! The status of every kind, and the rules for conditions.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::BoundFlow;

/// What the operator last saw and did.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`; and `Reconciling`, `Stalled` or `Suspended`, present only while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The stage in authentik that this resource stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Identity>,
    /// Under `Observe`: what differs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<DriftedField>,
    /// The Secrets whose values authentik holds, one entry a secret field: last sent, or seen there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SentSecret>,
    /// When and why authentik was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change: Option<Change>,
}

/// A stage in authentik.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Identity {
    /// Its UUID.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// The URL of the server that holds it.
    pub server: String,
    /// True once this resource created the stage or took it over; absent while it only observes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub managed: bool,
    /// The slugs of the flows that it is bound to, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<String>,
    /// Where in which flow it stands, sorted; present while `spec.flows` is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<BoundFlow>,
}

/// What the operator last saw and did.
// As `Status`, but for how it tells which object of authentik the resource stands for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(from = "FlowStatusForm", into = "FlowStatusForm")]
#[schemars(with = "FlowStatusForm")]
pub struct FlowStatus(pub Status);

/// What the operator last saw and did.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct FlowStatusForm {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    observed_generation: Option<i64>,
    /// `Ready`; and `Reconciling`, `Stalled` or `Suspended`, present only while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<Condition>,
    /// The flow in authentik that this resource stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flow: Option<FlowIdentity>,
    /// Under `Observe`: what differs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    drift: Vec<DriftedField>,
    /// When and why authentik was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_change: Option<Change>,
}

/// A flow in authentik.
#[derive(Deserialize, JsonSchema, Serialize)]
struct FlowIdentity {
    /// Its UUID.
    uuid: Uuid,
    /// Its slug.
    slug: String,
    /// The URL of the server that holds it.
    server: String,
    /// True once this resource created the flow or took it over; absent while it only observes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    managed: bool,
}

impl From<FlowStatusForm> for FlowStatus {
    fn from(form: FlowStatusForm) -> Self {
        Self(Status {
            observed_generation: form.observed_generation,
            conditions: form.conditions,
            stage: form.flow.map(|flow| Identity {
                uuid: flow.uuid,
                name: flow.slug,
                server: flow.server,
                managed: flow.managed,
                flows: Vec::new(),
                bindings: Vec::new(),
            }),
            drift: form.drift,
            secrets: Vec::new(),
            last_change: form.last_change,
        })
    }
}

impl From<FlowStatus> for FlowStatusForm {
    fn from(FlowStatus(status): FlowStatus) -> Self {
        Self {
            observed_generation: status.observed_generation,
            conditions: status.conditions,
            flow: status.stage.map(|identity| FlowIdentity {
                uuid: identity.uuid,
                slug: identity.name,
                server: identity.server,
                managed: identity.managed,
            }),
            drift: status.drift,
            last_change: status.last_change,
        }
    }
}

/// One difference between the spec and authentik.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct DriftedField {
    /// The field of the spec.
    pub field: String,
    /// What the spec asks for, as JSON; `<secret>` for a secret.
    pub wanted: String,
    /// What authentik holds, as JSON; `<secret>` for a secret.
    pub found: String,
    /// True where this makes the second factor weaker than the spec asks; else absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub weaker: bool,
}

/// Which Secret a secret field was last sent from, or is seen to be equal to. Never anything made from its data.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SentSecret {
    /// The field of the spec.
    pub field: String,
    /// The Secret's name; absent when the field was emptied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The key in its data; absent when the field was emptied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The Secret's uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The Secret's resourceVersion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// A write to authentik.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// When authentik answered.
    pub time: Time,
    /// Why: `Created`, `Updated`, `DriftCorrected` or `Adopted`, as in the event.
    pub reason: String,
    /// The fields of the spec that were sent, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Of a correction of drift: who had changed it last, where authentik's audit log tells that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<Author>,
}

/// Who changed something in authentik, as its audit log tells it.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Author {
    /// The user's name; absent where the operator is told to name nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The address that the request came from; absent where the operator is told to name nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<String>,
    /// What the program calls itself that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// When it was changed.
    pub time: Time,
}

impl Status {
    /// The condition of this type, if it is present.
    #[must_use]
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        condition(&self.conditions, type_)
    }

    /// The reason of the `Ready` condition, or nothing while there is none.
    #[must_use]
    pub fn ready_reason(&self) -> &str {
        self.condition(super::conditions::READY)
            .map_or("", |ready| ready.reason.as_str())
    }
}

/// The condition of this type, if it is present.
#[must_use]
pub fn condition<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// The condition of this type in a status of any form; null where there is none.
#[must_use]
pub fn condition_in<'a>(status: &'a Value, type_: &str) -> &'a Value {
    let conditions = status["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let found = conditions.find(|condition| condition["type"] == type_);
    found.unwrap_or(&Value::Null)
}

/// Sets a condition in place. Its transition time moves only when its status does, as Kubernetes' API
/// conventions ask.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: bool,
    reason: &str,
    message: &str,
    generation: Option<i64>,
) {
    let status = if status { "True" } else { "False" };
    let since = condition(conditions, type_)
        .filter(|old| old.status == status)
        .map_or_else(
            || Time(Timestamp::now()),
            |old| old.last_transition_time.clone(),
        );
    let new = Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: generation,
        last_transition_time: since,
    };
    match conditions.iter_mut().find(|old| old.type_ == type_) {
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}

/// Removes a condition that is no longer true.
pub fn without_condition(conditions: &mut Vec<Condition>, type_: &str) {
    conditions.retain(|condition| condition.type_ != type_);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_flow_is_told_in_its_own_words_and_read_back() {
        let written = json!({
            "observedGeneration": 2,
            "flow": {
                "uuid": Uuid::nil(), "slug": "login", "server": "https://authentik", "managed": true,
            },
            "drift": [{"field": "title", "wanted": "\"a\"", "found": "\"b\""}],
            "lastChange": {"time": "2026-01-01T00:00:00Z", "reason": "Created", "fields": ["title"]},
            "conditions": [],
        });
        let status: FlowStatus = serde_json::from_value(written.clone()).unwrap();
        let stands_for = status.0.stage.as_ref().unwrap();
        assert_eq!(
            (stands_for.name.as_str(), stands_for.managed),
            ("login", true)
        );
        let mut written = written;
        written.as_object_mut().unwrap().remove("conditions");
        assert_eq!(json!(status), written);
    }
}
