//! Secrets that authentik shows to those who may see the object: compared, and shown to nobody.

use std::collections::BTreeSet;

use devkit::gateway::{Fault, FaultKind};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Map, Value, json};

use crate::{
    fields::probe::{self, Case, Known, object},
    harness::{Test, collection, message, put_right, test, with},
    on_every_version,
};

on_every_version!(
    a_secret_is_written_where_its_value_is_another_and_not_otherwise,
    one_that_is_shown_no_more_is_sent_as_one_that_never_was,
);

/// The Secret that all readable secrets come from, each in a key of its own.
const SECRET: &str = "readable";

/// The kinds that have such fields.
async fn kinds(test: &Test) -> Vec<Known> {
    let known = probe::kinds(test).await.0.into_iter();
    let known: Vec<_> = known
        .filter(|known| readable(known).next().is_some())
        .collect();
    assert!(!known.is_empty(), "no kind has a secret that is shown");
    known
}

fn readable(known: &Known) -> impl Iterator<Item = &Case> + Clone {
    let cases = known.cases.iter();
    cases.filter(|case| case.row.field.is_secret && case.row.field.is_readable())
}

/// Values of these fields, by what `name` calls them.
fn values<'a>(
    test: &Test,
    cases: impl Iterator<Item = &'a Case>,
    word: &str,
    name: impl Fn(&Case) -> &'static str,
) -> Value {
    let value = |case: &Case| json!(test.canary(&format!("{}-{word}", case.api())));
    let values: Map<_, _> = cases
        .map(|case| (name(case).to_owned(), value(case)))
        .collect();
    Value::Object(values)
}

/// Lets the Secret hold these values.
async fn hold(test: &Test, known: &Known, word: &str) -> Secret {
    let data = values(test, readable(known), word, Case::spec);
    test.secret(SECRET, data).await
}

/// What authentik is sent of these values.
fn body(test: &Test, known: &Known, word: &str) -> Value {
    values(test, readable(known), word, Case::api)
}

/// A spec that takes these fields from the Secret.
fn spec<'a>(test: &Test, known: &Known, cases: impl Iterator<Item = &'a Case>) -> Value {
    let source = |case: &Case| json!({"secretKeyRef": {"name": SECRET, "key": case.spec()}});
    let sources: Vec<_> = cases.map(|case| (case.spec(), source(case))).collect();
    let sources = sources.iter().map(|(name, source)| (*name, source));
    with(known.base(test), object(sources))
}

/// An object that others have made with secrets of theirs, and a resource for it that wants ours, with these settings.
async fn beside_theirs(test: &Test, known: &Known, settings: Value) {
    let kind = known.table.kind;
    hold(test, known, "theirs").await;
    let theirs = with(known.base_body(test), body(test, known, "theirs"));
    test.authentik.create(collection(kind), theirs).await;
    hold(test, known, "ours").await;
    let spec = with(spec(test, known, readable(known)), settings);
    test.apply(kind, &known.table.resource(), spec).await;
}

/// Saves the Secret with the data that it has.
async fn save_again(test: &Test, note: &str) -> Secret {
    let secrets: Api<Secret> = Api::namespaced(test.kube.clone(), &test.namespace);
    let touch = Patch::Merge(json!({"metadata": {"annotations": {"saved": note}}}));
    let saved = secrets.patch(SECRET, &PatchParams::default(), &touch).await;
    saved.expect("the Secret is saved")
}

/// Waits until the status records this version of the Secret for all that comes from it.
async fn recorded(test: &Test, kind: &str, name: &str, secret: &Secret) {
    let version = json!(secret.resource_version().expect("a version"));
    test.until(kind, name, "recorded", |resource| {
        let secrets = resource.and_then(|resource| resource.data["status"]["secrets"].as_array());
        let mut ours = secrets
            .into_iter()
            .flatten()
            .filter(|secret| secret["name"] == SECRET)
            .peekable();
        ours.peek().is_some() && ours.all(|secret| secret["resourceVersion"] == version)
    })
    .await;
}

/// Method and body of what was written.
fn written(test: &Test) -> Vec<(String, Value)> {
    let written = test.written().into_iter();
    written.map(|(method, _, body)| (method, body)).collect()
}

fn patched(body: Value) -> Vec<(String, Value)> {
    vec![("PATCH".to_owned(), body)]
}

async fn a_secret_is_written_where_its_value_is_another_and_not_otherwise(test: &Test) {
    test.connect().await;
    for known in kinds(test).await {
        let (kind, name) = (known.table.kind, known.table.resource());
        hold(test, &known, "old").await;
        test.apply(kind, &name, spec(test, &known, readable(&known)))
            .await;
        test.in_sync(kind, &name).await;
        test.gateway.clear();

        let saved = save_again(test, kind).await;
        recorded(test, kind, &name, &saved).await;
        assert_eq!(test.written(), [], "{kind}: the data is the same");

        let changed = hold(test, &known, "new").await;
        recorded(test, kind, &name, &changed).await;
        assert_eq!(written(test), patched(body(test, &known, "new")), "{kind}");
        let note = test.event(&name, "Updated").await;
        for case in readable(&known) {
            assert!(note.contains(case.spec()), "{note}");
        }
        let events = test.events(&name).await;
        let drift = events.iter().find(|(reason, _)| reason == "DriftCorrected");
        assert_eq!(drift, None, "{kind}");

        // Another process compares by other means, and sees the same.
        test.gateway.clear();
        test.take_operator().await.stop().await;
        test.start_operator().await;
        test.looked_at_anew(kind, &name).await;
        assert_eq!(test.written(), [], "{kind}: nothing has changed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_with_another_secret_is_not_taken_over_and_one_with_the_same_is() {
    test(async |test| {
        test.connect().await;
        for known in kinds(test).await {
            let (kind, name) = (known.table.kind, known.table.resource());
            beside_theirs(test, &known, json!({"adoptionPolicy": "IfMatch"})).await;
            let refused = test.reason(kind, &name, "AdoptionRefused").await;
            let names: Vec<_> = readable(&known).map(Case::spec).collect();
            let differs = format!("it differs in {};", names.join(", "));
            let says = message(&refused);
            assert!(says.contains(&differs), "{differs}: {says}");

            hold(test, &known, "theirs").await;
            test.in_sync(kind, &name).await;
            test.event(&name, "Adopted").await;
            assert_eq!(test.written(), [], "{kind}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_sees_that_a_secret_differs_and_shows_neither_value() {
    test(async |test| {
        test.connect().await;
        for known in kinds(test).await {
            let (kind, name) = (known.table.kind, known.table.resource());
            beside_theirs(test, &known, json!({"managementPolicy": "Observe"})).await;
            let drifted = test.reason(kind, &name, "Drifted").await;
            let redacted = readable(&known).map(
                |case| json!({"field": case.spec(), "wanted": "<secret>", "found": "<secret>"}),
            );
            let redacted: Value = redacted.collect();
            assert_eq!(drifted.data["status"]["drift"], redacted, "{kind}");
            hold(test, &known, "theirs").await;
            test.in_sync(kind, &name).await;
            assert_eq!(test.written(), [], "{kind}");
        }
    })
    .await;
}

/// As in a release that is newer than what is known of authentik.
async fn one_that_is_shown_no_more_is_sent_as_one_that_never_was(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    for known in kinds(test).await {
        for case in readable(&known) {
            shown_no_more(test, &known, case).await;
        }
    }
}

async fn shown_no_more(test: &Test, known: &Known, case: &Case) {
    let (kind, name) = (known.table.kind, case.spec().to_lowercase());
    let sent = |word: &str| values(test, [case].into_iter(), word, Case::api);
    hold(test, known, "old").await;
    let hidden = test.gateway.inject(Fault::new(FaultKind::Replace {
        this: format!("\"{}\":", case.api()),
        by: format!("\"hidden_{}\":", case.api()),
    }));
    test.gateway.clear();
    let spec = spec(test, known, [case].into_iter());
    let spec = with(spec, json!({ known.table.label.spec: test.name(&name) }));
    test.apply(kind, &name, spec).await;
    test.in_sync(kind, &name).await;
    let created = &written(test)[0].1;
    assert_eq!(created[case.api()], sent("old")[case.api()]);

    // What somebody makes of it can't be seen.
    test.gateway.clear();
    test.by_hand(kind, &name, sent("by-hand")).await;
    test.canaries
        .add(&test.canary(&format!("{}-by-hand", case.api())));
    test.resyncs(2).await;
    assert_eq!(test.written(), [], "{}", case.spec());

    let changed = hold(test, known, "new").await;
    recorded(test, kind, &name, &changed).await;
    let saved = save_again(test, case.spec()).await;
    recorded(test, kind, &name, &saved).await;
    // Nothing but the version of the Secret tells a change.
    let twice = [patched(sent("new")), patched(sent("new"))].concat();
    assert_eq!(written(test), twice, "{}", case.spec());
    test.in_sync(kind, &name).await;
    let events = test.events(&name).await;
    let unsupported = events
        .iter()
        .find(|(reason, _)| reason == "FieldUnsupported");
    assert_eq!(unsupported, None);

    // Once it is shown again, what was made of it meanwhile is put right.
    test.by_hand(kind, &name, sent("by-hand")).await;
    test.gateway.clear();
    test.gateway.remove(hidden);
    let note = test.event(&name, "DriftCorrected").await;
    assert_eq!(put_right(&note), BTreeSet::from([case.spec()]));
    assert_eq!(written(test), patched(sent("new")));
    // The next one reads the same Secret.
    test.delete(kind, &name).await;
    test.gone(kind, &name).await;
}
