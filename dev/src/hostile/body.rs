//! The bodies of bad answers.

use super::{ECHOED, Row};
use serde_json::{Value, json};
use uuid::Uuid;

/// The answer to a probe.
pub(super) fn version(version: &str) -> Value {
    json!({"version_current": version})
}

/// A page of so many rows. `next` is the number of the one after it, 0 on the last.
pub(super) fn page(next: u64, row: Row, rows: usize) -> String {
    let count = if next == 0 { rows } else { usize::MAX >> 16 };
    let head = json!({"next": next, "count": count});
    let (row, key) = (row.make(), Uuid::nil().to_string());
    // Of a big row only the key is made anew.
    let rows: Vec<_> = (0..rows)
        .map(|_| row.replace(&key, &Uuid::new_v4().to_string()))
        .collect();
    format!("{{\"pagination\":{head},\"results\":[{}]}}", rows.join(","))
}

impl Row {
    fn make(self) -> String {
        let key = Uuid::nil();
        match self {
            Self::Named(bytes) => row(key, &"n".repeat(bytes), "a text"),
            Self::Arrays(items) => arrays(row(key, "arrays", "a text"), items),
        }
        .to_string()
    }
}

/// A row that can stand in every list, with this text wherever one may be.
fn row(key: Uuid, name: &str, text: &str) -> Value {
    json!({
        "pk": key, "aaguid": key, "name": name, "slug": text, "description": text, "verbose_name": text,
        "component": text, "meta_model_name": text, "target": key, "stage": key, "order": 0,
        "not_configured_action": text, "device_classes": [text], "configuration_stages": [],
        "last_auth_threshold": text, "flow_set": [{"pk": key, "slug": text}],
    })
}

fn arrays(mut row: Value, items: usize) -> Value {
    for field in [
        "device_classes",
        "webauthn_hints",
        "configuration_stages",
        "webauthn_allowed_device_types",
    ] {
        row[field] = vec!["1"; items].into();
    }
    row["flow_set"] = vec![json!({"slug": "f"}); items].into();
    row
}

/// What readers look for, and small numbers up to about so many bytes.
pub(super) fn numbers(bytes: usize) -> String {
    let mut body = json!({
        "version_current": "2026.5.0", "pk": Uuid::new_v4(), "name": "numbers",
        "pagination": {"next": 0, "count": 0}, "results": [],
    })
    .to_string();
    body.pop();
    body.push_str(",\"a\":[0");
    body.push_str(&",0".repeat(bytes / 2));
    body.push_str("]}");
    body
}

/// An answer to any read, with this text all over.
pub(super) fn echo(text: &str) -> String {
    let mut body = row(Uuid::nil(), ECHOED, text);
    let rows = [body.clone(), row(Uuid::max(), text, text)];
    body["version_current"] = text.into();
    body["pagination"] = json!({"next": 0, "count": rows.len()});
    body["results"] = rows.into_iter().collect();
    body.to_string()
}

/// An answer to the question what uses a row, with this text all over.
pub(super) fn echoed_users(text: &str) -> String {
    let user = |app: &str, model: &str| json!({"app": app, "model_name": model, "pk": text, "name": text, "action": text});
    let users = [user("authentik_flows", "flow"), user(text, text)];
    Value::from_iter(users).to_string()
}
