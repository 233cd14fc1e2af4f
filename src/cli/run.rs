//! `run`: the controller.

use std::time::Duration;

use clap::Args;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    controller::{self, Options},
    ops::logs,
};

/// How long the reconciles under way may take to end. Kubernetes kills a pod 30 s after SIGTERM; people wait less
/// gladly.
const GRACE: Duration = Duration::from_secs(9);

/// Arguments of `run`.
#[derive(Args, Debug)]
pub struct Run {
    /// The namespaces whose resources are reconciled, separated by commas. Omitted: all.
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// How logs are written.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t)]
    log_format: logs::Format,
    /// What is logged: a level (error, warn, info, debug, trace) or a list of target=level.
    #[arg(long, env = "LOG", default_value = "info")]
    log: String,
}

impl Run {
    /// Runs the controller until SIGTERM or Ctrl-C.
    ///
    /// # Errors
    /// When the flags can't be read or there is no Kubernetes to talk to.
    pub async fn run(self) -> Result<(), String> {
        logs::init(self.log_format, &self.log)?;
        let client = Client::try_default().await.map_err(|error| {
            format!("no Kubernetes to talk to: {error}; set KUBECONFIG or run in a cluster")
        })?;
        let options = Options {
            namespaces: self
                .namespaces
                .into_iter()
                .filter(|name| !name.is_empty())
                .collect(),
        };
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let controller = controller::run(client, options, async move {
            let mut stopped = stopped;
            // An error means that the sender is gone, which also ends the program.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        });
        let mut controller = std::pin::pin!(controller);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "running");
        tokio::select! {
            () = &mut controller => return Err("the controller ended by itself".to_owned()),
            signal = terminated() => signal?,
        }
        tracing::info!("ending: the writes under way are finished first");
        stop.send_replace(true);
        if tokio::time::timeout(GRACE, controller).await.is_err() {
            tracing::warn!(
                "a write under way took too long; its outcome will be looked up at the next start"
            );
        }
        Ok(())
    }
}

async fn terminated() -> Result<(), String> {
    let listen =
        |kind| signal(kind).map_err(|error| format!("signals can't be listened to: {error}"));
    let (mut terminate, mut interrupt) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
