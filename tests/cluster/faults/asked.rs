//! Whether each write was asked for by some resource.

use std::collections::{BTreeMap, BTreeSet};

use devkit::gateway::Exchange;
use serde_json::Value;

use super::{
    fields::{PLAIN, set},
    places::{BINDINGS, Stood, places, stood},
};
use crate::{
    factor,
    harness::{DUO, VALIDATE, collection, text},
    record::Asked,
};

/// The policies that ask for a deletion.
const DELETES: [&str; 2] = ["Delete", "ForceDelete"];

/// What the writes of a history are judged by.
struct Judge<'a> {
    asked: &'a BTreeMap<String, Asked>,
    /// The flows' UUIDs, by slug.
    flows: &'a BTreeMap<String, String>,
    /// The names that every stage has had.
    names: BTreeMap<String, BTreeSet<String>>,
    stood: BTreeMap<String, Stood>,
}

/// The writes that no resource asked for. The flows are known by their slugs.
pub fn unasked(
    sent: &[Exchange],
    asked: &BTreeMap<String, Asked>,
    flows: &BTreeMap<String, String>,
) -> Vec<String> {
    let judge = Judge {
        asked,
        flows,
        names: factor::names(sent),
        stood: stood(sent),
    };
    let writes = sent.iter().filter(|exchange| exchange.is_write());
    let is_unasked = |write: &&Exchange| {
        if write.path.contains(BINDINGS) {
            !judge.binding_is_asked_for(write)
        } else {
            !judge.stage_is_asked_for(write)
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
    fn stage_is_asked_for(&self, write: &Exchange) -> bool {
        let mut kinds = [VALIDATE, DUO].into_iter();
        let Some(kind) = kinds.find(|kind| write.path.contains(collection(kind))) else {
            return false;
        };
        let body = write.body.clone().unwrap_or_default();
        let by = |asked: &Asked| {
            let is_its = self.was_its(asked, last_part(&write.path));
            let mut specs = writing(asked);
            let deletes = |spec: &Value| {
                let policy = spec["deletionPolicy"].as_str();
                policy.is_some_and(|policy| DELETES.contains(&policy))
            };
            match write.method.as_str() {
                "POST" => specs.any(|spec| holds(spec, &body)),
                "PATCH" => is_its && specs.any(|spec| holds(spec, &body)),
                "DELETE" => is_its && asked.deleted && specs.any(deletes),
                _ => false,
            }
        };
        let mut of_kind = self.asked.values().filter(|asked| asked.kind == kind);
        of_kind.any(by)
    }

    fn binding_is_asked_for(&self, write: &Exchange) -> bool {
        let body = write.body.clone().unwrap_or_default();
        let order = body["order"].as_i64().unwrap_or_default();
        let stood = self.stood.get(last_part(&write.path));
        let wanted = |asked: &Asked, is_wanted: &dyn Fn(&BTreeSet<_>) -> bool| {
            let wanted = writing(asked).filter_map(|spec| places(spec, self.flows));
            wanted.into_iter().any(|wanted| is_wanted(&wanted))
        };
        let mut all = self.asked.values();
        match (write.method.as_str(), stood) {
            ("POST", _) => {
                let place = (text(&body["target"]).to_owned(), order);
                all.any(|asked| {
                    self.was_its(asked, text(&body["stage"]))
                        && wanted(asked, &|wanted| wanted.contains(&place))
                })
            }
            ("PATCH", Some(Stood { stage, places })) => all.any(|asked| {
                let moved = |wanted: &BTreeSet<_>| {
                    let mut targets = places.iter().map(|(target, _)| target.clone());
                    targets.any(|target| wanted.contains(&(target, order)))
                };
                self.was_its(asked, stage) && wanted(asked, &moved)
            }),
            ("DELETE", Some(Stood { stage, places })) => all.any(|asked| {
                self.was_its(asked, stage) && wanted(asked, &|wanted| !places.is_subset(wanted))
            }),
            _ => false,
        }
    }

    /// Whether the resource has managed this stage, or asked for one of a name that it has had.
    fn was_its(&self, asked: &Asked, stage: &str) -> bool {
        let mut names = self.names.get(stage).into_iter().flatten();
        asked.stages.contains(stage) || names.any(|name| asked.wanted(name))
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
fn holds(spec: &Value, body: &Value) -> bool {
    let Some(body) = body.as_object() else {
        return false;
    };
    body.iter().all(|(field, value)| match field.as_str() {
        "name" => spec["name"] == *value,
        "configuration_stages" => spec["configurationStages"].is_array(),
        "client_secret" => spec["clientSecret"].is_object(),
        "admin_secret_key" => spec["adminSecretKey"].is_object(),
        field => PLAIN
            .iter()
            .any(|(of_spec, api)| *api == field && set(&spec[of_spec]) == set(value)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::harness::VALIDATES;

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
            stages: BTreeSet::from([STAGE.to_owned()]),
            deleted: false,
        };
        let flows = ["login", "vpn"].map(|slug| (slug.to_owned(), format!("uuid-of-{slug}")));
        let binding = json!({"pk": last_part(BINDING), "stage": STAGE, "target": "uuid-of-login", "order": 10});
        let sent = [
            exchange("GET", BINDING, Value::Null, Some(binding)),
            exchange(method, path, body, None),
        ];
        let asked = BTreeMap::from([("uid".to_owned(), asked)]);
        unasked(&sent, &asked, &flows.into()).is_empty()
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
}
