//! The developer kit of the authentik stage operator.
pub mod gateway;
pub mod kubernetes;
pub mod simulator;
