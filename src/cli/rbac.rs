//! `rbac`: what the operator needs to be allowed in Kubernetes.

use std::{fs, io::Write, path::PathBuf};

use clap::{ArgAction, Args};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::core::ObjectMeta;

use super::{
    crds::yaml,
    output::{Failed, Out},
};
use crate::{api::MANAGER, ops::rbac};

/// How the command is used.
pub const EXAMPLES: &str = "\
Examples:
  # Give the operator its rights
  authentik-stage-operator rbac | kubectl apply -f -
  # For an operator that does not watch Secrets
  authentik-stage-operator rbac --watch-secrets false";

/// Arguments of `rbac`.
#[derive(Args, Debug)]
pub struct Rbac {
    /// The name of the ClusterRole.
    #[arg(long, default_value = MANAGER)]
    name: String,
    /// Whether the operator is to watch Secrets.
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    watch_secrets: bool,
    /// The name of the Lease, as in `run --lease-name`.
    #[arg(long, default_value = MANAGER)]
    lease_name: String,
    /// Write the rules alone, in one file for each thing they are for, into this folder instead of printing.
    #[arg(long, conflicts_with_all = ["name", "watch_secrets", "lease_name"])]
    output_dir: Option<PathBuf>,
}

impl Rbac {
    /// Prints the ClusterRole for an operator that watches all namespaces, or writes its parts.
    ///
    /// # Errors
    /// For a folder that can't be written.
    pub fn run(self, out: &mut Out) -> Result<(), Failed> {
        let Some(folder) = self.output_dir else {
            let role = ClusterRole {
                metadata: ObjectMeta {
                    name: Some(self.name),
                    ..ObjectMeta::default()
                },
                rules: Some(rbac::all_rules_with_lease(
                    self.watch_secrets,
                    &self.lease_name,
                )),
                ..ClusterRole::default()
            };
            write!(out, "{}", yaml(&role)?)?;
            return Ok(());
        };
        for (part, rules) in rbac::parts() {
            let path = folder.join(format!("{part}.yaml"));
            fs::write(&path, yaml(&rules)?)
                .map_err(|error| format!("{} can't be written: {error}", path.display()))?;
        }
        Ok(())
    }
}
