//! `permissions`: what the user of an API token needs to be allowed in authentik.

use clap::Args;

use crate::ops::permissions;

/// Arguments of `permissions`.
#[derive(Args, Debug)]
pub struct Permissions {
    /// Print each with what it is for, as a table in Markdown.
    #[arg(long)]
    explain: bool,
}

impl Permissions {
    /// Prints the permissions, one a line.
    ///
    /// # Errors
    /// Never; every subcommand can say so.
    pub fn run(self) -> Result<(), String> {
        if self.explain {
            println!("| permission | what for |\n|---|---|");
        }
        for permission in permissions::all() {
            if self.explain {
                println!("| `{}` | {} |", permission.name, permission.purpose);
            } else {
                println!("{}", permission.name);
            }
        }
        Ok(())
    }
}
