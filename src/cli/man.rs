//! `man`: the manual pages.

use std::{fs, path::PathBuf};

use clap::{Args, Command};

use super::output::Failed;

/// How the command is used.
pub const EXAMPLES: &str = "\
Examples:
  # One page a command, for this user
  authentik-stage-operator man --output-dir ~/.local/share/man/man1
  man authentik-stage-operator-check";

/// Arguments of `man`.
#[derive(Args, Debug)]
pub struct Man {
    /// The folder that the pages are written into; it is made where it is missing.
    #[arg(long, value_name = "DIR")]
    output_dir: PathBuf,
}

impl Man {
    /// Writes a page for the program and one for each command.
    ///
    /// # Errors
    /// For a folder that can't be written.
    pub fn run(self, command: Command) -> Result<(), Failed> {
        let refused = |error| {
            let folder = self.output_dir.display();
            Failed::Because(format!("--output-dir: {folder} can't be written: {error}"))
        };
        fs::create_dir_all(&self.output_dir).map_err(refused)?;
        // Its own `help` is no command with a page.
        let command = command.disable_help_subcommand(true);
        clap_mangen::generate_to(command, &self.output_dir).map_err(refused)
    }
}
