//! Rows before sets: a real server writes a stage's row first and its sets of references after, and whoever reads in
//! between sees half of the change.

use super::fields::FieldKind;
use super::http::{Reply, Request};
use super::stages::{self, Scope};
use super::state::State;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

/// The sets of a stage whose row is written.
#[derive(Clone)]
pub(crate) struct Unwritten {
    scope: Scope,
    stage: Uuid,
    sets: Map<String, Value>,
}

/// Takes the sets out of the values of a write; none where rows and sets are written at once.
pub(crate) fn take(
    state: &State,
    kind: usize,
    values: &mut Map<String, Value>,
) -> Map<String, Value> {
    if !state.rows_first {
        return Map::new();
    }
    let fields = &state.kinds[kind].fields;
    let sets = fields
        .iter()
        .filter(|field| matches!(field.kind, FieldKind::Stages | FieldKind::DeviceTypes));
    sets.filter_map(|field| values.remove_entry(field.name))
        .collect()
}

/// Leaves the sets of a stage to be written after its row.
pub(crate) fn put_off(state: &mut State, scope: Scope, stage: Uuid, sets: Map<String, Value>) {
    if !sets.is_empty() {
        state.unwritten = Some(Unwritten { scope, stage, sets });
    }
}

/// Writes the sets; returns the answer to the whole request.
pub(crate) fn write(state: &mut State, request: &Request, status: u16, rest: Unwritten) -> Reply {
    state.change_stage(rest.stage, rest.sets);
    match state.stages.get(&rest.stage) {
        Some(stage) => Reply::json(status, stages::render(state, stage, rest.scope)),
        None => Reply::crash(request),
    }
}

/// The time between a row and its sets.
#[derive(Default)]
pub(crate) struct Gap {
    length: watch::Sender<Duration>,
    held: watch::Sender<bool>,
    /// How many writes are in it.
    writes: watch::Sender<usize>,
}

impl Gap {
    pub(crate) fn set(&self, length: Duration) {
        self.length.send_replace(length);
    }

    /// Waits as long as the gap is.
    pub(crate) async fn pass(&self) {
        self.writes.send_modify(|writes| *writes += 1);
        let length = *self.length.borrow();
        tokio::time::sleep(length).await;
        // The sender is this gap's own.
        let _ = self.held.subscribe().wait_for(|held| !held).await;
        self.writes.send_modify(|writes| *writes -= 1);
    }

    pub(crate) fn hold(self: Arc<Self>) -> HeldSets {
        self.held.send_replace(true);
        HeldSets(self)
    }
}

/// Holds writes back between their rows and their sets, until it is dropped.
#[must_use = "the sets are held for as long as this is kept"]
pub struct HeldSets(Arc<Gap>);

impl HeldSets {
    /// Waits until this many writes have written their rows and not their sets. False when the time is over first.
    pub async fn hold(&self, writes: usize, timeout: Duration) -> bool {
        let mut held = self.0.writes.subscribe();
        let enough = held.wait_for(|held| *held >= writes);
        tokio::time::timeout(timeout, enough)
            .await
            .is_ok_and(|outcome| outcome.is_ok())
    }
}

impl Drop for HeldSets {
    fn drop(&mut self) {
        self.0.held.send_replace(false);
    }
}
