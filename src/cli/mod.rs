//! The command line: one file a subcommand.

mod crds;
pub mod impact;
mod output;
mod permissions;
mod progress;
mod rbac;
mod run;
mod target;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::output::{Ended, Out};

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

/// Parses the arguments and does what they say. Returns the process's exit code: 1 for every error, those of the arguments too, so
/// that 2 can mean something else.
pub async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors. Where nobody reads this, there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    output::exit_code(cli.command.run(&mut output::stdout()).await)
}

impl Command {
    async fn run(self, out: &mut Out) -> Ended {
        match self {
            Self::Run(run) => run.run().await?,
            Self::Crds(crds) => crds.run(out)?,
            Self::Rbac(rbac) => rbac.run(out)?,
            Self::Permissions(permissions) => permissions.run(out)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
