//! The kinds of object that authentik keeps, and the permissions that they need.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use reqwest::Method;
use uuid::Uuid;

/// A kind of object that authentik keeps, and where.
#[derive(Clone, Copy)]
pub struct Collection(&'static Definition);

/// Where authentik keeps a kind of object, and how it names it.
pub struct Definition {
    /// Path below `/api/v3/`, without slashes around it.
    path: &'static str,
    /// Field of the primary key, which every supported release can order by.
    key: &'static str,
    /// Whether primary keys are numbers, and no UUIDs. They are kept as UUIDs of that number.
    is_numbered: bool,
    /// Field by which people name such an object, and the filter by it.
    label: &'static str,
    /// How the path of one object ends.
    address: Address,
    /// Django's names for the app and the model, of which permissions are made.
    model: (&'static str, &'static str),
    /// What the oldest supported release calls the model, where that is another name.
    former_model: Option<&'static str>,
}

/// How the path of one object ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Address {
    /// With its primary key.
    Key,
    /// With its label, so that it moves when that changes; the primary key is a filter of the list.
    Label {
        /// The name of the filter.
        key_filter: &'static str,
    },
}

impl Definition {
    /// Objects that have a name, and a UUID at which they are found.
    pub const fn new(path: &'static str, model: (&'static str, &'static str)) -> Self {
        Self {
            path,
            key: "pk",
            is_numbered: false,
            label: "name",
            address: Address::Key,
            model,
            former_model: None,
        }
    }

    /// Objects whose model the oldest supported release calls so.
    pub const fn formerly(self, model: &'static str) -> Self {
        Self {
            former_model: Some(model),
            ..self
        }
    }

    /// Objects of another primary key and another label.
    const fn keyed(self, key: &'static str, label: &'static str) -> Self {
        Self { key, label, ..self }
    }

    /// Objects whose primary keys are numbers.
    const fn numbered(self) -> Self {
        Self {
            is_numbered: true,
            ..self
        }
    }

    /// Objects that are found at their label.
    const fn at_label(self, label: &'static str, key_filter: &'static str) -> Self {
        let address = Address::Label { key_filter };
        Self {
            label,
            address,
            ..self
        }
    }
}

impl Collection {
    /// Stages of every kind, with what they have in common. To be read only.
    pub const ALL_STAGES: Self =
        Self::of(&Definition::new("stages/all", ("authentik_flows", "stage")));
    /// Flows.
    pub const FLOWS: Self = Self::of(
        &Definition::new("flows/instances", ("authentik_flows", "flow"))
            .at_label("slug", "flow_uuid"),
    );
    /// Which stage comes when in which flow.
    pub const BINDINGS: Self = Self::of(&Definition::new(
        "flows/bindings",
        ("authentik_flows", "flowstagebinding"),
    ));
    /// The kinds of WebAuthn device that authentik knows; not before 2024.6. To be read only.
    pub const WEBAUTHN_DEVICE_TYPES: Self = Self::of(
        &Definition::new(
            "stages/authenticator/webauthn_device_types",
            (
                "authentik_stages_authenticator_webauthn",
                "webauthndevicetype",
            ),
        )
        .keyed("aaguid", "description"),
    );
    /// Mappings that make the body of a webhook.
    pub const WEBHOOK_MAPPINGS: Self = Self::of(&Definition::new(
        "propertymappings/notification",
        ("authentik_events", "notificationwebhookmapping"),
    ));
    /// Brands: what a domain of authentik shows, and through which flows.
    pub const BRANDS: Self = Self::of(
        &Definition::new("core/brands", ("authentik_brands", "brand"))
            .keyed("brand_uuid", "domain"),
    );
    /// Providers of every kind. To be read only.
    pub const PROVIDERS: Self =
        Self::of(&Definition::new("providers/all", ("authentik_core", "provider")).numbered());

    /// Users of every type.
    pub const USERS: Self = Self::of(
        &Definition::new("core/users", ("authentik_core", "user"))
            .keyed("pk", "username")
            .numbered(),
    );
    /// People's apps for codes. To be read only, as are all devices.
    pub const TOTP_DEVICES: Self = Self::of(
        &Definition::new(
            "authenticators/admin/totp",
            ("authentik_stages_authenticator_totp", "totpdevice"),
        )
        .numbered(),
    );
    /// People's keys.
    pub const WEBAUTHN_DEVICES: Self = Self::of(
        &Definition::new(
            "authenticators/admin/webauthn",
            ("authentik_stages_authenticator_webauthn", "webauthndevice"),
        )
        .numbered(),
    );
    /// People's apps of Duo.
    pub const DUO_DEVICES: Self = Self::of(
        &Definition::new(
            "authenticators/admin/duo",
            ("authentik_stages_authenticator_duo", "duodevice"),
        )
        .numbered(),
    );
    /// People's phone numbers.
    pub const SMS_DEVICES: Self = Self::of(
        &Definition::new(
            "authenticators/admin/sms",
            ("authentik_stages_authenticator_sms", "smsdevice"),
        )
        .numbered(),
    );
    /// People's mail addresses for codes; not before 2025.2.
    pub const EMAIL_DEVICES: Self = Self::of(
        &Definition::new(
            "authenticators/admin/email",
            ("authentik_stages_authenticator_email", "emaildevice"),
        )
        .numbered(),
    );

    /// API tokens and passwords of apps. A user sees their own.
    pub const TOKENS: Self = Self::of(
        &Definition::new("core/tokens", ("authentik_core", "token")).keyed("pk", "identifier"),
    );

    /// What was changed by requests, and by whom. To be read only.
    pub const AUDIT_LOG: Self = Self::of(&Definition::new(
        "events/events",
        ("authentik_events", "event"),
    ));

    /// The collection that is defined so.
    pub const fn of(definition: &'static Definition) -> Self {
        Self(definition)
    }

    /// Path below `/api/v3/`, without slashes around it.
    pub fn path(self) -> &'static str {
        self.0.path
    }

    /// Field of the primary key.
    pub fn key(self) -> &'static str {
        self.0.key
    }

    /// The primary key that is written so.
    pub fn parse_key(self, text: &str) -> Option<Uuid> {
        match self.0.is_numbered {
            true => text.parse().map(Uuid::from_u128).ok(),
            false => text.parse().ok(),
        }
    }

    /// A primary key as it is written.
    pub(super) fn key_text(self, key: Uuid) -> String {
        match self.0.is_numbered {
            true => key.as_u128().to_string(),
            false => key.to_string(),
        }
    }

    /// Field by which people name such an object, and the filter by it.
    pub fn label(self) -> &'static str {
        self.0.label
    }

    /// Whether the path of one object ends with its label, so that it moves when that changes.
    pub fn is_found_by_label(self) -> bool {
        matches!(self.0.address, Address::Label { .. })
    }

    /// How the path of one object ends.
    pub(super) fn address(self) -> Address {
        self.0.address
    }
}

/// Two are the same where their paths are.
impl PartialEq for Collection {
    fn eq(&self, other: &Self) -> bool {
        self.0.path == other.0.path
    }
}

impl Eq for Collection {}

impl Hash for Collection {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.path.hash(state);
    }
}

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.path)
    }
}

/// The Django permission, `app_label.codename`, that a request with this method needs on a collection's model,
/// or `None` for a method that authentik has no permission for.
pub fn model_permission(collection: Collection, method: &Method) -> Option<String> {
    permission(collection.0.model, method)
}

/// As [`model_permission`], for the oldest supported release, where that calls the model otherwise.
pub fn former_permission(collection: Collection, method: &Method) -> Option<String> {
    let (app, _) = collection.0.model;
    permission((app, collection.0.former_model?), method)
}

/// As [`model_permission`], of a model by Django's names for the app and the model.
///
/// The stage kinds' permissions as assigned on 2024.2 to 2026.5; the other models' names follow the same rule of Django's.
pub fn permission((app, model): (&str, &str), method: &Method) -> Option<String> {
    let action = match *method {
        Method::GET => "view",
        Method::POST => "add",
        Method::PATCH => "change",
        Method::DELETE => "delete",
        _ => return None,
    };
    Some(format!("{app}.{action}_{model}"))
}
