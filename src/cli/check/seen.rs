//! All that was asked, as it was answered.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;

use crate::authentik::{Certificate, Collection, Error, Glance, Rights, Shown, Version};

/// What was seen of a server.
#[derive(Debug)]
pub struct Seen {
    /// The base URL that was asked.
    pub url: String,
    /// The certificate that it shows.
    pub certificate: Option<Certificate>,
    /// What it said when it was asked for its version.
    pub version: Result<Version, Error>,
    /// How long the small requests took.
    pub latencies: Vec<Duration>,
    /// Who the token's user is; nothing where that was not asked.
    pub user: Option<Result<User, Error>>,
    /// The user's API tokens; nothing where that was not asked.
    pub tokens: Option<Result<Vec<Token>, Error>>,
    /// The collections of the operator's kinds, as far as they can be seen.
    pub kinds: Vec<Glance>,
    /// What the token may do; nothing of a collection where that was not asked.
    pub rights: HashMap<Collection, Result<Rights, Error>>,
}

/// The token's user.
#[derive(Clone, Debug)]
pub struct User {
    /// Their name.
    pub name: Shown,
    /// What the account is for.
    pub kind: Shown,
    /// Whether they may do everything.
    pub is_superuser: bool,
    /// What they may do besides models.
    pub system_permissions: Vec<Shown>,
}

/// An API token of the user.
#[derive(Clone, Debug)]
pub struct Token {
    /// What it is called.
    pub name: Shown,
    /// Whether it ends; nothing where that is not known.
    pub expires: Option<bool>,
    /// When it ends, if it does.
    pub at: Option<Timestamp>,
}
