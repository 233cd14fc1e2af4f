//! What it takes to run in a cluster.

pub mod http;
pub mod kubernetes;
pub mod leader;
pub mod logs;
pub mod metrics;
pub mod permissions;
pub mod rbac;
pub mod traces;
