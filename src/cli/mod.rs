//! The command line: one file a subcommand.

mod apply;
mod check;
mod completions;
mod crds;
mod diff;
mod export;
mod impact;
mod man;
mod name;
mod output;
mod permissions;
mod progress;
mod rbac;
mod report;
mod run;
mod signals;
mod sources;
mod status;
mod target;

use std::{env, path::PathBuf, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

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
    #[command(after_help = run::EXAMPLES)]
    Run(run::Run),
    /// Show what would change if manifests were applied, without a change. Ends with 0 where nothing differs, 2 where something
    /// does, and 1 where something can't be done.
    #[command(after_help = diff::EXAMPLES)]
    Diff(Box<diff::Diff>),
    /// Show whom a change of validation stages hits: who would be locked out, asked to enrol, or let through. Ends with 2 where
    /// more people would be locked out than may be.
    #[command(after_help = impact::EXAMPLES)]
    Impact(Box<impact::Impact>),
    /// Apply manifests once, without Kubernetes. Nothing is ever deleted.
    #[command(after_help = apply::EXAMPLES)]
    Apply(Box<apply::Apply>),
    /// Find out whether the operator can work with a server and a token, and what to do where not. Ends with 1 where something
    /// does not work.
    #[command(after_help = check::EXAMPLES)]
    Check(check::Check),
    /// Show how the resources of a cluster stand.
    #[command(after_help = status::EXAMPLES)]
    Status(status::Status),
    /// Print the CRDs as YAML.
    #[command(after_help = crds::EXAMPLES)]
    Crds(crds::Crds),
    /// Print what the operator needs to be allowed in Kubernetes, as a ClusterRole.
    #[command(after_help = rbac::EXAMPLES)]
    Rbac(rbac::Rbac),
    /// Print what the user of an API token needs to be allowed in authentik.
    #[command(after_help = permissions::EXAMPLES)]
    Permissions(permissions::Permissions),
    /// Write manifests of what is in an authentik, ready to be committed.
    #[command(after_help = export::EXAMPLES)]
    Export(export::Export),
    /// Print what lets a shell complete the commands and their options.
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::Completions),
    /// Write the manual pages.
    #[command(after_help = man::EXAMPLES)]
    Man(man::Man),
}

/// Parses the arguments and does what they say. Returns the process's exit code: 1 for every error, those of the arguments too, so
/// that 2 can mean something else.
pub async fn main() -> ExitCode {
    let matches = described().try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors. Where nobody reads this, there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    output::exit_code(cli.command.run(&mut output::stdout()).await)
}

/// The command line, by the name that it is called by.
fn described() -> clap::Command {
    let called = env::args_os().next().map(PathBuf::from);
    name::named(Cli::command(), called.as_deref())
}

impl Command {
    async fn run(self, out: &mut Out) -> Ended {
        match self {
            Self::Run(run) => run.run().await?,
            Self::Diff(diff) => return diff.run(out).await,
            Self::Impact(impact) => return impact.run(out).await,
            Self::Apply(apply) => return apply.run(out).await,
            Self::Check(check) => return check.run(out).await,
            Self::Status(status) => return status.run(out).await,
            Self::Crds(crds) => crds.run(out)?,
            Self::Rbac(rbac) => rbac.run(out)?,
            Self::Permissions(permissions) => permissions.run(out)?,
            Self::Export(export) => return export.run(out).await,
            Self::Completions(completions) => completions.run(described(), out)?,
            Self::Man(man) => man.run(described())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
