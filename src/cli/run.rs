//! `run`: the controller.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::{ArgAction, Args};
use kube::Client;
use tokio::sync::watch;
use uuid::Uuid;

use super::signals::Signals;
use crate::{
    api::MANAGER,
    controller::{Controller, Options},
    ops::{
        http, kubernetes,
        leader::{Candidate, Leadership},
        logs,
        traces::Traces,
    },
};

/// How long the reconciles under way may take to end. Kubernetes kills a pod 30 s after SIGTERM; people wait less
/// gladly.
const GRACE: Duration = Duration::from_secs(9);

/// How the command is used.
pub const EXAMPLES: &str = "\
Examples:
  # In the cluster of the kubeconfig, beside no other replica
  authentik-stage-operator run --leader-election false
  # For two namespaces, with health and metrics
  authentik-stage-operator run --namespaces team-a,team-b --listen 127.0.0.1:8080
  # With connections that lead to one server only
  authentik-stage-operator run --allowed-servers https://auth.example.com";

/// Arguments of `run`.
#[derive(Args, Debug)]
pub struct Run {
    /// The namespaces whose resources are reconciled, separated by commas. Omitted: all.
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// Whether Secrets are watched, and a changed one is sent at once. Without, the operator needs no right to list
    /// them, and looks at a Secret when it looks at what names it: once a resync interval, or when asked.
    #[arg(long, env = "WATCH_SECRETS", default_value_t = true, action = ArgAction::Set)]
    watch_secrets: bool,
    /// Where health and metrics are served: /livez, /readyz and /metrics. Omitted: nowhere.
    #[arg(long, env = "LISTEN")]
    listen: Option<SocketAddr>,
    /// Whether several replicas elect one that works. Without, there must be one replica only.
    #[arg(long, env = "LEADER_ELECTION", default_value_t = true, action = ArgAction::Set)]
    leader_election: bool,
    /// The name of the Lease. Operators of the same namespace that watch other namespaces need one each.
    #[arg(long, env = "LEASE_NAME", default_value = MANAGER)]
    lease_name: String,
    /// The namespace of the Lease. Omitted: the pod's, or the kubeconfig's.
    #[arg(long, env = "POD_NAMESPACE")]
    lease_namespace: Option<String>,
    /// This replica's name in the Lease. Omitted: made up.
    #[arg(long, env = "POD_NAME")]
    identity: Option<String>,
    /// How logs are written.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t)]
    log_format: logs::Format,
    /// What is logged: a level (error, warn, info, debug, trace) or a list of target=level.
    #[arg(long, env = "LOG", default_value = "info")]
    log: String,
    /// The URLs below which connections may lead, separated by commas. Omitted: anywhere. Whoever may make connections
    /// otherwise has the operator send requests to any server that its pod reaches.
    #[arg(long, env = "ALLOWED_SERVERS", value_delimiter = ',')]
    allowed_servers: Vec<String>,
    /// Whether events, logs and statuses name the people, and their addresses, who changed in authentik what the operator then
    /// put right. Its audit log tells, where the token may view it.
    #[arg(long, env = "NAME_PEOPLE", default_value_t = true, action = ArgAction::Set)]
    name_people: bool,
    /// The base URL of an OpenTelemetry collector that traces are sent to, by OTLP over HTTP. Omitted: none is kept.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true)]
    otlp_endpoint: Option<String>,
}

impl http::Served for Controller {
    fn is_ready(&self) -> bool {
        self.is_synced()
    }

    fn metrics(&self) -> String {
        self.metrics()
    }
}

impl Run {
    /// Runs the controller until SIGTERM or Ctrl-C.
    ///
    /// # Errors
    /// When the flags can't be read, there is no Kubernetes to talk to, or leadership is lost.
    pub async fn run(self) -> Result<(), String> {
        let mut signals = Signals::listen()?;
        let traces = Traces::new(self.otlp_endpoint.as_deref())?;
        logs::init(self.log_format, &self.log, &traces)?;
        let client = kubernetes::client().await.map_err(|error| {
            format!("no Kubernetes to talk to: {error}; set KUBECONFIG or run in a cluster")
        })?;
        let candidate = self.leader_election.then(|| self.candidate(client.clone()));
        let options = Options {
            namespaces: not_empty(self.namespaces),
            watch_secrets: self.watch_secrets,
            allowed_servers: not_empty(self.allowed_servers),
            names_people: self.name_people,
            leadership: candidate
                .as_ref()
                .map_or_else(Leadership::default, Candidate::leadership),
        };
        let controller = Arc::new(Controller::new(client, options));
        let (stop, stopped) = watch::channel(false);
        let server = match self.listen {
            Some(address) => {
                let listener = http::bind(address).await?;
                Some(tokio::spawn(http::serve(
                    listener,
                    controller.clone(),
                    told(stopped.clone()),
                )))
            }
            None => None,
        };
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "running");
        let mut running = std::pin::pin!(controller.run(told(stopped)));
        let mut leading = std::pin::pin!(lead(candidate.as_ref()));
        tokio::select! {
            () = &mut running => return Err("the controller ended by itself".to_owned()),
            // Whoever ends here stops writing at once, before another replica may start.
            lost = &mut leading => return Err(lost),
            () = signals.come() => {}
        }
        tracing::info!("ending: the writes under way are finished first");
        stop.send_replace(true);
        tokio::select! {
            ended = tokio::time::timeout(GRACE, running) => {
                if ended.is_err() {
                    tracing::warn!("a write under way took too long; its outcome will be looked up at the next start");
                }
            }
            lost = leading => return Err(lost),
        }
        if let Some(candidate) = &candidate {
            candidate.release().await;
        }
        if let Some(server) = server {
            server.abort();
        }
        traces.end().await;
        Ok(())
    }

    fn candidate(&self, client: Client) -> Candidate {
        let namespace = self.lease_namespace.clone();
        let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
        // A restarted container has its pod's name and is another process all the same.
        let name = self.identity.as_deref().unwrap_or(MANAGER);
        let identity = format!("{name}_{}", Uuid::new_v4());
        Candidate::new(client, &namespace, &self.lease_name, identity)
    }
}

/// An empty variable of the environment is a list with one empty text.
fn not_empty(texts: Vec<String>) -> Vec<String> {
    let texts = texts.into_iter().map(|text| text.trim().to_owned());
    texts.filter(|text| !text.is_empty()).collect()
}

/// Takes part in the election, for ever unless leadership is lost.
async fn lead(candidate: Option<&Candidate>) -> String {
    match candidate {
        Some(candidate) => candidate.run().await.to_string(),
        None => std::future::pending().await,
    }
}

async fn told(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which also ends the program.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
