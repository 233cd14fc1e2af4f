//! The chart's alerts, judged by Prometheus with what an operator has shown.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use devkit::prometheus::promtool_command;
use serde_json::{Value, json};

use super::weaker::{self, weaken};
use crate::harness::{VALIDATE, test, text};

/// The labels that Prometheus gives what it collects of the operator.
const OF: &str = r#"namespace="operator",job="metrics""#;

/// How many minutes each state lasts.
const MINUTES: usize = 20;

/// The values of each series, one a state.
type Series = BTreeMap<String, Vec<Option<String>>>;

/// Adds what the operator shows in this state.
fn collect(series: &mut Series, state: usize, metrics: &str) {
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    for (name, value) in samples.filter_map(|line| line.rsplit_once(' ')) {
        let name = match name.strip_suffix('}') {
            Some(labelled) => format!("{labelled},{OF}}}"),
            None => format!("{name}{{{OF}}}"),
        };
        let values = series.entry(name).or_default();
        values.resize(state, None);
        values.push(Some(value.to_owned()));
    }
}

/// The values of a series as promtool reads them: each lasts as long as its state.
fn values(values: &[Option<String>], states: usize) -> String {
    let mut text = String::new();
    for state in 0..states {
        let value = values.get(state).cloned().flatten();
        let value = value.unwrap_or_else(|| "_".to_owned());
        let repeated = match value.as_str() {
            "_" => format!("_x{MINUTES} "),
            value => format!("{value}x{} ", MINUTES - 1),
        };
        text.push_str(&repeated);
    }
    text
}

/// The alerts of the chart, as of one release.
fn rules() -> String {
    let alerts = "charts/authentik-stage-operator/files/alerts.yaml";
    let alerts = Path::new(env!("CARGO_MANIFEST_DIR")).join(alerts);
    let alerts = fs::read_to_string(alerts).expect("the alerts can be read");
    let mut rules = "groups:\n- name: operator\n  rules:\n".to_owned();
    for line in alerts.replace("of=\"\"", OF).lines() {
        let _ = writeln!(rules, "  {line}");
    }
    rules
}

/// The queries of the chart's dashboard, as rules that record them.
fn dashboard() -> String {
    let dashboard = "charts/authentik-stage-operator/files/dashboard.json";
    let dashboard = Path::new(env!("CARGO_MANIFEST_DIR")).join(dashboard);
    let dashboard = fs::read_to_string(dashboard).expect("the dashboard can be read");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels");
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let queries = targets.flatten().map(|target| text(&target["expr"]));
    let rules = (0..).zip(queries).map(|(number, query)| {
        // What Grafana puts in their place.
        let query = query.replace("$__rate_interval", "5m");
        let query = query.replace("$namespace", ".*").replace("$job", ".*");
        json!({"record": format!("dashboard:query_{number}"), "expr": query})
    });
    let rules: Vec<_> = rules.collect();
    assert!(rules.len() > 10, "{} queries", rules.len());
    json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string()
}

/// That just these alerts fire at this minute.
fn firing(minute: usize, alerts: &[&str]) -> Value {
    let samples = alerts
        .iter()
        .map(|alert| json!({"labels": format!("{{alertname=\"{alert}\"}}"), "value": 1}));
    json!({
        "expr": "count by (alertname) (ALERTS{alertstate=\"firing\"})",
        "eval_time": format!("{minute}m"),
        "exp_samples": samples.collect::<Vec<_>>(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_alerts_fire_when_they_should_and_not_otherwise() {
    test(async |test| {
        let mut series = Series::new();
        let path = weaker::strict(test, "Enforce").await;
        collect(&mut series, 0, &test.metrics().await);
        // Somebody makes the factor weaker, and it is put right.
        weaken(test, &path).await;
        test.event("mfa", "FactorWeakened").await;
        test.in_sync(VALIDATE, "mfa").await;
        test.resyncs(1).await;
        collect(&mut series, 1, &test.metrics().await);
        // And again where nobody puts it right.
        let observe = json!({"spec": {"managementPolicy": "Observe"}});
        test.patch(VALIDATE, "mfa", observe).await;
        test.in_sync(VALIDATE, "mfa").await;
        test.resyncs(1).await;
        weaken(test, &path).await;
        test.reason(VALIDATE, "mfa", "Drifted").await;
        test.events_of("mfa", "FactorWeakened", 2).await;
        collect(&mut series, 2, &test.metrics().await);

        let steady = MINUTES - 2;
        let (weakened, calm) = (MINUTES + 1, 2 * MINUTES - 2);
        let (again, lasting) = (2 * MINUTES + 1, 3 * MINUTES - 2);
        let own = "AuthentikAnotherWriter";
        let checks = [
            firing(steady, &[]),
            // These changes by hand are made with the operator's own account.
            firing(weakened, &["AuthentikFactorWeakened", own]),
            firing(calm, &[]),
            firing(again, &["AuthentikFactorWeakened", own]),
            firing(lasting, &["AuthentikFactorIsWeak"]),
        ];
        let inputs = series
            .iter()
            .map(|(name, found)| json!({"series": name, "values": values(found, 3)}));
        let tests = json!({
            "rule_files": ["rules.yaml"],
            "evaluation_interval": "1m",
            "tests": [{
                "interval": "1m",
                "input_series": inputs.collect::<Vec<_>>(),
                "promql_expr_test": checks,
            }],
        });
        judge(&test.namespace, &tests);
    })
    .await;
}

/// Has Prometheus judge the rules; panics with what it says where they don't do as is expected.
fn judge(name: &str, tests: &Value) {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).expect("a folder is made");
    let write = |name: &str, text: &str| {
        fs::write(directory.join(name), text).expect("a file is written");
    };
    write("rules.yaml", &rules());
    write("dashboard.yaml", &dashboard());
    write("tests.yaml", &tests.to_string());
    for args in [
        ["check", "rules", "rules.yaml"],
        ["check", "rules", "dashboard.yaml"],
        ["test", "rules", "tests.yaml"],
    ] {
        let judged = promtool_command(&args, &directory).output();
        let judged = judged.expect("promtool runs");
        let said = String::from_utf8_lossy(&judged.stdout);
        let errors = String::from_utf8_lossy(&judged.stderr);
        assert!(judged.status.success(), "{args:?}: {said}{errors}");
    }
    fs::remove_dir_all(&directory).expect("the folder is removed");
}
