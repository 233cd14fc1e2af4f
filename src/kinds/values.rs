//! How the value of a field is written, read back and compared: one module a way, to be named in [`super::field!`].
//!
//! Each says how it compares, whether it is secret, what it refers to, and how it gets from the field of a spec to what is
//! wanted and back. For tests, each makes values that authentik may hold.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

#[cfg(test)]
use super::samples;
use super::{
    field::{Compare, Wanted},
    reference::Refers,
};
use crate::{
    api::{
        DeviceTypeReference, FlowReference, MappingReference, SecretKey, SecretSource,
        StageReference,
    },
    authentik::{Collection, duration as durations, stripped},
};

/// What most ways have in common.
macro_rules! way {
    ($compare:ident) => {
        way!($compare, secret: false, to: None);
    };
    ($compare:ident, secret: $secret:expr, to: $to:expr) => {
        pub const COMPARE: Compare = Compare::$compare;
        pub const IS_SECRET: bool = $secret;
        pub const REFERS_TO: Option<Collection> = $to;
    };
}

fn json<T: Serialize>(value: &T) -> Wanted {
    // None of the spec's types can fail to serialise: they have no maps and no non-finite numbers.
    Wanted::Value(serde_json::json!(value))
}

fn understood<T: DeserializeOwned>(found: &Value) -> Option<T> {
    serde_json::from_value(found.clone()).ok()
}

/// Text as authentik stores it: stripped.
fn text_of(text: &str) -> Wanted {
    Wanted::Value(Value::from(stripped(text)))
}

/// Ways of values that are sent as they are.
macro_rules! plain {
    ($(#[$doc:meta])* $name:ident, $compare:ident, $any:ident) => {
        $(#[$doc])*
        pub mod $name {
            use crate::kinds::values::*;
            way!($compare);

            pub fn wanted<T: Serialize>(field: &Option<T>) -> Option<Wanted> {
                field.as_ref().map(json)
            }

            pub fn read<T: DeserializeOwned>(found: &Value, field: &mut Option<T>) {
                *field = understood(found);
            }

            #[cfg(test)]
            pub fn any<K, T: schemars::JsonSchema>(_: fn(&K) -> &T) -> samples::Values {
                samples::$any::<T>()
            }
        }
    };
}

plain!(
    /// A number, a boolean, one of several words; or null where that is a value.
    value, Value, of_schema
);
plain!(
    /// A list whose order means nothing.
    set, Set, of_schema
);
plain!(
    /// A list whose order matters.
    list, List, of_schema
);

plain!(
    /// A value that may be null, which is one too.
    nullable, Value, of_schema
);

/// A value that every resource of the kind sets.
pub mod required {
    use crate::kinds::values::*;
    way!(Value);

    pub fn wanted<T: Serialize>(field: &T) -> Option<Wanted> {
        Some(json(field))
    }

    pub fn read<T: DeserializeOwned>(found: &Value, field: &mut T) {
        if let Some(value) = understood(found) {
            *field = value;
        }
    }

    #[cfg(test)]
    pub fn any<K, T: schemars::JsonSchema>(_: fn(&K) -> &T) -> samples::Values {
        samples::known_of_schema::<T>()
    }
}

/// Text, which authentik stores stripped.
pub mod text {
    use crate::kinds::values::*;
    way!(Value);

    pub fn wanted(field: &Option<String>) -> Option<Wanted> {
        field.as_deref().map(text_of)
    }

    pub fn read(found: &Value, field: &mut Option<String>) {
        *field = understood(found);
    }

    #[cfg(test)]
    pub fn any<K>(_: fn(&K) -> &Option<String>) -> samples::Values {
        samples::text_or_none()
    }
}

/// Text that every resource of the kind sets.
pub mod required_text {
    use crate::kinds::values::*;
    way!(Value);

    pub fn wanted(field: &str) -> Option<Wanted> {
        Some(text_of(field))
    }

    pub fn read(found: &Value, field: &mut String) {
        *field = understood(found).unwrap_or_default();
    }

    #[cfg(test)]
    pub fn any<K>(_: fn(&K) -> &String) -> samples::Values {
        samples::text()
    }
}

/// Text that every resource of the kind sets: in its spec, or in a Secret that its spec names. authentik shows it, so it is
/// compared as it is; what comes from a Secret is shown by nobody else.
pub mod text_or_secret {
    use crate::kinds::values::*;
    way!(Value);

    pub fn wanted(text: &Option<String>, from: &Option<SecretSource>) -> Option<Wanted> {
        let of_secret = |from: &SecretSource| Wanted::Secret(Some(from.secret_key_ref.clone()));
        let of_text = text.as_deref().map(text_of);
        of_text.or(from.as_ref().map(of_secret))
    }

    pub fn read(found: &Value, text: &mut Option<String>, from: &mut Option<SecretSource>) {
        *text = understood(found);
        *from = None;
    }

    #[cfg(test)]
    pub fn any() -> samples::Values {
        samples::text()
    }
}

/// Text for which null and `""` are the same absence.
pub mod optional_text {
    use crate::kinds::values::*;
    way!(OptionalText);

    pub fn wanted(field: &Option<Option<String>>) -> Option<Wanted> {
        let text = |text: &String| Some(stripped(text).to_owned()).filter(|text| !text.is_empty());
        field
            .as_ref()
            .map(|field| Wanted::OptionalText(field.as_ref().and_then(text)))
    }

    pub fn read(found: &Value, field: &mut Option<Option<String>>) {
        *field = Some(understood(found));
    }

    #[cfg(test)]
    pub fn any<K>(_: fn(&K) -> &Option<Option<String>>) -> samples::Values {
        samples::optional_text()
    }
}

/// A duration.
pub mod duration {
    use crate::kinds::values::*;
    way!(Duration);

    /// authentik looks only at keywords that it knows and passes over others without a word: of `hours=1; minutes=5` it
    /// takes one hour, for ` minutes` with its space is none. What the user means is sent, without the spaces.
    pub fn wanted(field: &Option<String>) -> Option<Wanted> {
        let parts = field.as_ref()?.split(';').map(str::trim);
        Some(Wanted::Value(Value::from(
            parts.collect::<Vec<_>>().join(";"),
        )))
    }

    /// What authentik passes over in it would count once it is written without the spaces.
    pub fn read(found: &Value, field: &mut Option<String>) {
        *field = found.as_str().and_then(durations::understood);
    }

    #[cfg(test)]
    pub fn any<K>(_: fn(&K) -> &Option<String>) -> samples::Values {
        samples::duration()
    }
}

/// Ways of references.
macro_rules! refers {
    ($(#[$doc:meta])* many $name:ident, $to:ty) => {
        $(#[$doc])*
        pub mod $name {
            use crate::kinds::values::*;
            way!(Set, secret: false, to: Some(<$to as Refers>::TO));

            pub fn wanted(field: &Option<Vec<$to>>) -> Option<Wanted> {
                let all = field.as_ref()?.iter().map(Refers::reference);
                Some(Wanted::Objects(all.collect()))
            }

            pub fn read(found: &Value, field: &mut Option<Vec<$to>>) {
                let uuids = understood::<Vec<String>>(found);
                *field = uuids.map(|uuids| uuids.into_iter().map(Refers::to_uuid).collect());
            }

            #[cfg(test)]
            pub fn any<K>(_: fn(&K) -> &Option<Vec<$to>>) -> samples::Values {
                samples::uuids()
            }
        }
    };
    ($(#[$doc:meta])* one $name:ident, $to:ty) => {
        $(#[$doc])*
        pub mod $name {
            use crate::kinds::values::*;
            way!(Value, secret: false, to: Some(<$to as Refers>::TO));

            pub fn wanted(field: &Option<Option<$to>>) -> Option<Wanted> {
                let one = field.as_ref()?.as_ref();
                Some(Wanted::Object(one.map(Refers::reference)))
            }

            pub fn read(found: &Value, field: &mut Option<Option<$to>>) {
                *field = Some(found.as_str().map(|uuid| <$to>::to_uuid(uuid.to_owned())));
            }

            #[cfg(test)]
            pub fn any<K>(_: fn(&K) -> &Option<Option<$to>>) -> samples::Values {
                samples::uuid_or_null()
            }
        }
    };
}

refers!(
    /// Stages, in any order.
    many stages, StageReference
);
refers!(
    /// WebAuthn device types, in any order.
    many device_types, DeviceTypeReference
);
refers!(
    /// A flow, or none.
    one flow, FlowReference
);
refers!(
    /// A webhook mapping, or none.
    one mapping, MappingReference
);

/// Where the value of a secret field is, if anywhere.
pub trait Source {
    /// The key of a Secret; none: the field is to be emptied.
    fn key(&self) -> Option<Option<SecretKey>>;
}

impl Source for SecretSource {
    fn key(&self) -> Option<Option<SecretKey>> {
        Some(Some(self.secret_key_ref.clone()))
    }
}

impl Source for Option<Option<SecretSource>> {
    fn key(&self) -> Option<Option<SecretKey>> {
        let source = self.as_ref()?.as_ref();
        Some(source.map(|source| source.secret_key_ref.clone()))
    }
}

/// Ways of secrets. What a spec names can't be told from what authentik holds, so it has to be filled in by hand.
macro_rules! secret {
    ($(#[$doc:meta])* $name:ident, $compare:ident) => {
        $(#[$doc])*
        pub mod $name {
            use crate::kinds::values::*;
            way!($compare, secret: true, to: None);

            pub fn wanted(field: &impl Source) -> Option<Wanted> {
                field.key().map(Wanted::Secret)
            }

            pub fn read<T>(_: &Value, _: &mut T) {}

            #[cfg(test)]
            pub fn any<K, T: Source>(_: fn(&K) -> &T) -> samples::Values {
                samples::text_or_none()
            }
        }
    };
}

secret!(
    /// A secret that authentik shows to those who may see the object: it is compared, and shown to nobody.
    secret, OptionalText
);
secret!(
    /// A secret that authentik never shows.
    write_only, WriteOnly
);
