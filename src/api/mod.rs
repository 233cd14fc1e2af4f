//! The Kubernetes types that all kinds share.

mod binding;
mod connection;
mod header;
mod policy;
mod reference;
pub mod schema;
mod source;
mod status;

pub use binding::{BoundFlow, FlowBinding, InvalidResponseAction, PolicyEngineMode};
pub use connection::{
    AuthentikConnection, AuthentikConnectionSpec, ClusterAuthentikConnection,
    ClusterAuthentikConnectionSpec, ConnectionSettings, ConnectionStatus,
};
pub use header::{Header, HeaderText, NamespacedHeader, NamespacedSecretSource};
pub use policy::{AdoptionPolicy, Common, DeletionPolicy, ManagementPolicy, StageCommon};
pub use reference::{
    ConnectionKind, ConnectionReference, DeviceTypeReference, FlowReference, MappingReference,
    ResourceReference, SecretKey, SecretSource, StageReference, can_be_named,
};
pub use source::{
    CaBundleSource, ConfigMapKey, NamespacedCaBundleSource, NamespacedConfigMapKey,
    NamespacedSecretKey,
};
pub use status::{
    Author, Change, DriftedField, FlowStatus, Identity, SentSecret, Status, condition,
    condition_in, set_condition, without_condition,
};

/// The API group of every kind.
pub const GROUP: &str = "authentik-operator.io";
/// The API version of every kind.
pub const VERSION: &str = "v1alpha1";
/// The finalizer that lets the operator apply a stage's deletion policy before its resource goes.
pub const FINALIZER: &str = "authentik-operator.io/stage";
/// The finalizer that keeps a connection usable while stages are to be deleted through it.
pub const CONNECTION_FINALIZER: &str = "authentik-operator.io/connection";
/// The annotation whose change asks for a reconcile at once; the name follows Flux's `requestedAt`.
pub const RECONCILE_ANNOTATION: &str = "authentik-operator.io/reconcile-requested-at";
/// The field manager of every write to Kubernetes, and the reporting controller of every event.
pub const MANAGER: &str = "authentik-stage-operator";
/// The connection that a resource uses when it names none.
pub const DEFAULT_CONNECTION: &str = "default";

/// The condition types of all kinds. `Reconciling` and `Stalled` are kstatus's, present only while true.
pub mod conditions {
    /// Whether authentik holds what the resource says.
    pub const READY: &str = "Ready";
    /// The operator is working on it, or waits for something and goes on by itself.
    pub const RECONCILING: &str = "Reconciling";
    /// Nothing changes until a person acts.
    pub const STALLED: &str = "Stalled";
    /// `spec.suspend` is true.
    pub const SUSPENDED: &str = "Suspended";
}
