//! The developer kit of the authentik stage operator.
pub mod actionlint;
pub mod bench;
pub mod changelog;
pub mod chart;
pub mod churn;
pub mod demo;
pub mod gateway;
pub mod gitops;
mod go;
pub mod hostile;
pub mod kubernetes;
pub mod prometheus;
pub mod reference;
pub mod simulator;
mod template;
