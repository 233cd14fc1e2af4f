//! Helm, to try the chart with.
use std::path::PathBuf;

use super::error::Result;
use crate::go::{Module, target};

const HELM: Module = Module {
    directory: "kubernetes/helm",
    path: "helm.sh/helm/v4",
    go_mod: include_str!("../../kubernetes/helm/go.mod"),
    link_flags: |version| format!("-X helm.sh/helm/v4/internal/version.version={version}"),
};

/// The path of Helm, built first where it is missing: always the version that is pinned.
///
/// # Errors
///
/// When Go is missing or the build fails.
pub fn helm() -> Result<PathBuf> {
    let directory = target().join("tools");
    let built = directory.join(format!("helm-{}", HELM.version()));
    if !built.is_file() {
        HELM.build_once("helm", "helm.sh/helm/v4/cmd/helm", &built)?;
    }
    Ok(built)
}
