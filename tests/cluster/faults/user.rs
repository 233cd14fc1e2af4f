//! What users do, by Kubernetes.

use kube::{
    ResourceExt,
    api::{DeleteParams, DynamicObject},
};
use serde_json::json;

use super::{
    cast::Slot,
    history::{History, Untouched},
    specs::{self, SECRETS},
    world::At,
};
use crate::harness::text;

/// The policies that delete an object.
const DELETES: [&str; 2] = ["Delete", "ForceDelete"];

impl History<'_> {
    /// One of the two namespaces that users work in. One that is being deleted takes nothing new.
    fn place(&mut self) -> At {
        let at = *self.dice.one(&[At::Home, At::Home, At::Away]);
        if self.teardown.is_some() {
            At::Home
        } else {
            at
        }
    }

    /// A resource to do something with.
    pub(super) fn slot(&mut self) -> Slot {
        let at = self.place();
        *self.dice.one(&self.cast.at(at))
    }

    pub(super) async fn user(&mut self) {
        let slot = self.slot();
        match self.dice.below(100) {
            0..55 => self.apply(slot).await,
            55..62 => self.sick_user().await,
            62..78 if self.specs.contains_key(&slot) => self.delete(slot).await,
            62..78 => self.apply(slot).await,
            78..96 => {
                let secret = *self.dice.one(&SECRETS);
                self.rotate(slot.at, secret).await;
            }
            _ => {
                let secret = *self.dice.one(&SECRETS);
                self.delete_secret(slot.at, secret).await;
            }
        }
    }

    pub(super) async fn apply(&mut self, slot: Slot) {
        let old = self.specs.get(&slot).cloned().unwrap_or_default();
        let spec = specs::spec(&mut self.author(), slot, &old);
        self.tell(format_args!("{slot} is applied: {spec}"));
        let names = slot.names();
        let label = text(&spec[names.label()]).to_owned();
        let applied = self.world.apply(slot.at, slot.kind, slot.name, &spec).await;
        let id = self.world.id(slot);
        let touched = |untouched: &Untouched| {
            untouched.resources.contains(&id) || untouched.object.is(names, &label)
        };
        self.untouched.retain(|_, untouched| !touched(untouched));
        // A resource that is being deleted is changed all the same, and ends as it then says.
        if applied.metadata.deletion_timestamp.is_some() {
            self.may_leave(&applied);
        }
        self.specs.insert(slot, spec);
    }

    pub(super) async fn delete(&mut self, slot: Slot) {
        if self.specs.remove(&slot).is_none() {
            return;
        }
        self.tell(format_args!("{slot} is deleted"));
        let id = self.world.id(slot);
        self.untouched
            .retain(|_, untouched| !untouched.resources.contains(&id));
        let api = self.world.api(slot.at, slot.kind);
        let deleted = api.delete(slot.name, &DeleteParams::default()).await;
        // One that was being deleted already may be gone.
        if let Some(object) = deleted.ok().and_then(|deleted| deleted.left()) {
            self.test.record.note(slot.kind, &object);
            self.may_leave(&object);
        }
    }

    /// Notes a resource that is being deleted, if its spec has it leave its object.
    pub(super) fn may_leave(&mut self, resource: &DynamicObject) {
        if !deletes(resource) {
            self.left.extend(resource.uid());
        }
    }

    pub(super) async fn rotate(&mut self, at: At, secret: &str) {
        self.secrets += 1;
        let value = self.test.canary(&format!("value-{}", self.secrets));
        self.tell(format_args!("the Secret {secret} {at:?} becomes {value}"));
        let data = json!({"secret": value});
        self.world.secret(at, secret, data).await;
    }

    pub(super) async fn delete_secret(&mut self, at: At, secret: &str) {
        self.tell(format_args!("the Secret {secret} {at:?} is deleted"));
        let secrets = self.world.secrets(at);
        // It may be deleted already.
        let _ = secrets.delete(secret, &DeleteParams::default()).await;
    }
}

/// Whether this resource takes its object along when it is deleted.
pub fn deletes(resource: &DynamicObject) -> bool {
    let spec = &resource.data["spec"];
    let policy = spec["deletionPolicy"].as_str().unwrap_or_default();
    spec["suspend"] != true && spec["managementPolicy"] != "Observe" && DELETES.contains(&policy)
}
