//! What all kinds of stage have in common.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::usage::{Bound, Devices, Usage};
use crate::{
    api::{FlowReference, schema::double_option},
    authentik::Version,
};

/// The part of the spec that the stages share through which people set up a factor.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Setup {
    /// The flow through which people set this factor up from their settings; null: none.
    #[serde(
        default,
        deserialize_with = "double_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub configure_flow: Option<Option<FlowReference>>,
    /// What people see this factor called; null and `""`: nothing of its own.
    #[serde(
        default,
        deserialize_with = "double_option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(max = 1024))]
    pub friendly_name: Option<Option<String>>,
}

/// What a stage is used by. Its own configuration stages and device types are among the entries of `used_by/`, the wrong
/// way round, and bindings are looked at by themselves.
pub(super) const fn usage(devices: Option<Devices>) -> Usage {
    Usage {
        bound: Bound::Stage,
        no_users: &[
            ("authentik_flows", "stage"),
            ("authentik_flows", "flow"),
            ("authentik_flows", "flowstagebinding"),
            (
                "authentik_stages_authenticator_webauthn",
                "webauthndevicetype",
            ),
        ],
        users: &[],
        devices,
    }
}

/// How a missing friendly name is written: `""` from 2025.10 on, null before. Either kind of server refuses the other's
/// (measured on each kind of stage).
pub(super) fn no_friendly_name(version: &Version) -> Value {
    if version.at_least(2025, 10) {
        Value::from("")
    } else {
        Value::Null
    }
}

/// What the `impl` of a kind of stage says the same of each.
macro_rules! stage {
    ($kind:ident, $title:literal, $collection:expr) => {
        type Spec = <Self as kube::core::object::HasSpec>::Spec;
        const KIND: &'static str = stringify!($kind);
        const TITLE: &'static str = $title;
        const NOUN: &'static str = "stage";
        const COLLECTION: $crate::authentik::Collection = $collection;
        const NAMES: $crate::authentik::Collection = $crate::authentik::Collection::ALL_STAGES;
        const LABEL: &'static $crate::kinds::field::Field = &$crate::kinds::field::NAME;

        fn common(&self) -> &$crate::api::Common {
            &self.spec.common.common
        }

        fn status(&self) -> Option<&$crate::api::Status> {
            self.status.as_ref()
        }

        fn from_spec(name: &str, spec: Self::Spec) -> Self {
            Self::new(name, spec)
        }

        fn labelled(label: &str) -> Self::Spec {
            let mut spec = Self::Spec::default();
            spec.common.name = Some(label.to_owned());
            spec
        }

        fn own_label(&self) -> Option<&str> {
            self.spec.common.name.as_deref()
        }

        fn flows(&self) -> Option<&[$crate::api::FlowBinding]> {
            self.spec.common.flows.as_deref()
        }
    };
}
pub(super) use stage;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_friendly_name_is_written_as_the_server_takes_it() {
        assert_eq!(no_friendly_name(&Version::parse("2025.8.4")), Value::Null);
        assert_eq!(
            no_friendly_name(&Version::parse("2025.10.0")),
            Value::from("")
        );
    }
}
