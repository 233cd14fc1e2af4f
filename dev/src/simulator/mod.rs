//! A simulated authentik: an HTTP server in this process that answers as a real one does.
//!
//! It covers the stages of second factors and what they touch: flows, bindings, `WebAuthn` device
//! types, users, their devices, tokens, permissions and the audit log. Its rules are those of the server, not of any
//! client, and `tests/contract.rs` holds them to recordings of real servers. What differs between
//! releases is in `versions.rs`.

mod accounts;
mod auth;
mod bindings;
mod busy;
mod clock;
mod devices;
mod durations;
mod events;
mod field_filters;
mod fields;
mod filters;
mod flows;
mod given;
mod http;
mod install;
mod kinds;
mod pagination;
mod people;
mod python;
mod router;
mod rows;
mod serializer;
mod server;
mod sets;
mod setup_kinds;
mod stage_list;
mod stages;
mod state;
mod system;
mod tables;
#[cfg(test)]
mod tests;
mod texts;
mod used_by;
mod versions;

pub use devices::{DeviceKind, NewDevice};
pub use server::{Latency, Simulator, serve};
pub use sets::HeldSets;
pub use versions::Version;
