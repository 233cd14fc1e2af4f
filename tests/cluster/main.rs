//! The operator against a real kube-apiserver and an authentik: the simulator, or the server that
//! `AUTHENTIK_URL` and `AUTHENTIK_TOKEN` name.

mod canaries;
mod factor;
mod harness;
mod program;
mod record;

mod adoption;
mod anything;
mod argocd;
mod connections;
mod deletion;
mod faults;
mod fields;
mod flows;
mod gitops;
mod hostile;
mod isolation;
mod lifecycle;
mod lost;
mod moving;
mod observe_suspend;
mod outage;
mod permissions;
mod references;
mod replicas;
mod report;
mod restart;
mod scale;
mod schema;
mod secrets;
mod status;
mod traces;
mod unreadable;
