//! `impact`: whom a change of a validation stage hits, before it hits them.

use std::{io::Write, process::ExitCode, time::Duration};

use clap::Args;
use serde_json::Value;

use super::{
    output::{Ended, Failed, Out},
    progress::Progress,
    report::Format,
    sources::Question,
};
use crate::{
    authentik::Client,
    impact::{self, Report},
    kinds::{AuthenticatorValidateStage, Fields, Kind},
    offline::{self, Session},
};

/// How the command is used.
pub const EXAMPLES: &str = "\
Examples:
  # Whom do these manifests hit, and who are they?
  authentik-stage-operator impact -f mfa/ --url https://auth.example.com --token-file token --users
  # In a pipeline: fail where anybody would be locked out
  AUTHENTIK_TOKEN=... authentik-stage-operator impact -f mfa/ --url https://auth.example.com --fail-on-lockout 0";

/// What it ends with where more people would be locked out than may be.
const TOO_MANY: u8 = 2;

/// Arguments of `impact`.
#[derive(Args, Debug)]
pub struct Impact {
    #[command(flatten)]
    question: Question,
    #[command(flatten)]
    settings: Settings,
}

/// How a report is made, and when it is a failure.
#[derive(Args, Clone, Debug, Default)]
struct Settings {
    /// List by name whom the change hits.
    #[arg(long)]
    users: bool,
    /// End with 2 where a stage would lock out more people than this. Those of whom it can't be told count too.
    #[arg(long, value_name = "N")]
    fail_on_lockout: Option<u64>,
    /// How the report is written.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Impact {
    /// Writes whom it hits when these manifests are applied, for each validation stage that would change.
    ///
    /// # Errors
    /// Where manifests or server can't be used, or the token is not shown devices.
    pub async fn run(self, out: &mut Out) -> Ended {
        let (set, server) = self.question.read().await?;
        let session = Session::rehearse(&set, &server)?;
        let reports = reports(&session).await;
        session.end().await;
        let reports = reports?;
        out.write_all(self.settings.written(&reports)?.as_bytes())?;
        Ok(self.settings.verdict(&reports))
    }
}

async fn reports(session: &Session) -> Result<Vec<Report>, Failed> {
    let ended = session.settled(Duration::ZERO).await;
    let stages = ended
        .into_iter()
        .filter(|ended| ended.id.kind == AuthenticatorValidateStage::KIND);
    let mut servers: Vec<(Client, Vec<Changed>)> = Vec::new();
    for stage in stages {
        let Some((client, changed)) = changed(session, stage)? else {
            continue;
        };
        match servers.iter_mut().find(|(of, _)| of.is(&client)) {
            Some((_, stages)) => stages.push(changed),
            None => servers.push((client, vec![changed])),
        }
    }
    let mut reports = Vec::new();
    for (client, stages) in &servers {
        reports.extend(assess(client, stages).await?);
    }
    Ok(reports)
}

/// A stage that would change.
struct Changed {
    name: String,
    before: Option<Fields>,
    after: Fields,
}

/// What would become of this stage, and the client of its server; nothing where it stays as it is.
fn changed(session: &Session, stage: offline::Ended) -> Result<Option<(Client, Changed)>, Failed> {
    let planned = stage.planned;
    let Some(wanted) = planned.after else {
        return match stage.reason.as_str() {
            "InSync" | "Drifted" | "" => Ok(None),
            reason => Err(format!("{}: {reason}: {}", stage.id, stage.message).into()),
        };
    };
    let client = session.client_of(&stage.id);
    let client = client.ok_or_else(|| format!("{}: its server does not answer", stage.id))?;
    let changed = Changed {
        name: stage.id.to_string(),
        after: impact::merged(planned.before.as_ref(), &wanted),
        before: planned.before,
    };
    Ok(Some((client, changed)))
}

/// Whom the changes of these stages of one server hit.
async fn assess(client: &Client, stages: &[Changed]) -> Result<Vec<Report>, Failed> {
    let names: Vec<_> = stages.iter().map(|stage| stage.name.as_str()).collect();
    let stages = stages.iter().map(|stage| impact::Stage {
        name: &stage.name,
        before: stage.before.as_ref(),
        after: &stage.after,
    });
    let stages: Vec<_> = stages.collect();
    let bar = Progress::of("people");
    let progress = |done, of| bar.at(done, of);
    let reports = impact::assess(client, &stages, &progress).await;
    reports.map_err(|error| format!("{}: {error}", names.join(", ")).into())
}

impl Settings {
    fn written(&self, reports: &[Report]) -> Result<String, Failed> {
        if self.output == Format::Json {
            let reports = reports
                .iter()
                .map(|report| impact::json(report, self.users));
            return Ok(format!("{:#}\n", reports.collect::<Value>()));
        }
        let mut text = String::new();
        for report in reports {
            let written = match self.output {
                Format::Markdown => impact::markdown(report, self.users, &mut text),
                _ => impact::text(report, self.users, &mut text),
            };
            written.map_err(|_| "the report can't be written")?;
        }
        if reports.is_empty() {
            text.push_str("No validation stage would change.\n");
        }
        Ok(text)
    }

    fn verdict(&self, reports: &[Report]) -> ExitCode {
        let most = self.fail_on_lockout.unwrap_or(u64::MAX);
        match reports
            .iter()
            .any(|report| report.locked_out_at_worst() > most)
        {
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
            let command = Settings {
                fail_on_lockout,
                ..Settings::default()
            };
            format!("{:?}", command.verdict(&[report()]))
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
                let command = Settings {
                    users,
                    output,
                    ..Settings::default()
                };
                let text = command.written(&[report()]).expect("a text");
                assert_eq!(text.contains("zoe"), users, "{text}");
                assert!(text.ends_with('\n'), "{text}");
            }
        }
    }
}
