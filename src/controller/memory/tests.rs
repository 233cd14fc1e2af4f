//! What is remembered, and of whom.

use serde_json::{Value, json};

use super::*;
use crate::{
    api::conditions,
    kinds::{AuthenticatorValidateStage, DuoStage},
};

const NAMESPACE: &str = "login";

fn resource(name: &str, uid: &str, more: Value) -> AuthenticatorValidateStage {
    let mut resource = json!({
        "apiVersion": "authentik-operator.io/v1alpha1", "kind": "AuthenticatorValidateStage",
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": uid, "resourceVersion": "5", "generation": 1},
        "spec": {},
    });
    for (key, value) in more.as_object().expect("fields") {
        match resource.get_mut(key) {
            Some(Value::Object(known)) => {
                known.extend(value.as_object().expect("fields").clone());
            }
            _ => resource[key] = value.clone(),
        }
    }
    serde_json::from_value(resource).expect("a resource")
}

fn id(name: &str) -> ResourceId {
    ResourceId {
        kind: "AuthenticatorValidateStage",
        namespace: NAMESPACE.to_owned(),
        name: name.to_owned(),
    }
}

fn managed(uuid: u128) -> Value {
    json!({"status": {"stage": {
        "uuid": Uuid::from_u128(uuid), "name": "mfa", "server": "https://authentik", "managed": true,
    }}})
}

#[test]
fn a_resource_made_anew_inherits_nothing() {
    let memory = Memory::default();
    memory.seen(&resource("mfa", "old", managed(7)), Vec::new());
    memory.with("old", |entry| entry.is_uncertain = true);
    let status = Status::default();
    memory.wrote_status("old", None, &status);
    // The watch was interrupted: it shows the new one and never that the old one is gone.
    let new = resource("mfa", "new", json!({}));
    memory.seen(&new, Vec::new());
    let view = memory.begin(&new).expect("it is current");
    assert!(view.status.stage.is_none() && !view.is_uncertain && view.is_written);
    assert_eq!(memory.with("old", |_| ()), None);
    assert!(!memory.wants_stage(Uuid::from_u128(7), "other"));
    // A reconcile of the old one that ends only now is about nobody.
    memory.wrote_status("old", Some("9"), &status);
    assert!(memory.begin(&new).expect("it is current").is_written);
}

#[test]
fn a_status_that_was_written_counts_until_the_watch_shows_it() {
    let memory = Memory::default();
    let before = resource("mfa", "uid", json!({}));
    memory.seen(&before, Vec::new());
    let mut written = Status::default();
    let message = "authentik holds what the spec says";
    crate::api::set_condition(
        &mut written.conditions,
        conditions::READY,
        true,
        "InSync",
        message,
        Some(1),
    );
    memory.wrote_status("uid", Some("6"), &written);
    let view = memory.begin(&before).expect("it is current");
    assert_eq!(view.status, written);
    assert!(view.was_in_sync);
    let shown = resource("mfa", "uid", json!({"metadata": {"resourceVersion": "7"}}));
    memory.seen(&shown, Vec::new());
    assert!(memory.begin(&before).is_none(), "it is outdated");
    let view = memory.begin(&shown).expect("it is current");
    assert_eq!(view.status, Status::default());
}

#[test]
fn whoever_wants_the_same_is_concerned() {
    let memory = Memory::default();
    let named = |name: &str, uid| resource(name, uid, json!({"spec": {"name": "mfa"}}));
    assert_eq!(memory.seen(&named("one", "1"), Vec::new()).rivals, []);
    let concerned = memory.seen(&named("two", "2"), Vec::new());
    assert_eq!(concerned.rivals, [id("one")]);
    assert_eq!(memory.forget(&id("two")).rivals, [id("one")]);
    assert_eq!(
        memory
            .claimants(&id("one"), Collection::ALL_STAGES, "mfa", &[])
            .len(),
        0
    );
}

#[test]
fn a_connection_is_needed_while_a_stage_is_to_be_deleted_through_it() {
    let key = ConnectionKey {
        kind: crate::api::ConnectionKind::AuthentikConnection,
        namespace: NAMESPACE.to_owned(),
        name: "default".to_owned(),
    };
    let depends = || vec![Dependency::Connection(key.clone())];
    let memory = Memory::default();
    let deletes = |mut more: Value| {
        more["spec"] = json!({"deletionPolicy": "Delete"});
        resource("mfa", "uid", more)
    };
    assert!(!memory.seen(&deletes(json!({})), depends()).need_changed);
    assert_eq!(memory.needing(&key), []);
    assert!(memory.seen(&deletes(managed(7)), depends()).need_changed);
    assert_eq!(memory.needing(&key), [id("mfa")]);
    assert!(memory.is_needed(&key));
    let orphans = resource("mfa", "uid", managed(7));
    assert!(memory.seen(&orphans, depends()).need_changed);
    assert_eq!(memory.needing(&key), []);
}

#[test]
fn a_circle_of_references_is_found_and_a_chain_is_none() {
    let memory = Memory::default();
    let to = |name: &str| vec![Dependency::Resource(id(name))];
    for (name, depends) in [("a", to("b")), ("b", to("c")), ("c", to("b"))] {
        memory.seen(&resource(name, name, json!({})), depends);
    }
    assert_eq!(memory.circle(&id("a")), None);
    assert_eq!(memory.circle(&id("b")), Some(vec![id("b"), id("c")]));
    memory.seen(&resource("c", "c", managed(7)), to("b"));
    assert_eq!(memory.circle(&id("b")), None, "c has its stage");
}

#[test]
fn an_unreadable_resource_is_known_until_it_is_gone() {
    let memory = Memory::default();
    memory.seen_unreadable(id("bad"), "uid".to_owned());
    assert_eq!(memory.all(), [id("bad")]);
    assert_eq!(memory.ids(<DuoStage as Kind>::KIND, None), []);
    memory.forget(&id("bad"));
    assert_eq!(memory.all(), []);
}
