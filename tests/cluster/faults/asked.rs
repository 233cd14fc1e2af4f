//! Whether each write was asked for by some resource.

use std::collections::{BTreeMap, BTreeSet};

use devkit::gateway::Exchange;
use serde_json::Value;

use super::{
    places::{BINDINGS, Place, Stood, entries, stood},
    shapes::{Property, Shape, properties},
};
use crate::{
    factor,
    harness::{collection, label_of, text},
    record::Asked,
};

/// The policies that ask for a deletion.
const DELETES: [&str; 2] = ["Delete", "ForceDelete"];

/// What the writes of a history are judged by.
struct Judge<'a> {
    asked: &'a BTreeMap<String, Asked>,
    /// The labels that every object has had.
    labels: BTreeMap<String, BTreeSet<String>>,
    stood: BTreeMap<String, Stood>,
}

/// The writes that no resource asked for.
pub fn unasked(sent: &[Exchange], asked: &BTreeMap<String, Asked>) -> Vec<String> {
    let judge = Judge {
        asked,
        labels: factor::labels(sent),
        stood: stood(sent),
    };
    let writes = sent.iter().filter(|exchange| exchange.is_write());
    let is_unasked = |write: &&Exchange| {
        if write.path.contains(BINDINGS) {
            !judge.binding_is_asked_for(write)
        } else {
            !judge.object_is_asked_for(write)
        }
    };
    writes
        .filter(is_unasked)
        .map(|write| {
            format!(
                "nobody asked for {} {} {:?}",
                write.method, write.path, write.body
            )
        })
        .collect()
}

impl Judge<'_> {
    fn object_is_asked_for(&self, write: &Exchange) -> bool {
        let body = write.body.clone().unwrap_or_default();
        let by = |asked: &Asked| {
            let is_its = self.is_found_at(asked, last_part(&write.path));
            let mut specs = writing(asked);
            let deletes = |spec: &Value| {
                let policy = spec["deletionPolicy"].as_str();
                policy.is_some_and(|policy| DELETES.contains(&policy))
            };
            match write.method.as_str() {
                "POST" => specs.any(|spec| holds(asked, spec, &body)),
                "PATCH" => is_its && specs.any(|spec| holds(asked, spec, &body)),
                "DELETE" => is_its && asked.deleted && specs.any(deletes),
                _ => false,
            }
        };
        let mut of_kind = self.asked.values().filter(|asked| {
            let path = write.path.trim_start_matches("/api/v3/");
            path.starts_with(collection(&asked.kind))
        });
        of_kind.any(by)
    }

    fn binding_is_asked_for(&self, write: &Exchange) -> bool {
        let body = write.body.clone().unwrap_or_default();
        let order = body["order"].as_i64().unwrap_or_default();
        let stood = self.stood.get(last_part(&write.path));
        let mut all = self.asked.values();
        match (write.method.as_str(), stood) {
            ("POST", _) => {
                let place = (text(&body["target"]).to_owned(), order);
                all.any(|asked| {
                    let mut wanted = self.wanted(asked).into_iter();
                    self.was_its(asked, text(&body["stage"]))
                        && wanted.any(|wanted| wanted.may_hold(&place))
                })
            }
            ("PATCH", Some(Stood { stage, places })) => all.any(|asked| {
                let moved: Vec<_> = places
                    .iter()
                    .map(|(target, _)| (target.clone(), order))
                    .collect();
                let moves = |wanted: &Wanted| moved.iter().any(|place| wanted.may_hold(place));
                self.was_its(asked, stage) && self.wanted(asked).iter().any(moves)
            }),
            ("DELETE", Some(Stood { stage, places })) => all.any(|asked| {
                let lacks = |wanted: &Wanted| places.iter().any(|place| !wanted.holds(place));
                self.was_its(asked, stage) && self.wanted(asked).iter().any(lacks)
            }),
            _ => false,
        }
    }

    /// The places that each spec that asks for writes wants.
    fn wanted(&self, asked: &Asked) -> Vec<Wanted> {
        let entries = writing(asked).filter_map(entries);
        let uuids = |(flow, order)| (self.flows(asked, flow), order);
        entries
            .map(|entries| Wanted(entries.map(uuids).collect()))
            .collect()
    }

    /// The flows that this reference has stood for, at one time or another.
    fn flows(&self, by: &Asked, reference: &Value) -> BTreeSet<String> {
        if let Some(uuid) = reference["uuid"].as_str() {
            return BTreeSet::from([uuid.to_owned()]);
        }
        if let Some(slug) = reference["slug"].as_str() {
            let called = self.labels.iter();
            let called = called.filter(|(_, labels)| labels.contains(slug));
            return called.map(|(uuid, _)| uuid.clone()).collect();
        }
        let named = &reference["resource"];
        let is_named = |asked: &&Asked| {
            asked.namespace == by.namespace
                && named["kind"] == *asked.kind
                && named["name"] == *asked.name
        };
        let resources = self.asked.values().filter(is_named);
        resources
            .flat_map(|asked| asked.stood_for.clone())
            .collect()
    }

    /// Whether the resource has managed this object, or asked for one of a label that it has had.
    fn was_its(&self, asked: &Asked, uuid: &str) -> bool {
        let mut labels = self.labels.get(uuid).into_iter().flatten();
        asked.managed.contains(uuid) || labels.any(|label| asked.wanted(label))
    }

    /// Whether what is found at a path of this end was the resource's. Some paths end with the label.
    fn is_found_at(&self, asked: &Asked, end: &str) -> bool {
        let mut called = self.labels.iter().filter(|(_, of)| of.contains(end));
        self.was_its(asked, end)
            || asked.names().is_found_by_label()
                && called.any(|(uuid, _)| self.was_its(asked, uuid))
    }
}

/// The places that a spec wants: of each flow, what its reference has stood for, and the order.
struct Wanted(Vec<(BTreeSet<String>, i64)>);

impl Wanted {
    /// Whether the spec wants this place, as far as its references tell.
    fn may_hold(&self, (flow, order): &Place) -> bool {
        let mut entries = self.0.iter();
        entries.any(|(flows, at)| at == order && flows.contains(flow))
    }

    /// Whether the spec has wanted this place all the time.
    fn holds(&self, (flow, order): &Place) -> bool {
        let mut entries = self.0.iter();
        entries.any(|(flows, at)| at == order && flows.len() == 1 && flows.contains(flow))
    }
}

/// The specs that ask for writes.
fn writing(asked: &Asked) -> impl Iterator<Item = &Value> {
    let specs = asked.specs.values();
    specs.filter(|spec| spec["managementPolicy"] != "Observe" && spec["suspend"] != true)
}

fn last_part(path: &str) -> &str {
    let last = path.trim_end_matches('/').rsplit('/').next();
    last.unwrap_or_default()
}

/// Whether this spec asks for all that this body says.
fn holds(asked: &Asked, spec: &Value, body: &Value) -> bool {
    let Some(body) = body.as_object() else {
        return false;
    };
    body.iter().all(|(field, value)| {
        if field == label_of(&asked.kind) {
            return asked.label(spec) == value;
        }
        let mut properties = properties(&asked.kind).iter();
        properties
            .find(|property| property.api == *field)
            .and_then(|property| Some((property, property.wanted(spec, &asked.name)?)))
            .is_some_and(|(property, wanted)| says(property, &wanted, value))
    })
}

/// Whether a spec with this value of a field asks for that one in authentik. What a reference or a Secret stands for is not
/// looked at here, but whether there is any.
fn says(property: &Property, wanted: &Value, value: &Value) -> bool {
    match property.shape {
        Shape::Secret => wanted.is_null() == (value == ""),
        Shape::One(_) => wanted.is_null() == value.is_null(),
        Shape::Many(_) => value.is_array(),
        _ => property.is_same(wanted, value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::harness::{FLOW, VALIDATE, VALIDATES};

    const STAGE: &str = "5f5f3a5e-0000-4000-8000-000000000001";
    const BINDING: &str = "/api/v3/flows/bindings/5f5f3a5e-0000-4000-8000-000000000002/";

    fn exchange(method: &str, path: &str, body: Value, response: Option<Value>) -> Exchange {
        Exchange {
            n: 1,
            method: method.to_owned(),
            path: path.to_owned(),
            query: String::new(),
            body: Some(body),
            status: None,
            response,
            user_agent: None,
            traceparent: None,
        }
    }

    /// Whether a resource with this spec asks for this write. Its stage stood in the flow `login` at 10 before.
    fn is_asked(spec: Value, method: &str, path: &str, body: Value) -> bool {
        let asked = Asked {
            kind: VALIDATE.to_owned(),
            name: "mfa".to_owned(),
            specs: BTreeMap::from([(1, spec)]),
            managed: BTreeSet::from([STAGE.to_owned()]),
            ..Asked::default()
        };
        let flows =
            ["login", "vpn"].map(|slug| json!({"pk": format!("uuid-of-{slug}"), "slug": slug}));
        let flows = json!({"results": flows});
        let binding = json!({"pk": last_part(BINDING), "stage": STAGE, "target": "uuid-of-login", "order": 10});
        let sent = [
            exchange("GET", "/api/v3/flows/instances/", Value::Null, Some(flows)),
            exchange("GET", BINDING, Value::Null, Some(binding)),
            exchange(method, path, body, None),
        ];
        let asked = BTreeMap::from([("uid".to_owned(), asked)]);
        unasked(&sent, &asked).is_empty()
    }

    #[test]
    fn a_write_of_a_stage_has_to_say_what_a_spec_says() {
        let spec = json!({"name": "mfa", "notConfiguredAction": "deny"});
        let stage = format!("{VALIDATES}{STAGE}/");
        for (expected, method, path, body) in [
            (
                true,
                "POST",
                VALIDATES,
                json!({"name": "mfa", "not_configured_action": "deny"}),
            ),
            (false, "POST", VALIDATES, json!({"name": "other"})),
            (
                true,
                "PATCH",
                &stage,
                json!({"not_configured_action": "deny"}),
            ),
            (
                false,
                "PATCH",
                &stage,
                json!({"not_configured_action": "skip"}),
            ),
            (
                false,
                "PATCH",
                &format!("{VALIDATES}another/"),
                json!({"not_configured_action": "deny"}),
            ),
            (false, "DELETE", &stage, Value::Null),
            (
                false,
                "POST",
                "/api/v3/flows/instances/",
                json!({"name": "mfa"}),
            ),
        ] {
            let is_asked = is_asked(spec.clone(), method, path, body.clone());
            assert_eq!(is_asked, expected, "{method} {path} {body}");
        }
        let observes = json!({"name": "mfa", "managementPolicy": "Observe"});
        assert!(!is_asked(
            observes,
            "POST",
            VALIDATES,
            json!({"name": "mfa"})
        ));
    }

    #[test]
    fn a_write_of_a_binding_has_to_put_a_stage_where_a_spec_wants_it() {
        let at = |slug: &str, order: i64| json!({"name": "mfa", "flows": [{"flow": {"slug": slug}, "order": order}]});
        let bindings = format!("/api/v3/{BINDINGS}");
        let to = |flow: &str, stage: &str| json!({"target": format!("uuid-of-{flow}"), "stage": stage, "order": 20});
        for (expected, spec, method, path, body) in [
            (
                true,
                at("vpn", 20),
                "POST",
                bindings.as_str(),
                to("vpn", STAGE),
            ),
            (
                false,
                at("vpn", 20),
                "POST",
                &bindings,
                to("vpn", "another"),
            ),
            (false, at("vpn", 10), "POST", &bindings, to("vpn", STAGE)),
            (
                true,
                at("login", 20),
                "PATCH",
                BINDING,
                json!({"order": 20}),
            ),
            (false, at("vpn", 20), "PATCH", BINDING, json!({"order": 20})),
            (true, at("vpn", 20), "DELETE", BINDING, Value::Null),
            (false, at("login", 10), "DELETE", BINDING, Value::Null),
            (
                false,
                json!({"name": "mfa"}),
                "DELETE",
                BINDING,
                Value::Null,
            ),
        ] {
            let is_asked = is_asked(spec.clone(), method, path, body.clone());
            assert_eq!(is_asked, expected, "{spec}: {method} {path} {body}");
        }
    }

    #[test]
    fn a_write_of_a_flow_is_found_by_any_slug_that_the_flow_has_had() {
        const FLOWS: &str = "/api/v3/flows/instances/";
        let title = json!({"title": "Log in"});
        let asked = Asked {
            kind: FLOW.to_owned(),
            name: "login".to_owned(),
            specs: BTreeMap::from([(1, title.clone())]),
            ..Asked::default()
        };
        let asked = BTreeMap::from([("uid".to_owned(), asked)]);
        let seen = |slug: &str| json!({"pk": STAGE, "slug": slug, "name": "x"});
        for (slug, problems) in [("login", 0), ("renamed", 0), ("another", 1)] {
            let path = format!("{FLOWS}{slug}/");
            let sent = [
                exchange("GET", FLOWS, Value::Null, Some(seen("login"))),
                exchange("GET", FLOWS, Value::Null, Some(seen("renamed"))),
                exchange("PATCH", &path, title.clone(), None),
            ];
            assert_eq!(unasked(&sent, &asked).len(), problems, "{slug}");
        }
    }
}
