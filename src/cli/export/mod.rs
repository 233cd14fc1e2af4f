//! `export`: manifests of what is in an authentik, ready to be committed.
//!
//! ```text
//! table   what an export has to know of each kind
//! choice  which objects it is of
//! gather  reads what it needs from authentik
//! write   writes manifests
//! ```
//! Each file uses those above it only.

mod choice;
mod gather;
mod table;
mod write;

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use self::{
    choice::{Choice, held},
    gather::{Chosen, Gathered, OfKind, gather},
    table::tables,
    write::{Document, To, write},
};
use super::{
    output::{Ended, Failed, Out, shows_progress},
    target::Target,
};
use crate::{
    authentik::Client,
    export::{
        Frame, Manifest, Object, Refused,
        terraform::{self, BINDING, Held},
    },
};

/// Most bytes of a Terraform state.
const MAX_STATE: u64 = 64 * 1024 * 1024;

/// How the command is used.
pub const EXAMPLES: &str = "\
Examples:
  # All stages and flows, one file a resource
  AUTHENTIK_TOKEN=... authentik-stage-operator export --url https://auth.example.com --output-dir mfa
  # The Duo stages alone
  authentik-stage-operator export --url https://auth.example.com --token-file token --kind DuoStage";

/// Arguments of `export`.
#[derive(Args, Debug)]
pub struct Export {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    choice: Choice,
    /// Write one file a resource into this folder instead of printing; it is made where it is missing.
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// Replace files that are there.
    #[arg(long, requires = "output_dir")]
    force: bool,
    /// The namespace that the manifests name. Omitted: none.
    #[arg(long)]
    namespace: Option<String>,
    /// A Terraform state of version 4. The commands are added that let Terraform forget what is exported. Without --all, --kind
    /// and --name, what the state holds is exported.
    #[arg(long, value_name = "FILE")]
    terraform_state: Option<PathBuf>,
}

impl Export {
    /// Writes the manifests. What could not be exported is told on the standard error; the code is 1 then.
    ///
    /// # Errors
    /// Where nothing is written: for wrong arguments, or where authentik can't be read.
    pub async fn run(self, out: &mut Out) -> Ended {
        let state = self
            .terraform_state
            .as_deref()
            .map(read_state)
            .transpose()?;
        let tables = self.choice.tables(state.as_deref())?;
        let state = state.unwrap_or_default();
        let client = self.target.client()?;
        let mut gathered = gather(&client, &self.choice, tables, &state).await?;
        let (documents, commands) = self.documents(&client, &mut gathered, &state)?;
        if documents.is_empty() && shows_progress() {
            eprintln!("authentik has nothing that is chosen");
        }
        let to = match &self.output_dir {
            None => To::Stream,
            Some(folder) => To::Folder {
                folder,
                replaces: self.force,
            },
        };
        write(&to, &documents, &commands, out)?;
        for problem in &gathered.problems {
            // Where this can't be written either, the code says enough.
            let _ = writeln!(io::stderr(), "error: {problem}");
        }
        Ok(match gathered.problems.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }

    /// The manifests, and the commands that let Terraform forget what they hold.
    fn documents(
        &self,
        client: &Client,
        gathered: &mut Gathered,
        state: &[Held],
    ) -> Result<(Vec<Document>, Vec<String>), Failed> {
        let (mut documents, mut commands, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        let token = self.target.token()?;
        for of_kind in &gathered.kinds {
            for (chosen, made) in self.manifests(gathered, of_kind) {
                let (table, live) = (&of_kind.table, &chosen.live);
                let title = table.title;
                match text(made, token.as_ref()) {
                    Ok((manifest, text)) => {
                        let file = manifest.file_name();
                        documents.push(Document { file, text });
                        commands.extend(held(table, live, state).map(Held::forget));
                        commands.extend(forget_bindings(&manifest, state));
                    }
                    Err(why) => {
                        let name = client.show(&live.name);
                        problems.push(format!("the {title} {name} is left out: {why}"));
                    }
                }
            }
        }
        gathered.problems.extend(problems);
        Ok((documents, commands))
    }

    /// The manifest of each chosen object of a kind.
    fn manifests<'a>(
        &self,
        gathered: &Gathered,
        of_kind: &'a OfKind,
    ) -> Vec<(&'a Chosen, Result<Manifest, Refused>)> {
        let table = &of_kind.table;
        let frame = Frame {
            schema: &(table.schema)(),
            version: &gathered.version,
            labels: &gathered.labels,
            namespace: self.namespace.as_deref(),
        };
        let made = of_kind.chosen.iter().map(|chosen| {
            let bindings = gathered.bindings.as_ref();
            let object = Object {
                live: &chosen.live,
                resource: &chosen.resource,
                bindings: bindings
                    .and_then(|bindings| bindings.get(&chosen.live.uuid))
                    .map(Vec::as_slice),
            };
            (chosen, (table.manifest)(&frame, &object))
        });
        made.collect()
    }
}

/// The text of a manifest. It is to be committed, so it must not repeat the token, as the answer of a hostile server could.
///
/// # Errors
/// Why there is none.
fn text(
    made: Result<Manifest, Refused>,
    token: Option<&SecretString>,
) -> Result<(Manifest, String), String> {
    let manifest = made.map_err(|why| format!("no manifest can describe it: {why}"))?;
    let text = manifest.yaml()?;
    let token = token.map_or("", |token| token.expose_secret().trim());
    match !token.is_empty() && text.contains(token) {
        true => Err("authentik's answer about it repeats the token".to_owned()),
        false => Ok((manifest, text)),
    }
}

/// The commands that let Terraform forget the bindings that a manifest holds.
fn forget_bindings(manifest: &Manifest, state: &[Held]) -> Vec<String> {
    let mut commands = Vec::new();
    for binding in &manifest.bindings {
        let held = state.iter().filter(|held| held.is(BINDING, *binding, None));
        commands.extend(held.map(Held::forget));
    }
    commands
}

/// What a Terraform state holds of our kinds and their bindings.
fn read_state(path: &Path) -> Result<Vec<Held>, Failed> {
    let of_state = |why: String| format!("--terraform-state: {}: {why}", path.display());
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_STATE + 1).read_to_end(&mut text));
    read.map_err(|error| of_state(format!("it can't be read: {error}")))?;
    if text.len() as u64 > MAX_STATE {
        let most = MAX_STATE / 1024 / 1024;
        return Err(of_state(format!(
            "it has more than {most} MiB, which is the most that is read"
        ))
        .into());
    }
    let tables = tables();
    let types = tables.iter().map(|table| table.terraform);
    let types: Vec<_> = types.chain([BINDING]).collect();
    Ok(terraform::read(&text, &types).map_err(of_state)?)
}
