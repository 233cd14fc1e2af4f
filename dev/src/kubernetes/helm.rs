//! Helm, to try the chart with.
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use super::error::Result;
use crate::go::{Module, target};

const HELM: Module = Module {
    directory: "kubernetes/helm",
    path: "helm.sh/helm/v4",
    go_mod: include_str!("../../kubernetes/helm/go.mod"),
    link_flags: |version| format!("-X helm.sh/helm/v4/internal/version.version={version}"),
    tags: "",
};

/// The path of Helm, built first where it is missing: always the version that is pinned.
///
/// # Errors
///
/// When Go is missing or the build fails.
pub fn helm() -> Result<PathBuf> {
    HELM.tool("helm", "helm.sh/helm/v4/cmd/helm")
}

/// Helm with these arguments, and none of the settings of whoever runs it: not even their cluster.
///
/// # Panics
///
/// When Helm is missing and cannot be built.
pub fn helm_command<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let home = target().join("tools/helm-home");
    let mut command = Command::new(helm().expect("Helm is built"));
    command.args(args).env_remove("KUBECONFIG");
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(variable, home.join(variable));
    }
    command
}
