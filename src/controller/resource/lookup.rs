//! How an object of authentik is found that a spec names: in a list or, where that does not show it, by a request for this
//! one object.

use std::fmt::Display;

use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::stop::{Steps, Stop};
use crate::{
    authentik::{Client, Collection, Error, Weigh},
    controller::{
        connection::{List, Listed, State},
        memory::View,
    },
    plan::failure::{Failure, Reason},
    stages::Field,
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

/// A list, and how one object of it is asked for.
pub(super) struct Place<'a, T> {
    pub list: &'a List<T>,
    pub collection: Collection,
    /// The filter by label.
    pub label: &'static str,
    /// The filter by UUID; none where an object's page is found by it.
    pub uuid: Option<&'static str>,
}

/// Finds the one object of this name. A person who asked for a look gets one at authentik itself.
///
/// # Errors
/// Where there is none, or several; and those of the list and the request.
pub(super) async fn find<T>(
    client: &Client,
    view: &View,
    field: &Field,
    place: &Place<'_, T>,
    name: Name<'_>,
    reference: &impl Display,
) -> Steps<Uuid>
where
    T: Listed + Weigh + DeserializeOwned,
{
    let list = place.list;
    match list.state(None, view.waits_since) {
        State::NotYet => return Err(Stop::NotYet),
        State::Refused(error) => return Err(error.into()),
        State::Read => {}
    }
    let mut found = listed(list, &name);
    if found.is_empty() || view.asked.is_some() {
        ask(client, place, &name).await?;
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
async fn ask<T>(client: &Client, place: &Place<'_, T>, name: &Name<'_>) -> Result<(), Error>
where
    T: Listed + Weigh + DeserializeOwned,
{
    let rows = match (name, place.uuid) {
        (Name::Uuid(uuid), None) => {
            let found: Option<T> = client.get(place.collection, &uuid.to_string()).await?;
            Vec::from_iter(found)
        }
        (Name::Uuid(uuid), Some(filter)) => {
            let value = uuid.to_string();
            let keep = |row: T| (row.uuid() == *uuid).then_some(row);
            let filter = [(filter, value.as_str())];
            client.list(place.collection, &filter, keep).await?.rows
        }
        (Name::Label(label), _) => {
            let keep = |row: T| (row.label() == *label).then_some(row);
            let filter = [(place.label, *label)];
            client.list(place.collection, &filter, keep).await?.rows
        }
    };
    for known in listed(place.list, name) {
        if rows.iter().all(|row| row.uuid() != known) {
            place.list.note(known, None);
        }
    }
    for row in rows {
        place.list.note(row.uuid(), Some(place.list.kept(row)));
    }
    Ok(())
}

fn listed<T: Listed>(list: &List<T>, name: &Name<'_>) -> Vec<Uuid> {
    match name {
        Name::Label(label) => list.labelled(label).iter().map(|row| row.uuid()).collect(),
        Name::Uuid(uuid) => list.get(*uuid).into_iter().map(|_| *uuid).collect(),
    }
}
