//! Whether two URLs lead to one server.
//!
//! One server under two URLs and two servers restored from one backup look alike: the same stages with the same UUIDs. What
//! tells them apart is that authentik's database has each stage name once. A stage of a new name is created through the
//! one; while it exists, the other can't create one of the same name unless it has a database of its own.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{inventory::AnyStage, server::Server};
use crate::{
    authentik::{Body, Error},
    plan::{
        claims::SameServer,
        failure::{Failure, Reason},
    },
    stages::{AuthenticatorValidateStage, NAME, StageKind},
};

/// What the names of the stages begin with that are made to tell servers apart.
const PREFIX: &str = "authentik-stage-operator-check-";

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
    pub async fn find_out(&self, one: &Server, other: &Server) -> Result<(), Failure> {
        let is_same = is_same(one, other).await?;
        tracing::info!(one = one.url, other = other.url, is_same, "told apart");
        self.0.lock().insert(pair(&one.url, &other.url), is_same);
        Ok(())
    }
}

async fn is_same(one: &Server, other: &Server) -> Result<bool, Failure> {
    let name = format!("{PREFIX}{}", Uuid::new_v4());
    let first = create(one, &name)
        .await
        .map_err(|error| unknown(one, error))?;
    let second = create(other, &name).await;
    let is_same = match &second {
        // Both have one of this name at the same moment, if the first is there still.
        Ok(_) => still_there(one, first).await,
        Err(error) if error.says_name_taken() => Ok(true),
        Err(error) => Err(unknown(other, error.clone())),
    };
    delete(one, first).await;
    if let Ok(second) = second {
        delete(other, second).await;
    }
    is_same
}

/// Returns whether the two are one server, given that both took the name.
async fn still_there(one: &Server, first: Uuid) -> Result<bool, Failure> {
    let found = one
        .client
        .get::<AnyStage>(AuthenticatorValidateStage::COLLECTION, &first.to_string())
        .await
        .map_err(|error| unknown(one, error))?;
    match found {
        Some(_) => Ok(false),
        None => Err(doubt(
            one,
            "a stage that was made for that was deleted meanwhile",
        )),
    }
}

/// A stage in no flow, which nobody meets.
async fn create(server: &Server, name: &str) -> Result<Uuid, Error> {
    let fields = Map::from_iter([
        (NAME.api.to_owned(), Value::from(name)),
        ("not_configured_action".to_owned(), Value::from("deny")),
    ]);
    let body = Body {
        fields,
        secrets: Vec::new(),
    };
    let collection = AuthenticatorValidateStage::COLLECTION;
    let stage: AnyStage = server.client.create(collection, &body).await?;
    Ok(stage.pk)
}

async fn delete(server: &Server, stage: Uuid) {
    let collection = AuthenticatorValidateStage::COLLECTION;
    if let Err(error) = server.client.delete(collection, stage).await {
        tracing::warn!(server = server.url, %stage, %error, "a stage that was made to tell servers apart is left; delete it by hand");
    }
}

fn unknown(server: &Server, error: Error) -> Failure {
    match error {
        Error::AccessDenied { .. } => doubt(server, &error.to_string()),
        error => error.into(),
    }
}

fn doubt(server: &Server, why: &str) -> Failure {
    Failure::new(
        Reason::NameConflict,
        format!(
            "another resource manages a stage with this UUID under another URL, and whether that is the same server as {} can't be found out: {why}; delete one of the two resources, or let the token create and delete validation stages",
            server.url
        ),
    )
}
