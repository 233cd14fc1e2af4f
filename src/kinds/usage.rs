//! What an object of authentik is used by, and what hangs on it: what a deletion has to ask about.

use crate::authentik::Collection;

/// What the objects of a kind are used by.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// How they stand to the bindings of stages to flows.
    pub bound: Bound,
    /// App and model of entries of `used_by/` that are no users: parts of the object, or what it uses itself.
    pub no_users: &'static [(&'static str, &'static str)],
    /// Users that are of none of our kinds and that `used_by/` shows only to those who may see them.
    pub users: &'static [Users],
    /// The devices that people enrol through them, where authentik ties the one to the other.
    pub devices: Option<Devices>,
}

/// Which end of a binding an object is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Bound {
    /// It is a stage: the flows that it is bound to use it.
    Stage,
    /// It is a flow: the stages that are bound to it are lost from it with it.
    Flow,
}

impl Bound {
    /// The field of a binding that holds this end.
    #[must_use]
    pub fn own_end(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::Flow => "target",
        }
    }
}

/// Objects that may use others: their own fields tell.
#[derive(Clone, Copy, Debug)]
pub struct Users {
    /// Where they are.
    pub collection: Collection,
    /// The fields that hold the UUIDs of what they use.
    pub fields: &'static [&'static str],
    /// The filter by what they use, where authentik has one.
    pub filter: Option<&'static str>,
    /// What messages call one.
    pub noun: &'static str,
}

/// Devices that people enrol through a stage. authentik deletes them with it or, in newer releases, refuses to delete it.
#[derive(Clone, Copy, Debug)]
pub struct Devices {
    /// Django's names for the app and the model.
    pub model: (&'static str, &'static str),
    /// What messages call one.
    pub noun: &'static str,
}
