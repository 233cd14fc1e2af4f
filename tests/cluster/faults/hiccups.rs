//! What fails for a moment is tried again a moment later.

use devkit::gateway::{Exchange, Fault, FaultKind};
use serde_json::json;

use super::replicas::Replicas;
use crate::{
    harness::{patience, test},
    harness_more::CONNECTION,
};

/// Half a minute after each of so many failures would be longer than anything may take.
const FAILURES: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_kubernetes_did_not_show_is_soon_read_again() {
    test(async |test| {
        let replicas = Replicas::start(test, std::slice::from_ref(&test.namespace), 1).await;
        test.connect().await;
        replicas.kubernetes.clear();
        let error = Fault::new(FaultKind::InternalError { effect: false });
        let token = "/secrets/authentik";
        replicas
            .kubernetes
            .inject(error.path(token).times(FAILURES));
        let changed = json!({"token": test.token(), "more": test.canary("more")});
        test.secret("authentik", changed).await;
        let reads = |audit: &[Exchange]| {
            let reads = audit.iter().filter(|read| read.path.ends_with(token));
            reads.count() > FAILURES
        };
        let read = replicas.kubernetes.wait_for(reads, patience()).await;
        assert!(read, "the token is not read again in time");
        test.reason(CONNECTION, "default", "Connected").await;
    })
    .await;
}
