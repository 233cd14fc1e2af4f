//! The image and the chart, on a cluster that runs pods: that of `KUBECONFIG`.
//!
//! `make test-cluster` builds the images, gives them to the cluster's nodes and runs these tests. They take over whole
//! namespaces and the CRDs, so the cluster has to be there for testing; they refuse one where those are in use.

mod argocd;
mod cluster;
mod examples;
mod previous;
mod release;
mod simulator;
mod single_namespace;
