//! What goes wrong between the operator and the healthy servers.

use std::time::Duration;

use devkit::gateway::{Fault, FaultKind};
use reqwest::Method;
use serde_json::json;

use super::{
    history::{History, Setting},
    replicas::Server,
};
use crate::harness::collection;

/// How many steps a server is out of reach at most.
const OUTAGE: u64 = 4;

impl History<'_> {
    pub(super) fn fault(&mut self) {
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
    pub(super) async fn unseen(&mut self) {
        self.tell("the next write takes effect unseen");
        let write = Fault::new(FaultKind::CutAfter).writes().times(1);
        self.test.gateway.inject(write);
        let look = Fault::new(FaultKind::ServiceUnavailable).method(Method::GET);
        let slot = self.slot();
        let path = format!("/{}", collection(slot.kind));
        self.test.gateway.inject(look.path(&path).times(3));
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
    pub(super) async fn shut(&mut self) {
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

    pub(super) async fn open_what_was_shut(&mut self) {
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
}
