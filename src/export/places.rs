//! Where a stage stands in flows.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{labels::Labels, schema::Schema};
use crate::{
    api::FlowBinding,
    authentik::Collection,
    plan::{
        Live,
        bindings::{Binding, SETTINGS},
    },
};

/// The field of the spec.
pub(super) const FLOWS: &str = "flows";

/// What the spec says of a stage's places.
pub(super) struct Places {
    pub said: Vec<FlowBinding>,
    /// What had to be left out.
    pub comments: Vec<String>,
}

/// The places of the stage, in their order.
///
/// # Errors
/// Why nothing can be said of them.
pub(super) fn places(
    schema: &Schema,
    labels: &Labels,
    live: &Live,
    bindings: &[Binding],
) -> Result<Places, String> {
    let shown: BTreeSet<Uuid> = live.flows.iter().map(|flow| flow.pk).collect();
    let bound = bindings.iter().map(|binding| binding.target).collect();
    if shown != bound {
        return Err(
            "the bindings that can be read are not those of the flows that authentik shows of the stage"
                .to_owned(),
        );
    }
    let mut comments = BTreeSet::new();
    let mut places: Vec<_> = bindings
        .iter()
        .map(|binding| place(schema, labels, binding, &mut comments))
        .collect();
    places.sort_by_cached_key(|place| (place["order"].as_i64(), place["flow"].to_string()));
    let places = Value::Array(places);
    if let Some(why) = schema.refusal(FLOWS, &places) {
        return Err(why);
    }
    Ok(Places {
        said: serde_json::from_value(places).map_err(|_| "they can't be read back".to_owned())?,
        comments: comments.into_iter().collect(),
    })
}

/// One place, with the settings that this version knows.
fn place(
    schema: &Schema,
    labels: &Labels,
    binding: &Binding,
    comments: &mut BTreeSet<String>,
) -> Value {
    let named = labels.reference(Collection::FLOWS, binding.target);
    let named = named.filter(|flow| schema.refusal_in(FLOWS, "flow", flow).is_none());
    let flow = named.unwrap_or_else(|| json!({"uuid": binding.target}));
    let mut place = Map::new();
    place.insert("flow".to_owned(), flow);
    place.insert("order".to_owned(), json!(binding.order));
    for setting in SETTINGS {
        let Some(found) = binding.settings.get(setting) else {
            continue;
        };
        let name = in_spec(setting);
        if schema.refusal_in(FLOWS, &name, found).is_none() {
            place.insert(name, found.clone());
        } else {
            comments.insert(format!(
                "{name}: authentik holds a value that this version of the operator does not know"
            ));
        }
    }
    Value::Object(place)
}

/// The name in the spec of a setting: `evaluate_on_plan` is `evaluateOnPlan`.
fn in_spec(setting: &str) -> String {
    let mut words = setting.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(1);
        name + &initial.to_uppercase() + rest
    })
}
