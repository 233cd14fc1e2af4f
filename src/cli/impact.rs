//! `impact`: whom a change of a validation stage hits, before it hits them.

use std::{io::Write, process::ExitCode};

use clap::{Args, ValueEnum};

use super::{
    output::{Ended, Failed, Out},
    progress::Progress,
};
use crate::{
    authentik::Client,
    impact::{self, Report},
    kinds::Fields,
};

/// What it ends with where more people would be locked out than may be.
const TOO_MANY: u8 = 2;

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// For a person.
    #[default]
    Text,
    /// For a program.
    Json,
    /// For a comment on a change.
    Markdown,
}

/// How a report is made, and what of.
#[derive(Args, Clone, Debug, Default)]
pub struct Impact {
    /// List by name whom the change hits.
    #[arg(long)]
    pub users: bool,
    /// End with 2 where more people than this would be locked out. Those of whom it can't be told count too.
    #[arg(long, value_name = "N")]
    pub fail_on_lockout: Option<u64>,
    /// How the report is written.
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
}

impl Impact {
    /// Prints whom it hits when the stage of this name, with the fields `before` (nothing where there is no such stage), gets
    /// what is wanted of its fields. What is not wanted otherwise stays as it is.
    ///
    /// # Errors
    /// Where authentik can't be read, the token is not shown devices, or the output can't be written.
    pub async fn run(
        &self,
        client: &Client,
        name: &str,
        before: Option<&Fields>,
        wanted: &Fields,
        out: &mut Out,
    ) -> Ended {
        let report = {
            let after = impact::merged(before, wanted);
            let bar = Progress::of("people");
            let progress = |done, of| bar.at(done, of);
            let report = impact::assess(client, name, before, &after, &progress).await;
            report.map_err(|error| Failed::Because(error.to_string()))?
        };
        out.write_all(self.written(&report)?.as_bytes())?;
        Ok(self.verdict(&report))
    }

    fn written(&self, report: &Report) -> Result<String, Failed> {
        let mut text = String::new();
        let written = match self.output {
            Format::Text => impact::text(report, self.users, &mut text),
            Format::Markdown => impact::markdown(report, self.users, &mut text),
            Format::Json => {
                text = format!("{:#}\n", impact::json(report, self.users));
                Ok(())
            }
        };
        written.map_err(|_| "the report can't be written")?;
        Ok(text)
    }

    fn verdict(&self, report: &Report) -> ExitCode {
        let most = self.fail_on_lockout.unwrap_or(u64::MAX);
        match report.locked_out_at_worst() > most {
            true => ExitCode::from(TOO_MANY),
            false => ExitCode::SUCCESS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        authentik::Shown,
        impact::{Assessed, Outcome, Unseen},
    };

    fn report() -> Report {
        let person = |name, after| Assessed {
            username: Shown::fixed(name),
            seen: (Outcome::HasDevice, after),
            unseen: (Outcome::HasDevice, after),
        };
        let people = [
            person("zoe", Outcome::Refused),
            person("bob", Outcome::Unknown),
        ];
        let stage = Shown::fixed("mfa");
        Report::of(stage, true, &people, Outcome::Refused, Unseen::default())
    }

    #[test]
    fn more_people_than_may_be_locked_out_end_it_with_2() {
        let ends = |fail_on_lockout| {
            let command = Impact {
                fail_on_lockout,
                ..Impact::default()
            };
            format!("{:?}", command.verdict(&report()))
        };
        let code = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(ends(None), code(0));
        assert_eq!(ends(Some(2)), code(0));
        assert_eq!(ends(Some(1)), code(2));
        assert_eq!(ends(Some(0)), code(2));
    }

    #[test]
    fn each_format_shows_names_only_where_they_are_asked_for() {
        for output in [Format::Text, Format::Json, Format::Markdown] {
            for users in [false, true] {
                let command = Impact {
                    users,
                    output,
                    ..Impact::default()
                };
                let text = command.written(&report()).expect("a text");
                assert_eq!(text.contains("zoe"), users, "{text}");
                assert!(text.ends_with('\n'), "{text}");
            }
        }
    }
}
