//! What a validation stage does with somebody who has these devices.
//!
//! As `get_device_challenges` and `get` of authentik's `stages/authenticator_validate/stage.py` do: a device counts where it is
//! confirmed and its class is among the stage's. A phone number of which there is a hash only is passed over. A WebAuthn device
//! is passed over where the stage allows certain kinds and the device's is another; one that was enrolled before authentik
//! knew kinds has none, and counts. Who has no device that counts passes, is refused or enrols one, as
//! `not_configured_action` says. `configure` without configuration stages refuses (`prepare_stages`).
//! `last_auth_threshold` and `webauthn_user_verification` don't change who has a device.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::kinds::Fields;

/// The classes of a stage that names none: all.
const ALL_CLASSES: [&str; 6] = ["static", "totp", "webauthn", "duo", "sms", "email"];

/// The class of recovery codes.
pub(super) const STATIC: &str = "static";
/// The class of phone numbers.
pub(super) const SMS: &str = "sms";
/// The class of keys.
pub(super) const WEBAUTHN: &str = "webauthn";

/// What a stage does with somebody.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// They have a device that counts, and are asked for it.
    HasDevice,
    /// They have none, and are asked to enrol one.
    Enrols,
    /// They have none, and are refused.
    Refused,
    /// They have none, and pass without; or there is no such stage.
    Passes,
    /// Whether they have one can't be told.
    Unknown,
}

impl Outcome {
    /// All outcomes, in the order in which they are shown.
    pub const ALL: [Self; 5] = [
        Self::HasDevice,
        Self::Enrols,
        Self::Refused,
        Self::Passes,
        Self::Unknown,
    ];
}

/// The kind of a WebAuthn device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// This one.
    Is(Uuid),
    /// None: it was enrolled before authentik knew kinds.
    None,
    /// It can't be told.
    Unknown,
}

/// Somebody's device. What can't be told of it is nothing.
#[derive(Clone, Debug)]
pub struct Owned {
    /// Its class, as `device_classes` has it.
    pub class: Option<String>,
    /// Whether its owner has confirmed it.
    pub is_confirmed: Option<bool>,
    /// Its kind, if it is a WebAuthn device.
    pub kind: Kind,
    /// Whether there is a hash only of its phone number, if it is one.
    pub is_hashed: Option<bool>,
}

/// A field whose value is none that authentik can hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0} holds something that is not understood")]
pub struct Malformed(pub &'static str);

/// The settings of a stage that decide about people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rules {
    classes: BTreeSet<String>,
    /// The kinds of WebAuthn device that are taken; none: all.
    kinds: BTreeSet<Uuid>,
    /// What it does with people without a device that counts.
    otherwise: Outcome,
}

impl Rules {
    /// The rules of a stage with these fields, by authentik's names. A field that is missing has authentik's default; that of
    /// the kinds, which releases before 2024.6 don't know, restricts nothing.
    ///
    /// # Errors
    /// Where a field holds what authentik never does.
    pub fn of(fields: &Fields) -> Result<Self, Malformed> {
        let kinds = texts(fields, "webauthn_allowed_device_types")?.unwrap_or_default();
        let kinds: Result<_, uuid::Error> = kinds.iter().map(|kind| kind.parse()).collect();
        let classes = texts(fields, "device_classes")?;
        Ok(Self {
            classes: classes.unwrap_or_else(|| ALL_CLASSES.map(str::to_owned).into()),
            kinds: kinds.map_err(|_| Malformed("webauthn_allowed_device_types"))?,
            otherwise: otherwise(fields)?,
        })
    }

    /// The classes that it takes.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.classes.iter().map(String::as_str)
    }

    /// Whether it takes devices of this class.
    #[must_use]
    pub fn takes(&self, class: &str) -> bool {
        self.classes.contains(class)
    }

    /// Whether it takes some kinds of WebAuthn device and others not.
    #[must_use]
    pub fn tells_kinds_apart(&self) -> bool {
        self.takes(WEBAUTHN) && !self.kinds.is_empty()
    }

    /// What it does with people without a device that counts.
    #[must_use]
    pub fn otherwise(&self) -> Outcome {
        self.otherwise
    }

    /// What it does with somebody who has these devices, and perhaps recovery codes that are not among them.
    #[must_use]
    pub fn outcome(&self, devices: &[Owned], codes_unseen: bool) -> Outcome {
        let counts: Vec<_> = devices.iter().map(|device| self.counts(device)).collect();
        if counts.contains(&Some(true)) {
            return Outcome::HasDevice;
        }
        match counts.contains(&None) || codes_unseen && self.takes(STATIC) {
            true => Outcome::Unknown,
            false => self.otherwise,
        }
    }

    /// Whether a device counts; nothing where that can't be told.
    fn counts(&self, device: &Owned) -> Option<bool> {
        let by_class = device.class.as_deref().map(|class| self.takes(class));
        let conditions = [
            by_class,
            device.is_confirmed,
            match device.class.as_deref() {
                Some(SMS) => device.is_hashed.map(|hashed| !hashed),
                Some(WEBAUTHN) if !self.kinds.is_empty() => self.takes_kind(device.kind),
                _ => Some(true),
            },
        ];
        // One that is not met settles it, whatever the others are.
        match conditions.contains(&Some(false)) {
            true => Some(false),
            false => conditions.iter().all(Option::is_some).then_some(true),
        }
    }

    fn takes_kind(&self, kind: Kind) -> Option<bool> {
        match kind {
            Kind::Is(kind) => Some(self.kinds.contains(&kind)),
            Kind::None => Some(true),
            Kind::Unknown => None,
        }
    }
}

fn otherwise(fields: &Fields) -> Result<Outcome, Malformed> {
    const ACTION: &str = "not_configured_action";
    let action = fields.get(ACTION).map(|action| action.as_str());
    let enrols = texts(fields, "configuration_stages")?.is_some_and(|stages| !stages.is_empty());
    match action {
        None | Some(Some("skip")) => Ok(Outcome::Passes),
        Some(Some("deny")) => Ok(Outcome::Refused),
        Some(Some("configure")) if enrols => Ok(Outcome::Enrols),
        Some(Some("configure")) => Ok(Outcome::Refused),
        _ => Err(Malformed(ACTION)),
    }
}

/// The texts of a list, if the field is there.
fn texts(fields: &Fields, name: &'static str) -> Result<Option<BTreeSet<String>>, Malformed> {
    let items = match fields.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(Malformed(name)),
    };
    let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
    texts
        .collect::<Option<_>>()
        .map(Some)
        .ok_or(Malformed(name))
}

#[cfg(test)]
mod tests;
