//! From objects of authentik to manifests of this operator that describe them, ready to be committed. Pure, as [`crate::plan`] is.
//!
//! ```text
//! schema     what the CRD of a kind accepts
//! labels     by what names specs can refer to objects
//! resources  what the resources are called
//! manifest   a manifest, and its text
//! secrets    where secret values are to come from
//! places     where a stage stands in flows
//! spec       the manifest of a live object
//! terraform  what a Terraform state holds
//! ```
//! Each file uses those above it only. A manifest is true of its object: what can't be said as the CRD demands it, or what this
//! version does not know, is left out, with a comment that says why.

mod labels;
mod manifest;
mod places;
mod resources;
mod schema;
mod secrets;
mod spec;
pub mod terraform;
#[cfg(test)]
mod tests;

pub use self::{
    labels::Labels,
    manifest::Manifest,
    resources::resource_names,
    schema::Schema,
    spec::{Frame, Object, Refused, manifest},
};
