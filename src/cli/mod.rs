//! The command line: one file a subcommand.

mod crds;
mod permissions;
mod rbac;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Kubernetes operator for authentik's authenticator stages and flows.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller.
    Run(run::Run),
    /// Print the CRDs as YAML.
    Crds(crds::Crds),
    /// Print what the operator needs to be allowed in Kubernetes, as a ClusterRole.
    Rbac(rbac::Rbac),
    /// Print what the user of an API token needs to be allowed in authentik.
    Permissions(permissions::Permissions),
}

/// Parses the arguments and does what they say. Returns the process's exit code.
pub async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(run) => run.run().await,
        Command::Crds(crds) => crds.run(),
        Command::Rbac(rbac) => rbac.run(),
        Command::Permissions(permissions) => permissions.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
