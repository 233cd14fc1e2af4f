//! `apply`: one reconcile without Kubernetes.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Args;

use super::{
    diff::planned,
    output::{Ended, Failed, Out},
    report::{Action, Format, Row, rows, write},
    signals::Signals,
    sources::Question,
};
use crate::{
    manifests::Set,
    offline::{Progress, Server, Session},
};

/// How the command is used.
pub const EXAMPLES: &str = "\
Examples:
  # Show what would change, ask, and change it
  authentik-stage-operator apply -f mfa/ --url https://auth.example.com --token-file token
  # In a pipeline, with the value of the key client-secret of the Secret duo
  SECRET_DUO_CLIENT_SECRET=... AUTHENTIK_TOKEN=... authentik-stage-operator apply -f mfa/ --url https://auth.example.com --yes";

/// How long a server that does not answer is tried again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `apply`.
#[derive(Args, Debug)]
pub struct Apply {
    #[command(flatten)]
    question: Question,
    /// Don't ask whether to go on.
    #[arg(short, long)]
    yes: bool,
}

impl Apply {
    /// Shows what would change, asks, and changes it.
    ///
    /// # Errors
    /// Where manifests or server can't be used, or something could not be applied.
    pub async fn run(self, out: &mut Out) -> Ended {
        let (set, server) = self.question.read().await?;
        let plan = planned(&set, &server).await?;
        write(out, Format::Text, &plan)?;
        if let Some(why) = creation_without_secret(&plan) {
            return Err(why.into());
        }
        if !plan.iter().any(is_to_do) {
            return Ok(exit_code(&plan));
        }
        if !self.yes && !confirmed(out)? {
            writeln!(out, "nothing was changed")?;
            return Ok(ExitCode::FAILURE);
        }
        apply(&set, &server, out).await
    }
}

fn is_to_do(row: &Row) -> bool {
    [Action::Create, Action::Update].contains(&row.action)
}

/// authentik wants the secrets of what is created.
fn creation_without_secret(plan: &[Row]) -> Option<String> {
    let mut creations = plan.iter().filter(|row| row.action == Action::Create);
    let row = creations.find(|row| !row.unknown.is_empty())?;
    Some(format!(
        "{row} can't be created without {}: add the manifest of the Secret, or set the variable SECRET_<its name>_<its key>",
        row.unknown.join(", ")
    ))
}

fn confirmed(out: &mut Out) -> Result<bool, Failed> {
    if !std::io::stdin().is_terminal() {
        return Err("nobody can be asked here whether to go on; give --yes".into());
    }
    write!(out, "Change authentik so? Only yes goes on: ")?;
    out.flush()?;
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.map_err(|error| format!("the answer can't be read: {error}"))?;
    Ok(answer.trim() == "yes")
}

async fn apply(set: &Set, server: &Server, out: &mut Out) -> Ended {
    // From before the first write on.
    let mut signals = Signals::listen()?;
    let session = Session::write(set, server, progress())?;
    let interrupted = tokio::select! {
        _ = session.settled(PATIENCE) => false,
        () = signals.come() => true,
    };
    let ended = session.ended();
    if interrupted {
        // Where this can't be written, the error below tells all the same.
        let _ = writeln!(
            anstream::stderr(),
            "interrupted: waiting for the answers to what was sent"
        );
    }
    // What has been sent is answered first.
    session.end().await;
    let rows = rows(set, ended);
    let done = rows.iter().filter(|row| row.action == Action::None).count();
    if interrupted {
        return Err(format!(
            "interrupted: {done} of {} are as declared; apply again to go on",
            rows.len()
        )
        .into());
    }
    for row in rows.iter().filter(|row| row.action == Action::Refuse) {
        writeln!(out, "! {row}: {}: {}", row.reason, row.message)?;
    }
    writeln!(out, "{done} of {} are as declared", rows.len())?;
    Ok(exit_code(&rows))
}

fn exit_code(rows: &[Row]) -> ExitCode {
    let is_refused = |row: &Row| row.action == Action::Refuse;
    ExitCode::from(u8::from(rows.iter().any(is_refused)))
}

/// Says what is done, once it is done.
fn progress() -> Progress {
    Arc::new(|about, reason, note| {
        // Where this can't be written, the summary tells all the same.
        let _ = writeln!(anstream::stderr(), "{about}: {reason}: {note}");
    })
}
