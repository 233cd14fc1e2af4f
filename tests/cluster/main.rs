//! The operator against a real kube-apiserver and an authentik: the simulator, or the server that
//! `AUTHENTIK_URL` and `AUTHENTIK_TOKEN` name.

mod harness;

mod fields;
mod flows;
mod lifecycle;
mod references;
mod schema;
mod status;
