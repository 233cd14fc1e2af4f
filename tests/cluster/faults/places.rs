//! Where stages stand in flows: as specs want it, as authentik shows it, and as it has been.

use std::collections::{BTreeMap, BTreeSet};

use devkit::gateway::Exchange;
use serde_json::Value;

use crate::harness::{Test, text};

/// Where the API keeps bindings.
pub const BINDINGS: &str = "flows/bindings/";

/// A flow's UUID and an order in it.
pub type Place = (String, i64);

/// What a binding has bound.
#[derive(Default)]
pub struct Stood {
    /// The stage's UUID.
    pub stage: String,
    /// Wherever it has been.
    pub places: BTreeSet<Place>,
}

/// The places of every stage, by its UUID.
pub async fn bindings(test: &Test) -> BTreeMap<String, BTreeSet<Place>> {
    let mut bindings = BTreeMap::<_, BTreeSet<_>>::new();
    let list = format!("{BINDINGS}?page_size=100");
    for row in test.authentik.list(&list).await {
        let (stage, place) = place(&row);
        bindings.entry(stage).or_default().insert(place);
    }
    bindings
}

/// What every binding has bound, by its UUID, as far as answers tell.
pub fn stood(history: &[Exchange]) -> BTreeMap<String, Stood> {
    let mut stood = BTreeMap::<_, Stood>::new();
    let exchanges = history.iter().filter(|sent| sent.path.contains(BINDINGS));
    for answer in exchanges.filter_map(|exchange| exchange.response.as_ref()) {
        let rows = answer["results"].as_array().into_iter().flatten();
        for row in rows.chain([answer]).filter(|row| row["pk"].is_string()) {
            let (stage, place) = place(row);
            let known = stood.entry(text(&row["pk"]).to_owned()).or_default();
            known.stage = stage;
            known.places.insert(place);
        }
    }
    stood
}

/// The stage that a binding binds, and where.
fn place(binding: &Value) -> (String, Place) {
    let order = binding["order"].as_i64().unwrap_or_default();
    let target = text(&binding["target"]).to_owned();
    (text(&binding["stage"]).to_owned(), (target, order))
}

/// The flow and the order of each place that this spec wants; nothing where it leaves that open.
pub fn entries(spec: &Value) -> Option<impl Iterator<Item = (&Value, i64)>> {
    let wanted = spec["flows"].as_array()?.iter();
    Some(wanted.map(|entry| (&entry["flow"], entry["order"].as_i64().unwrap_or_default())))
}
