//! Tables of the decisions, without Kubernetes and without a server.

mod adopting;
mod deleting;
mod ignoring;
mod mending;
mod observing;
mod outcomes;
mod owning;
mod readable;
mod recording;
mod stages;
mod support;

pub(super) use support::{drifted, shown};
