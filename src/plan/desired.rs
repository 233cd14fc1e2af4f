//! What a resource asks for, with every reference looked up.

use std::collections::BTreeMap;

use super::bindings::DesiredBindings;
use crate::kinds::{Field, Fields};

/// Which state of which key of a Secret or a ConfigMap a value comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SecretVersion {
    /// Its name.
    pub name: String,
    /// The key in its data.
    pub key: String,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
}

/// What a resource asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// The stage's name.
    pub name: String,
    /// The readable fields that are managed.
    pub fields: Fields,
    /// The managed fields whose values come from Secrets, and which Secrets; none: to be emptied.
    pub secrets: BTreeMap<&'static str, Option<SecretVersion>>,
    /// Fields that are managed but that this version of authentik is known not to have.
    pub unsupported: Vec<&'static Field>,
    /// Where the stage is to stand in flows; none: the resource does not manage that.
    pub bindings: Option<DesiredBindings>,
}
