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
  authentik-stage-operator permissions --explain";

/// Arguments of `permissions`.
#[derive(Args, Debug)]
pub struct Permissions {
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
        for permission in permissions::all() {
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
