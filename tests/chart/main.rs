//! The Helm chart: what it renders is accepted by a real kube-apiserver, allows the operator what its code needs and
//! no more, and can be installed, upgraded and removed with a real Helm.

mod catalogue;
mod files;
mod going_back;
mod metrics;
mod objects;
mod readme;
mod release;
mod rendering;
mod rights;
mod values;
