//! Finds the Kubernetes binaries, or builds them from pinned Go modules.
use std::env;
use std::path::{Path, PathBuf};

use super::error::Result;
use crate::go::{Module, target};

const KUBERNETES: Module = Module {
    directory: "kubernetes/kubernetes",
    path: "k8s.io/kubernetes",
    go_mod: include_str!("../../kubernetes/kubernetes/go.mod"),
    link_flags: kubernetes_flags,
    tags: "",
};

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
    /// this workspace's target directory, where it is built once.
    ///
    /// A build takes minutes and reports to standard error. Processes that need the same binary
    /// wait for one build.
    ///
    /// # Errors
    ///
    /// When Go is missing or a build fails.
    pub fn find_or_build() -> Result<Self> {
        Ok(Self {
            etcd: find_or_build("etcd", &ETCD, ETCD.path)?,
            kubectl: find_or_build("kubectl", &KUBERNETES, "k8s.io/kubernetes/cmd/kubectl")?,
            kube_apiserver: find_or_build(
                "kube-apiserver",
                &KUBERNETES,
                "k8s.io/kubernetes/cmd/kube-apiserver",
            )?,
            kube_controller_manager: find_or_build(
                "kube-controller-manager",
                &KUBERNETES,
                "k8s.io/kubernetes/cmd/kube-controller-manager",
            )?,
        })
    }
}

fn find_or_build(tool: &'static str, module: &Module, package: &str) -> Result<PathBuf> {
    let downloaded = env::var_os("KUBEBUILDER_ASSETS").map(|assets| Path::new(&assets).join(tool));
    let built = build_directory().join(tool);
    match downloaded
        .into_iter()
        .chain([built.clone()])
        .find(|path| path.is_file())
    {
        Some(found) => Ok(found),
        None => module.build_once(tool, package, &built).map(|()| built),
    }
}

fn kubernetes_flags(version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let major = numbers.next().unwrap_or_default();
    let minor = numbers.next().unwrap_or_default();
    let component = "k8s.io/component-base/version";
    format!(
        "-X {component}.gitVersion={version} -X {component}.gitMajor={major} \
         -X {component}.gitMinor={minor} -X k8s.io/client-go/pkg/version.gitVersion={version}"
    )
}

/// A directory for these versions, so that a change of version builds anew.
fn build_directory() -> PathBuf {
    let versions = format!("{}-etcd-{}", KUBERNETES.version(), ETCD.version());
    target().join("kubernetes").join(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_modules() {
        for module in [KUBERNETES, ETCD] {
            let version = module.version();
            assert!(
                version.starts_with('v') && version.split('.').count() == 3,
                "{version}"
            );
        }
    }
}
