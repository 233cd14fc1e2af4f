//! What a spec refers to in authentik, whatever it calls it.

use std::fmt;

use crate::{
    api::{
        DeviceTypeReference, FlowReference, MappingReference, ResourceReference, StageReference,
    },
    authentik::{Collection, stripped},
};

/// How a reference names its object. A spec that the CRD has let through sets exactly one.
#[derive(Clone, Debug, PartialEq)]
pub enum Names {
    /// Its name, slug or description.
    Label(String),
    /// Its UUID, as it is written.
    Uuid(String),
    /// The resource that stands for it.
    Resource(ResourceReference),
    /// Nothing, or several.
    NotOne,
}

/// A reference to one object of authentik.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// Where the object is.
    pub to: Collection,
    /// How it is named.
    pub names: Names,
    /// The ways to name it, for a spec that chooses none or several.
    pub ways: &'static str,
    shown: String,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// A type of the API that refers to an object of authentik.
pub trait Refers {
    /// Where the object is.
    const TO: Collection;
    /// The reference.
    fn reference(&self) -> Reference;
    /// The one to the object of this UUID.
    fn to_uuid(uuid: String) -> Self;
}

fn names(
    label: Option<&String>,
    uuid: Option<&String>,
    resource: Option<&ResourceReference>,
) -> Names {
    match (label, uuid, resource) {
        (Some(label), None, None) => Names::Label(stripped(label).to_owned()),
        (None, Some(uuid), None) => Names::Uuid(uuid.trim().to_owned()),
        (None, None, Some(resource)) => Names::Resource(resource.clone()),
        _ => Names::NotOne,
    }
}

/// A type of reference: where to, its ways, and the fields of its ways.
macro_rules! refers {
    ($type:ty, $to:ident, $ways:literal, $label:ident, $uuid:ident $(, $resource:ident)?) => {
        impl Refers for $type {
            const TO: Collection = Collection::$to;

            fn reference(&self) -> Reference {
                let resource: [Option<&ResourceReference>; 1] = [None $(.or(self.$resource.as_ref()))?];
                Reference {
                    to: Self::TO,
                    names: names(self.$label.as_ref(), self.$uuid.as_ref(), resource[0]),
                    ways: $ways,
                    shown: self.to_string(),
                }
            }

            fn to_uuid(uuid: String) -> Self {
                Self {
                    $uuid: Some(uuid),
                    ..Self::default()
                }
            }
        }
    };
}

refers!(
    StageReference,
    ALL_STAGES,
    "name, uuid and resource",
    name,
    uuid,
    resource
);
refers!(
    FlowReference,
    FLOWS,
    "slug, uuid and resource",
    slug,
    uuid,
    resource
);
refers!(
    DeviceTypeReference,
    WEBAUTHN_DEVICE_TYPES,
    "aaguid and description",
    description,
    aaguid
);
refers!(
    MappingReference,
    WEBHOOK_MAPPINGS,
    "name and uuid",
    name,
    uuid
);
