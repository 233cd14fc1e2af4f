//! People, and which second factors they have.
//!
//! What is asked for is who has which kind of device. No code, no secret and no number is kept of any, and
//! `authenticators/admin/static/`, which shows recovery codes in clear, is never asked.
//!
//! # Who may see devices
//! `authenticators/admin/all/` shows devices to superusers before 2024.12, and answers 403 to others. Since then it leaves out,
//! without a word, the devices of each model that the token's user may not view (measured on 2024.2 and 2026.5, read in
//! authentik's `core/api/devices.py`). So an empty answer proves nothing. The list of one kind of device answers 403 without
//! the permission to view it, on every release ([`Client::may_list`]). It answers 200 where single devices may be viewed, and
//! to an outpost's own account whatever that may do (authentik's `rbac/filters.py`, [`super::Whoami::is_outposts`]).

use std::collections::HashMap;

use reqwest::Method;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    answer::{AtMost, Success, part},
    client::{Client, MAX_PAGE},
    collection::Collection,
    error::Error,
    reading::{Listing, Weigh},
    receive::FREE,
    shown::Remote,
    transport::Request,
};

/// Most devices of a person.
const MAX_DEVICES: usize = 1000;

/// Most bytes of a person's devices, and of one row that proves a permission.
const MAX_ANSWER: usize = 16 * FREE;

/// What a phone number begins with of which authentik has kept a hash only.
const HASHED: &str = "hash:";

/// Somebody who may sign in.
#[derive(Clone, Debug)]
pub struct Person {
    /// Their number.
    pub pk: u64,
    /// Their name.
    pub username: Remote,
}

/// A second factor of a person. What could not be read of it is nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Its number among those of its class.
    pub pk: Option<u64>,
    /// Its class, as a stage's `device_classes` has it.
    pub class: Option<String>,
    /// Whether its owner has confirmed it.
    pub is_confirmed: Option<bool>,
    /// The kind of a WebAuthn device, on releases that show it here.
    pub kind: Option<Uuid>,
}

/// A user, who may be no person.
#[derive(Deserialize)]
pub(super) struct UserRow {
    pk: u64,
    username: Remote,
    #[serde(default)]
    is_active: Option<bool>,
    #[serde(default, rename = "type")]
    kind: Option<Remote>,
}

impl Weigh for UserRow {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.username.raw().len()
    }
}

impl UserRow {
    /// The person, if it is one. A filter that the server did not know would have let others in.
    pub(super) fn person(self) -> Option<Person> {
        let kind = self.kind.as_ref().map(Remote::raw);
        let is_person = matches!(kind, None | Some("internal" | "external"));
        (is_person && self.is_active != Some(false)).then_some(Person {
            pk: self.pk,
            username: self.username,
        })
    }
}

#[derive(Deserialize)]
struct KeyRow {
    pk: u64,
    /// Told apart: missing, and null.
    #[serde(default, deserialize_with = "present")]
    device_type: Option<Option<TypeRow>>,
}

#[derive(Deserialize)]
struct TypeRow {
    aaguid: Uuid,
}

#[derive(Deserialize)]
struct PhoneRow {
    pk: u64,
    phone_number: Remote,
}

impl Weigh for KeyRow {
    fn weight(&self) -> usize {
        size_of::<Self>()
    }
}

impl Weigh for PhoneRow {
    /// Of the number nothing is kept.
    fn weight(&self) -> usize {
        size_of::<(u64, bool)>()
    }
}

fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<TypeRow>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// A device as it came.
#[derive(Default, Deserialize)]
#[serde(default)]
struct DeviceRow<'a> {
    #[serde(borrow)]
    pk: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    confirmed: Option<&'a RawValue>,
    #[serde(borrow)]
    external_id: Option<&'a RawValue>,
}

impl Client {
    /// The people who may sign in: users who are active, and no service accounts.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub async fn people(&self) -> Result<Listing<Person>, Error> {
        let filter = [
            ("is_active", "true"),
            ("type", "internal"),
            ("type", "external"),
            ("include_groups", "false"),
        ];
        self.list(Collection::USERS, &filter, UserRow::person).await
    }

    /// A person's devices, as far as the token may see them; nothing where there is no such person any more, which releases
    /// before 2026.5 don't tell.
    ///
    /// # Errors
    /// [`Error::AccessDenied`] before 2024.12 for all but superusers.
    pub async fn devices_of(&self, person: u64) -> Result<Option<Vec<Device>>, Error> {
        let mut url = self.url("authenticators/admin/all", &[]);
        url.query_pairs_mut()
            .append_pair("user", &person.to_string());
        let request = self.request(Method::GET, url, MAX_ANSWER);
        match self.0.call(&request, read_devices).await {
            Ok(devices) => Ok(Some(devices)),
            Err(Error::Rejected { messages }) if messages.contains_key("user") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes sure that devices of this collection are shown to the token.
    ///
    /// # Errors
    /// [`Error::AccessDenied`], with the permission that is missing; [`Error::EndpointMissing`] where the release has none.
    pub async fn may_list(&self, devices: Collection) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(rename = "pagination")]
            _pagination: IgnoredAny,
        }
        let mut url = self.url(devices.path(), &[]);
        url.query_pairs_mut().append_pair("page_size", "1");
        let request = Request {
            collection: Some(devices),
            ..self.request(Method::GET, url, MAX_PAGE)
        };
        let page = self.0.call(&request, |success| success.decode::<Page>());
        page.await.map(|_| ())
    }

    /// The kinds of all WebAuthn devices, by the devices' numbers. One that was enrolled before authentik knew kinds has none.
    /// A device is missing here where the release does not tell its kind.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub async fn webauthn_kinds(&self) -> Result<HashMap<u64, Option<Uuid>>, Error> {
        let keep = |row: KeyRow| {
            let kind = row.device_type?;
            Some((row.pk, kind.map(|kind| kind.aaguid)))
        };
        self.by_number(Collection::WEBAUTHN_DEVICES, keep).await
    }

    /// Whether authentik has kept a hash only of the phone numbers, by the devices' numbers.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub async fn hashed_numbers(&self) -> Result<HashMap<u64, bool>, Error> {
        let keep = |row: PhoneRow| Some((row.pk, row.phone_number.raw().starts_with(HASHED)));
        self.by_number(Collection::SMS_DEVICES, keep).await
    }

    async fn by_number<T: DeserializeOwned + Weigh, V>(
        &self,
        collection: Collection,
        keep: impl Fn(T) -> Option<(u64, V)>,
    ) -> Result<HashMap<u64, V>, Error> {
        let listing = self.list(collection, &[], keep).await?;
        Ok(listing.rows.into_iter().collect())
    }
}

/// Reads somebody's devices.
pub(super) fn read_devices(success: &Success<'_>) -> Result<Vec<Device>, Error> {
    let rows: AtMost<&RawValue, MAX_DEVICES> = success.decode()?;
    Ok(rows.0.into_iter().map(device).collect())
}

fn device(raw: &RawValue) -> Device {
    let row: DeviceRow<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
    Device {
        pk: row.pk.and_then(number),
        class: part::<Remote>(row.model).map(|model| class(model.raw())),
        is_confirmed: part(row.confirmed),
        kind: part(row.external_id),
    }
}

/// A number, or the text of one.
fn number(raw: &RawValue) -> Option<u64> {
    raw.get().trim_matches('"').parse().ok()
}

/// The class of a model such as `authentik_stages_authenticator_totp.TOTPDevice`. authentik makes it in the same way of the
/// model's name (`stages/authenticator_validate/stage.py`).
fn class(model: &str) -> String {
    let name = model.rsplit('.').next().unwrap_or_default();
    name.to_lowercase().replace("device", "")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_device(json: &serde_json::Value) -> Device {
        device(&RawValue::from_string(json.to_string()).unwrap())
    }

    #[test]
    fn a_device_is_read_from_old_and_new_releases() {
        let old = json!({"pk": 7, "confirmed": true, "type": "authentik_stages_authenticator_totp.TOTPDevice"});
        let totp = read_device(&old);
        assert_eq!((totp.pk, totp.class.as_deref()), (Some(7), Some("totp")));
        assert_eq!((totp.is_confirmed, totp.kind), (Some(true), None));
        let new = json!({"pk": "8", "confirmed": false, "external_id": "ee882879-721c-4913-9775-3dfcce97072a",
            "type": "authentik_stages_authenticator_webauthn.WebAuthnDevice"});
        let key = read_device(&new);
        assert_eq!((key.pk, key.class.as_deref()), (Some(8), Some("webauthn")));
        assert!(key.kind.is_some() && key.is_confirmed == Some(false));
    }

    #[test]
    fn what_can_not_be_read_of_a_device_is_nothing() {
        for odd in [
            json!(null),
            json!("totp"),
            json!({"type": 5, "confirmed": "yes", "pk": {}, "external_id": "Key"}),
        ] {
            let nothing = Device {
                pk: None,
                class: None,
                is_confirmed: None,
                kind: None,
            };
            assert_eq!(read_device(&odd), nothing, "{odd}");
        }
    }

    #[test]
    fn service_accounts_and_those_who_can_not_sign_in_are_no_people() {
        let is_person = |json| {
            serde_json::from_value::<UserRow>(json)
                .unwrap()
                .person()
                .is_some()
        };
        assert!(is_person(json!({"pk": 1, "username": "a"})));
        assert!(is_person(
            json!({"pk": 1, "username": "a", "type": "external", "is_active": true})
        ));
        assert!(!is_person(
            json!({"pk": 1, "username": "a", "type": "service_account"})
        ));
        assert!(!is_person(
            json!({"pk": 1, "username": "a", "type": "internal", "is_active": false})
        ));
    }
}
