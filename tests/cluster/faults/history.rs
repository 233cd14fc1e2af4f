//! A history: what users do, by Kubernetes and behind the operator's back, and what goes wrong meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::Duration,
};

use devkit::gateway::{Fault, FaultKind};
use kube::{
    ResourceExt,
    api::{DeleteParams, DynamicObject},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    dice::Dice,
    replicas::{Moment, Replicas, Server},
    specs::{self, FLOWS, SECRETS, SLOTS, TOTP},
};
use crate::harness::{DUO, Test, collection, text};

/// How long a step waits for the operator to get on, before the next one comes all the same.
const PACE: Duration = Duration::from_millis(300);

/// How many steps a server is out of reach at most.
const OUTAGE: u64 = 4;

/// What is particular to a history.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Setting {
    /// The API server is its own, to be restarted.
    Alone,
    /// Two replicas fight for the Lease. One that is killed is missed for many seconds.
    Replicas,
    /// Neither.
    Plain,
}

/// A history while it happens.
pub struct History<'a> {
    pub test: &'a Test,
    pub replicas: Replicas<'a>,
    dice: Dice,
    /// What has happened, one line a step.
    told: String,
    steps: usize,
    /// The present spec of each resource that is not deleted.
    specs: BTreeMap<&'static str, Value>,
    /// How many Secrets were written; each has another value.
    secrets: u64,
    /// For how many more steps authentik (false) and Kubernetes (true) are out of reach.
    shut: BTreeMap<bool, u64>,
    /// The flows' UUIDs, by slug.
    pub flows: BTreeMap<String, String>,
    /// The stages that were made by hand, by UUID.
    pub by_hand: BTreeSet<String>,
    /// The resources, by uid, that were deleted and may have left their stages.
    pub left: BTreeSet<String>,
    /// Stages that nobody asks the operator to touch, by UUID, as they were last seen.
    pub untouched: BTreeMap<String, Untouched>,
    /// Whether replicas are killed at all.
    kills: bool,
    /// The last request before a replica ended or was frozen, with what only it knew.
    pub killed_after: u64,
    setting: Setting,
}

/// A stage that nobody asks the operator to touch.
pub struct Untouched {
    /// As authentik shows it.
    pub stage: Value,
    /// The resource that stands for it, if one does.
    pub resource: Option<String>,
}

impl<'a> History<'a> {
    /// Begins with nothing but a connection and the Secrets.
    pub async fn begin(test: &'a Test, seed: u64, setting: Setting) -> Self {
        let mut dice = Dice::new(seed);
        let kills = setting == Setting::Replicas || dice.percent(60);
        let count = if setting == Setting::Replicas { 2 } else { 1 };
        let replicas = Replicas::start(test, count).await;
        let mut history = Self {
            test,
            replicas,
            dice,
            told: format!("{setting:?}\n"),
            steps: 0,
            specs: BTreeMap::new(),
            secrets: 0,
            shut: BTreeMap::new(),
            flows: BTreeMap::new(),
            by_hand: BTreeSet::new(),
            left: BTreeSet::new(),
            untouched: BTreeMap::new(),
            kills,
            killed_after: 0,
            setting,
        };
        let totp = test.totp_stage(TOTP).await;
        history.by_hand.insert(text(&totp).to_owned());
        for flow in FLOWS {
            let uuid = text(&test.flow(flow).await).to_owned();
            history.flows.insert(test.name(flow), uuid);
        }
        for secret in SECRETS {
            history.rotate(secret).await;
        }
        test.connect_with(json!({"resyncInterval": "1s", "timeout": "2s"}))
            .await;
        history
    }

    /// What has happened so far.
    pub fn told(&self) -> &str {
        &self.told
    }

    /// Lets so many things happen.
    pub async fn go_on(&mut self, steps: usize) {
        for _ in 0..steps {
            self.steps += 1;
            self.open_what_was_shut().await;
            match self.dice.below(100) {
                0..45 => self.user().await,
                45..55 => self.hand().await,
                55..80 => self.fault(),
                80..85 => self.unseen().await,
                85..90 => self.shut().await,
                _ if self.kills => self.end_a_replica().await,
                _ => self.user().await,
            }
            self.start_again();
            let requests = self.dice.below(8);
            self.pace(requests).await;
        }
        self.tell("calm");
        self.shut.clear();
        self.replicas.calm().await;
        self.start_again();
    }

    /// Starts the replicas again that have ended, killed or without the Lease.
    pub fn start_again(&mut self) {
        if self.replicas.start_again() {
            self.note_loss();
        }
    }

    fn tell(&mut self, what: impl std::fmt::Display) {
        writeln!(self.told, "{:3}. {what}", self.steps).expect("a text takes all");
    }

    /// Waits until the operator has sent so many requests to authentik, but not long.
    async fn pace(&self, requests: u64) {
        let requests = usize::try_from(requests).expect("it is small");
        let before = self.test.gateway.audit().len();
        self.test
            .gateway
            .wait_for(|audit| audit.len() >= before + requests, PACE)
            .await;
    }

    async fn user(&mut self) {
        let slot = *self.dice.one(&SLOTS);
        match self.dice.below(100) {
            0..60 => self.apply(slot).await,
            60..78 if self.specs.contains_key(slot.1) => self.delete(slot).await,
            60..78 => self.apply(slot).await,
            78..96 => {
                let secret = *self.dice.one(&SECRETS);
                self.rotate(secret).await;
            }
            _ => {
                let secret = *self.dice.one(&SECRETS);
                self.tell(format_args!("the Secret {secret} is deleted"));
                let secrets: kube::Api<k8s_openapi::api::core::v1::Secret> =
                    kube::Api::namespaced(self.test.kube.clone(), &self.test.namespace);
                // It may be deleted already.
                let _ = secrets.delete(secret, &DeleteParams::default()).await;
            }
        }
    }

    async fn apply(&mut self, slot: (&'static str, &'static str)) {
        let (kind, resource) = slot;
        let old = self.specs.get(resource).cloned().unwrap_or_default();
        let spec = specs::spec(&mut self.dice, slot, &old, |name| self.test.name(name));
        self.tell(format_args!("{resource} is applied: {spec}"));
        let name = text(&spec["name"]).to_owned();
        let applied = self.test.apply(kind, resource, spec.clone()).await;
        let touched = |stage: &Untouched| {
            stage.resource.as_deref() == Some(resource) || stage.stage["name"] == name
        };
        self.untouched.retain(|_, stage| !touched(stage));
        // A resource that is being deleted is changed all the same, and ends as it then says.
        if applied.metadata.deletion_timestamp.is_some() {
            self.may_leave(&applied);
        }
        self.specs.insert(resource, spec);
    }

    async fn delete(&mut self, (kind, resource): (&'static str, &'static str)) {
        if self.specs.remove(resource).is_none() {
            return;
        }
        self.tell(format_args!("{resource} is deleted"));
        self.untouched
            .retain(|_, stage| stage.resource.as_deref() != Some(resource));
        let api = self.test.api(kind);
        let deleted = api.delete(resource, &DeleteParams::default()).await;
        // One that was being deleted already may be gone.
        if let Some(object) = deleted.ok().and_then(|deleted| deleted.left()) {
            self.test.record.note(kind, &object);
            self.may_leave(&object);
        }
    }

    /// Notes a resource that is being deleted, if its spec has it leave its stage.
    fn may_leave(&mut self, resource: &DynamicObject) {
        let spec = &resource.data["spec"];
        let leaves = spec["suspend"] == true
            || spec["managementPolicy"] == "Observe"
            || !["Delete", "ForceDelete"]
                .contains(&spec["deletionPolicy"].as_str().unwrap_or_default());
        if leaves {
            self.left.extend(resource.uid());
        }
    }

    async fn rotate(&mut self, secret: &str) {
        self.secrets += 1;
        let value = self.test.canary(&format!("value-{}", self.secrets));
        self.tell(format_args!("the Secret {secret} becomes {value}"));
        self.test.secret(secret, json!({"secret": value})).await;
    }

    /// Does something in authentik, as a person does.
    async fn hand(&mut self) {
        let (kind, slot) = *self.dice.one(&SLOTS);
        let suffix = *self.dice.one(&["", "", "", "-renamed"]);
        let name = self.test.name(&format!("{slot}{suffix}"));
        let change = if kind == DUO {
            json!({"client_id": format!("hand-{}", self.steps)})
        } else {
            let action = *self.dice.one(&["skip", "deny"]);
            json!({"not_configured_action": action, "last_auth_threshold": "hours=20"})
        };
        let (what, of_another_kind) = (self.dice.below(4), self.dice.percent(20));
        let kind_of_new = if of_another_kind { "totp" } else { kind };
        let found = self
            .test
            .authentik
            .list(&format!("stages/all/?name={name}"))
            .await
            .pop();
        match (what, found) {
            (0, None) => self.create_by_hand(kind_of_new, &name, change).await,
            (1, Some(stage)) => {
                self.tell(format_args!("{name} is deleted by hand"));
                let uuid = text(&stage["pk"]);
                self.untouched.remove(uuid);
                let path = format!("stages/all/{uuid}/");
                // The operator may have been faster.
                let _ = self.test.authentik.send(Method::DELETE, &path, None).await;
            }
            (2, Some(stage)) => self.change_by_hand(kind, &stage, change).await,
            (3, Some(stage)) => self.bind_by_hand(&stage).await,
            _ => {}
        }
    }

    async fn create_by_hand(&mut self, kind: &str, name: &str, mut body: Value) {
        let mut path = collection(kind);
        body["name"] = json!(name);
        if kind == "totp" {
            path = "stages/authenticator/totp/";
            body = json!({"name": name, "digits": "6"});
        } else if kind == DUO {
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

    async fn change_by_hand(&mut self, kind: &str, stage: &Value, change: Value) {
        let uuid = text(&stage["pk"]);
        let path = format!("{}{uuid}/", collection(kind));
        self.tell(format_args!(
            "{} is changed by hand: {change}",
            stage["name"]
        ));
        let (status, changed) = self
            .test
            .authentik
            .send(Method::PATCH, &path, Some(change))
            .await;
        // The operator can't tell whether it was what came of a creation without an answer.
        let mut asked = self.test.record.asked().into_values();
        if status == 200 && !asked.any(|asked| asked.stages.contains(uuid)) {
            self.by_hand.insert(uuid.to_owned());
        }
        let wanted = |spec: &Value| spec["name"] == stage["name"];
        if self.specs.values().any(wanted) {
            // It may match now, and be taken over.
            self.untouched.remove(uuid);
        } else if let (200, Some(untouched)) = (status, self.untouched.get_mut(uuid)) {
            let bindings = untouched.stage["bindings"].take();
            untouched.stage = changed;
            untouched.stage["bindings"] = bindings;
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

    fn fault(&mut self) {
        let times = usize::try_from(1 + self.dice.below(3)).expect("it is small");
        let after = usize::try_from(self.dice.below(4)).expect("it is small");
        let (server, kind) = if self.dice.percent(70) {
            (Server::Authentik, self.fault_of_authentik())
        } else {
            (Server::Kubernetes, self.fault_of_kubernetes())
        };
        let writes = self.dice.percent(60);
        self.tell(format_args!(
            "{times} {} of {server:?}, after {after}: {kind:?}",
            if writes { "writes" } else { "requests" }
        ));
        let fault = Fault::new(kind).after(after).times(times);
        let fault = if writes { fault.writes() } else { fault };
        self.replicas.gateway(server).inject(fault);
    }

    /// Lets a write take effect, whose answer is lost and which can't be looked up at once; and gives the operator
    /// something to write, and something else meanwhile.
    async fn unseen(&mut self) {
        self.tell("the next write takes effect unseen");
        let write = Fault::new(FaultKind::CutAfter).writes().times(1);
        self.test.gateway.inject(write);
        let look = Fault::new(FaultKind::ServiceUnavailable).method(Method::GET);
        self.test
            .gateway
            .inject(look.path("/stages/authenticator/").times(3));
        let slot = *self.dice.one(&SLOTS);
        self.apply(slot).await;
        self.pace(2).await;
        if self.dice.percent(40) {
            self.delete(slot).await;
        } else {
            self.apply(slot).await;
        }
    }

    fn fault_of_authentik(&mut self) -> FaultKind {
        match self.dice.below(10) {
            0 => FaultKind::Latency(Duration::from_millis(200 * (1 + self.dice.below(12)))),
            1 => FaultKind::CutBefore,
            2 => FaultKind::CutAfter,
            3 => FaultKind::InternalError { effect: false },
            4 => FaultKind::InternalError { effect: true },
            5 => FaultKind::TooManyRequests {
                retry_after: *self.dice.one(&[None, Some(1)]),
            },
            6 => FaultKind::ServiceUnavailable,
            7 => FaultKind::MalformedBody,
            8 => FaultKind::TruncatedBody,
            _ => FaultKind::WrongJson,
        }
    }

    fn fault_of_kubernetes(&mut self) -> FaultKind {
        let status = |code: u16, reason: &str| {
            FaultKind::Respond {
            status: code,
            content_type: "application/json".to_owned(),
            body: json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "code": code}).to_string(),
            forward: false,
        }
        };
        match self.dice.below(6) {
            0 => FaultKind::Latency(Duration::from_millis(200 * (1 + self.dice.below(5)))),
            1 => FaultKind::CutBefore,
            2 => FaultKind::CutAfter,
            3 => status(409, "Conflict"),
            4 => status(500, "InternalError"),
            _ => FaultKind::ServiceUnavailable,
        }
    }

    /// Shuts a server out for some steps, which also cuts all watches.
    async fn shut(&mut self) {
        let kubernetes = self.dice.percent(50);
        if kubernetes && self.setting == Setting::Alone {
            self.tell("the API server is restarted");
            self.test.restart_apiserver().await;
            return;
        }
        let server = if kubernetes {
            Server::Kubernetes
        } else {
            Server::Authentik
        };
        let steps = 1 + self.dice.below(OUTAGE);
        self.tell(format_args!("{server:?} is out of reach for {steps} steps"));
        self.shut.insert(kubernetes, steps);
        self.replicas.gateway(server).stop().await;
    }

    async fn open_what_was_shut(&mut self) {
        for (kubernetes, left) in &mut self.shut {
            *left -= 1;
            if *left == 0 {
                let server = if *kubernetes {
                    Server::Kubernetes
                } else {
                    Server::Authentik
                };
                self.replicas.gateway(server).start().await;
            }
        }
        self.shut.retain(|_, left| *left > 0);
    }

    async fn kill(&mut self, number: usize) {
        self.replicas.kill(number).await;
        self.start_again();
    }

    /// What a replica was about to record is lost from here on.
    fn note_loss(&mut self) {
        let last = self.test.gateway.history().pop();
        self.killed_after = last.map_or(0, |request| request.n);
    }

    async fn end_a_replica(&mut self) {
        let number =
            usize::try_from(self.dice.below(self.replicas.count() as u64)).expect("it is small");
        if self.replicas.count() > 1 && self.dice.percent(40) {
            self.tell("the Lease is taken away");
            self.replicas.take_the_lease_away().await;
            return;
        }
        if self.replicas.count() > 1 && self.dice.percent(25) {
            self.tell(format_args!(
                "replica {number} is frozen until all is right"
            ));
            self.replicas.freeze(number).await;
            self.note_loss();
            return;
        }
        if self.dice.percent(40) {
            self.tell(format_args!("replica {number} is killed"));
            self.kill(number).await;
            return;
        }
        let moment = Moment {
            server: *self
                .dice
                .one(&[Server::Authentik, Server::Authentik, Server::Kubernetes]),
            request: usize::try_from(self.dice.below(3)).expect("it is small"),
            after: self.dice.percent(60),
        };
        self.tell(format_args!(
            "replica {number} is killed {} write {} to {:?}",
            if moment.after { "after" } else { "before" },
            moment.request,
            moment.server
        ));
        self.replicas.hold_at(moment);
        // Something to do.
        let slot = *self.dice.one(&SLOTS);
        self.apply(slot).await;
        self.replicas.gateway(moment.server).hangs(PACE * 3).await;
        self.kill(number).await;
        self.replicas.gateway(moment.server).clear_faults();
    }
}
