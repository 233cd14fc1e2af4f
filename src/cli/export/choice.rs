//! Which objects an export is of.

use clap::Args;
use uuid::Uuid;

use super::table::{Table, tables};
use crate::{authentik::Version, cli::output::Failed, export::terraform::Held, plan::Live};

/// Which objects are chosen.
#[derive(Args, Clone, Debug, Default)]
pub struct Choice {
    /// Only this kind, such as DuoStage; it can be given several times.
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Only what has this name in authentik, or this slug; it can be given several times.
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// All stages of all kinds and, with --flows, all flows.
    #[arg(long, conflicts_with_all = ["kind", "name"])]
    all: bool,
    /// Also where each stage stands in flows, as spec.flows. With --all also the flows themselves.
    #[arg(long)]
    pub flows: bool,
}

impl Choice {
    /// The kinds whose objects have to be looked through.
    ///
    /// # Errors
    /// Where nothing is chosen, or a kind that is none of ours.
    pub fn tables(&self, state: Option<&[Held]>) -> Result<Vec<Table>, Failed> {
        let all = tables();
        let names: Vec<_> = all.iter().map(|table| table.kind).collect();
        if let Some(unknown) = self
            .kind
            .iter()
            .find(|kind| !names.contains(&kind.as_str()))
        {
            let names = names.join(", ");
            let why = format!("--kind: there is no kind {unknown:?}; choose of {names}");
            return Err(why.into());
        }
        let is_held = |table: &Table| {
            let mut held = state.into_iter().flatten();
            held.any(|held| held.kind == table.terraform)
        };
        let is_chosen = |table: &Table| match (self.all, self.kind.as_slice()) {
            (true, _) => table.is_stage || self.flows,
            (false, []) if self.name.is_empty() => is_held(table),
            (false, []) => table.is_stage,
            (false, kinds) => kinds.iter().any(|kind| kind == table.kind),
        };
        if !self.is_by_state() || state.is_some() {
            return Ok(all.into_iter().filter(is_chosen).collect());
        }
        Err("nothing is chosen: give --all, --kind, --name or --terraform-state".into())
    }

    /// Those of these kinds that the server has.
    ///
    /// # Errors
    /// Where it is too old for one that was named.
    pub fn known(&self, tables: Vec<Table>, version: &Version) -> Result<Vec<Table>, Failed> {
        let mut known = Vec::new();
        for table in tables {
            match table.not_before(version) {
                Some(since) if !self.kind.is_empty() => {
                    let kind = table.kind;
                    let why = format!(
                        "--kind {kind}: there are such objects since {since}, and this server is authentik {version}; leave the kind out"
                    );
                    return Err(why.into());
                }
                Some(_) => {}
                None => known.push(table),
            }
        }
        Ok(known)
    }

    /// Whether only a Terraform state says what is chosen.
    pub fn is_by_state(&self) -> bool {
        !self.all && self.kind.is_empty() && self.name.is_empty()
    }

    /// Whether this object is chosen.
    pub fn has(&self, table: &Table, live: &Live, state: &[Held]) -> bool {
        let label = live.name.raw();
        let is_named = self.name.is_empty() || self.name.iter().any(|name| name == label);
        is_named && (!self.is_by_state() || held(table, live, state).next().is_some())
    }

    /// Whether an object of this kind that can't be understood may be a chosen one.
    pub fn may_have(&self, table: &Table, uuid: Uuid, state: &[Held]) -> bool {
        let mut held = state.iter();
        match self.is_by_state() {
            true => held.any(|held| held.is(table.terraform, uuid, None)),
            false => self.name.is_empty(),
        }
    }

    /// The names that none of these objects has.
    pub fn missing<'a>(&'a self, found: &[&Live]) -> Vec<&'a str> {
        let names = self.name.iter().map(String::as_str);
        let is_found = |name: &&str| found.iter().any(|live| live.name == **name);
        names.filter(|name| !is_found(name)).collect()
    }
}

/// What of a Terraform state stands for this object.
pub fn held<'a>(
    table: &'a Table,
    live: &'a Live,
    state: &'a [Held],
) -> impl Iterator<Item = &'a Held> {
    let label = table
        .collection
        .is_found_by_label()
        .then(|| live.name.raw());
    state
        .iter()
        .filter(move |held| held.is(table.terraform, live.uuid, label))
}
