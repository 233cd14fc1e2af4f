//! A small client for the part of authentik's API that this operator uses. It knows nothing of Kubernetes.
//!
//! Written by hand and lenient in what it reads, so that one build works with every authentik from 2024.2 on: unknown fields and values
//! pass through. What is known of authentik's conduct was measured on 2024.2.2, 2024.8.3, 2025.10.4 and 2026.5.0-rc1; where releases
//! differ, [`versions`] says how.
//!
//! It trusts no server: whatever one answers is bounded in bytes, in time and in number, is decoded straight into what is needed of it,
//! and is cleaned before it is shown.
//!
//! ```text
//! versions    what differs between releases
//! collection  what authentik keeps, where, and the permissions for it
//! shown       texts of a server: as they came, and made fit to be shown
//! error       what can go wrong, by what to do about it
//! pause       the rest that a server has asked for
//! budget      how many bytes of answers may be in memory at once
//! receive     the body of one answer: bounded in size and time
//! answer      one answer, and how its body is read
//! refusal     how an answer that is no success becomes an error
//! broken      how a connection without a whole answer does
//! header      headers that a connection adds to each request
//! config      what a connection needs, and what can be wrong with it
//! trace       the span of one request, and the headers that carry it
//! transport   one request and its answer: paced, bounded, logged without its content
//! used_by     what refers to an object
//! client      what can be asked for, one request a method
//! reading     one reading of a list
//! list        whole collections, page by page
//! audit       the audit log
//! people      people, and which second factors they have
//! whoami      whose the token is, and what it may do
//! certificate the certificate that the server shows
//! duration    its durations
//! text        how it stores texts
//! ```
//! Each file uses those above it only.

mod answer;
pub mod audit;
mod broken;
mod budget;
mod certificate;
mod client;
mod collection;
mod config;
pub mod duration;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod header;
mod list;
mod pause;
mod people;
mod reading;
mod receive;
mod refusal;
mod shown;
#[cfg(test)]
mod tests;
mod text;
mod trace;
mod transport;
mod used_by;
pub mod versions;
mod whoami;

pub use self::{
    budget::Budget,
    certificate::Certificate,
    client::{Client, ObjectId},
    collection::{Collection, Definition, former_permission, model_permission, permission},
    config::{CA_BUNDLE, Config, Gate, Observed, Observer, agent, base_url},
    error::{ConfigError, DeniedKind, Error},
    header::Header,
    list::Glance,
    pause::Pause,
    people::{Device, Person},
    reading::{Keyed, Listing, Weigh},
    shown::{Remote, Shown, cut, one_line},
    text::stripped,
    transport::{Body, Meter},
    used_by::UsedBy,
    versions::Version,
    whoami::{ApiToken, Rights, Whoami},
};
