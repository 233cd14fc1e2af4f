//! From what is wanted and what is there to what has to be done. Pure: no effects, no clock, no chance.
//!
//! ```text
//! live        a stage as authentik holds it
//! desired     what a resource asks for, its references looked up
//! compare     when two values of a field mean the same
//! diff        how the two differ, and the bodies that mend it
//! bindings    the same for a stage's places in flows
//! referred    what specs refer to
//! claims      whose a stage is
//! failure     the one table of failures
//! authors     who changed an object
//! drift       what others have changed, as people are told of it
//! decide      the next step of a reconcile, and of a deletion
//! record      what is on record of a resource, and what each step makes of that
//! conclude    from how a reconcile ended to conditions and events
//! pace        how often a server is looked at
//! due         when the next try is due
//! ```

mod authors;
pub mod bindings;
pub mod claims;
mod compare;
mod conclude;
pub mod decide;
mod desired;
mod diff;
pub mod drift;
pub mod due;
pub mod failure;
mod live;
mod note;
pub mod pace;
mod record;
mod referred;
#[cfg(test)]
mod tests;

pub use self::{
    authors::{Authors, Naming, another_writer, authors, others, own_user},
    conclude::{Grace, Outcome, conclude, patience, suspended, warning},
    desired::{Desired, SecretVersion},
    diff::{
        Diff, Difference, Ignored, create_body, diff, has_become, held_secrets, mismatches,
        sent_secret, sorted, update_body,
    },
    live::{BoundTo, Live, Row},
    note::Note,
    record::{Fact, Record, Repaired, Show},
    referred::{AnyRow, Referred},
};
