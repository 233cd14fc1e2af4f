//! How one resource stands, as its status says.

use jiff::Timestamp;
use kube::core::DynamicObject;
use serde::Serialize;
use serde_json::Value;

use crate::{
    api::{condition_in, conditions::READY},
    authentik::{base_url, one_line},
    plan::failure::Reason,
};

/// How a resource stands.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty for what belongs to the whole cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `True`, `False` or `Unknown`; empty while nobody has looked at it.
    pub ready: String,
    /// The reason for that.
    pub reason: String,
    /// The reason at length.
    pub message: String,
    /// The name of the stage, or the slug of the flow, that it stands for.
    pub stage: String,
    /// The URL of its server.
    pub server: String,
    /// When authentik was last written.
    pub last_change: Option<Timestamp>,
    /// How many fields differ from what is wanted.
    pub drift: usize,
    /// What it waits for.
    pub waits_for: Option<String>,
}

impl Row {
    /// The row of an object of this kind. What can't be read of it is left out.
    pub fn of(kind: &str, object: &DynamicObject) -> Self {
        let (spec, status) = (&object.data["spec"], &object.data["status"]);
        let ready = condition_in(status, READY);
        let (reason, message) = (text(&ready["reason"]), text(&ready["message"]));
        let identity = match &status["stage"] {
            Value::Null => &status["flow"],
            stage => stage,
        };
        let label = match &identity["name"] {
            Value::Null => &identity["slug"],
            name => name,
        };
        let server = match &identity["server"] {
            // Connections name it themselves.
            Value::Null => base_url(&text(&spec["url"])),
            server => text(server),
        };
        let last_change = status["lastChange"]["time"].as_str();
        Self {
            kind: kind.to_owned(),
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
            ready: text(&ready["status"]),
            waits_for: waits_for(&reason, &message),
            reason,
            message,
            stage: text(label),
            server,
            last_change: last_change.and_then(|time| time.parse().ok()),
            drift: status["drift"].as_array().map_or(0, Vec::len),
        }
    }

    /// Its place in the table.
    pub fn key(&self) -> (String, String, String) {
        let (namespace, name) = (self.namespace.clone(), self.name.clone());
        (self.kind.clone(), namespace, name)
    }

    /// `namespace/name`, or the name of what has no namespace.
    pub fn path(&self) -> String {
        match self.namespace.as_str() {
            "" => self.name.clone(),
            namespace => format!("{namespace}/{}", self.name),
        }
    }
}

/// The text on one line: whoever may write a status writes to this terminal.
fn text(value: &Value) -> String {
    one_line(value.as_str().unwrap_or_default())
}

/// What a resource waits for, as the operator's messages name it; else the first of what they say.
fn waits_for(reason: &str, message: &str) -> Option<String> {
    let is = |known: Reason| reason == known.as_str();
    let first = || message.split("; ").next().unwrap_or_default();
    let found = if is(Reason::ReferenceNotFound) {
        between(message, " waits for ", ", which").or_else(|| between(message, "has no ", ";"))
    } else if is(Reason::SecretNotFound) {
        between(message, "Secret ", " ").map(|name| format!("Secret {name}"))
    } else if is(Reason::ConnectionNotReady) {
        message
            .split_once(" is not ready")
            .map(|(name, _)| name.to_owned())
    } else {
        return None;
    };
    Some(found.unwrap_or_else(|| first().to_owned()))
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    let (found, _) = rest.split_once(after)?;
    Some(found.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(object: Value) -> Row {
        Row::of("Flow", &serde_json::from_value(object).unwrap())
    }

    #[test]
    fn stages_flows_and_connections_are_read() {
        let ready = json!([{"type": "Stalled", "status": "True", "reason": "No", "message": ""},
            {"type": "Ready", "status": "True", "reason": "InSync", "message": "all\u{1b}[2Jis well"}]);
        let stage = row(
            json!({"metadata": {"name": "a", "namespace": "b"}, "status": {"conditions": ready,
            "stage": {"name": "mfa", "server": "https://auth"}, "drift": [{}, {}],
            "lastChange": {"time": "2026-11-01T00:00:00Z"}}}),
        );
        assert_eq!(
            (stage.ready.as_str(), stage.reason.as_str()),
            ("True", "InSync")
        );
        assert_eq!(
            (stage.stage.as_str(), stage.server.as_str()),
            ("mfa", "https://auth")
        );
        assert_eq!((stage.path().as_str(), stage.drift), ("b/a", 2));
        assert_eq!(stage.message, "all [2Jis well");
        assert!(stage.last_change.is_some() && stage.waits_for.is_none());
        let flow = row(json!({"metadata": {"name": "a"}, "status": {"flow": {"slug": "login"}}}));
        assert_eq!((flow.stage.as_str(), flow.path().as_str()), ("login", "a"));
        let connection =
            row(json!({"metadata": {}, "spec": {"url": "https://me:secret@auth/api/v3/"}}));
        assert_eq!(connection.server, "https://auth");
    }

    #[test]
    fn what_is_no_status_is_no_reason_to_end() {
        for odd in [
            json!(null),
            json!("a"),
            json!({"conditions": {"a": 1}, "drift": "x", "stage": 5}),
        ] {
            let row = row(json!({"metadata": {"name": "a"}, "status": odd}));
            assert_eq!((row.ready.as_str(), row.drift), ("", 0));
        }
    }

    #[test]
    fn what_is_waited_for_is_taken_from_the_message() {
        let waits = |reason: Reason, message| waits_for(reason.as_str(), message);
        for (reason, message, what) in [
            (
                Reason::ReferenceNotFound,
                "flows waits for Flow login, which is not there",
                "Flow login",
            ),
            (
                Reason::ReferenceNotFound,
                "flows: authentik has no flow \"a\"; create it there",
                "flow \"a\"",
            ),
            (
                Reason::ReferenceNotFound,
                "something else; do this",
                "something else",
            ),
            (
                Reason::SecretNotFound,
                "Secret a/duo does not exist; create it",
                "Secret a/duo",
            ),
            (
                Reason::ConnectionNotReady,
                "AuthentikConnection a/b is not ready: no",
                "AuthentikConnection a/b",
            ),
        ] {
            assert_eq!(waits(reason, message).as_deref(), Some(what), "{message}");
        }
        assert_eq!(waits(Reason::Rejected, "authentik has no idea;"), None);
    }
}
