//! `completions`: what lets a shell complete the commands and their options.

use std::io::Write;

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::output::{Failed, Out};

/// How the command is used.
pub const EXAMPLES: &str = "\
Examples:
  # For this shell
  source <(authentik-stage-operator completions bash)
  # For every shell of this user
  authentik-stage-operator completions fish > ~/.config/fish/completions/authentik-stage-operator.fish";

/// Arguments of `completions`.
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    /// Prints the script for this command line.
    ///
    /// # Errors
    /// Where the output can't be written.
    pub fn run(self, mut command: Command, out: &mut Out) -> Result<(), Failed> {
        let mut script = Vec::new();
        let name = command.get_name().to_owned();
        generate(self.shell, &mut command, name, &mut script);
        Ok(out.write_all(&script)?)
    }
}
