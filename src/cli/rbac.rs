//! `rbac`: what the operator needs to be allowed in Kubernetes.

use clap::Args;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::core::ObjectMeta;

use super::crds::yaml;
use crate::{api::MANAGER, ops::rbac};

/// Arguments of `rbac`.
#[derive(Args, Debug)]
pub struct Rbac {
    /// The name of the ClusterRole.
    #[arg(long, default_value = MANAGER)]
    name: String,
}

impl Rbac {
    /// Prints the ClusterRole for an operator that watches all namespaces.
    ///
    /// # Errors
    /// Never; the type can't say so.
    pub fn run(self) -> Result<(), String> {
        let mut rules = rbac::namespaced_rules();
        rules.extend(rbac::cluster_rules());
        rules.extend(rbac::leader_election_rules());
        let role = ClusterRole {
            metadata: ObjectMeta {
                name: Some(self.name),
                ..ObjectMeta::default()
            },
            rules: Some(rules),
            ..ClusterRole::default()
        };
        print!("{}", yaml(&role)?);
        Ok(())
    }
}
