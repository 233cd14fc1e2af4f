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
pub mod masks;
pub mod prometheus;
pub mod recording;
pub mod reference;
pub mod simulator;
mod template;
