//! `crds`: the CRDs, made from the types.

use std::{fs, io::Write, path::PathBuf};

use clap::Args;

use super::output::{Failed, Out};
use crate::kinds::crds;

/// How the command is used.
pub const EXAMPLES: &str = "\
Examples:
  # Install or upgrade the CRDs
  authentik-stage-operator crds | kubectl apply --server-side -f -
  # The CRD of one kind
  authentik-stage-operator crds --kind DuoStage";

/// Arguments of `crds`.
#[derive(Args, Debug)]
pub struct Crds {
    /// Only this kind, such as DuoStage.
    #[arg(long)]
    kind: Option<String>,
    /// Write one file a kind into this folder instead of printing.
    #[arg(long)]
    output_dir: Option<PathBuf>,
}

impl Crds {
    /// Prints or writes the CRDs.
    ///
    /// # Errors
    /// For a kind that is none of ours, or a folder that can't be written.
    pub fn run(self, out: &mut Out) -> Result<(), Failed> {
        let all = crds();
        let names: Vec<_> = all.iter().map(|crd| crd.spec.names.kind.clone()).collect();
        let chosen: Vec<_> = all
            .into_iter()
            .filter(|crd| {
                self.kind
                    .as_ref()
                    .is_none_or(|kind| *kind == crd.spec.names.kind)
            })
            .collect();
        if chosen.is_empty() {
            return Err(format!(
                "--kind: there is no such kind; choose one of {}",
                names.join(", ")
            )
            .into());
        }
        for crd in chosen {
            let text = yaml(&crd)?;
            match &self.output_dir {
                Some(folder) => {
                    let path = folder.join(format!("{}.yaml", crd.spec.names.plural));
                    fs::write(&path, text)
                        .map_err(|error| format!("{} can't be written: {error}", path.display()))?;
                }
                None => write!(out, "---\n{text}")?,
            }
        }
        Ok(())
    }
}

/// A CRD as YAML.
///
/// # Errors
/// Never for the CRDs of this program; the type can't say so.
pub fn yaml(crd: &impl serde::Serialize) -> Result<String, String> {
    serde_saphyr::to_string(crd).map_err(|error| error.to_string())
}
