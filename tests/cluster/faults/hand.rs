//! What somebody does in authentik behind the operator's back.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    history::History,
    specs::{FLOWS, SLOTS, odd},
};
use crate::harness::{DUO, VALIDATE, collection, text};

/// Where authentik keeps stages of a kind that the operator does not manage.
const TOTPS: &str = "stages/authenticator/totp/";

impl History<'_> {
    /// Does something in authentik, as a person does.
    pub(super) async fn hand(&mut self) {
        if self.dice.percent(35) {
            self.odd_hand().await;
            return;
        }
        let slot = *self.dice.one(&SLOTS);
        let suffix = *self.dice.one(&["", "", "", "-renamed"]);
        let name = self.test.name(&format!("{slot}{suffix}"));
        let kind = slot.kind;
        let change = if kind == DUO {
            json!({"client_id": format!("hand-{}", self.steps)})
        } else {
            let action = *self.dice.one(&["skip", "deny"]);
            json!({"not_configured_action": action, "last_auth_threshold": "hours=20"})
        };
        let (what, of_another_kind) = (self.dice.below(4), self.dice.percent(20));
        let kind_of_new = if of_another_kind { "totp" } else { kind };
        let query = format!("stages/all/?name={name}");
        let found = self.test.authentik.list(&query).await.pop();
        match (what, found) {
            (0, None) => self.create_by_hand(kind_of_new, &name, change).await,
            (1, Some(stage)) => self.delete_by_hand(&stage).await,
            (2, Some(stage)) => self.change_by_hand(collection(kind), &stage, change).await,
            (3, Some(stage)) => self.bind_by_hand(&stage).await,
            _ => {}
        }
    }

    /// Gives a stage an odd name or another's, makes one of an odd name, or does away with one.
    async fn odd_hand(&mut self) {
        let slot = *self.dice.one(&SLOTS);
        let kind = *self.dice.one(&[VALIDATE, DUO, "totp"]);
        let (what, which) = (self.dice.below(10), self.dice.below(1 << 16));
        let plain = self.test.name(&slot.stage());
        let name = odd(&mut self.dice, &plain);
        let stages = self.stages_in_authentik().await;
        let some = usize::try_from(which).expect("it is small") % stages.len();
        let stage = &stages[some];
        match what {
            0..3 => self.create_by_hand(kind, &name, json!({})).await,
            3..8 => self.rename_by_hand(stage, &name).await,
            8 => self.rename_by_hand(stage, &plain).await,
            _ if stage["name"] != self.test.name(super::specs::TOTP) => {
                self.delete_by_hand(stage).await;
            }
            _ => {}
        }
    }

    /// The stages of this history; the one that references name is always there.
    async fn stages_in_authentik(&self) -> Vec<Value> {
        let prefix = self.test.name("");
        let query = format!("stages/all/?search={prefix}&page_size=100");
        let mut stages = self.test.authentik.list(&query).await;
        stages.retain(|stage| text(&stage["name"]).starts_with(&prefix));
        stages.sort_by_key(|stage| stage["name"].to_string());
        stages
    }

    async fn rename_by_hand(&mut self, stage: &Value, name: &str) {
        // What references name stays.
        if stage["name"] == self.test.name(super::specs::TOTP) {
            return;
        }
        let model = text(&stage["meta_model_name"]);
        let mut kinds = [VALIDATE, DUO].into_iter();
        let of_model = |kind: &&str| model.ends_with(&format!("authenticator{}", model_of(kind)));
        let path = kinds.find(of_model).map_or(TOTPS, collection);
        self.change_by_hand(path, stage, json!({"name": name}))
            .await;
    }

    async fn delete_by_hand(&mut self, stage: &Value) {
        self.tell(format_args!("{} is deleted by hand", stage["name"]));
        let uuid = text(&stage["pk"]);
        self.untouched.remove(uuid);
        let path = format!("stages/all/{uuid}/");
        // The operator may have been faster.
        let _ = self.test.authentik.send(Method::DELETE, &path, None).await;
    }

    async fn create_by_hand(&mut self, kind: &str, name: &str, mut body: Value) {
        let mut path = collection(kind);
        body["name"] = json!(name);
        if kind == "totp" {
            path = TOTPS;
            body = json!({"name": name, "digits": "6"});
        } else if kind == DUO {
            body["client_id"] = json!("by-hand");
            body["client_secret"] = json!("by-hand");
            body["api_hostname"] = json!("api-0.duosecurity.com");
        }
        self.tell(format_args!("{name} is created by hand: {body}"));
        let (status, stage) = self
            .test
            .authentik
            .send(Method::POST, path, Some(body))
            .await;
        // The operator may have been faster.
        if status == 201 {
            self.by_hand.insert(text(&stage["pk"]).to_owned());
        }
    }

    async fn change_by_hand(&mut self, path: &str, stage: &Value, change: Value) {
        let uuid = text(&stage["pk"]);
        let path = format!("{path}{uuid}/");
        self.tell(format_args!(
            "{} is changed by hand: {change}",
            stage["name"]
        ));
        let authentik = &self.test.authentik;
        let (status, changed) = authentik.send(Method::PATCH, &path, Some(change)).await;
        if status != 200 {
            // Its name is taken, or it is gone.
            return;
        }
        // The operator can't tell whether it was what came of a creation without an answer.
        let mut asked = self.test.record.asked().into_values();
        if !asked.any(|asked| asked.stages.contains(uuid)) {
            self.by_hand.insert(uuid.to_owned());
        }
        let wanted = |spec: &Value| [&stage["name"], &changed["name"]].contains(&&spec["name"]);
        if self.specs.values().any(wanted) {
            // It may match now, and be taken over.
            self.untouched.remove(uuid);
        } else if let Some(untouched) = self.untouched.get_mut(uuid) {
            // The answer has fields of the stage's kind that no list of all stages shows.
            for (field, value) in untouched.stage.as_object_mut().into_iter().flatten() {
                if field != "bindings" {
                    value.clone_from(&changed[field.as_str()]);
                }
            }
        }
    }

    /// Binds a stage to a flow, or takes it out or moves it where it is bound there.
    async fn bind_by_hand(&mut self, stage: &Value) {
        let uuid = text(&stage["pk"]);
        let flow = *self.dice.one(&FLOWS);
        let flow = self.test.name(flow);
        let target = self.flows[&flow].clone();
        let order = 10 * self.dice.below(3);
        let moves = self.dice.percent(50);
        let authentik = &self.test.authentik;
        let path = "flows/bindings/";
        let there = authentik
            .list(&format!("{path}?target={target}&stage={uuid}"))
            .await
            .pop();
        let (method, path, body, done) = match there {
            None => {
                let body = json!({"target": target, "stage": uuid, "order": order});
                (Method::POST, path.to_owned(), Some(body), "bound to")
            }
            Some(binding) => {
                let path = format!("{path}{}/", text(&binding["pk"]));
                if moves {
                    (
                        Method::PATCH,
                        path,
                        Some(json!({"order": order})),
                        "moved in",
                    )
                } else {
                    (Method::DELETE, path, None, "taken out of")
                }
            }
        };
        // The operator may have been faster.
        let _ = authentik.send(method, &path, body).await;
        self.tell(format_args!(
            "{} is {done} {flow} by hand, at {order}",
            stage["name"]
        ));
        // It may match now, and be taken over; and it is not as it was.
        self.untouched.remove(uuid);
    }
}

/// How authentik's models of this kind end.
fn model_of(kind: &str) -> &'static str {
    match kind {
        DUO => "duostage",
        _ => "validatestage",
    }
}
