//! A Kubernetes operator for the stages of authentik that decide about second factors.
//!
//! # How it is laid out
//! From the top to the bottom; each uses those below it only, and `tests/layout/` holds the code to that.
//! - [`cli`]: the command line, one file a subcommand.
//! - [`offline`]: the controller without Kubernetes, on manifests.
//! - [`manifests`]: manifests from files, checked as Kubernetes would check them.
//! - [`impact`]: whom a change of a validation stage hits.
//! - [`controller`]: the watches, a task for each connection, a memory for each resource, and the reconcile.
//! - [`ops`]: logs, metrics, traces, health, leader election, rights.
//! - [`export`]: manifests of what is in authentik already, without effects too.
//! - [`plan`]: every decision, without effects: from what is wanted and what is there to the next step.
//! - [`kinds`]: one file a kind, with all that is particular to it, and the registry of kinds.
//! - [`api`]: the Kubernetes types that all kinds share: connections, references, policies, status.
//! - [`authentik`]: the client of authentik's API. It knows nothing of Kubernetes.
//!
//! # What happens when a resource changes
//! Its watch notes it in the memory and queues it. The reconcile (`controller::resource`) gets its server from its
//! connection, finds its live stage in that server's inventory, and looks up what its references stand for.
//! [`plan::decide`] says what the next step is. The reconcile does it and asks again, until nothing is left to do;
//! then it writes the status where that has changed. What the connection does not know yet ends the reconcile, and
//! wakes the resource once it is known.
//!
//! A resource in sync is not looked at again by itself. The task of its connection looks at the server as often as that can
//! bear ([`plan::pace`]), and queues the resources of the stages that differ from the last look.

// kube's derive macros repeat an attribute for each column of `kubectl get`.
#![allow(clippy::duplicated_attributes)]

pub mod api;
pub mod authentik;
pub mod cli;
pub mod controller;
pub mod export;
pub mod impact;
pub mod kinds;
pub mod manifests;
pub mod offline;
pub mod ops;
pub mod plan;
