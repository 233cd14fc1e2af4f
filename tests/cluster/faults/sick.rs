//! A second server that misbehaves all the time, and the resources on it. Nothing that happens there concerns the healthy
//! server.

use std::{fmt, time::Duration};

use devkit::{
    gateway::{Fault, FaultKind, Gateway},
    hostile::{Hostile, Manner, Requests, Row},
    simulator::{Simulator, Version},
};
use kube::api::DeleteParams;
use reqwest::Method;
use serde_json::{Value, json};

use super::{dice::Dice, history::History, resource::Resource, specs, world::At};
use crate::{
    harness::{Test, VALIDATE, label_of},
    harness_more::CONNECTION,
};

/// The connection to it, and the Secret with its token.
pub const SICK: &str = "sick";

/// The name of the resources on it, of which there is one a kind.
const NAME: &str = "sick";

/// How large the largest answers are.
const LARGE: usize = 4 << 20;

/// The server.
pub enum Sick {
    /// It never was an authentik, and is as the text says.
    Hostile(Hostile, String),
    /// It is one that can hardly be reached.
    Behind {
        gateway: Gateway,
        /// It stops when this is dropped.
        _simulator: Simulator,
    },
}

impl Sick {
    /// One that is sick in some way.
    pub async fn begin(test: &Test, dice: &mut Dice) -> Self {
        if dice.percent(50) {
            let token = json!({"token": test.canary("sick-token")});
            test.secret(SICK, token).await;
            let (requests, manner) = manner(dice);
            let told = format!("a server that answers {requests:?} with {manner:?}");
            let builder = Hostile::builder().on(requests, manner);
            return Self::Hostile(builder.launch().await, told);
        }
        let simulator = Simulator::start(Version::V2026_5).await;
        let token = json!({"token": simulator.token()});
        test.secret(SICK, token).await;
        let gateway = Gateway::in_front_of(&simulator.url()).launch().await;
        let sick = Self::Behind {
            gateway,
            _simulator: simulator,
        };
        sick.change(dice);
        sick
    }

    fn url(&self) -> String {
        match self {
            Self::Hostile(server, _) => server.url(),
            Self::Behind { gateway, .. } => gateway.url(),
        }
    }

    /// Lets it be sick in another way, if it can. Returns how.
    pub fn change(&self, dice: &mut Dice) -> Option<Fault> {
        let Self::Behind { gateway, .. } = self else {
            return None;
        };
        let fault = fault(dice);
        gateway.clear_faults();
        gateway.inject(fault.clone());
        Some(fault)
    }
}

impl fmt::Display for Sick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hostile(_, told) => f.write_str(told),
            Self::Behind { .. } => f.write_str("an authentik that can hardly be reached"),
        }
    }
}

fn manner(dice: &mut Dice) -> (Requests, Manner) {
    let endless = |row, rows| Manner::Rows {
        row,
        rows,
        endless: true,
    };
    let all = [
        (Requests::All, Manner::Never),
        (Requests::Probe, Manner::Never),
        (Requests::Lists, Manner::Never),
        (Requests::Writes, Manner::Never),
        (Requests::NoProbe, Manner::Late(Duration::from_secs(5))),
        (Requests::All, Manner::Numbers(LARGE)),
        (Requests::NoProbe, Manner::Half(LARGE)),
        (Requests::Lists, endless(Row::Named(2000), 100)),
        (Requests::Lists, endless(Row::Arrays(1000), 20)),
        (Requests::All, Manner::EchoToken),
        (Requests::All, Manner::Unavailable { retry_after: 1 }),
    ];
    dice.one(&all).clone()
}

fn fault(dice: &mut Dice) -> Fault {
    let kinds = [
        FaultKind::Hang,
        FaultKind::HangAfter,
        FaultKind::Latency(Duration::from_secs(4)),
        FaultKind::CutBefore,
        FaultKind::CutAfter,
        FaultKind::InternalError { effect: true },
        FaultKind::TooManyRequests {
            retry_after: Some(1),
        },
        FaultKind::ServiceUnavailable,
        FaultKind::MalformedBody,
        FaultKind::TruncatedBody,
        FaultKind::WrongJson,
        FaultKind::HugeBody(LARGE),
    ];
    let fault = Fault::new(dice.one(&kinds).clone());
    match dice.below(4) {
        0 => fault.writes(),
        1 => fault.method(Method::GET).path("/stages/"),
        _ => fault,
    }
}

impl History<'_> {
    /// The connection to the sick server, with a long timeout, and all resources on it.
    pub(super) async fn connect_sick(&mut self) {
        let settings = json!({
            "timeout": "20s", "resyncInterval": "3s", "tokenSecretRef": {"name": SICK, "key": "token"},
        });
        let mut spec = settings;
        spec["url"] = json!(self.sick.url());
        self.world.apply(At::Home, CONNECTION, SICK, &spec).await;
        for kind in self.cast.kinds.clone() {
            self.apply_sick(kind).await;
        }
    }

    /// Lets the sick server be sick in another way.
    pub(super) fn sick_changes(&mut self) {
        let fault = self.sick.change(&mut self.dice);
        if let Some(fault) = fault {
            self.tell(format_args!("the sick server: {fault:?}"));
        }
    }

    /// Something that a user does with a resource on the sick server.
    pub(super) async fn sick_user(&mut self) {
        let kind = *self.dice.one(&self.cast.kinds);
        if self.dice.percent(60) {
            return self.apply_sick(kind).await;
        }
        self.tell(format_args!("the {kind} {NAME} is deleted"));
        let api = self.world.api(At::Home, kind);
        // It may be gone.
        let _ = api.delete(NAME, &DeleteParams::default()).await;
    }

    /// Its object has the label of one on the healthy server. Its spec asks for the strictest factor, so it excuses no write
    /// there.
    async fn apply_sick(&mut self, kind: &'static str) {
        let mut author = self.author();
        let mut spec = specs::least(&mut author, kind);
        let others = author.cast.slots.iter().filter(|slot| slot.kind == kind);
        let others: Vec<_> = others.collect();
        let label = author.dice.one(&others).label();
        spec[label_of(kind)] = json!(author.test.name(&label));
        spec["connectionRef"] = json!({"name": SICK});
        spec["deletionPolicy"] = json!(author.dice.one(&["Orphan", "Delete"]));
        spec["adoptionPolicy"] = json!(author.dice.one(&["IfMatch", "Always"]));
        if kind == VALIDATE {
            spec["notConfiguredAction"] = json!("deny");
            spec["deviceClasses"] = json!(["static", "totp", "webauthn", "duo", "sms", "email"]);
        }
        self.tell(format_args!("the {kind} {NAME} is applied: {spec}"));
        self.world.apply(At::Home, kind, NAME, &spec).await;
    }
}

/// Whether a resource with this spec is on the sick server.
pub fn is_sick(spec: &Value) -> bool {
    spec["connectionRef"]["name"] == SICK
}

/// What is wrong with a resource of the sick server: one that leaves its stage needs no server to go.
pub fn problem(resource: &Resource) -> Option<String> {
    let waits = resource.is_deleted() && !resource.deletes();
    waits.then(|| format!("{} waits for the sick server", resource.id()))
}
