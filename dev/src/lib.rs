//! The developer kit of the authentik stage operator.
pub mod kubernetes;
pub mod simulator;
