//! Which Kubernetes is run: the newest or the oldest of the releases that are supported.
use std::env;

use super::error::{Error, Result};
use crate::go::Module;

/// The environment variable that chooses.
const VARIABLE: &str = "KUBERNETES";

const NEWEST: Module = Module {
    directory: "kubernetes/newest",
    path: "k8s.io/kubernetes",
    go_mod: include_str!("../../kubernetes/newest/go.mod"),
    link_flags,
    tags: "",
};

const OLDEST: Module = Module {
    directory: "kubernetes/oldest",
    path: "k8s.io/kubernetes",
    go_mod: include_str!("../../kubernetes/oldest/go.mod"),
    link_flags,
    tags: "",
};

/// A release of Kubernetes that is pinned here to be tested with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Of the newest minor version that is supported.
    Newest,
    /// Of the oldest one.
    Oldest,
}

impl Release {
    /// The one that the environment variable `KUBERNETES` names, `newest` or `oldest`; nothing where it is not set.
    ///
    /// # Errors
    ///
    /// When it names another.
    pub fn chosen() -> Result<Option<Self>> {
        let name = env::var_os(VARIABLE).unwrap_or_default();
        Self::named(&name.to_string_lossy())
    }

    fn named(name: &str) -> Result<Option<Self>> {
        match name {
            "" => Ok(None),
            "newest" => Ok(Some(Self::Newest)),
            "oldest" => Ok(Some(Self::Oldest)),
            other => Err(Error::UnknownRelease {
                variable: VARIABLE,
                name: other.to_owned(),
            }),
        }
    }

    /// Its version, as in `v1.30.14`.
    pub fn version(self) -> &'static str {
        self.module().version()
    }

    /// The module that pins it.
    pub(super) fn module(self) -> &'static Module {
        match self {
            Self::Newest => &NEWEST,
            Self::Oldest => &OLDEST,
        }
    }
}

fn link_flags(version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let major = numbers.next().unwrap_or_default();
    let minor = numbers.next().unwrap_or_default();
    let component = "k8s.io/component-base/version";
    format!(
        "-X {component}.gitVersion={version} -X {component}.gitMajor={major} \
         -X {component}.gitMinor={minor} -X k8s.io/client-go/pkg/version.gitVersion={version}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_chosen_by_its_name() {
        assert_eq!(Release::named("").unwrap(), None);
        assert_eq!(Release::named("newest").unwrap(), Some(Release::Newest));
        assert_eq!(Release::named("oldest").unwrap(), Some(Release::Oldest));
        let error = Release::named("1.30").unwrap_err().to_string();
        assert_eq!(
            error,
            "KUBERNETES is `1.30`; set it to `newest` or to `oldest`, or leave it out"
        );
    }
}
