//! What the operator asked of authentik and of Kubernetes.

use std::fmt::Debug;

use devkit::{
    gateway::Exchange,
    kubernetes::{AuditedWrite, User},
};
use serde_json::Value;

use super::{PROBE, Test, patience};

impl Test {
    /// Waits until authentik's stage of this kind and name is as the predicate says.
    pub async fn stage_until(
        &self,
        kind: &str,
        name: &str,
        predicate: impl Fn(Option<&Value>) -> bool,
    ) -> Option<Value> {
        let deadline = tokio::time::Instant::now() + patience();
        loop {
            let seen = self.gateway.audit().len();
            let stage = self.authentik.stage(kind, name).await;
            if predicate(stage.as_ref()) {
                return stage;
            }
            // What the operator does shows at the gateway first.
            let more = self
                .gateway
                .wait_for(|audit| audit.len() > seen, patience())
                .await;
            assert!(
                more && tokio::time::Instant::now() < deadline,
                "the stage {name} is not so in time: {stage:?}"
            );
        }
    }

    /// The writes that the operator sent to authentik.
    pub fn writes(&self) -> Vec<Exchange> {
        self.gateway.writes()
    }

    /// Method, path below `/api/v3/` (with `{uuid}`) and body of each of these writes.
    pub fn written(&self) -> Vec<(String, String, Value)> {
        let writes = self.writes().into_iter();
        writes
            .map(|write| {
                let path = write.template();
                let path = path.trim_start_matches("/api/v3/").to_owned();
                (write.method, path, write.body.unwrap_or_default())
            })
            .collect()
    }

    /// Waits until the connection has listed authentik this many times more.
    pub async fn resyncs(&self, times: usize) {
        let probes = |audit: &[Exchange]| {
            audit
                .iter()
                .filter(|exchange| exchange.path == PROBE)
                .count()
        };
        let before = probes(&self.gateway.audit());
        // The probe comes before the lists: one more shows that the last lists were complete.
        let done = self
            .gateway
            .wait_for(|audit| probes(audit) > before + times, patience())
            .await;
        assert!(done, "the connection is not listed in time");
    }

    /// Kubernetes writes of everybody in the namespace so far.
    pub fn all_kubernetes_writes(&self) -> Vec<AuditedWrite> {
        self.kubernetes.writes(&self.namespace)
    }

    /// Kubernetes writes of the operator in the namespace so far.
    pub fn kubernetes_writes(&self) -> Vec<impl Debug> {
        let writes = self.kubernetes.writes(&self.namespace).into_iter();
        writes
            .filter(|write| write.user == User::Operator.name())
            .collect()
    }
}
