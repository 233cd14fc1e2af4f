//! `permissions`: what the user of an API token needs to be allowed in authentik.

use std::io::Write;

use clap::Args;

use super::output::{Failed, Out};
use crate::ops::permissions;

/// How the command is used.
pub const EXAMPLES: &str = "\
Examples:
  # The permissions, one a line
  authentik-stage-operator permissions
  # What each is for
  authentik-stage-operator permissions --explain
  # Those that only some commands need, and for what
  authentik-stage-operator permissions --optional --explain";

/// Arguments of `permissions`.
#[derive(Args, Debug)]
pub struct Permissions {
    /// Print those that only some commands need, and the operator does not.
    #[arg(long)]
    optional: bool,
    /// Print each with what it is for, as a table in Markdown.
    #[arg(long)]
    explain: bool,
    /// Print also the names that authentik 2024.2 has for some. A server refuses names that it does not know.
    #[arg(long, conflicts_with = "explain")]
    former_names: bool,
}

impl Permissions {
    /// Prints the permissions, one a line.
    ///
    /// # Errors
    /// Where the output can't be written.
    pub fn run(self, out: &mut Out) -> Result<(), Failed> {
        if self.explain {
            writeln!(out, "| permission | what for |\n|---|---|")?;
        }
        let permissions = match self.optional {
            true => permissions::optional(),
            false => permissions::all(),
        };
        for permission in permissions {
            if self.explain {
                writeln!(out, "| `{}` | {} |", permission.name, permission.purpose)?;
            } else {
                writeln!(out, "{}", permission.name)?;
            }
            if let Some(former) = permission.formerly.filter(|_| self.former_names) {
                writeln!(out, "{former}")?;
            }
        }
        Ok(())
    }
}
