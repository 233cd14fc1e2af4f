//! Values that fields of several kinds take.

use kube::core::{Message, Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether WebAuthn devices verify their user.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum UserVerification {
    Required,
    Preferred,
    Discouraged,
}

/// Which kind of WebAuthn device a browser offers first.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum WebauthnHint {
    SecurityKey,
    ClientDevice,
    Hybrid,
}

/// One unit of a duration: authentik's keywords for Python's timedelta, in any letter case. Nine digits
/// stay below the largest timedelta in every unit but weeks, whose overflow authentik answers with an
/// internal error.
const UNIT: &str = "((?i:days|hours|minutes|seconds|milliseconds|microseconds)=[+-]?[0-9]{1,9}([.][0-9]{1,9})?|(?i:weeks)=[+-]?[0-9]{1,8}([.][0-9]{1,9})?)";

/// A rule that refuses what authentik does not take for a duration.
pub(super) fn duration_form(field: &str, such_as: &str) -> Rule {
    Rule::new(format!("self.trim().matches('^{UNIT}(; ?{UNIT})*$')")).message(Message::Message(format!(
        "{field} is not an authentik duration; write units from weeks to microseconds, for example {such_as}",
    )))
}
