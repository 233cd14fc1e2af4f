//! `status`: how the resources of a cluster stand.
//!
//! ```text
//! row    one resource
//! read   reads them from Kubernetes
//! write  writes them
//! watch  and goes on with what changes
//! ```
//! Each file uses those above it only.

mod read;
mod row;
mod watch;
mod write;

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use self::{read::Scope, row::Row};
use super::output::{Ended, Failed, Format, Out};
use crate::ops::kubernetes;

/// How the command is used.
pub const EXAMPLES: &str = "\
Examples:
  # All resources of the kubeconfig's namespace
  authentik-stage-operator status
  # Those of all namespaces, with the connections of the cluster, until Ctrl-C
  authentik-stage-operator status -A --watch
  # Which are not ready, and why
  authentik-stage-operator status -A --output json | jq '.resources[] | select(.ready != \"True\") | {kind, name, message}'";

/// Arguments of `status`.
#[derive(Args, Debug)]
pub struct Status {
    /// The namespace. Omitted: the kubeconfig's.
    #[arg(short, long)]
    namespace: Option<String>,
    /// All namespaces, and the connections of the whole cluster.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Go on until Ctrl-C: on a terminal the table is drawn anew, elsewhere each change is a line.
    #[arg(short, long)]
    watch: bool,
    /// How the resources are written; as JSON, --watch writes one object a line.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Status {
    /// Writes how the resources stand.
    ///
    /// # Errors
    /// Where Kubernetes can't be read, or the output can't be written.
    pub async fn run(self, out: &mut Out) -> Ended {
        let client = kubernetes::client().await.map_err(|error| {
            Failed::Because(format!("no Kubernetes to talk to: {error}; set KUBECONFIG"))
        })?;
        let scope = match (self.all_namespaces, self.namespace) {
            (true, _) => Scope::All,
            (false, Some(namespace)) => Scope::Namespace(namespace),
            (false, None) => Scope::Namespace(client.default_namespace().to_owned()),
        };
        let kinds = read::kinds(&client, &scope);
        let is_json = self.output == Format::Json;
        if self.watch {
            return watch::watch(out, kinds, is_json).await;
        }
        let listed = read::listed(kinds).await?.into_iter();
        let mut rows: Vec<_> = listed.flat_map(|(_, rows)| rows).collect();
        rows.sort_by_key(Row::key);
        match is_json {
            true => write::json(out, &rows)?,
            false => write::table(out, &rows, Timestamp::now())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
