//! The command line: one file a subcommand.

mod crds;
mod rbac;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Kubernetes operator for authentik's authenticator validation and Duo stages.
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
}

/// Parses the arguments and does what they say. Returns the process's exit code.
pub async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(run) => run.run().await,
        Command::Crds(crds) => crds.run(),
        Command::Rbac(rbac) => rbac.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
