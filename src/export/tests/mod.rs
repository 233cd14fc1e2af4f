//! What holds for the manifests of all live objects of all kinds.

mod described;
mod names;
mod places;
mod rules;
mod secrets;
mod states;
mod support;
