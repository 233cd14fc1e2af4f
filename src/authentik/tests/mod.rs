//! The client against a server that answers what each test says, and nothing else.

mod anything;
mod bounds;
mod budget;
mod configuration;
mod connections;
mod headers;
mod lists;
mod moving;
mod pace;
mod refusals;
mod requests;
mod secrets;
mod support;
