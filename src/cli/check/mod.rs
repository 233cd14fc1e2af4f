//! `check`: whether a server can be worked with, and what to do where not.
//!
//! ```text
//! finding  what was found, and what to do about it
//! seen     all that was asked, as it was answered
//! token    what follows for the token
//! rights   what follows for its permissions
//! judge    what follows for the rest
//! ask      asks
//! write    writes the report
//! ```
//! Each file uses those above it only.

mod ask;
mod finding;
mod judge;
mod rights;
mod seen;
mod token;
mod write;

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use self::finding::Verdict;
use super::{
    output::{Ended, Failed, Format, Out},
    target::Target,
};
use crate::{
    authentik::{Client, Observer},
    kinds::kind_names,
};

/// How the command is used.
pub const EXAMPLES: &str = "\
Examples:
  # Whether the operator can work with this server and this token
  AUTHENTIK_TOKEN=... authentik-stage-operator check --url https://auth.example.com
  # The same, where only these kinds are used: what they need may not be missing
  authentik-stage-operator check --url https://auth.example.com --token-file token --kind DuoStage --kind Flow
  # Of a server with a certificate of an own CA, for a program
  authentik-stage-operator check --url https://auth.example.com --token-file token --ca-file ca.pem --output json";

/// Arguments of `check`.
#[derive(Args, Debug)]
pub struct Check {
    #[command(flatten)]
    target: Target,
    /// A kind that you use, such as DuoStage. May be given several times. A permission that is missing for it is a failure;
    /// omitted, it is a warning.
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// How the report is written.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Check {
    /// Asks the server, and writes what is well and what is not.
    ///
    /// # Errors
    /// Where URL or token are not given or can't work, a kind is none of ours, or the output can't be written.
    pub async fn run(self, out: &mut Out) -> Ended {
        self.know_kinds()?;
        let config = self.target.config(Observer::default())?;
        let client = Client::new(&config).map_err(|error| Failed::Because(error.to_string()))?;
        let seen = ask::ask(&client, &config.url).await;
        let report = judge::report(&seen, &self.kinds, Timestamp::now());
        match self.output {
            Format::Text => write::text(out, &report)?,
            Format::Json => write::json(out, &report)?,
        }
        Ok(match report.verdict {
            Verdict::Failure => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        })
    }

    fn know_kinds(&self) -> Result<(), Failed> {
        let known: Vec<_> = kind_names().iter().map(|kind| kind.kind).collect();
        let unknown = self
            .kinds
            .iter()
            .find(|kind| !known.contains(&kind.as_str()));
        match unknown {
            None => Ok(()),
            Some(kind) => Err(format!(
                "--kind: there is no kind {kind}; choose of {}",
                known.join(", ")
            )
            .into()),
        }
    }
}
