//! The kinds of object that authentik keeps, and the permissions that they need.

use std::fmt;

use reqwest::Method;

/// A kind of object that authentik keeps, and where.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Collection {
    /// Path below `/api/v3/`, without slashes around it.
    path: &'static str,
    /// Field of the primary key, which every supported release can order by.
    key: &'static str,
    /// Django's names for the app and the model, of which permissions are made.
    model: (&'static str, &'static str),
}

impl Collection {
    /// Authenticator validation stages.
    pub const VALIDATE_STAGES: Collection = Collection {
        path: "stages/authenticator/validate",
        key: "pk",
        model: (
            "authentik_stages_authenticator_validate",
            "authenticatorvalidatestage",
        ),
    };
    /// Duo authenticator setup stages.
    pub const DUO_STAGES: Collection = Collection {
        path: "stages/authenticator/duo",
        key: "pk",
        model: (
            "authentik_stages_authenticator_duo",
            "authenticatorduostage",
        ),
    };
    /// Stages of every kind, with what they have in common. To be read only.
    pub const ALL_STAGES: Collection = Collection {
        path: "stages/all",
        key: "pk",
        model: ("authentik_flows", "stage"),
    };
    /// Flows. [`Client::get`](super::Client::get) finds them by slug, not by UUID.
    pub const FLOWS: Collection = Collection {
        path: "flows/instances",
        key: "pk",
        model: ("authentik_flows", "flow"),
    };
    /// Which stage comes when in which flow.
    pub const BINDINGS: Collection = Collection {
        path: "flows/bindings",
        key: "pk",
        model: ("authentik_flows", "flowstagebinding"),
    };
    /// The kinds of WebAuthn device that authentik knows; not before 2024.6. To be read only.
    pub const WEBAUTHN_DEVICE_TYPES: Collection = Collection {
        path: "stages/authenticator/webauthn_device_types",
        key: "aaguid",
        model: (
            "authentik_stages_authenticator_webauthn",
            "webauthndevicetype",
        ),
    };

    /// Path below `/api/v3/`, without slashes around it.
    pub fn path(self) -> &'static str {
        self.path
    }

    /// Field of the primary key.
    pub(super) fn key(self) -> &'static str {
        self.key
    }
}

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)
    }
}

/// The Django permission, `app_label.codename`, that a request with this method needs on a collection's model,
/// or `None` for a method that authentik has no permission for.
///
/// The stage kinds' permissions as assigned on 2024.2 to 2026.5; the other models' names follow the same rule of Django's.
pub fn model_permission(collection: Collection, method: &Method) -> Option<String> {
    let action = match *method {
        Method::GET => "view",
        Method::POST => "add",
        Method::PATCH => "change",
        Method::DELETE => "delete",
        _ => return None,
    };
    let (app, model) = collection.model;
    Some(format!("{app}.{action}_{model}"))
}
