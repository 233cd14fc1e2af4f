//! When an authenticator validation stage asks for less than another.

use serde_json::Value;

use crate::authentik::duration;

/// What happens to people without a second factor, the strictest first.
const ACTIONS: [&str; 3] = ["deny", "configure", "skip"];

/// Whether WebAuthn devices verify their user, the strictest first.
const VERIFICATIONS: [&str; 3] = ["required", "preferred", "discouraged"];

/// Whether a stage asks for less where authentik holds `found` of this field of its API, and not `wanted`.
pub(super) fn is_weaker(field: &str, wanted: &Value, found: &Value) -> bool {
    match field {
        "not_configured_action" => is_later(&ACTIONS, wanted, found),
        "webauthn_user_verification" => is_later(&VERIFICATIONS, wanted, found),
        "device_classes" => !is_subset(wanted, found),
        // An empty list takes devices of every type.
        "webauthn_allowed_device_types" => {
            !is_empty(wanted) && (is_empty(found) || !is_subset(found, wanted))
        }
        "last_auth_threshold" => is_longer(wanted, found),
        _ => false,
    }
}

fn is_later(order: &[&str], wanted: &Value, found: &Value) -> bool {
    let place = |value: &Value| order.iter().position(|word| value == word);
    matches!((place(wanted), place(found)), (Some(wanted), Some(found)) if found > wanted)
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}

fn is_subset(part: &Value, whole: &Value) -> bool {
    let whole = whole.as_array().map_or(&[][..], Vec::as_slice);
    let mut part = part.as_array().into_iter().flatten();
    part.all(|item| whole.contains(item))
}

fn is_longer(wanted: &Value, found: &Value) -> bool {
    let read = |value: &Value| duration::microseconds(value.as_str()?);
    matches!((read(wanted), read(found)), (Some(wanted), Some(found)) if found > wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn less_is_asked_for_where_a_login_gets_easier() {
        for (field, strict, lax) in [
            ("not_configured_action", json!("deny"), json!("configure")),
            ("not_configured_action", json!("deny"), json!("skip")),
            ("not_configured_action", json!("configure"), json!("skip")),
            (
                "device_classes",
                json!(["totp", "webauthn"]),
                json!(["totp"]),
            ),
            ("device_classes", json!(["webauthn"]), json!([])),
            ("last_auth_threshold", json!("seconds=0"), json!("days=1")),
            ("last_auth_threshold", json!("hours=1"), json!("minutes=61")),
            (
                "webauthn_user_verification",
                json!("required"),
                json!("discouraged"),
            ),
            ("webauthn_allowed_device_types", json!(["a"]), json!([])),
            (
                "webauthn_allowed_device_types",
                json!(["a"]),
                json!(["a", "b"]),
            ),
        ] {
            assert!(is_weaker(field, &strict, &lax), "{field}: {strict} → {lax}");
            assert!(
                !is_weaker(field, &lax, &strict),
                "{field}: {lax} → {strict} asks for no less"
            );
            assert!(!is_weaker(field, &strict, &strict), "{field}: {strict}");
        }
    }

    #[test]
    fn other_classes_ask_for_less_and_what_is_unknown_does_not() {
        let classes = [json!(["webauthn"]), json!(["sms"])];
        assert!(is_weaker("device_classes", &classes[0], &classes[1]));
        for (field, wanted, found) in [
            ("not_configured_action", json!("deny"), json!("new")),
            ("last_auth_threshold", json!("hours=1"), json!("long")),
            ("webauthn_hints", json!(["hybrid"]), json!([])),
        ] {
            assert!(!is_weaker(field, &wanted, &found), "{field}");
        }
    }
}
