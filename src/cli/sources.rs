//! The manifests of a command, and the server that is asked about them.

use std::path::{Path, PathBuf};

use super::{output::Failed, target::Target};
use crate::{
    manifests::{Input, Problem, Set, files},
    offline::{Known, Server, known},
    ops::kubernetes,
};
use clap::Args;

/// The most problems that are shown at one time.
const MOST_PROBLEMS: usize = 50;

/// Which manifests a command is about.
#[derive(Args, Clone, Debug)]
struct Sources {
    /// A file with manifests, a folder with such files, or - for the standard input. May be given several times.
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-")]
    filenames: Vec<PathBuf>,
    /// A folder with a kustomization; kustomize or kubectl has to be installed. May be given several times.
    #[arg(short = 'k', long = "kustomize", value_name = "DIR")]
    kustomizations: Vec<PathBuf>,
    /// The namespace of manifests that name none.
    #[arg(short, long, default_value = "default")]
    namespace: String,
}

impl Sources {
    /// Reads and checks the manifests.
    ///
    /// # Errors
    /// Where none are named, a file can't be read, or something is wrong with them: with file and line.
    fn read(&self) -> Result<Set, Failed> {
        let named = self
            .filenames
            .iter()
            .map(|path| match path == Path::new("-") {
                true => Input::Stdin,
                false => Input::Path(path.clone()),
            });
        let kustomizations = self.kustomizations.iter().cloned();
        let inputs: Vec<_> = named
            .chain(kustomizations.map(Input::Kustomization))
            .collect();
        if inputs.is_empty() {
            return Err("no manifests are named: give -f FILE, -f DIR, -f - or -k DIR".into());
        }
        let mut all = Vec::new();
        for input in &inputs {
            all.extend(files(input)?);
        }
        let set = Set::read(&all, &self.namespace).map_err(|problems| told(&problems))?;
        if set.ours.is_empty() {
            return Err(format!(
                "among the {} manifests there is none of a kind of authentik-operator.io",
                set.others + set.secrets.len() + set.config_maps.len() + set.namespaces.len()
            )
            .into());
        }
        Ok(set)
    }
}

fn told(problems: &[Problem]) -> Failed {
    let mut lines: Vec<_> = problems
        .iter()
        .take(MOST_PROBLEMS)
        .map(|problem| format!("\n  {problem}"))
        .collect();
    if problems.len() > MOST_PROBLEMS {
        lines.push(format!("\n  and {} more", problems.len() - MOST_PROBLEMS));
    }
    format!("the manifests can't be applied:{}", lines.concat()).into()
}

/// What is known beside the manifests.
#[derive(Args, Clone, Debug)]
struct Knowledge {
    /// Take what is there under a resource's name for its own, whatever its adoptionPolicy says: for resources that the operator
    /// manages already, or that an earlier apply has made.
    #[arg(long)]
    managed: bool,
    /// Ask the cluster of the kubeconfig, too: which stages the resources manage already, its connections, and its Secrets.
    #[arg(long)]
    cluster: bool,
}

/// What a command is asked: about which manifests, of which server, and what is known beside them.
#[derive(Args, Clone, Debug)]
pub struct Question {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    knowledge: Knowledge,
}

impl Question {
    /// Reads the manifests, and what is known beside them.
    ///
    /// # Errors
    /// Where the manifests can't be read or are wrong, or where a file of the target, or the cluster, can't be read.
    pub async fn read(&self) -> Result<(Set, Server), Failed> {
        let set = self.sources.read()?;
        let known = self.knowledge.read(&set).await?;
        let server = Server {
            url: self.target.url.clone().filter(|url| !url.trim().is_empty()),
            token: self.target.token()?,
            headers: self.target.headers()?,
            ca_bundle: self.target.ca_bundle()?,
            timeout: self.target.timeout,
            takes_over: self.knowledge.managed,
            known,
        };
        Ok((set, server))
    }
}

impl Knowledge {
    async fn read(&self, set: &Set) -> Result<Known, Failed> {
        if !self.cluster {
            return Ok(Known::default());
        }
        let client = kubernetes::client().await;
        let client = client.map_err(|error| {
            format!("--cluster: no Kubernetes to talk to: {error}; set KUBECONFIG")
        })?;
        let known = known(&client, set).await;
        Ok(known.map_err(|why| format!("--cluster: {why}"))?)
    }
}
