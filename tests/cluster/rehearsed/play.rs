//! Resources are applied, and what comes of them is what was foreseen.

use std::collections::BTreeSet;

use authentik_stage_operator::{api::conditions::READY, manifests::Set, offline::Ended};
use devkit::gateway::Exchange;
use kube::{
    ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::{Value, json};

use super::rehearse;
use crate::{
    fields::table::tables,
    harness::{Test, collection, condition, identity, is_true, kinds, message, read, with},
};

const BINDINGS: &str = "/api/v3/flows/bindings/";

/// A kind, a name and a spec.
pub type Applied<'a> = (&'static str, &'a str, Value);

/// A connection that is listed each second.
pub async fn connect(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
}

/// A spec for the stage of this name.
pub fn named(test: &Test, name: &str, more: Value) -> Value {
    with(json!({"name": test.name(name)}), more)
}

/// Applies these resources to the test's cluster, one after the other, and waits until nothing is left to do. Which reasons all
/// resources of the cluster then have and what was written are those that were foreseen, and no more is foreseen. Returns the
/// reasons of these.
pub async fn comes_true<const N: usize>(test: &Test, applied: [Applied<'_>; N]) -> [String; N] {
    let set = whole(test, &applied).await;
    let foreseen = rehearse(test, &set).await;
    test.gateway.clear();
    for (kind, name, spec) in &applied {
        test.apply(kind, name, spec.clone()).await;
    }
    for of in &foreseen {
        ends_so(test, of).await;
    }
    // What was not foreseen would come by then.
    test.resyncs(1).await;
    let mut written = test.writes();
    // What was refused has changed nothing.
    written.retain(|write| write.status.is_some_and(|status| status < 400));
    for of in &foreseen {
        was_written(test, of, &mut written).await;
    }
    assert!(written.is_empty(), "not foreseen: {written:#?}");
    for of in rehearse(test, &set).await {
        nothing_is_left(test, &of).await;
    }
    applied.map(|(kind, name, _)| {
        let of = foreseen
            .iter()
            .find(|of| of.id.kind == kind && of.id.name == name);
        of.expect("it was rehearsed").reason.clone()
    })
}

/// The resources of the test's cluster, as they are once these are applied.
async fn whole(test: &Test, applied: &[Applied<'_>]) -> Set {
    let mut items = Vec::new();
    for kind in kinds() {
        let there = test.api(kind).list(&ListParams::default()).await;
        let there = there.expect("a list").items.into_iter();
        let is_old = |object: &DynamicObject| {
            let name = object.name_any();
            !applied.iter().any(|new| new.0 == kind && new.1 == name)
        };
        let old = there.filter(is_old);
        items.extend(old.map(|object| item(test, kind, &object.name_any(), &object.data["spec"])));
    }
    let new = applied.iter();
    items.extend(new.map(|(kind, name, spec)| item(test, kind, name, spec)));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    read(&list).expect("good manifests")
}

fn item(test: &Test, kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "authentik-operator.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": test.namespace}, "spec": spec,
    })
}

/// The reason that the operator gives where this was foreseen: of a Secret that can't be had the command line says that it is
/// unknown.
fn reason(foreseen: &Ended) -> &str {
    match foreseen.planned.unknown.is_empty() {
        true => &foreseen.reason,
        false => "SecretNotFound",
    }
}

async fn ends_so(test: &Test, foreseen: &Ended) {
    let (kind, name) = (foreseen.id.kind, foreseen.id.name.as_str());
    if foreseen.is_suspended {
        let is = |object: Option<&DynamicObject>| {
            object.is_some_and(|object| {
                let seen = object.data["status"]["observedGeneration"].as_i64();
                seen == object.metadata.generation && is_true(object, "Suspended")
            })
        };
        test.until(kind, name, "suspended", is).await;
        return;
    }
    // What it says may change while it waits for the same: another that was missing is there, and not yet done.
    let message_is = |object: &DynamicObject| {
        let known_as = |text: &str| text.replace(test.authentik.url(), &test.gateway.url());
        !foreseen.planned.unknown.is_empty() || message(object) == known_as(&foreseen.message)
    };
    let is = |object: Option<&DynamicObject>| {
        object.is_some_and(|object| {
            let status = &object.data["status"];
            let drift = status.get("drift").cloned().unwrap_or_else(|| json!([]));
            let ready = condition(object, READY);
            status["observedGeneration"].as_i64() == object.metadata.generation
                && ready.is_some_and(|ready| ready["reason"] == reason(foreseen))
                && message_is(object)
                && drift == json!(foreseen.drift)
        })
    };
    let object = test.until(kind, name, &format!("{foreseen:#?}"), is).await;
    if let Some(uuid) = foreseen.planned.adopts {
        let object = object.expect("it is there");
        assert_eq!(
            identity(kind, &object)["uuid"],
            json!(uuid),
            "{kind} {name}"
        );
    }
}

/// Takes out what was written for this resource: what was foreseen.
async fn was_written(test: &Test, foreseen: &Ended, written: &mut Vec<Exchange>) {
    let (kind, name) = (foreseen.id.kind, foreseen.id.name.as_str());
    let object = test.get(kind, name).await;
    let uuid = &identity(kind, &object)["uuid"];
    let own: Vec<_> = written
        .extract_if(.., |write| is_about(write, kind, uuid))
        .collect();
    let changes = foreseen.planned.changes.iter();
    let changes = changes.filter(|_| !only_shows(foreseen));
    let mut planned: BTreeSet<_> = changes.map(|change| change.field.as_str()).collect();
    // Places are objects of their own.
    if planned.remove("flows") {
        let places = written.extract_if(.., |write| is_place(write, uuid));
        assert!(places.count() > 0, "{kind} {name}: {foreseen:#?}");
    }
    let sent: BTreeSet<_> = own
        .iter()
        .flat_map(|write| changed(write, foreseen))
        .map(|api| spec_name(kind, api))
        .collect();
    assert_eq!(planned, sent, "{kind} {name}: {foreseen:#?} and {own:#?}");
    let methods: Vec<_> = own.iter().map(|write| write.method.as_str()).collect();
    let expected: &[&str] = match (foreseen.planned.creates, planned.is_empty()) {
        (_, true) => &[],
        (true, false) => &["POST"],
        (false, false) => &["PATCH"],
    };
    assert_eq!(methods, expected, "{kind} {name}: {foreseen:#?}");
}

/// Whether a difference is shown that is not put right.
fn only_shows(foreseen: &Ended) -> bool {
    foreseen.reason == "AdoptionRefused" || !foreseen.planned.unknown.is_empty()
}

/// The fields that a write changes. Others are sent along with them as they are, where authentik looks at both.
fn changed<'a>(write: &'a Exchange, foreseen: &'a Ended) -> impl Iterator<Item = &'a str> {
    let before = foreseen.planned.before.as_ref();
    let body = write.body.as_ref().and_then(Value::as_object);
    let fields = body.into_iter().flatten();
    fields
        .filter(move |(api, value)| {
            before.and_then(|before| before.get(api.as_str())) != Some(value)
        })
        .map(|(api, _)| api.as_str())
}

/// Whether a write is about the object of this UUID.
fn is_about(write: &Exchange, kind: &str, uuid: &Value) -> bool {
    let collection = format!("/api/v3/{}", collection(kind));
    let answer = write.response.as_ref();
    write.path.starts_with(&collection) && answer.is_some_and(|answer| answer["pk"] == *uuid)
}

/// Whether a write is about a place of the stage of this UUID in a flow. Of one that is deleted nothing tells whose it was.
fn is_place(write: &Exchange, uuid: &Value) -> bool {
    let answer = write.response.as_ref();
    let is_its_own = answer.is_some_and(|answer| answer["stage"] == *uuid);
    write.path.starts_with(BINDINGS) && (is_its_own || write.method == "DELETE")
}

/// The field of a spec that is called so in authentik.
fn spec_name(kind: &str, api: &str) -> &'static str {
    let table = tables().into_iter().find(|table| table.kind == kind);
    let table = table.expect("one of our kinds");
    let rows = table.rows.iter().map(|row| row.field);
    let field = rows.chain([table.label]).find(|field| field.api == api);
    field.expect("the kind has this field").spec
}

async fn nothing_is_left(test: &Test, foreseen: &Ended) {
    let (kind, name) = (foreseen.id.kind, foreseen.id.name.as_str());
    let planned = &foreseen.planned;
    assert!(
        only_shows(foreseen) || !planned.creates && planned.changes.is_empty(),
        "{foreseen:#?}"
    );
    let object = test.get(kind, name).await;
    let ready = condition(&object, "Ready");
    let now = ready.map_or("", |ready| ready["reason"].as_str().unwrap_or_default());
    assert_eq!(now, reason(foreseen), "{kind} {name}: {foreseen:#?}");
}
