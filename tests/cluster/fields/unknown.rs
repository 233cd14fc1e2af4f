//! What a server lacks: fields, and whole kinds.

use authentik_stage_operator::{api::conditions, authentik::Version, offline::Ended};
use serde_json::{Value, json};

use super::{
    candidates::Candidate,
    probe::{Case, Known, kinds, object},
    table::{Row, Table},
};
use crate::{
    harness::{Test, condition, is_true, message, with},
    rehearsed::rehearsed,
};

pub async fn what_the_server_lacks_is_reported_and_not_sent(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let (known, lacking) = kinds(test).await;
    for known in known.iter().filter(|known| !known.lacking.is_empty()) {
        fields(test, known).await;
    }
    for table in &lacking {
        kind(test, table).await;
    }
}

async fn fields(test: &Test, known: &Known) {
    let (kind, name) = (known.table.kind, known.table.resource());
    let unknown = known.lacking.iter();
    let unknown = unknown.map(|(row, value)| (row.field.spec, &value.spec));
    let spec = with(known.base(test), object(unknown));
    let foreseen = rehearsed(test, kind, &name, &spec).await;
    test.gateway.clear();
    test.apply(kind, &name, spec.clone()).await;
    let resource = test.reason(kind, &name, "FieldUnsupported").await;
    is_foreseen(test, known, &foreseen).await;
    assert!(is_true(&resource, conditions::STALLED));
    told(test, &message(&resource), &known.lacking).await;
    sent_once(test, known).await;
    test.gateway.clear();
    test.resyncs(2).await;
    assert_eq!(test.written(), [], "{kind}");
    let other = other_change(known);
    let spec = with(spec, json!({ other.spec(): other.values[1].spec }));
    test.apply(kind, &name, spec.clone()).await;
    test.reason(kind, &name, "FieldUnsupported").await;
    let change = json!({ other.api(): other.values[1].api });
    let change = ("PATCH".to_owned(), change);
    assert_eq!(super::writes(test, known).await, [change], "{kind}");
    let supported = spec.as_object().expect("fields").clone().into_iter();
    let is_known = |field: &str| {
        let mut lacking = known.lacking.iter();
        lacking.all(|(row, _)| row.field.spec != field)
    };
    let supported: Value = supported.filter(|(field, _)| is_known(field)).collect();
    assert_eq!(super::written_for(test, known, supported).await, []);
}

/// What is known of releases is foreseen; what only an answer tells is not.
async fn is_foreseen(test: &Test, known: &Known, foreseen: &Ended) {
    for (row, _) in &known.lacking {
        if !is_sent(test, row).await {
            assert_eq!(foreseen.reason, "FieldUnsupported", "{foreseen:?}");
            assert!(foreseen.message.contains(row.field.spec), "{foreseen:?}");
        }
    }
}

/// A field that the server has, to be changed beside those that it lacks.
fn other_change(known: &Known) -> &Case {
    let mut cases = known.cases.iter();
    let case = cases.find(|case| case.row.field.is_readable());
    case.expect("a kind has a field that every release has")
}

/// The release is named, and each field with why it is not supported.
async fn told(test: &Test, text: &str, lacking: &[(Row, Candidate)]) {
    let (year, minor) = test.release().await;
    let release = format!("authentik {year}.{minor}.");
    assert!(text.contains(&release), "{text}");
    for (row, _) in lacking {
        let why = if is_sent(test, row).await {
            "was not kept by the server"
        } else {
            "needs "
        };
        let why = format!("{} {why}", row.field.spec);
        assert!(text.contains(&why), "{why:?}: {text}");
    }
}

/// Whether a field that the server lacks is sent all the same: only the answer can tell that the server lacks it.
async fn is_sent(test: &Test, row: &Row) -> bool {
    let (year, minor) = test.release().await;
    let version = Version::parse(&format!("{year}.{minor}"));
    let since = row.field.since;
    since.is_none_or(|since| since.may_be_known(&version))
}

/// What is known to be lacking is not sent; what the answer has to tell of, no more than is needed to see it.
async fn sent_once(test: &Test, known: &Known) {
    let mut sent = Vec::new();
    for (row, value) in &known.lacking {
        if is_sent(test, row).await {
            sent.push((row.field.api, &value.api));
        }
    }
    let mut written = super::writes(test, known).await.into_iter();
    let body = with(known.base_body(test), object(sent.clone().into_iter()));
    assert_eq!(written.next(), Some(("POST".to_owned(), body)));
    // A field that the server shows and does not keep may have been changed meanwhile.
    let shown = sent.into_iter();
    let shown = object(shown.filter(|(api, _)| known.least.get(api).is_some()));
    let again = match shown.as_object().is_some_and(|shown| shown.is_empty()) {
        true => None,
        false => Some(("PATCH".to_owned(), shown)),
    };
    assert_eq!(written.next(), again);
    assert_eq!(written.next(), None);
}

/// A resource of a kind that the server lacks says so, and nobody asks for it again and again.
async fn kind(test: &Test, table: &Table) {
    let (kind, name) = (table.kind, table.resource());
    let spec = json!({ table.label.spec: test.name(&name) });
    let foreseen = rehearsed(test, kind, &name, &spec).await;
    assert_eq!(foreseen.reason, "FieldUnsupported", "{foreseen:?}");
    test.gateway.clear();
    test.apply(kind, &name, spec).await;
    let resource = test.reason(kind, &name, "FieldUnsupported").await;
    assert!(is_true(&resource, conditions::STALLED));
    assert!(condition(&resource, conditions::RECONCILING).is_none());
    let (year, minor) = test.release().await;
    let text = message(&resource);
    for words in [
        &format!("authentik {year}.{minor}."),
        kind,
        "needs authentik ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(test.event(&name, "FieldUnsupported").await, text);
    let path = format!("/api/v3/{}", crate::harness::collection(kind));
    let asked = |audit: &[devkit::gateway::Exchange]| {
        let asked = audit
            .iter()
            .filter(|exchange| exchange.path.starts_with(&path));
        asked.count()
    };
    test.resyncs(2).await;
    assert_eq!(asked(&test.gateway.audit()), 0, "{kind}");
    let again = test.get(kind, &name).await;
    assert_eq!(
        again.metadata.resource_version,
        resource.metadata.resource_version
    );
    test.delete(kind, &name).await;
    test.gone(kind, &name).await;
    assert_eq!(test.written(), []);
}
