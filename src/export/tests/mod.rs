//! What holds for the manifests of all live objects of all kinds.

mod described;
mod names;
mod places;
mod recorded;
mod rules;
mod secrets;
mod states;
mod support;
