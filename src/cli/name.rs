//! What the program is called in what it says about itself.

use std::path::Path;

use clap::Command;

/// The name of the program.
const NAME: &str = env!("CARGO_PKG_NAME");

/// The name under which kubectl finds it as a plugin.
const PLUGIN: &str = "kubectl-authentik";

/// How people call the plugin.
const CALLED: &str = "kubectl authentik";

/// The command line as it is called by this path: as a plugin of kubectl, help and examples name it so.
pub fn named(command: Command, called: Option<&Path>) -> Command {
    let stem = called.and_then(Path::file_stem);
    if stem.is_none_or(|stem| stem != PLUGIN) {
        return command;
    }
    let command = command.name(PLUGIN).bin_name(CALLED);
    command.mut_subcommands(|subcommand| match subcommand.get_after_help() {
        Some(examples) => {
            let examples = examples.to_string().replace(NAME, CALLED);
            subcommand.after_help(examples)
        }
        None => subcommand,
    })
}
