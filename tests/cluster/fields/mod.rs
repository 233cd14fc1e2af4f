//! Each field of each kind of the registry: created with, changed, mended after drift, left alone, emptied, not known. What is
//! tested is made from the operator's own tables, so that a new kind is tested like the others.

pub mod candidates;
mod each;
mod empty;
pub mod probe;
pub mod table;
mod unknown;
mod words;

use serde_json::{Value, json};

use self::{
    each::each_field_is_created_changed_and_mended,
    empty::{
        absent_text_is_the_same_in_every_spelling,
        what_is_not_set_is_left_alone_and_what_is_empty_is_emptied,
    },
    probe::{Known, kinds},
    unknown::what_the_server_lacks_is_reported_and_not_sent,
};
use crate::{
    harness::{Test, collection, test, with},
    on_every_version,
    rehearsed::{came_true, rehearsed},
};

on_every_version!(
    each_field_is_created_changed_and_mended,
    what_is_not_set_is_left_alone_and_what_is_empty_is_emptied,
    absent_text_is_the_same_in_every_spelling,
    what_the_server_lacks_is_reported_and_not_sent,
);

/// Applies a spec and waits until it is in sync; returns method and body of what was written to authentik for it. The command line
/// has to foresee that.
async fn written_for(test: &Test, known: &Known, spec: Value) -> Vec<(String, Value)> {
    let (kind, name) = (known.table.kind, known.table.resource());
    let foreseen = rehearsed(test, kind, &name, &spec).await;
    test.gateway.clear();
    test.apply(kind, &name, spec).await;
    test.in_sync(kind, &name).await;
    let written = writes(test, known).await;
    came_true(known, &foreseen, &written);
    let all = test.written();
    assert_eq!(all.len(), written.len(), "{kind}: {all:?}");
    written
}

/// Method and body of each write since of what is of this kind, all of which are about the resource's object.
async fn writes(test: &Test, known: &Known) -> Vec<(String, Value)> {
    let kind = known.table.kind;
    let object = test.object_path(kind, &known.table.resource()).await;
    let collection = format!("/api/v3/{}", collection(kind));
    let writes = test.writes().into_iter();
    let writes = writes.filter(|write| write.path.starts_with(&collection));
    writes
        .map(|write| {
            let is_new = write.method == "POST" && write.path == collection;
            assert!(
                is_new || write.path == format!("/api/v3/{object}"),
                "{write:?}"
            );
            (write.method, write.body.unwrap_or_default())
        })
        .collect()
}

/// A new label keeps the object, wherever it is found then.
#[tokio::test(flavor = "multi_thread")]
async fn another_label_renames_the_object() {
    test(async |test| {
        test.connect().await;
        for known in kinds(test).await.0 {
            let (kind, name) = (known.table.kind, known.table.resource());
            let label = known.table.label;
            written_for(test, &known, known.base(test)).await;
            let old = test.by_hand(kind, &name, json!({})).await;
            let path = test.object_path(kind, &name).await;
            let new = test.name(&format!("new-{name}"));
            let renamed = with(known.base(test), json!({ label.spec: new }));
            test.gateway.clear();
            test.apply(kind, &name, renamed).await;
            let resource = test.in_sync(kind, &name).await;
            let writes = test.writes();
            let bodies: Vec<_> = writes.iter().map(|write| write.body.clone()).collect();
            assert_eq!(bodies, [Some(json!({ label.api: new }))], "{kind}");
            assert_eq!(writes[0].path, format!("/api/v3/{path}"));
            let now = test.by_hand(kind, &name, json!({})).await;
            assert_eq!((&now["pk"], &now[label.api]), (&old["pk"], &json!(new)));
            let status = &resource.data["status"];
            let of = |of: &str| status["stage"][of].as_str().or(status["flow"][of].as_str());
            assert_eq!(of("uuid"), old["pk"].as_str());
            assert_eq!(of(label.spec), Some(&*new));
        }
    })
    .await;
}
