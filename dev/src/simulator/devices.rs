//! People's devices: second factors of every kind, and what administrators are told of them.

use super::accounts::OUTPOSTS;
use super::auth::{self, Model};
use super::filters;
use super::http::{Reply, Request};
use super::pagination;
use super::people;
use super::state::State;
use serde_json::{Value, json};
use uuid::Uuid;

/// A kind of device, in the order in which a server goes through them.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceKind {
    Duo,
    Email,
    Sms,
    Static,
    Totp,
    WebAuthn,
}

impl DeviceKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Duo,
        Self::Email,
        Self::Sms,
        Self::Static,
        Self::Totp,
        Self::WebAuthn,
    ];

    /// The name of its class, as stages and paths have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Duo => "duo",
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Static => "static",
            Self::Totp => "totp",
            Self::WebAuthn => "webauthn",
        }
    }

    /// The class of its model.
    fn class(self) -> &'static str {
        match self {
            Self::Duo => "DuoDevice",
            Self::Email => "EmailDevice",
            Self::Sms => "SMSDevice",
            Self::Static => "StaticDevice",
            Self::Totp => "TOTPDevice",
            Self::WebAuthn => "WebAuthnDevice",
        }
    }

    fn model(self) -> Model {
        let (app, name) = match self {
            Self::Duo => ("authentik_stages_authenticator_duo", "duodevice"),
            Self::Email => ("authentik_stages_authenticator_email", "emaildevice"),
            Self::Sms => ("authentik_stages_authenticator_sms", "smsdevice"),
            Self::Static => ("authentik_stages_authenticator_static", "staticdevice"),
            Self::Totp => ("authentik_stages_authenticator_totp", "totpdevice"),
            Self::WebAuthn => ("authentik_stages_authenticator_webauthn", "webauthndevice"),
        };
        Model { app, name }
    }
}

/// A device that a test gives to a user.
#[derive(Clone, Debug)]
pub struct NewDevice {
    /// Its kind.
    pub kind: DeviceKind,
    /// What its user calls it.
    pub name: String,
    /// Whether its user has confirmed it.
    pub confirmed: bool,
    /// The kind of a `WebAuthn` device; none for one enrolled before there were kinds.
    pub aaguid: Option<Uuid>,
    /// A phone number, a mail address or a recovery code.
    pub detail: String,
}

impl NewDevice {
    /// A confirmed device.
    pub fn of(kind: DeviceKind, name: &str) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            confirmed: true,
            aaguid: None,
            detail: String::new(),
        }
    }

    /// One that its user has not confirmed yet.
    #[must_use]
    pub fn unconfirmed(self) -> Self {
        Self {
            confirmed: false,
            ..self
        }
    }

    /// A `WebAuthn` device of this kind.
    #[must_use]
    pub fn of_type(self, aaguid: Uuid) -> Self {
        Self {
            aaguid: Some(aaguid),
            ..self
        }
    }

    /// One with this phone number, mail address or recovery code.
    #[must_use]
    pub fn with(self, detail: &str) -> Self {
        Self {
            detail: detail.to_owned(),
            ..self
        }
    }
}

/// A user's device.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    /// Its number among those of its kind.
    pub(crate) id: u64,
    /// The stage that it was enrolled through, where it refers to one.
    pub(crate) stage: Option<Uuid>,
    pub(crate) name: String,
    user: u64,
    kind: DeviceKind,
    confirmed: bool,
    aaguid: Option<Uuid>,
    detail: String,
}

impl State {
    /// Enrols a device of the superuser through a stage.
    pub(crate) fn enroll_device(&mut self, stage: Uuid, name: &str) {
        let Some(found) = self.stages.get(&stage) else {
            return;
        };
        let kind = self.kind(found);
        let of_app = |device: &&DeviceKind| device.model().app == kind.app;
        let Some(device) = DeviceKind::ALL.iter().find(of_app) else {
            return;
        };
        let refers = kind.device.is_some();
        let user = self.accounts.users[0].pk;
        self.add_device(user, refers.then_some(stage), NewDevice::of(*device, name));
    }

    /// Gives a device to a user.
    pub(crate) fn add_device(&mut self, user: u64, stage: Option<Uuid>, device: NewDevice) {
        let of_kind = self
            .devices
            .iter()
            .filter(|known| known.kind == device.kind);
        let id = of_kind.map(|known| known.id).max().unwrap_or_default() + 1;
        self.devices.push(Device {
            id,
            stage,
            name: device.name,
            user,
            kind: device.kind,
            confirmed: device.confirmed,
            aaguid: device.aaguid,
            detail: device.detail,
        });
    }

    /// Deletes a user with their devices.
    pub(crate) fn remove_user(&mut self, pk: u64) {
        self.accounts.remove_user(pk);
        self.devices.retain(|device| device.user != pk);
    }

    fn device_kinds(&self) -> impl Iterator<Item = DeviceKind> {
        let email = self.rules.email_class;
        let kinds = DeviceKind::ALL.into_iter();
        kinds.filter(move |kind| email || *kind != DeviceKind::Email)
    }
}

/// `authenticators/admin/.../`.
pub(crate) fn answer(state: &State, request: &Request, parts: &[&str]) -> Result<Reply, Reply> {
    let [name] = parts else {
        return Err(Reply::no_such_path(request));
    };
    if *name == "all" {
        return all(state, request);
    }
    let kind = state.device_kinds().find(|kind| kind.name() == *name);
    of_kind(
        state,
        request,
        kind.ok_or_else(|| Reply::no_such_path(request))?,
    )
}

/// Every device, or every one of a user: those of the kinds that the caller may see, in no pages.
fn all(state: &State, request: &Request) -> Result<Reply, Reply> {
    let caller = auth::signed_in(state, request)?;
    if state.rules.devices_for_superusers && !caller.superuser {
        return Err(auth::forbidden());
    }
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Err(Reply::method_not_allowed(request));
    }
    let owner = owner(state, request)?;
    let mut devices = Vec::new();
    for kind in state.device_kinds() {
        let view = kind.model().permission("view");
        let sees = |device: &&Device| {
            let key = device.id.to_string();
            state.accounts.has_on(&caller, &view, &key)
        };
        let of_kind = state.devices.iter().filter(|device| device.kind == kind);
        let of_owner = of_kind.filter(|device| owner.is_none_or(|owner| device.user == owner));
        devices.extend(of_owner.filter(sees).map(|device| render(state, device)));
    }
    Ok(Reply::ok(devices.into()))
}

fn owner(state: &State, request: &Request) -> Result<Option<u64>, Reply> {
    let Some(text) = request.param("user").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let pk = text.parse().ok();
    let exists = pk.is_some_and(|pk| state.accounts.user(pk).is_some());
    if state.rules.unknown_owner_refused && !exists {
        let message = format!("Invalid pk \"{text}\" - object does not exist.");
        return Err(Reply::field_error("user", &message));
    }
    Ok(Some(pk.unwrap_or_default()))
}

fn render(state: &State, device: &Device) -> Value {
    let Model { app, name } = device.kind.model();
    let class = device.kind.class();
    let title = class.strip_suffix("Device").unwrap_or(class);
    let mut body = json!({
        "verbose_name": format!("{title} Device"), "verbose_name_plural": format!("{title} Devices"),
        "meta_model_name": format!("{app}.{name}"), "pk": device.id, "name": device.name,
        "type": format!("{app}.{class}"), "confirmed": device.confirmed,
    });
    if !state.rules.device_details {
        return body;
    }
    body["pk"] = json!(device.id.to_string());
    for date in ["created", "last_updated"] {
        body[date] = json!(people::DATE);
    }
    // Enrolling a mail address is using it.
    let used = (device.kind == DeviceKind::Email).then_some(people::DATE);
    body["last_used"] = json!(used);
    let known = device.aaguid.and_then(|id| state.device_type(id));
    body["extra_description"] = json!(known);
    body["external_id"] = json!(device.aaguid);
    body
}

/// The devices of a kind. Who may see one of them may see the list, with just those.
fn of_kind(state: &State, request: &Request, kind: DeviceKind) -> Result<Reply, Reply> {
    let caller = auth::signed_in(state, request)?;
    if state.rules.devices_for_superusers && !caller.superuser {
        return Err(auth::forbidden());
    }
    // Outposts get lists of nothing where others are refused.
    if caller.kind != OUTPOSTS {
        auth::list(state, request, kind.model())?;
    }
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Err(Reply::method_not_allowed(request));
    }
    let view = kind.model().permission("view");
    let of_kind = state.devices.iter().filter(|device| device.kind == kind);
    let seen = of_kind.filter(|device| {
        let key = device.id.to_string();
        state.accounts.has_on(&caller, &view, &key)
    });
    let mut rows: Vec<&Device> = seen.collect();
    rows.sort_by_key(|device| (&device.name, device.id));
    if let Some(name) = filters::text(request, "name")? {
        rows.retain(|device| device.name == name);
    }
    filters::order(request, &mut rows, |device, key| match key {
        "name" => Some(json!(device.name)),
        "pk" | "id" => Some(json!(device.id)),
        _ => None,
    });
    pagination::page(&state.rules, request, &rows, |device| detail(state, device))
}

fn detail(state: &State, device: &Device) -> Value {
    let mut body = json!({ "pk": device.id, "name": device.name });
    match device.kind {
        DeviceKind::Duo | DeviceKind::Totp => {}
        DeviceKind::Email => body["email"] = json!(device.detail),
        DeviceKind::Sms => body["phone_number"] = json!(device.detail),
        DeviceKind::Static => body["token_set"] = json!([{ "token": device.detail }]),
        DeviceKind::WebAuthn => {
            body["created_on"] = json!(people::DATE);
            if state.rules.device_types {
                body["device_type"] = device_type(state, device);
                body["aaguid"] = json!(device.aaguid);
            }
        }
    }
    if state.rules.device_details
        && let Some(user) = state.accounts.user(device.user)
    {
        body["user"] = people::brief(user);
    }
    body
}

fn device_type(state: &State, device: &Device) -> Value {
    device.aaguid.map_or(
        Value::Null,
        |id| json!({ "aaguid": id, "description": state.device_type(id) }),
    )
}
