//! Alerts, dashboard and pages name metrics that there are.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use authentik_stage_operator::ops::metrics::{Asked, Gauges, Look, Metrics};
use serde_json::Value;

use crate::rendering::{everything, objects, only};

/// Every metric that the operator shows once everything has happened, with its labels.
fn exposed() -> BTreeMap<String, Vec<String>> {
    let metrics = Metrics::default();
    let kind = "DuoStage";
    metrics.reconciled(kind, "InSync", Duration::ZERO);
    metrics.drift_found(kind);
    metrics.drift_repaired(kind);
    metrics.field_drifted(kind, "apiHostname");
    metrics.factor_weakened(kind);
    metrics.another_wrote("default");
    metrics.asked(&Asked {
        connection: "default",
        method: "GET",
        path: "root/config",
        status: Some(200),
        elapsed: Duration::ZERO,
    });
    let text = metrics.text(Gauges {
        resources: vec![(kind, "InSync".to_owned())],
        connections: vec![("default".to_owned(), "Connected".to_owned())],
        queued: vec![kind],
        listed: vec![("default".to_owned(), Duration::ZERO)],
        looks: vec![Look {
            connection: "default".to_owned(),
            took: Duration::ZERO,
            interval: Duration::ZERO,
        }],
        weak: vec![kind],
        refused_watches: vec![("Secret", String::new())],
        leads: true,
    });
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let series = line.rsplit_once(' ').expect("a value").0;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.split(',').filter_map(|label| label.split_once('='));
            (
                name.to_owned(),
                labels.map(|(name, _)| name.to_owned()).collect(),
            )
        })
        .collect()
}

/// The metrics that a query selects, each with the labels that it asks for.
fn selected(query: &str) -> Vec<(String, Vec<String>)> {
    let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let starts = query.match_indices("authentik_operator_");
    starts
        .map(|(at, _)| {
            let rest = &query[at..];
            let (name, rest) = rest.split_at(
                rest.find(|character| !word(character))
                    .unwrap_or(rest.len()),
            );
            let matchers = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let matchers = matchers.map_or("", |(matchers, _)| matchers).split(',');
            let labels = matchers.filter_map(|matcher| matcher.split_once(['=', '!']));
            (
                name.to_owned(),
                labels.map(|(label, _)| label.to_owned()).collect(),
            )
        })
        .collect()
}

#[test]
fn alerts_and_dashboard_ask_for_what_is_exposed() {
    let objects = objects(&everything());
    let rule = only(&objects, "PrometheusRule");
    let alerts = rule["spec"]["groups"][0]["rules"]
        .as_array()
        .expect("a list");
    let mut queries: Vec<_> = alerts.iter().map(|alert| alert["expr"].clone()).collect();
    let dashboards = only(&objects, "ConfigMap");
    let dashboard = dashboards["data"]["authentik-stage-operator.json"]
        .as_str()
        .expect("text");
    let dashboard: Value = serde_json::from_str(dashboard).expect("the dashboard is JSON");
    for panel in dashboard["panels"].as_array().expect("a list") {
        let targets = panel["targets"].as_array().expect("a list").iter();
        queries.extend(targets.map(|target| target["expr"].clone()));
    }
    let exposed = exposed();
    for query in &queries {
        let query = query.as_str().expect("a query is text");
        let selected = selected(query);
        assert!(!selected.is_empty(), "{query}");
        for (name, labels) in selected {
            let has = exposed
                .get(&name)
                .unwrap_or_else(|| panic!("{query}: there is no {name}"));
            for label in labels {
                let given = ["namespace", "job"].contains(&label.as_str());
                assert!(
                    given || has.contains(&label),
                    "{query}: {name} has no {label}"
                );
            }
        }
    }
    assert_eq!(alerts.len(), 9);
}

#[test]
fn the_page_has_every_metric() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/install.md");
    let page = fs::read_to_string(page).expect("the page can be read");
    for name in exposed().keys() {
        // A histogram is one metric to people.
        let histogram = ["_bucket", "_sum", "_count"];
        let one = histogram.iter().find_map(|part| name.strip_suffix(part));
        let name = one.unwrap_or(name);
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
}
