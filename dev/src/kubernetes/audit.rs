//! The API server's record of what was written.
use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

/// A request that creates, changes or deletes, with the answer it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedWrite {
    /// The name of the user who made the request.
    pub user: String,
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// The plural name of the kind, such as `configmaps`.
    pub resource: String,
    /// The part of the object, such as `status`; empty for the object itself.
    pub subresource: String,
    /// The object's namespace; empty for kinds outside namespaces.
    pub namespace: String,
    /// The object's name; empty where the server was to choose it and refused.
    pub name: String,
    /// The program that made the request, as it calls itself.
    pub user_agent: String,
    /// The HTTP status of the answer.
    pub code: u16,
}

/// Reads the writes to `namespace`, oldest first; none when nothing was written yet.
pub(super) fn read(log: &Path, namespace: &str) -> io::Result<Vec<AuditedWrite>> {
    match fs::read(log) {
        Ok(log) => parse(&log, namespace),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn parse(log: &[u8], namespace: &str) -> io::Result<Vec<AuditedWrite>> {
    let mut writes = Vec::new();
    // What follows the last line break is still being written, and thus not answered yet.
    for line in log
        .split_inclusive(|&byte| byte == b'\n')
        .filter(|line| line.ends_with(b"\n"))
    {
        let event: Event = serde_json::from_slice(line)?;
        if event.stage == "ResponseComplete" && event.object_ref.namespace == namespace {
            writes.push(event.into());
        }
    }
    Ok(writes)
}

/// The fields that are used of an event of `audit.k8s.io/v1`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    user: EventUser,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
}

#[derive(Deserialize)]
struct EventUser {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

impl From<Event> for AuditedWrite {
    fn from(event: Event) -> Self {
        Self {
            user: event.user.username,
            verb: event.verb,
            resource: event.object_ref.resource,
            subresource: event.object_ref.subresource,
            namespace: event.object_ref.namespace,
            name: event.object_ref.name,
            user_agent: event.user_agent,
            code: event.response_status.code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERED: &str = r#"{"stage":"ResponseComplete","verb":"patch","user":{"username":"operator"},"userAgent":"kube","objectRef":{"resource":"configmaps","subresource":"status","namespace":"here","name":"a"},"responseStatus":{"code":200}}"#;

    #[test]
    fn keeps_answered_writes_of_the_namespace() {
        let elsewhere = ANSWERED.replace("here", "elsewhere");
        let received = ANSWERED.replace("ResponseComplete", "RequestReceived");
        let unfinished = &ANSWERED[..40];
        let log = format!("{elsewhere}\n{received}\n{ANSWERED}\n{unfinished}");
        let writes = parse(log.as_bytes(), "here").unwrap();
        let expected = AuditedWrite {
            user: "operator".into(),
            verb: "patch".into(),
            resource: "configmaps".into(),
            subresource: "status".into(),
            namespace: "here".into(),
            name: "a".into(),
            user_agent: "kube".into(),
            code: 200,
        };
        assert_eq!(writes, [expected]);
    }
}
