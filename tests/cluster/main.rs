//! The operator against a real kube-apiserver and an authentik: the simulator, or the server that
//! `AUTHENTIK_URL` and `AUTHENTIK_TOKEN` name.

mod canaries;
mod factor;
mod harness;
mod harness_more;
mod program;
mod record;

mod adoption;
mod anything;
mod argocd;
mod backups;
mod bundles;
mod bursts;
mod claims;
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
mod names;
mod namesakes;
mod observe_suspend;
mod outage;
mod owners;
mod permissions;
mod references;
mod replicas;
mod report;
mod restart;
mod scale;
mod schema;
mod scopes;
mod secrets;
mod status;
mod teardown;
mod teardown_namespace;
mod told;
mod traces;
mod unreadable;
mod unreadable_deletion;
