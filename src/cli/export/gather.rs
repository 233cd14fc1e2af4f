//! Reads from authentik what an export needs: each list once.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use uuid::Uuid;

use super::{
    choice::{Choice, held},
    table::Table,
};
use crate::{
    authentik::{Client, Collection, Error, Version},
    cli::output::{Failed, shows_progress},
    export::{
        Labels, resource_names,
        terraform::{BINDING, Held},
    },
    plan::{AnyRow, Live, bindings::Binding},
};

/// A chosen object.
pub struct Chosen {
    /// What authentik holds.
    pub live: Live,
    /// What its resource is called.
    pub resource: String,
}

/// The chosen objects of a kind, by the names of their resources.
pub struct OfKind {
    /// The kind.
    pub table: Table,
    /// The objects.
    pub chosen: Vec<Chosen>,
}

/// What an export is made of.
pub struct Gathered {
    /// The server's version.
    pub version: Version,
    /// The chosen objects.
    pub kinds: Vec<OfKind>,
    /// What references can name objects by.
    pub labels: Labels,
    /// The bindings of chosen stages, by their stages; nothing where the manifests say nothing of them.
    pub bindings: Option<HashMap<Uuid, Vec<Binding>>>,
    /// What could not be done.
    pub problems: Vec<String>,
}

/// Reads what is chosen.
///
/// # Errors
/// Where authentik does not answer, or does not have what was named.
pub async fn gather(
    client: &Client,
    choice: &Choice,
    tables: Vec<Table>,
    state: &[Held],
) -> Result<Gathered, Failed> {
    let version = client.version().await.map_err(|error| failed(&error))?;
    let mut gathered = Gathered {
        kinds: Vec::new(),
        labels: Labels::default(),
        bindings: None,
        problems: Vec::new(),
        version,
    };
    for table in choice.known(tables, &gathered.version)? {
        gathered.read(client, choice, table, state).await?;
    }
    gathered.expect(client, choice, state)?;
    if choice.flows {
        gathered.read_bindings(client).await?;
    }
    for collection in gathered.referred() {
        progress(collection.path());
        let keep = |row: AnyRow| row.of(collection);
        let rows = client.list(collection, &[], keep).await;
        let rows = rows.map_err(|error| failed(&error))?.rows;
        gathered.labels.add(collection, &rows);
    }
    Ok(gathered)
}

fn failed(error: &Error) -> Failed {
    Failed::Because(format!("authentik can't be read: {error}"))
}

/// Tells a person who waits what is being read.
fn progress(what: &str) {
    if shows_progress() {
        eprintln!("reading {what}");
    }
}

impl Gathered {
    /// Reads the objects of a kind, and keeps the chosen ones.
    async fn read(
        &mut self,
        client: &Client,
        choice: &Choice,
        table: Table,
        state: &[Held],
    ) -> Result<(), Failed> {
        progress(table.collection.path());
        let listing = table.read(client).await.map_err(|error| failed(&error))?;
        let title = table.title;
        self.note_moved(title, listing.complete);
        let mut unreadable: Vec<_> = listing.unreadable.into_iter().collect();
        unreadable.sort_unstable();
        let unreadable = unreadable.into_iter();
        let unreadable = unreadable.filter(|uuid| choice.may_have(&table, *uuid, state));
        self.problems.extend(unreadable.map(|uuid| {
            format!("the {title} {uuid} is left out: authentik's answer about it is not understood")
        }));
        // Names don't depend on what is chosen, so that a later export of more has the same.
        let labels = listing.rows.iter();
        let labels: Vec<_> = labels.map(|live| (live.uuid, live.name.raw())).collect();
        let mut names = resource_names(&labels, table.noun);
        let rows = listing.rows.into_iter();
        let rows = rows.filter(|live| choice.has(&table, live, state));
        let chosen = rows.filter_map(|live| {
            let resource = names.remove(&live.uuid)?;
            Some(Chosen { live, resource })
        });
        let mut chosen: Vec<_> = chosen.collect();
        chosen.sort_by(|one, other| one.resource.cmp(&other.resource));
        self.kinds.push(OfKind { table, chosen });
        Ok(())
    }

    /// Notes that others changed a list while it was read, so that it may not show all.
    fn note_moved(&mut self, title: &str, is_complete: bool) {
        if !is_complete {
            self.problems.push(format!(
                "the list of {title}s changed while it was read, so one may be missing; export again"
            ));
        }
    }

    /// All chosen objects, each with its kind.
    fn all(&self) -> impl Iterator<Item = (&Table, &Live)> {
        self.kinds.iter().flat_map(|kind| {
            let chosen = kind.chosen.iter();
            chosen.map(|chosen| (&kind.table, &chosen.live))
        })
    }

    /// Finds out whether authentik has all that was named.
    fn expect(&mut self, client: &Client, choice: &Choice, state: &[Held]) -> Result<(), Failed> {
        let found: Vec<_> = self.all().map(|(_, live)| live).collect();
        let missing = choice.missing(&found).into_iter();
        let missing: Vec<_> = missing
            .map(|name| format!("{:?}", client.show_str(name).as_str()))
            .collect();
        if !missing.is_empty() {
            return Err(format!(
                "--name: authentik has nothing of the chosen kinds that is named {}; write names as they are there, and --kind Flow for a flow",
                missing.join(", ")
            )
            .into());
        }
        if choice.is_by_state() {
            self.expect_held(client, state);
        }
        Ok(())
    }

    /// Notes what a Terraform state holds and authentik does not.
    fn expect_held(&mut self, client: &Client, state: &[Held]) {
        let found: Vec<_> = self
            .all()
            .flat_map(|(table, live)| held(table, live, state))
            .map(|held| &held.address)
            .collect();
        let objects = state.iter().filter(|held| held.kind != BINDING);
        let missing = objects.filter(|held| !found.contains(&&held.address));
        let missing: Vec<_> = missing
            .map(|held| client.show_str(&held.address))
            .map(|address| format!("--terraform-state: authentik does not show {address}"))
            .collect();
        self.problems.extend(missing);
    }

    /// Reads where the chosen stages stand in flows.
    async fn read_bindings(&mut self, client: &Client) -> Result<(), Failed> {
        let stages = self.all().filter(|(table, _)| table.is_stage);
        let mut bindings: HashMap<_, _> = stages.map(|(_, live)| (live.uuid, Vec::new())).collect();
        if !bindings.is_empty() {
            progress(Collection::BINDINGS.path());
            let is_ours = |binding: &Binding| {
                let stage = binding.stage.parse();
                stage.is_ok_and(|stage: Uuid| bindings.contains_key(&stage))
            };
            let keep = |binding: Binding| is_ours(&binding).then_some(binding);
            let listing = client.list(Collection::BINDINGS, &[], keep).await;
            let listing = listing.map_err(|error| failed(&error))?;
            self.note_moved("flow binding", listing.complete);
            let mut unreadable: Vec<_> = listing.unreadable.into_iter().collect();
            unreadable.sort_unstable();
            self.problems.extend(unreadable.into_iter().map(|uuid| {
                format!("authentik's answer about the flow binding {uuid} is not understood")
            }));
            for binding in listing.rows {
                let stage = binding.stage.parse().ok();
                let of_stage = stage.and_then(|stage: Uuid| bindings.get_mut(&stage));
                of_stage
                    .into_iter()
                    .for_each(|all| all.push(binding.clone()));
            }
        }
        self.bindings = Some(bindings);
        Ok(())
    }

    /// The collections that hold what is referred to.
    fn referred(&self) -> Vec<Collection> {
        let fields = self.all().flat_map(|(table, live)| {
            let fields = table.fields.iter();
            fields.filter_map(|field| Some((field.refers_to?, live.fields.get(field.api)?)))
        });
        let refers = |found: &Value| match found {
            Value::Array(items) => !items.is_empty(),
            one => !one.is_null(),
        };
        let fields = fields.filter(|(_, found)| refers(found));
        let mut referred: BTreeMap<_, _> = fields.map(|(to, _)| (to.path(), to)).collect();
        let bindings = self.bindings.iter().flat_map(HashMap::values);
        if bindings.flatten().next().is_some() {
            referred.insert(Collection::FLOWS.path(), Collection::FLOWS);
        }
        referred.into_values().collect()
    }
}
