//! Everything in which the simulated releases of authentik differ.

use serde::Deserialize;
use serde_json::Value;
use std::str::FromStr;

/// A release of authentik that the simulator can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 2024.2.2, the oldest one the operator supports.
    V2024_2,
    /// 2024.8.3, with `WebAuthn` device types.
    V2024_8,
    /// 2025.10.4, with the device class `email`; an absent friendly name is `""`.
    V2025_10,
    /// 2026.5.0-rc1, with `WebAuthn` hints, small pages and a read-only `flow_set`.
    V2026_5,
}

impl Version {
    /// All versions, oldest first.
    pub const ALL: [Self; 4] = [Self::V2024_2, Self::V2024_8, Self::V2025_10, Self::V2026_5];

    /// The release's short name: `2024.2`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V2024_2 => "2024.2",
            Self::V2024_8 => "2024.8",
            Self::V2025_10 => "2025.10",
            Self::V2026_5 => "2026.5",
        }
    }

    fn at_least(self, other: Self) -> bool {
        self as u8 >= other as u8
    }

    /// How this release behaves where releases differ.
    pub(crate) fn rules(self) -> Rules {
        Rules::of(self)
    }

    /// The constants of a server of this release.
    pub(crate) fn seed(self) -> Seed {
        let text = match self {
            Self::V2024_2 => include_str!("seed/2024.2.json"),
            Self::V2024_8 => include_str!("seed/2024.8.json"),
            Self::V2025_10 => include_str!("seed/2025.10.json"),
            Self::V2026_5 => include_str!("seed/2026.5.json"),
        };
        serde_json::from_str(text).expect("the seed is well-formed")
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|version| version.name() == text)
            .ok_or_else(|| {
                format!("no such version: {text}; known are 2024.2, 2024.8, 2025.10, 2026.5")
            })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Answers that are constant for a release.
#[derive(Clone, Deserialize)]
pub(crate) struct Seed {
    pub(crate) version: Value,
    pub(crate) config: Value,
    pub(crate) settings: Option<Value>,
    pub(crate) stage_types: Value,
    pub(crate) system_permissions: Value,
    /// What lists offer to complete searches with, by their rows.
    #[serde(default)]
    pub(crate) autocomplete: Value,
    /// `(aaguid, description)`. Devices that no recording names have stand-ins, so that counts fit.
    pub(crate) device_types: Vec<(String, String)>,
}

/// How a release behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The content type of JSON answers.
    pub(crate) json: &'static str,
    /// The status of the health pages while all is well.
    pub(crate) healthy: u16,
    /// Whether `WebAuthn` device types exist, as an endpoint and as a field.
    pub(crate) device_types: bool,
    /// Whether the device class `email` exists.
    pub(crate) email_class: bool,
    /// Whether `webauthn_hints` and its sisters exist.
    pub(crate) webauthn_hints: bool,
    /// Whether a 404 for a well-formed UUID names the model.
    pub(crate) not_found_names_model: bool,
    /// Whether lists carry `autocomplete`.
    pub(crate) autocomplete: bool,
    /// Whether an absent friendly name is `""` (and null refused) instead of the reverse.
    pub(crate) blank_friendly_name: bool,
    /// Whether error texts follow `Accept-Language`.
    pub(crate) translated: bool,
    /// Whether a sent `flow_set` is ignored instead of failing.
    pub(crate) flow_set_read_only: bool,
    pub(crate) default_page_size: usize,
    pub(crate) max_page_size: usize,
    /// Whether flows have `background_url`, which flow sets show instead of a `background` that can be written.
    pub(crate) background_url: bool,
    /// How long a flow's slug can be: schemas from 2025.12 on bound it no more.
    pub(crate) longest_slug: usize,
    /// Whether a flow can leave a frame around its background, as schemas from 2026.2 on say.
    pub(crate) framed_layouts: bool,
    /// Whether a flow can be kept for those whom another has sent there, as schemas from 2024.12 on say.
    pub(crate) require_redirect: bool,
    /// How long a static token can be.
    pub(crate) longest_static_token: i64,
    /// Whether an authentication scheme other than Bearer is refused instead of ignored.
    pub(crate) refuses_other_schemes: bool,
    /// Whether an object's page tells an anonymous caller of permission instead of credentials.
    pub(crate) objects_hide_missing_credentials: bool,
    /// Whether `used_by/` needs the permission to view the object.
    pub(crate) used_by_needs_permission: bool,
    /// Whether a permission on one object is enough to change it.
    pub(crate) object_grant_allows_change: bool,
    /// Whether assigning permissions answers their ids instead of nothing.
    pub(crate) assign_answers_ids: bool,
    /// Whether a NUL in a search is refused instead of dropped.
    pub(crate) search_refuses_nul: bool,
    /// Whether a body that is not UTF-8 is an internal error.
    pub(crate) invalid_utf8_crashes: bool,
    /// Whether users show their dates.
    pub(crate) user_dates: bool,
    /// Whether users show their roles.
    pub(crate) user_roles: bool,
    /// Whether a group can have several parents.
    pub(crate) groups_have_parents: bool,
    /// Whether devices are shown to superusers only, instead of by permission (2024.12).
    pub(crate) devices_for_superusers: bool,
    /// Whether devices show their times, and whose they are.
    pub(crate) device_details: bool,
    /// Whether asking for the devices of nobody is an error.
    pub(crate) unknown_owner_refused: bool,
    /// Whether events show what has changed.
    pub(crate) event_diffs: bool,
    /// Whether events name their request.
    pub(crate) request_ids: bool,
    /// Whether `used_by/` shouts its actions.
    pub(crate) loud_used_by: bool,
    /// Whether permissions are assigned to roles instead of users.
    pub(crate) assigns_to_roles: bool,
    /// Whether an app password that does not expire says so with null.
    pub(crate) app_password_without_expiry: bool,
    /// Whether avatars are drawn by the server instead of fetched from Gravatar.
    pub(crate) drawn_avatars: bool,
    /// Whether enrolling a `WebAuthn` device has a limit of attempts.
    pub(crate) webauthn_attempts: bool,
    /// Whether asking for a Duo enrolment without a session is an internal error.
    pub(crate) enrollment_status_crashes: bool,
    /// Whether the flow for logging out of an application exists.
    pub(crate) provider_invalidation_flow: bool,
    /// The title of the flow that sets up TOTP.
    pub(crate) totp_flow_title: &'static str,
    /// The model of the `WebAuthn` set-up stage, which was misspelt once.
    pub(crate) webauthn_model: &'static str,
    /// Whether blueprints made the authentication stages first.
    pub(crate) authentication_stages_first: bool,
}

impl Rules {
    fn of(version: Version) -> Self {
        let v2024_8 = version.at_least(Version::V2024_8);
        let v2025_10 = version.at_least(Version::V2025_10);
        let v2026_5 = version.at_least(Version::V2026_5);
        let charset = v2024_8 && !v2026_5;
        Self {
            json: if charset {
                "application/json; charset=utf-8"
            } else {
                "application/json"
            },
            healthy: if v2024_8 { 200 } else { 204 },
            device_types: v2024_8,
            email_class: v2025_10,
            webauthn_hints: v2026_5,
            not_found_names_model: v2025_10,
            autocomplete: v2025_10,
            blank_friendly_name: v2025_10,
            translated: v2025_10,
            flow_set_read_only: v2026_5,
            default_page_size: if v2026_5 { 20 } else { 100 },
            max_page_size: if v2026_5 { 100 } else { usize::MAX },
            background_url: v2026_5,
            longest_slug: if v2026_5 { usize::MAX } else { 50 },
            framed_layouts: v2026_5,
            require_redirect: v2025_10,
            longest_static_token: if v2026_5 { 100 } else { i32::MAX.into() },
            refuses_other_schemes: !v2026_5,
            objects_hide_missing_credentials: v2024_8,
            used_by_needs_permission: v2024_8,
            object_grant_allows_change: v2024_8,
            assign_answers_ids: v2024_8,
            search_refuses_nul: v2025_10,
            invalid_utf8_crashes: charset,
            user_dates: v2025_10,
            user_roles: v2026_5,
            groups_have_parents: v2026_5,
            devices_for_superusers: !v2025_10,
            device_details: v2025_10,
            unknown_owner_refused: v2026_5,
            event_diffs: !v2024_8,
            request_ids: v2024_8,
            loud_used_by: !v2024_8,
            assigns_to_roles: v2026_5,
            app_password_without_expiry: v2024_8,
            drawn_avatars: v2024_8,
            webauthn_attempts: v2025_10,
            enrollment_status_crashes: v2026_5,
            provider_invalidation_flow: v2025_10,
            totp_flow_title: if v2025_10 {
                "Set up Two-Factor authentication"
            } else {
                "Setup Two-Factor authentication"
            },
            webauthn_model: if v2024_8 {
                "authenticatorwebauthnstage"
            } else {
                "authenticatewebauthnstage"
            },
            authentication_stages_first: v2025_10,
        }
    }
}
