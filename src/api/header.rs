//! Headers that a connection adds to each request, as an access proxy in front of authentik asks for.

use std::fmt;

use kube::{
    KubeSchema,
    core::{Message, Rule},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    reference::{SecretSource, exactly_one},
    source::NamespacedSecretKey,
};

/// The headers that the operator sets itself, or that belong to HTTP; in lower case.
const SET_ELSEWHERE: [&str; 20] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Text of a header. Its `Debug` hides it: it may be a secret that stands in the wrong place.
#[derive(Clone, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(transparent)]
#[schemars(inline)]
pub struct HeaderText(pub String);

impl fmt::Debug for HeaderText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeaderText({} bytes)", self.0.len())
    }
}

/// One more header of each request, whose value is in the connection or in a Secret of its namespace.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = exactly_one("a header", &["value", "valueFrom"]))]
pub struct Header {
    /// The header's name, such as `CF-Access-Client-Id`.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = name_form(), validation = not_set_elsewhere())]
    pub name: String,
    /// The value. One that is a secret belongs in `valueFrom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8192))]
    #[x_kube(validation = value_form())]
    pub value: Option<HeaderText>,
    /// Where the value is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<SecretSource>,
}

impl Header {
    /// The same header, of a connection in this namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> NamespacedHeader {
        let from = self.value_from.as_ref();
        NamespacedHeader {
            name: self.name.clone(),
            value: self.value.clone(),
            value_from: from.map(|from| NamespacedSecretSource {
                secret_key_ref: from.secret_key_ref.within(namespace),
            }),
        }
    }
}

/// One more header of each request, whose value is in the connection or in a Secret of a named namespace.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = exactly_one("a header", &["value", "valueFrom"]))]
pub struct NamespacedHeader {
    /// The header's name, such as `CF-Access-Client-Id`.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = name_form(), validation = not_set_elsewhere())]
    pub name: String,
    /// The value. One that is a secret belongs in `valueFrom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8192))]
    #[x_kube(validation = value_form())]
    pub value: Option<HeaderText>,
    /// Where the value is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<NamespacedSecretSource>,
}

/// Where a secret value is, in a named namespace.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespacedSecretSource {
    /// A key of a Secret.
    pub secret_key_ref: NamespacedSecretKey,
}

/// Names as HTTP has them (RFC 9110), without the two marks that would have to be escaped in a rule.
fn name_form() -> Rule {
    Rule::new("self.matches('^[-!#$%&*+.^_|~0-9A-Za-z]+$')").message(
        "name is no header's name; write letters, digits and -, such as CF-Access-Client-Id",
    )
}

fn not_set_elsewhere() -> Rule {
    let names: Vec<_> = SET_ELSEWHERE
        .iter()
        .map(|name| format!("'{name}'"))
        .collect();
    let rule = format!("!(self.lowerAscii() in [{}])", names.join(", "));
    Rule::new(rule).message(
        "name is a header that the operator or HTTP itself sets, such as Authorization, Host or Content-Type; remove it",
    )
}

fn value_form() -> Rule {
    Rule::new("self.matches('^[!-~]([ -~]*[!-~])?$')").message(
        "value is no header's value; write it in printable ASCII, without spaces around it",
    )
}

/// A rule that refuses two headers of one name, whatever their case.
pub(super) fn no_header_twice() -> Rule {
    Rule::new("self.all(x, self.exists_one(y, y.name.lowerAscii() == x.name.lowerAscii()))")
        .message(Message::Message(
            "headers names a header twice; the case of letters makes no other name".to_owned(),
        ))
}
