//! What a kind of stage is, and what its fields and its resources are called.

use std::{collections::BTreeMap, fmt::Debug};

use k8s_openapi::NamespaceResourceScope;
use kube::{CustomResourceExt, Resource};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    api::{
        DeviceTypeReference, FlowReference, SecretKey, StageCommon, StageReference, StageStatus,
    },
    authentik::Collection,
};

/// Values by their name in authentik's API.
pub type Fields = BTreeMap<&'static str, Value>;

/// How a field of authentik's API compares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Compare {
    /// As a JSON value; text after stripping, as authentik stores it.
    Value,
    /// As a list whose order matters.
    List,
    /// As a set: authentik keeps neither order nor duplicates, or neither means anything.
    Set,
    /// As a duration: `minutes=60` is `hours=1`.
    Duration,
    /// As text for which null and `""` are the same absence.
    OptionalText,
    /// Not at all: authentik never returns it. The Secret that it was last sent from is recorded instead.
    WriteOnly,
}

/// One field of a kind, by its name in authentik's API and in the spec.
#[derive(Debug, PartialEq)]
pub struct Field {
    /// The name in authentik's API.
    pub api: &'static str,
    /// The name in the spec.
    pub spec: &'static str,
    /// How it compares.
    pub compare: Compare,
}

impl Field {
    pub(crate) const fn new(api: &'static str, spec: &'static str, compare: Compare) -> Self {
        Self { api, spec, compare }
    }

    /// Whether its values are secret.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.compare == Compare::WriteOnly
    }
}

/// The stage's name: every kind has it.
pub static NAME: Field = Field::new("name", "name", Compare::Value);

/// What the spec wants of one field, before references are looked up.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// This value, as it is sent.
    Value(Value),
    /// Text that may be absent. How absence is written depends on authentik's version.
    OptionalText(Option<String>),
    /// The UUIDs of these stages.
    Stages(Vec<StageReference>),
    /// The UUID of this flow, or none.
    Flow(Option<FlowReference>),
    /// The AAGUIDs of these device types.
    DeviceTypes(Vec<DeviceTypeReference>),
    /// The value in this key of a Secret, or none.
    Secret(Option<SecretKey>),
}

/// A kind of stage.
pub trait StageKind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + CustomResourceExt
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
    /// The kind's spec.
    type Spec: Serialize + DeserializeOwned + Clone + Debug + PartialEq;
    /// Where authentik keeps these stages.
    const COLLECTION: Collection;
    /// The name of the kind.
    const KIND: &'static str;
    /// The fields of the kind's own spec whose explicit null means something.
    const NULLABLE: &'static [&'static str];
    /// The fields beside the name, by which live stages are read and changes are planned.
    const FIELDS: &'static [Field];

    /// The part of the spec that all kinds share.
    fn common(&self) -> &StageCommon;
    /// The status as last written.
    fn status(&self) -> Option<&StageStatus>;
    /// What the spec says of each field; a field that is not set is not managed and not in the list.
    fn wanted(&self) -> Vec<(&'static Field, Wanted)>;
    /// Adds to a PATCH the fields that authentik demands beside the changed ones.
    fn complete(body: &mut Fields, desired: &Fields);
    /// The spec that describes this live stage; what can't be read back (secrets) has to be filled in.
    fn spec_from(name: &str, fields: &Fields) -> Self::Spec;
    /// Makes a resource of this kind.
    fn from_spec(name: &str, spec: Self::Spec) -> Self;

    /// The field of this name in authentik's API.
    #[must_use]
    fn field(api: &str) -> Option<&'static Field> {
        if api == NAME.api {
            return Some(&NAME);
        }
        Self::FIELDS.iter().find(|field| field.api == api)
    }
}

/// Names a resource of any stage kind.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ResourceId {
    /// The resource's kind.
    pub kind: &'static str,
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
}

impl ResourceId {
    /// The identity of this resource.
    #[must_use]
    pub fn of<K: StageKind>(resource: &K) -> Self {
        let meta = resource.meta();
        Self {
            kind: K::KIND,
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }
}

impl std::fmt::Display for ResourceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}
