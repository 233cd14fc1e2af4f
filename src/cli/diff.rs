//! `diff`: what would change if these manifests were applied.

use std::{process::ExitCode, time::Duration};

use clap::Args;

use super::{
    output::{Ended, Failed, Out},
    report::{Action, Format, Row, rows, write},
    sources::Question,
};
use crate::{
    manifests::Set,
    offline::{Server, Session},
};

/// How the command is used.
pub const EXAMPLES: &str = "\
Examples:
  # Ask the server of a connection among the manifests
  authentik-stage-operator diff -f mfa/
  # Ask this server, for a comment of a pull request
  AUTHENTIK_TOKEN=... authentik-stage-operator diff -f mfa/ --url https://auth.example.com --output markdown
  # Also know which stages the resources in the cluster manage already
  kustomize build overlays/production | authentik-stage-operator diff -f - --cluster";

/// The exit code where something differs.
const DIFFERS: u8 = 2;

/// Arguments of `diff`.
#[derive(Args, Debug)]
pub struct Diff {
    #[command(flatten)]
    question: Question,
    /// How the differences are written.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Diff {
    /// Writes what would change.
    ///
    /// # Errors
    /// Where manifests or server can't be used.
    pub async fn run(self, out: &mut Out) -> Ended {
        let (set, server) = self.question.read().await?;
        let rows = planned(&set, &server).await?;
        write(out, self.output, &rows)?;
        Ok(exit_code(&rows))
    }
}

/// What would become of the resources of these manifests.
///
/// # Errors
/// Where no server is named, or it has no token.
pub async fn planned(set: &Set, server: &Server) -> Result<Vec<Row>, Failed> {
    let session = Session::rehearse(set, server)?;
    let ended = session.settled(Duration::ZERO).await;
    session.end().await;
    Ok(rows(set, ended))
}

fn exit_code(rows: &[Row]) -> ExitCode {
    if rows.iter().any(|row| row.action == Action::Refuse) {
        return ExitCode::FAILURE;
    }
    match rows.iter().any(Row::differs) {
        true => ExitCode::from(DIFFERS),
        false => ExitCode::SUCCESS,
    }
}
