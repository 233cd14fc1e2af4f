//! The controller without Kubernetes: manifests stand in place of a cluster's objects. So the command line decides as the operator
//! does, for it is the operator.
//!
//! ```text
//! desk     the objects, in memory
//! serve    the desk as a Kubernetes API
//! names    what our kinds are called
//! lists    lists of a cluster, page by page
//! secrets  the Secrets that can be had
//! cluster  what a cluster knows of the manifests
//! connect  which objects stand on the desk
//! run      the controller, until there is nothing left to do
//! ```
//! Each file uses those above it only.

mod cluster;
mod connect;
mod desk;
mod lists;
mod names;
mod run;
mod secrets;
mod serve;

pub use self::{
    cluster::{Known, known},
    connect::Server,
    lists::{PAGE, all, objects_of},
    names::{kind_of, plurals},
    run::{Ended, Progress, Session},
};
