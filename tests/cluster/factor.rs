//! Never a weaker factor: no write leaves a validation stage with fewer device classes, or more lenient towards people
//! without a second factor, than both the old and the new spec ask for.
//!
//! A stage follows the specs of its resource one after the other. So each write has to satisfy what some spec and the
//! next one ask for in common; and once authentik has taken what a spec says, no spec before that counts.

use std::collections::{BTreeMap, BTreeSet};

use devkit::gateway::Exchange;
use serde_json::Value;

use crate::{
    harness::{VALIDATE, VALIDATES},
    record::Asked,
};

/// From lax to strict.
const ACTIONS: [&str; 3] = ["skip", "configure", "deny"];

/// What a spec, or two in common, ask for at least. What a spec leaves open it does not ask for.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Demand {
    classes: BTreeSet<String>,
    strictness: usize,
}

impl Demand {
    fn of(spec: &Value) -> Self {
        Self {
            classes: classes(&spec["deviceClasses"]),
            strictness: strictness(&spec["notConfiguredAction"]).unwrap_or_default(),
        }
    }

    /// Whether a write with this body carries just what this asks for, as far as the body has it.
    fn is_sent_by(&self, body: &Value) -> bool {
        let (sent, action) = (&body["device_classes"], &body["not_configured_action"]);
        (sent.is_null() || self.classes == classes(sent))
            && (action.is_null() || Some(self.strictness) == strictness(action))
    }

    fn in_common(&self, other: &Self) -> Self {
        Self {
            classes: self.classes.intersection(&other.classes).cloned().collect(),
            strictness: self.strictness.min(other.strictness),
        }
    }

    /// Whether a write with this body leaves the fields that it has no weaker than this.
    fn is_met_by(&self, body: &Value) -> bool {
        let sent = &body["device_classes"];
        (sent.is_null() || self.classes.is_subset(&classes(sent)))
            && strictness(&body["not_configured_action"]).is_none_or(|sent| sent >= self.strictness)
    }
}

fn classes(list: &Value) -> BTreeSet<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|class| Some(class.as_str()?.to_owned()))
        .collect()
}

fn strictness(action: &Value) -> Option<usize> {
    let action = action.as_str()?;
    ACTIONS.iter().position(|known| *known == action)
}

/// What each spec of a resource asks for, and what it and the next one ask for in common; in order.
fn demands(asked: &Asked) -> Vec<(Demand, Demand)> {
    let specs: Vec<_> = asked.specs.values().map(Demand::of).collect();
    let nexts = specs.iter().skip(1).chain(specs.last()).cloned();
    let both = |(one, next): (&Demand, Demand)| (one.clone(), one.in_common(&next));
    specs.iter().zip(nexts).map(both).collect()
}

/// The labels that every object has had, as far as answers tell: the slugs of flows, the names of everything else.
pub fn labels(history: &[Exchange]) -> BTreeMap<String, BTreeSet<String>> {
    let mut labels = BTreeMap::<_, BTreeSet<_>>::new();
    for answer in history
        .iter()
        .filter_map(|exchange| exchange.response.as_ref())
    {
        let rows = answer["results"].as_array().into_iter().flatten();
        for row in rows.chain([answer]) {
            if let (Some(pk), Some(label)) = (row["pk"].as_str(), label(row)) {
                let labels = labels.entry(pk.to_owned()).or_default();
                labels.insert(label.to_owned());
            }
        }
    }
    labels
}

/// The label in a row, or in the body of a creation.
pub fn label(row: &Value) -> Option<&str> {
    row["slug"].as_str().or_else(|| row["name"].as_str())
}

/// The writes among these exchanges that made a second factor weaker than they may, each with what was asked for.
pub fn weakened(history: &[Exchange], asked: &BTreeMap<String, Asked>) -> Vec<String> {
    let names = labels(history);
    let asked: Vec<_> = asked
        .values()
        .filter(|asked| asked.kind == VALIDATE)
        .map(|asked| (asked, demands(asked)))
        .collect();
    let mut reached = BTreeMap::new();
    let mut weakened = Vec::new();
    for write in history.iter().filter(|exchange| exchange.is_write()) {
        let (Some(rest), Some(body)) = (write.path.strip_prefix(VALIDATES), &write.body) else {
            continue;
        };
        let (stage, is_its) = match body["name"].as_str() {
            Some(name) if write.method == "POST" => (name, BTreeSet::from([name.to_owned()])),
            _ => {
                let uuid = rest.trim_end_matches('/');
                (uuid, names.get(uuid).cloned().unwrap_or_default())
            }
        };
        let (mut claimants, mut justified) = (Vec::new(), false);
        for (number, (asked, demands)) in asked.iter().enumerate() {
            let claims =
                asked.managed.contains(stage) || is_its.iter().any(|name| asked.wanted(name));
            if !claims {
                continue;
            }
            let from = *reached.get(&(stage, number)).unwrap_or(&0);
            let left = demands.iter().enumerate().skip(from);
            justified |= left.clone().any(|(_, (_, both))| both.is_met_by(body));
            let sent = left.clone().find(|(_, (spec, _))| spec.is_sent_by(body));
            if let (Some((spec, _)), Some(200..=299)) = (sent, write.status) {
                reached.insert((stage, number), spec);
            }
            claimants.push((&asked.name, &demands[from..]));
        }
        if !(claimants.is_empty() || justified) {
            weakened.push(format!(
                "{} {} {body} is weaker than all of {claimants:?}",
                write.method, write.path
            ));
        }
    }
    weakened
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(specs: &[Value]) -> BTreeMap<String, Asked> {
        let asked = Asked {
            kind: VALIDATE.to_owned(),
            name: "mfa".to_owned(),
            specs: (1..).zip(specs.iter().cloned()).collect(),
            ..Asked::default()
        };
        BTreeMap::from([("uid".to_owned(), asked)])
    }

    fn posts(bodies: &[Value]) -> Vec<Exchange> {
        let post = |(n, body): (u64, &Value)| {
            let mut body = body.clone();
            body["name"] = "mfa".into();
            Exchange {
                n,
                method: "POST".to_owned(),
                path: VALIDATES.to_owned(),
                query: String::new(),
                body: Some(body),
                status: Some(200),
                response: None,
                user_agent: None,
                traceparent: None,
            }
        };
        (1..).zip(bodies).map(post).collect()
    }

    fn all_weakened(bodies: &[Value], specs: &[Value]) -> usize {
        weakened(&posts(bodies), &asked(specs)).len()
    }

    #[test]
    fn what_two_neighbouring_specs_have_in_common_has_to_hold() {
        let both = json!({"deviceClasses": ["totp", "webauthn"], "notConfiguredAction": "deny"});
        let one = json!({"deviceClasses": ["webauthn"], "notConfiguredAction": "configure"});
        let left = |classes: &[&str], action: &str| json!({"device_classes": classes, "not_configured_action": action});
        let specs = [both, one];
        for (body, is_weak) in [
            (left(&["webauthn"], "configure"), false),
            (left(&["webauthn", "totp"], "deny"), false),
            (left(&["totp"], "deny"), true),
            (left(&["webauthn"], "skip"), true),
            (json!({"last_auth_threshold": "hours=1"}), false),
        ] {
            assert_eq!(
                all_weakened(std::slice::from_ref(&body), &specs) == 1,
                is_weak,
                "{body}"
            );
        }
    }

    #[test]
    fn no_write_goes_back() {
        let spec = |action: &str| json!({"notConfiguredAction": action});
        let body = |action: &str| json!({"not_configured_action": action});
        let specs = [spec("skip"), spec("deny")];
        assert_eq!(all_weakened(&[body("skip"), body("deny")], &specs), 0);
        assert_eq!(all_weakened(&[body("deny"), body("skip")], &specs), 1);
        let specs = [spec("skip"), spec("deny"), spec("skip")];
        assert_eq!(all_weakened(&[body("deny"), body("skip")], &specs), 0);
    }
}
