//! People and devices that a test puts into a simulator.

use super::accounts::OUTPOSTS;
use super::devices::NewDevice;
use super::server::Simulator;
use uuid::Uuid;

impl Simulator {
    /// Adds an active person, who may be `internal` or `external`, or a `service_account`; returns their key.
    pub fn add_person(&self, username: &str, kind: &'static str) -> u64 {
        let mut state = self.state();
        let pk = state.accounts.add_user(username, username, true);
        state.accounts.set_type(pk, kind);
        pk
    }

    /// A token of an outpost's own account, which has no permissions.
    pub fn create_outpost_token(&self) -> String {
        let mut state = self.state();
        let token = state.accounts.add_limited(&[]);
        if let Some(user) = state.accounts.users.last_mut() {
            user.kind = OUTPOSTS;
        }
        token
    }

    /// Lets a user sign in, or no more.
    pub fn set_active(&self, username: &str, active: bool) {
        if let Some(user) = self.state().accounts.named(username) {
            user.active = active;
        }
    }

    /// Changes a user's mail address.
    pub fn set_email(&self, username: &str, email: &str) {
        if let Some(user) = self.state().accounts.named(username) {
            email.clone_into(&mut user.email);
        }
    }

    /// Deletes a user.
    pub fn remove_person(&self, pk: u64) {
        self.state().remove_user(pk);
    }

    /// Lets the server know of another kind of `WebAuthn` device, as an update of its list does.
    pub fn add_device_type(&self, aaguid: Uuid, description: &str) {
        let known = (aaguid.to_string(), description.to_owned());
        self.state().seed.device_types.push(known);
    }

    /// Gives a device to the user of this key.
    pub fn give_device(&self, user: u64, device: NewDevice) {
        self.state().add_device(user, None, device);
    }

    /// Enrols a device of the superuser through a set-up stage of any kind. `used_by/` tells of Duo, SMS and e-mail
    /// devices; TOTP, static and `WebAuthn` devices do not refer to their stage.
    pub fn enroll_device(&self, stage: Uuid, name: &str) {
        self.state().enroll_device(stage, name);
    }

    /// As [`Self::enroll_device`].
    pub fn enroll_duo_device(&self, stage: Uuid, name: &str) {
        self.enroll_device(stage, name);
    }
}
