//! Whether two URLs lead to one server.
//!
//! One server under two URLs and two servers restored from one backup look alike: the same stages with the same UUIDs. What
//! tells them apart is that authentik's database has each stage name once. A stage of a new name is created through the
//! one; while it exists, the other can't create one of the same name unless it has a database of its own.

use std::collections::HashMap;

use parking_lot::Mutex;
use uuid::Uuid;

use super::server::Server;
use crate::{
    authentik::{Body, Collection, Error, Keyed},
    kinds::{NAME, STAGES_TO_TELL_APART, stage_to_tell_apart},
    plan::{AnyRow, claims::SameServer},
};

/// How many pairs of URLs are remembered. Past that they are forgotten, and found out anew.
const MOST_PAIRS: usize = 1000;

/// What the names of the stages begin with that are made to tell servers apart.
const PREFIX: &str = "authentik-stage-operator-check-";

/// Why two servers could not be told apart.
#[derive(Debug)]
pub enum Doubt {
    /// A request failed.
    Failed(Error),
    /// For this reason.
    Because(String),
}

impl From<Error> for Doubt {
    fn from(error: Error) -> Self {
        match error {
            Error::AccessDenied { .. } => Self::Because(error.to_string()),
            error => Self::Failed(error),
        }
    }
}

/// What has been found out of pairs of URLs.
#[derive(Debug, Default)]
pub struct Apart(Mutex<HashMap<(String, String), bool>>);

fn pair(one: &str, other: &str) -> (String, String) {
    let (one, other) = (one.to_owned(), other.to_owned());
    if one < other {
        (one, other)
    } else {
        (other, one)
    }
}

impl Apart {
    /// What is known of two URLs.
    pub fn known(&self, one: &str, other: &str) -> SameServer {
        if one == other {
            return SameServer::Yes;
        }
        match self.0.lock().get(&pair(one, other)) {
            None => SameServer::Unknown,
            Some(true) => SameServer::Yes,
            Some(false) => SameServer::No,
        }
    }

    /// Forgets it: a name may lead elsewhere by now.
    pub fn forget(&self, one: &str, other: &str) {
        self.0.lock().remove(&pair(one, other));
    }

    /// Finds out whether two URLs lead to one server, and notes it.
    ///
    /// # Errors
    /// Where that can't be found out: nothing is noted then.
    pub async fn find_out(&self, one: &Server, other: &Server) -> Result<(), Doubt> {
        sweep(one).await?;
        sweep(other).await?;
        let is_same = is_same(one, other).await?;
        tracing::info!(one = one.url, other = other.url, is_same, "told apart");
        let mut known = self.0.lock();
        if known.len() >= MOST_PAIRS {
            known.clear();
        }
        known.insert(pair(&one.url, &other.url), is_same);
        Ok(())
    }
}

/// Deletes what an operator has left that ended in the middle.
async fn sweep(server: &Server) -> Result<(), Doubt> {
    let keep = |row: AnyRow| {
        let stage = row.of(Collection::ALL_STAGES)?;
        stage.label.raw().starts_with(PREFIX).then_some(stage.key)
    };
    let filter = [("search", PREFIX)];
    let left = server
        .client
        .list(STAGES_TO_TELL_APART, &filter, keep)
        .await?;
    for stage in left.rows {
        delete(server, stage).await;
    }
    Ok(())
}

async fn is_same(one: &Server, other: &Server) -> Result<bool, Doubt> {
    let name = format!("{PREFIX}{}", Uuid::new_v4());
    let first = create(one, &name).await?;
    let second = create(other, &name).await;
    let is_same = match &second {
        // Both have one of this name at the same moment, if the first is there still.
        Ok(_) => still_there(one, first).await,
        Err(error) if error.says_taken(NAME.api) => Ok(true),
        Err(error) => Err(error.clone().into()),
    };
    delete(one, first).await;
    if let Ok(second) = second {
        delete(other, second).await;
    }
    is_same
}

/// Returns whether the two are one server, given that both took the name.
async fn still_there(one: &Server, first: Uuid) -> Result<bool, Doubt> {
    match one
        .client
        .get::<AnyRow>(STAGES_TO_TELL_APART, first)
        .await?
    {
        Some(_) => Ok(false),
        None => Err(Doubt::Because(
            "a stage that was made to find it out was deleted meanwhile".to_owned(),
        )),
    }
}

/// A stage in no flow, which nobody meets.
async fn create(server: &Server, name: &str) -> Result<Uuid, Error> {
    let body = Body {
        fields: stage_to_tell_apart(name),
        secrets: Vec::new(),
    };
    let stage: AnyRow = server.client.create(STAGES_TO_TELL_APART, &body).await?;
    Ok(stage.key())
}

async fn delete(server: &Server, stage: Uuid) {
    if let Err(error) = server.client.delete(STAGES_TO_TELL_APART, stage).await {
        tracing::warn!(server = server.url, %stage, %error, "a stage that was made to tell servers apart is left; delete it by hand");
    }
}
