//! The operator against a real kube-apiserver and an authentik: the simulator, or the server that
//! `AUTHENTIK_URL` and `AUTHENTIK_TOKEN` name.

mod harness;

mod connections;
mod fields;
mod flows;
mod lifecycle;
mod lost;
mod outage;
mod references;
mod restart;
mod scale;
mod schema;
mod status;
