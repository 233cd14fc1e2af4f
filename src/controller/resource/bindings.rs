//! The places of a stage in its flows.

use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    observe::{Sight, slugs},
    stop::{Steps, Stop},
    subject::Subject,
};
use crate::{
    api::BoundFlow,
    authentik::{Body, Collection, Error},
    controller::{
        connection::{Server, State, bindings_of},
        context::Context,
    },
    kinds::{Bound, Kind},
    plan::{
        Desired, Record,
        bindings::{Binding, BindingWrite},
    },
};

/// Where the stage stands in flows: from the list or, where that does not hold it or is not to be trusted, from authentik.
pub(super) async fn observe<K: Kind>(
    subject: &Subject<K>,
    server: &Server,
    record: &Record,
    sight: &Sight,
) -> Steps<Vec<Arc<Binding>>> {
    if !record.manages_bindings {
        return Ok(Vec::new());
    }
    let list = &server.inventory.bindings;
    // Also for a stage that is not there yet: what others add to it later is to be told from what it was created with.
    match list.state(None, subject.view.waits_since) {
        State::NotYet => return Err(Stop::NotYet),
        State::Refused(error) => return Err(error.into()),
        State::Read => {}
    }
    let Some(live) = &sight.live else {
        return Ok(Vec::new());
    };
    // The list holds the bindings of stages that somebody stood for when it was read.
    let is_own = record
        .managed()
        .is_some_and(|stage| stage.uuid == live.uuid);
    let was_own = record.before.stage.as_ref();
    let was_own = was_own.is_some_and(|stage| stage.uuid == live.uuid);
    if is_own && was_own && !sight.is_certain {
        return Ok(list.labelled(&live.uuid.to_string()));
    }
    Ok(look_up(server, K::USAGE.bound, live.uuid).await?)
}

/// Asks authentik for the bindings of a stage, or of a flow, and notes what it says of a stage's.
pub(super) async fn look_up(
    server: &Server,
    bound: Bound,
    uuid: Uuid,
) -> Result<Vec<Arc<Binding>>, Error> {
    let text = uuid.to_string();
    let listing = bindings_of(&server.client, bound, uuid).await?;
    if bound == Bound::Flow {
        return Ok(listing.rows.into_iter().map(Arc::new).collect());
    }
    let list = &server.inventory.bindings;
    for stale in list.labelled(&text) {
        if !listing.keys.contains(&stale.pk) {
            list.note(stale.pk, None);
        }
    }
    let found: Vec<_> = listing.rows.into_iter().map(|row| list.kept(row)).collect();
    for binding in &found {
        list.note(binding.pk, Some(binding.clone()));
    }
    Ok(found)
}

/// Writes what differs. Returns whether anything was written, and how it ended.
pub(super) async fn write<K>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Server,
    stage: Uuid,
    writes: Vec<BindingWrite>,
) -> (bool, Result<(), Error>) {
    subject.writes.begin();
    let mut has_written = false;
    for write in writes {
        match write_one(server, stage, write).await {
            Ok(()) => has_written = true,
            // Someone else was faster: what there is now decides.
            Err(Error::NotFound) => return (has_written, Ok(())),
            Err(error) if is_not_unique(&error) => return (has_written, Ok(())),
            Err(error) => {
                if error.outcome_unknown() {
                    let memory = &ctx.shared.memory;
                    memory.with(&subject.uid, |entry| entry.is_uncertain = true);
                }
                return (has_written, Err(error));
            }
        }
    }
    (has_written, Ok(()))
}

async fn write_one(server: &Server, stage: Uuid, write: BindingWrite) -> Result<(), Error> {
    let (client, list) = (&server.client, &server.inventory.bindings);
    let binding: Binding = match write {
        BindingWrite::Create(mut fields) => {
            fields.insert("stage".to_owned(), Value::from(stage.to_string()));
            client.create(Collection::BINDINGS, &body(fields)).await?
        }
        BindingWrite::Update(pk, fields) => {
            client
                .update(Collection::BINDINGS, pk, &body(fields))
                .await?
        }
        BindingWrite::Delete(pk) => {
            client.delete(Collection::BINDINGS, pk).await?;
            list.note(pk, None);
            return Ok(());
        }
    };
    list.note(binding.pk, Some(Arc::new(binding)));
    Ok(())
}

fn body(fields: Map<String, Value>) -> Body {
    Body {
        fields,
        secrets: Vec::new(),
    }
}

/// `{"non_field_errors": ["The fields target, stage, order must make a unique set."]}`
fn is_not_unique(error: &Error) -> bool {
    let Error::Rejected { messages } = error else {
        return false;
    };
    let mut texts = messages.values().flatten();
    texts.any(|text| text.as_str().contains("unique set"))
}

/// The stage's places, as the status shows them.
pub(super) fn bound(server: &Server, sight: &Sight, desired: &Desired) -> Vec<BoundFlow> {
    let slugs = slugs(server, sight, desired);
    let places = sight.bindings.iter().map(|binding| BoundFlow {
        flow: slugs
            .get(&binding.target)
            .map_or_else(|| binding.target.to_string(), Clone::clone),
        order: binding.order,
    });
    places.collect()
}
