//! Asks a server for what can be known without a write. Each request is bounded as every other of the operator's.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures::future::join_all;

use super::{
    rights::collections,
    seen::{Seen, Token, User},
};
use crate::{
    authentik::{ApiToken, Client, Collection, Error, Glance, Rights, Version, Whoami, base_url},
    kinds::kind_names,
};

/// How often the small request is made.
const TIMES: usize = 5;

/// Asks for all of it. After a failure that all else would share, no more is asked.
pub async fn ask(client: &Client, url: &str) -> Seen {
    let (certificate, (version, latencies)) =
        futures::future::join(client.certificate(), versions(client)).await;
    let mut seen = Seen {
        url: base_url(url),
        certificate,
        version,
        latencies,
        user: None,
        tokens: None,
        kinds: Vec::new(),
        rights: HashMap::new(),
    };
    if seen.version.is_err() {
        return seen;
    }
    match client.whoami().await {
        Ok(user) => {
            let tokens = client.api_tokens(&user).await;
            let tokens = tokens.map(|tokens| tokens.iter().map(|of| token(client, of)).collect());
            seen.tokens = Some(tokens);
            seen.rights = rights(client).await;
            seen.kinds = kinds(client).await;
            seen.user = Some(Ok(shown(client, &user)));
        }
        Err(error) => seen.user = Some(Err(error)),
    }
    seen
}

/// The version, and how long it took to ask for it.
async fn versions(client: &Client) -> (Result<Version, Error>, Vec<Duration>) {
    let mut latencies = Vec::new();
    // The first request makes the connection, too.
    let first = client.version().await;
    while first.is_ok() && latencies.len() < TIMES {
        let started = Instant::now();
        if client.version().await.is_err() {
            break;
        }
        latencies.push(started.elapsed());
    }
    (first, latencies)
}

/// One after the other: side by side they would hold up one another.
async fn kinds(client: &Client) -> Vec<Glance> {
    let mut seen = Vec::new();
    for kind in kind_names() {
        seen.extend(client.glance(kind.collection).await);
    }
    seen
}

async fn rights(client: &Client) -> HashMap<Collection, Result<Rights, Error>> {
    let all = collections().into_iter().map(async |(collection, writes)| {
        let rights = match writes {
            true => client.rights(collection).await,
            false => client.may_view(collection).await,
        };
        (collection, rights)
    });
    join_all(all).await.into_iter().collect()
}

fn shown(client: &Client, user: &Whoami) -> User {
    let permissions = user.system_permissions.iter();
    User {
        name: client.show(&user.username),
        kind: user
            .kind
            .as_ref()
            .map(|kind| client.show(kind))
            .unwrap_or_default(),
        is_superuser: user.is_superuser,
        system_permissions: permissions.map(|name| client.show(name)).collect(),
    }
}

fn token(client: &Client, token: &ApiToken) -> Token {
    Token {
        name: client.show(&token.identifier),
        expires: token.expires,
        at: token.at,
    }
}
