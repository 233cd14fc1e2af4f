//! What the command line foresees, beside what the operator does.

mod claims;
mod needs;
mod play;

use std::{collections::BTreeSet, time::Duration};

use authentik_stage_operator::{
    manifests::Set,
    offline::{Ended, Server, Session, known},
};
use serde_json::{Value, json};

use crate::{
    fields::probe::Known,
    harness::{Test, read},
};

/// What would become of a resource with this spec. Nothing is written for it.
pub async fn rehearsed(test: &Test, kind: &str, name: &str, spec: &Value) -> Ended {
    let object = json!({
        "apiVersion": "authentik-operator.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": test.namespace}, "spec": spec,
    });
    let set = read(&object).expect("a good manifest");
    rehearse(test, &set)
        .await
        .pop()
        .expect("there is one resource")
}

/// What would become of these resources, as they stand in the test's cluster. Nothing is written for them.
async fn rehearse(test: &Test, set: &Set) -> Vec<Ended> {
    let server = Server {
        url: Some(test.authentik.url().to_owned()),
        token: Some(test.token().to_owned().into()),
        timeout: 60,
        known: known(&test.kube, set).await.expect("the cluster answers"),
        ..Server::default()
    };
    let session = Session::rehearse(set, &server);
    let session = session.expect("there is a server and a token");
    let ended = session.settled(Duration::ZERO).await;
    session.end().await;
    ended
}

/// What was foreseen is what was written: a creation where there was one, and each field that was sent.
pub fn came_true(known: &Known, foreseen: &Ended, written: &[(String, Value)]) {
    let kind = known.table.kind;
    let is_new = written.iter().any(|(method, _)| method == "POST");
    assert_eq!(foreseen.planned.creates, is_new, "{kind}: {foreseen:?}");
    let planned = foreseen.planned.changes.iter();
    let planned: BTreeSet<_> = planned.map(|change| change.field.as_str()).collect();
    let bodies = written.iter().filter_map(|(_, body)| body.as_object());
    let sent: BTreeSet<_> = bodies
        .flat_map(|body| body.keys())
        .map(|api| spec_name(known, api))
        .collect();
    assert_eq!(planned, sent, "{kind}: {foreseen:?} and {written:?}");
    assert!(foreseen.planned.unknown.is_empty(), "{foreseen:?}");
}

fn spec_name<'a>(known: &'a Known, api: &'a str) -> &'a str {
    let label = known.table.label;
    let rows = known.table.rows.iter().map(|row| row.field);
    let mut fields = rows.chain([label]);
    let field = fields.find(|field| field.api == api);
    field.map_or(api, |field| field.spec)
}
