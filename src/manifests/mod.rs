//! Manifests from files: read, and checked as Kubernetes would check them, but with the file and line of what is wrong.
//!
//! ```text
//! yaml     a document, and the line of each of its parts
//! input    which files there are
//! problem  what is wrong, where, and what to do about it
//! check    what a schema takes
//! schema   the schemas of all kinds
//! set      the manifests of ours, and what belongs to them
//! ```
//! Each file uses those above it only.

mod check;
mod input;
mod problem;
mod schema;
mod set;
#[cfg(test)]
mod tests;
mod yaml;

pub use self::{
    check::Check,
    input::{File, Input, files},
    problem::{Place, Problem},
    set::{Manifest, Set},
};
