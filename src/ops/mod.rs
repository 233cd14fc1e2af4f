//! What it takes to run in a cluster.

pub mod logs;
pub mod rbac;
