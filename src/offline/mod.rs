//! The controller without Kubernetes: manifests stand in place of a cluster's objects. So the command line decides as the operator
//! does, for it is the operator.
//!
//! ```text
//! desk     the objects, in memory
//! serve    the desk as a Kubernetes API
//! connect  which servers the manifests' connections lead to
//! run      the controller, until there is nothing left to do
//! ```
//! Each file uses those above it only.

mod connect;
mod desk;
mod run;
mod serve;

pub use self::{
    connect::{Override, objects},
    run::{Ended, Progress, Session},
};
