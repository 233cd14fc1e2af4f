//! Finds the Kubernetes binaries, or builds them from pinned Go modules.
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{Error, Result};
use super::release::Release;
use crate::go::{Module, target};

const ETCD: Module = Module {
    directory: "kubernetes/etcd",
    path: "go.etcd.io/etcd/server/v3",
    go_mod: include_str!("../../kubernetes/etcd/go.mod"),
    // The version is a constant of the source.
    link_flags: |_| String::new(),
    tags: "",
};

/// The paths of the binaries that make up a Kubernetes API.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The store.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// Garbage collection, the deletion of namespaces and the aggregation of roles.
    pub kube_controller_manager: PathBuf,
    /// The command line.
    pub kubectl: PathBuf,
}

impl Binaries {
    /// Takes each binary from the directory `KUBEBUILDER_ASSETS` names where it is there, else from
    /// this workspace's target directory, where it is built once. Where a [`Release`] is chosen, the servers
    /// are always built. kubectl is of the newest release with all servers.
    ///
    /// A build takes minutes and reports to standard error. Processes that need the same binary
    /// wait for one build.
    ///
    /// # Errors
    ///
    /// When Go is missing, a build fails or another release is asked for than there are.
    pub fn find_or_build() -> Result<Self> {
        let chosen = Release::chosen()?;
        let server = |tool, package| match chosen {
            Some(release) => build(tool, release.module(), package),
            None => find_or_build(tool, Release::Newest.module(), package),
        };
        Ok(Self {
            etcd: find_or_build("etcd", &ETCD, ETCD.path)?,
            kubectl: find_or_build(
                "kubectl",
                Release::Newest.module(),
                "k8s.io/kubernetes/cmd/kubectl",
            )?,
            kube_apiserver: server("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver")?,
            kube_controller_manager: server(
                "kube-controller-manager",
                "k8s.io/kubernetes/cmd/kube-controller-manager",
            )?,
        })
    }

    /// What the servers call themselves: a line with their versions.
    ///
    /// # Errors
    ///
    /// When one of them can't be run.
    pub fn versions(&self) -> Result<String> {
        let kubernetes = first_line(&self.kube_apiserver)?;
        let etcd = first_line(&self.etcd)?;
        Ok(format!("{kubernetes}, {etcd}"))
    }
}

fn first_line(program: &Path) -> Result<String> {
    let ran = Command::new(program).arg("--version").output();
    let printed = ran.map_err(Error::io("run", program))?.stdout;
    let text = String::from_utf8_lossy(&printed);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

fn find_or_build(tool: &'static str, module: &Module, package: &str) -> Result<PathBuf> {
    let downloaded = env::var_os("KUBEBUILDER_ASSETS").map(|assets| Path::new(&assets).join(tool));
    match downloaded.filter(|path| path.is_file()) {
        Some(found) => Ok(found),
        None => build(tool, module, package),
    }
}

/// Builds into a directory for this version, so that a change of version builds anew.
fn build(tool: &'static str, module: &Module, package: &str) -> Result<PathBuf> {
    let directory = format!("{}-{}", module.directory, module.version());
    let built = target().join(directory).join(tool);
    if !built.is_file() {
        module.build_once(tool, package, &built)?;
    }
    Ok(built)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_modules() {
        for version in [
            Release::Newest.version(),
            Release::Oldest.version(),
            ETCD.version(),
        ] {
            assert!(
                version.starts_with('v') && version.split('.').count() == 3,
                "{version}"
            );
        }
    }
}
