//! The operator of a test.

use std::sync::Arc;

use authentik_stage_operator::controller::{Controller, Options};
use devkit::kubernetes::{Kubernetes, User};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

use super::GRACE;
use crate::canaries::Canaries;

/// The operator, running in this process as the Kubernetes user that has just its own rights.
pub struct Operator {
    controller: Arc<Controller>,
    canaries: Canaries,
    stop: tokio::sync::watch::Sender<bool>,
    task: JoinHandle<()>,
    /// Of its own, so that everything it has started can be ended with it.
    runtime: Option<Runtime>,
}

impl Operator {
    pub(super) fn start(
        kubernetes: &'static Kubernetes,
        options: Options,
        canaries: Canaries,
    ) -> Self {
        let (stop, mut stopped) = tokio::sync::watch::channel(false);
        let of_threads = canaries.clone();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .on_thread_start(move || of_threads.watch_thread())
            .build()
            .expect("there are threads");
        let controller = {
            let _entered = runtime.enter();
            let client = kubernetes.client(User::Operator);
            Arc::new(Controller::new(client, options))
        };
        let running = controller.clone();
        let task = runtime.spawn(async move {
            let stopped = async move {
                let _ = stopped.wait_for(|stopped| *stopped).await;
            };
            running.run(stopped).await;
        });
        Self {
            controller,
            canaries,
            stop,
            task,
            runtime: Some(runtime),
        }
    }

    /// All its metrics.
    pub fn metrics(&self) -> String {
        self.controller.metrics()
    }

    /// Stops it and waits until it has ended, as Kubernetes does with a pod.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let ended = tokio::time::timeout(GRACE, &mut self.task).await;
        let ended = ended.expect("the operator ends in time");
        ended.expect("it ends without a panic");
    }

    /// Ends it at once, in the middle of whatever it does.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.canaries
            .search("the metrics", self.controller.metrics());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
