//! What can go wrong on the way to a running API server.
use std::io;
use std::path::PathBuf;

/// The result of starting or using the API server.
pub type Result<T> = std::result::Result<T, Error>;

/// Why there is no running API server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or process could not be handled.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or program.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A binary has to be built and there is nothing to build it with.
    #[error(
        "{tool} has to be built and Go was not found; install Go 1.21 or later \
         (https://go.dev/dl, or a package such as golang-go); etcd, kube-apiserver, \
         kube-controller-manager and kubectl are also taken from the directory that \
         KUBEBUILDER_ASSETS names"
    )]
    GoMissing {
        /// The binary.
        tool: &'static str,
    },
    /// Another release of Kubernetes was asked for than there are.
    #[error("{variable} is `{name}`; set it to `newest` or to `oldest`, or leave it out")]
    UnknownRelease {
        /// The environment variable that asked.
        variable: &'static str,
        /// What it asked for.
        name: String,
    },
    /// The Go toolchain failed.
    #[error("cannot build {tool}; the end of the output of `go build`:\n{output}")]
    Build {
        /// The binary.
        tool: &'static str,
        /// The last lines the toolchain printed.
        output: String,
    },
    /// A component ended by itself.
    #[error("{component} ended; the end of its log:\n{log}")]
    Ended {
        /// The component.
        component: &'static str,
        /// The last lines it logged.
        log: String,
    },
    /// A component runs but does not answer as it should.
    #[error("{component} did not become ready: {reason}")]
    NotReady {
        /// The component.
        component: &'static str,
        /// What the last attempt to reach it gave.
        reason: String,
    },
    /// No certificate could be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The API server refused a request.
    #[error("the API server refused: {0}")]
    Api(#[from] kube::Error),
}

impl Error {
    /// Adds to an error of the operating system what was tried on which path.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// Whether a component ended because another process listens on its port.
    pub(super) fn is_port_taken(&self) -> bool {
        matches!(self, Self::Ended { log, .. } if log.contains("address already in use"))
    }
}
