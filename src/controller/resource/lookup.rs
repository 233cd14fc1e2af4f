//! How an object of authentik is found that a spec names: in a list or, where that does not show it, by a request for this
//! one object.

use uuid::Uuid;

use super::stop::{Steps, Stop};
use crate::{
    authentik::{Client, Collection, Error},
    controller::{
        connection::{List, Server, State},
        memory::View,
    },
    kinds::{Field, Reference},
    plan::{
        AnyRow, Referred,
        failure::{Failure, Reason},
    },
};

/// The most objects that a message names.
const MOST_NAMED: usize = 10;

/// By what a spec names an object.
pub(super) enum Name<'a> {
    /// Its name, slug or description.
    Label(&'a str),
    /// Its UUID.
    Uuid(Uuid),
}

/// Finds the one object of this name. A person who asked for a look gets one at authentik itself.
///
/// # Errors
/// Where there is none, or several; and those of the list and the request.
pub(super) async fn find(
    server: &Server,
    view: &View,
    field: &Field,
    reference: &Reference,
    name: Name<'_>,
) -> Steps<Uuid> {
    let list = &*server.inventory.referred(reference.to);
    match list.state(None, view.waits_since) {
        State::NotYet => return Err(Stop::NotYet),
        State::Refused(error) => return Err(error.into()),
        State::Read => {}
    }
    let mut found = listed(list, &name);
    if found.is_empty() || view.asked.is_some() {
        ask(&server.client, reference.to, list, &name).await?;
        found = listed(list, &name);
    }
    let failure = match found.as_slice() {
        [uuid] => return Ok(*uuid),
        [] => Failure::new(
            Reason::ReferenceNotFound,
            format!(
                "{}: authentik has no {reference}; create it there or name another",
                field.spec
            ),
        ),
        several => Failure::new(
            Reason::ReferenceAmbiguous,
            format!(
                "{}: authentik has more than one {reference}: {}; name one by its UUID",
                field.spec,
                named(several)
            ),
        ),
    };
    Err(failure.into())
}

fn named(uuids: &[Uuid]) -> String {
    let mut uuids: Vec<_> = uuids.iter().map(Uuid::to_string).collect();
    uuids.sort_unstable();
    uuids.truncate(MOST_NAMED);
    uuids.join(", ")
}

/// Asks authentik for the objects of this name, and notes what it says in the list.
async fn ask(
    client: &Client,
    collection: Collection,
    list: &List<Referred>,
    name: &Name<'_>,
) -> Result<(), Error> {
    let rows = match name {
        Name::Uuid(uuid) => {
            let found: Option<AnyRow> = client.get(collection, *uuid).await?;
            let found = found.and_then(|row| row.of(collection));
            Vec::from_iter(found)
        }
        Name::Label(label) => {
            let keep = |row: AnyRow| {
                let row = row.of(collection)?;
                (row.label == **label).then_some(row)
            };
            let filter = [(collection.label(), *label)];
            client.list(collection, &filter, keep).await?.rows
        }
    };
    for known in listed(list, name) {
        if rows.iter().all(|row| row.key != known) {
            list.note(known, None);
        }
    }
    for row in rows {
        list.note(row.key, Some(list.kept(row)));
    }
    Ok(())
}

fn listed(list: &List<Referred>, name: &Name<'_>) -> Vec<Uuid> {
    match name {
        Name::Label(label) => list.labelled(label).iter().map(|row| row.key).collect(),
        Name::Uuid(uuid) => list.get(*uuid).into_iter().map(|_| *uuid).collect(),
    }
}
