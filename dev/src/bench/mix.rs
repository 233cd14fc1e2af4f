//! What the resources of a run are: stages of one kind, or a mix of all kinds.
use clap::ValueEnum;
use serde_json::{Value, json};

use super::cluster::STAGE;

/// The Secret that the stages with secrets name, and its key.
pub(super) const SECRET: &str = "stages";
pub(super) const SECRET_KEY: &str = "token";

/// Which kinds the resources of a run are.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(super) enum Kinds {
    /// As many of each kind.
    All,
    /// Validation stages only.
    Validate,
}

/// A kind of resource, and how it is made with and without the operator.
pub(super) struct Kind {
    pub(super) kind: &'static str,
    /// Where its objects are in authentik's API.
    pub(super) path: &'static str,
    /// The spec of its resources.
    spec: fn() -> Value,
    /// The body of a bare request that makes such an object, but for what it is called.
    body: fn() -> Value,
    /// A field that somebody changes by hand, and to what.
    pub(super) drift: (&'static str, &'static str),
}

impl Kinds {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::All => "resources of all kinds",
            Self::Validate => "stages",
        }
    }

    pub(super) fn list(self) -> &'static [Kind] {
        match self {
            Self::All => MIX,
            Self::Validate => &MIX[..1],
        }
    }
}

/// A resource: its kind and its name.
pub(super) type Object = (&'static Kind, String);

/// Resources of these names and of one kind after the other.
pub(super) fn objects(kinds: Kinds, names: &[String]) -> Vec<Object> {
    let list = kinds.list().iter().cycle();
    list.zip(names.iter().cloned()).collect()
}

impl Kind {
    pub(super) fn spec(&self) -> Value {
        (self.spec)()
    }

    /// The body of a request that makes an object of this name.
    pub(super) fn body(&self, name: &str) -> Value {
        let mut body = (self.body)();
        body["name"] = json!(name);
        if self.kind == "Flow" {
            body["slug"] = json!(name);
        }
        body
    }

    /// Where the object of this row is.
    pub(super) fn path_of(&self, row: &Value) -> String {
        let key = if self.kind == "Flow" { "slug" } else { "pk" };
        format!("{}{}/", self.path, row[key].as_str().unwrap_or_default())
    }
}

fn secret() -> Value {
    json!({"secretKeyRef": {"name": SECRET, "key": SECRET_KEY}})
}

const MIX: &[Kind] = &[
    Kind {
        kind: STAGE,
        path: "/api/v3/stages/authenticator/validate/",
        spec: super::cluster::stage,
        body: || {
            json!({
                "not_configured_action": "skip", "device_classes": ["totp", "webauthn"],
                "last_auth_threshold": "hours=12",
            })
        },
        drift: ("not_configured_action", "deny"),
    },
    Kind {
        kind: "DuoStage",
        path: "/api/v3/stages/authenticator/duo/",
        spec: || json!({"clientId": "bench", "apiHostname": "api.example.com", "clientSecret": secret()}),
        body: || json!({"client_id": "bench", "api_hostname": "api.example.com", "client_secret": "bench"}),
        drift: ("api_hostname", "other.example.com"),
    },
    Kind {
        kind: "AuthenticatorTOTPStage",
        path: "/api/v3/stages/authenticator/totp/",
        spec: || json!({"digits": "6", "friendlyName": "App"}),
        body: || json!({"digits": "6", "friendly_name": "App"}),
        drift: ("digits", "8"),
    },
    Kind {
        kind: "AuthenticatorStaticStage",
        path: "/api/v3/stages/authenticator/static/",
        spec: || json!({"tokenCount": 8, "friendlyName": "Codes"}),
        body: || json!({"token_count": 8, "friendly_name": "Codes"}),
        drift: ("friendly_name", "Other"),
    },
    Kind {
        kind: "AuthenticatorWebAuthnStage",
        path: "/api/v3/stages/authenticator/webauthn/",
        spec: || json!({"userVerification": "preferred", "friendlyName": "Key"}),
        body: || json!({"user_verification": "preferred", "friendly_name": "Key"}),
        drift: ("user_verification", "required"),
    },
    Kind {
        kind: "AuthenticatorSMSStage",
        path: "/api/v3/stages/authenticator/sms/",
        spec: || json!({"provider": "twilio", "fromNumber": "100", "accountSid": "bench", "auth": secret()}),
        body: || json!({"provider": "twilio", "from_number": "100", "account_sid": "bench", "auth": "bench"}),
        drift: ("from_number", "200"),
    },
    Kind {
        kind: "AuthenticatorEmailStage",
        path: "/api/v3/stages/authenticator/email/",
        spec: || json!({"host": "mail.example.com", "subject": "Code", "password": secret()}),
        body: || json!({"host": "mail.example.com", "subject": "Code", "password": "bench"}),
        drift: ("subject", "Other"),
    },
    Kind {
        kind: "Flow",
        path: "/api/v3/flows/instances/",
        spec: || json!({"title": "Set up", "designation": "stage_configuration"}),
        body: || json!({"title": "Set up", "designation": "stage_configuration"}),
        drift: ("title", "Other"),
    },
];
