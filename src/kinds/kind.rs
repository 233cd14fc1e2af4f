//! What a kind is, and what its resources are called.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::{CustomResourceExt, Resource};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    field::{Field, Fields, Wanted},
    usage::Usage,
};
use crate::{
    api::{Common, FlowBinding, Status},
    authentik::{
        Collection, Version, stripped,
        versions::{Since, ValueSince},
    },
};

/// A kind of resource, and the objects of authentik that its resources stand for.
pub trait Kind:
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
    type Spec: Serialize + DeserializeOwned + Clone + Debug + Default + PartialEq;
    /// The name of the kind.
    const KIND: &'static str;
    /// What messages call an object of just this kind.
    const TITLE: &'static str;
    /// What messages call such an object, and the field of the status that tells which one a resource stands for.
    const NOUN: &'static str;
    /// Where authentik keeps these objects.
    const COLLECTION: Collection;
    /// Where authentik looks whether a label is free, which may hold objects of other kinds too.
    const NAMES: Collection;
    /// The field by which authentik tells such objects apart for people: no two have the same value.
    const LABEL: &'static Field;
    /// The fields beside the label, by which live objects are read and changes are planned.
    const FIELDS: &'static [FieldRow<Self>];
    /// What such an object is used by, and what hangs on it.
    const USAGE: Usage;
    /// Since when authentik has such objects, for what every supported release does not have. An older server answers 404.
    const SINCE: Option<Since> = None;
    /// Whether such an object asks people for a second factor: where it is gone, nobody is asked.
    const ASKS_FOR_FACTOR: bool = false;
    /// What authentik's Terraform provider calls a resource that stands for such an object.
    const TERRAFORM: &'static str;

    /// The part of the spec that all kinds share.
    fn common(&self) -> &Common;
    /// The status as last written.
    fn status(&self) -> Option<&Status>;
    /// A status as the kind's resources hold it.
    fn status_json(status: &Status) -> Value {
        // A status has no maps that could fail to serialise.
        serde_json::json!(status)
    }
    /// Makes a resource of this kind.
    fn from_spec(name: &str, spec: Self::Spec) -> Self;
    /// A spec that sets the label and nothing else.
    fn labelled(label: &str) -> Self::Spec;
    /// The label that the spec sets.
    fn own_label(&self) -> Option<&str>;

    /// Where the object is to stand in flows; nothing where the spec does not manage that.
    fn flows(&self) -> Option<&[FlowBinding]> {
        None
    }

    /// Adds to a PATCH the fields that authentik demands beside the changed ones.
    fn complete(_body: &mut Fields, _desired: &Fields) {}

    /// Whether the second factor is weaker where authentik holds `found` of this field of its API, and not `wanted`.
    fn weakens(_field: &str, _wanted: &Value, _found: &Value) -> bool {
        false
    }

    /// The field, by its name in the spec, that the rules of the kind refuse beside what the spec says of others; and why.
    fn contradiction(_spec: &Self::Spec) -> Option<(&'static str, &'static str)> {
        None
    }

    /// The label that the resource wants its object to have: that of the spec or, without one, the resource's name.
    fn label(&self) -> String {
        let name = self.meta().name.as_deref().unwrap_or_default();
        stripped(self.own_label().unwrap_or(name)).to_owned()
    }

    /// How messages call the object of this label, after its noun.
    fn called(label: &str) -> String {
        match Self::LABEL.api {
            "name" => format!("named {label:?}"),
            _ => format!("{label:?}"),
        }
    }

    /// What the spec says of each field; a field that is not set is not managed and not in the list.
    fn wanted(&self) -> Vec<(&'static Field, Wanted)> {
        let rows = Self::FIELDS.iter();
        rows.filter_map(|row| Some((&row.field, (row.wanted)(self)?)))
            .collect()
    }

    /// The spec that describes this live object; what can't be read back (secrets) has to be filled in.
    fn spec_from(label: &str, fields: &Fields) -> Self::Spec {
        let mut spec = Self::labelled(label);
        for row in Self::FIELDS {
            if let Some(found) = fields.get(row.field.api) {
                (row.read)(found, &mut spec);
            }
        }
        spec
    }

    /// The field of this name in authentik's API.
    fn field(api: &str) -> Option<&'static Field> {
        if api == Self::LABEL.api {
            return Some(Self::LABEL);
        }
        let mut fields = Self::FIELDS.iter().map(|row| &row.field);
        fields.find(|field| field.api == api)
    }
}

/// A row of a kind's table: one field, and how it gets from a resource of kind `K` and back into a spec.
pub struct FieldRow<K: Kind> {
    /// The field.
    pub field: Field,
    /// What the resource wants of it; nothing where it is not managed.
    pub wanted: fn(&K) -> Option<Wanted>,
    /// Writes what a live object holds into a spec. A value that this version of the operator does not know is left unmanaged.
    pub read: fn(&Value, &mut K::Spec),
    /// Values that authentik may hold of it, for tests of properties.
    #[cfg(test)]
    pub any: fn() -> proptest::strategy::BoxedStrategy<Value>,
}

impl<K: Kind> FieldRow<K> {
    pub(crate) const fn since(mut self, since: Since) -> Self {
        self.field.since = Some(since);
        self
    }

    pub(crate) const fn values_since(mut self, values: &'static [ValueSince]) -> Self {
        self.field.values_since = values;
        self
    }

    pub(crate) const fn told_by(mut self, other: &'static str) -> Self {
        self.field.told_by = Some(other);
        self
    }

    pub(crate) const fn absent(mut self, absent: fn(&Version) -> Value) -> Self {
        self.field.absent = absent;
        self
    }
}

/// A row of the table of the kind whose `impl` it stands in: `field!(friendly_name: optional_text)` is the field
/// `friendly_name` of authentik's API, `friendlyName` in the spec, written, read back and compared as [`super::values`] says
/// of `optional_text`. A field that several kinds share stands in a part of the spec: `field!(friendly_name in setup: …)`. One
/// whose value may be elsewhere has another beside it, which says where: `field!(client_id or client_id_from: …)`.
macro_rules! field {
    ($name:ident: $how:ident) => {
        field!(@ $name, $how, $name)
    };
    ($name:ident in $part:ident: $how:ident) => {
        field!(@ $name, $how, $part.$name)
    };
    ($name:ident or $from:ident: $how:ident) => {
        $crate::kinds::kind::FieldRow::<Self> {
            field: $crate::kinds::field::Field {
                spec_from: Some(const_format::map_ascii_case!(
                    const_format::Case::Camel,
                    stringify!($from)
                )),
                ..field!(@field $name, $how)
            },
            wanted: |resource| {
                let spec = &resource.spec;
                $crate::kinds::values::$how::wanted(&spec.$name, &spec.$from)
            },
            read: |found, spec| {
                $crate::kinds::values::$how::read(found, &mut spec.$name, &mut spec.$from)
            },
            #[cfg(test)]
            any: $crate::kinds::values::$how::any,
        }
    };
    (@ $name:ident, $how:ident, $($path:ident).+) => {
        $crate::kinds::kind::FieldRow::<Self> {
            field: field!(@field $name, $how),
            wanted: |resource| $crate::kinds::values::$how::wanted(&resource.spec.$($path).+),
            read: |found, spec| $crate::kinds::values::$how::read(found, &mut spec.$($path).+),
            #[cfg(test)]
            any: || $crate::kinds::values::$how::any(|resource: &Self| &resource.spec.$($path).+),
        }
    };
    (@field $name:ident, $how:ident) => {
        $crate::kinds::field::Field {
            is_secret: $crate::kinds::values::$how::IS_SECRET,
            refers_to: $crate::kinds::values::$how::REFERS_TO,
            ..$crate::kinds::field::Field::new(
                stringify!($name),
                const_format::map_ascii_case!(const_format::Case::Camel, stringify!($name)),
                $crate::kinds::values::$how::COMPARE,
            )
        }
    };
}
pub(crate) use field;

/// Names a resource of any kind.
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
    pub fn of<K: Kind>(resource: &K) -> Self {
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
