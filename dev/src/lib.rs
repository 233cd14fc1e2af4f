//! The developer kit of the authentik stage operator.
pub mod chart;
pub mod demo;
pub mod gateway;
mod go;
pub mod kubernetes;
pub mod reference;
pub mod simulator;
