//! The bodies of bad answers.

use serde_json::{Value, json};
use uuid::Uuid;

/// The answer to a probe.
pub(super) fn version(version: &str) -> Value {
    json!({"version_current": version})
}

/// A page of these rows. `next` is the number of the one after it, 0 on the last.
pub(super) fn page(next: u64, rows: impl Iterator<Item = Value>) -> String {
    let rows: Vec<Value> = rows.collect();
    let count = if next == 0 {
        rows.len()
    } else {
        usize::MAX >> 16
    };
    json!({"pagination": {"next": next, "count": count}, "results": rows}).to_string()
}

/// A row that can stand in every list, with this text wherever one may be.
pub(super) fn row(text: &str) -> Value {
    let key = Uuid::new_v4();
    json!({
        "pk": key, "aaguid": key, "name": text, "slug": text, "description": text, "verbose_name": text,
        "component": text, "meta_model_name": text, "target": key, "stage": key, "order": 0,
        "not_configured_action": "skip", "device_classes": ["totp"], "configuration_stages": [],
        "last_auth_threshold": "seconds=0", "flow_set": [{"pk": key, "slug": text}],
    })
}

/// A row of which every value that can be an array is one of so many items.
pub(super) fn arrays(items: usize) -> Value {
    let mut row = row("arrays");
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
    let mut body = row(text);
    body["version_current"] = text.into();
    body["pagination"] = json!({"next": 0, "count": 1});
    body["results"] = json!([row(text)]);
    body.to_string()
}
