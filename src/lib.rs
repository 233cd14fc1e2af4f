//! A Kubernetes operator for the stages of authentik that decide about second factors.
//!
//! # How it is laid out
//! - [`api`]: the Kubernetes types that all kinds share: connections, references, policies, status.
//! - [`stages`]: one file a kind, with all that is particular to it, and the registry of kinds.
//! - [`plan`]: pure: from what is wanted and what is there to what has to be written.
//! - [`authentik`]: the client of authentik's API. It knows nothing of Kubernetes.
//! - [`controller`]: the watches, the inventory, and the reconcile: observe, resolve, diff, act, report.
//! - [`cli`]: the command line, one file a subcommand.
//! - [`ops`]: logs, metrics, health, leader election, rights.
//!
//! # What happens when a resource changes
//! Its watch notes it and queues it. The reconcile (`controller::stage`) finds its server by its connection,
//! its live stage in that server's inventory, and what its references stand for; compares the two; writes what
//! differs; and writes the status where that has changed. A resource in sync is not looked at again by itself:
//! the connection lists its server once a resync interval and queues the resources of the stages that differ
//! from the last list.

// kube's derive macros repeat an attribute for each column of `kubectl get`.
#![allow(clippy::duplicated_attributes)]

pub mod api;
pub mod authentik;
pub mod cli;
pub mod controller;
pub mod ops;
pub mod plan;
pub mod stages;
