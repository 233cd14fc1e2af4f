//! Where a connection's values come from: keys of Secrets and ConfigMaps, in its own namespace or in a named one.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::reference::{SecretKey, exactly_one};

/// One key of a Secret in a named namespace.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
pub struct NamespacedSecretKey {
    /// The Secret's namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

impl SecretKey {
    /// This key of a Secret in this namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> NamespacedSecretKey {
        NamespacedSecretKey {
            namespace: namespace.to_owned(),
            name: self.name.clone(),
            key: self.key.clone(),
        }
    }
}

/// One key of a ConfigMap in the connection's own namespace.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
pub struct ConfigMapKey {
    /// The ConfigMap's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

impl ConfigMapKey {
    fn within(&self, namespace: &str) -> NamespacedConfigMapKey {
        NamespacedConfigMapKey {
            namespace: namespace.to_owned(),
            name: self.name.clone(),
            key: self.key.clone(),
        }
    }
}

/// One key of a ConfigMap in a named namespace.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
pub struct NamespacedConfigMapKey {
    /// The ConfigMap's namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// The ConfigMap's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Where PEM certificates are, in the connection's own namespace: exactly one of its fields is set.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = exactly_one("caBundleFrom", &["configMapKeyRef", "secretKeyRef"]))]
pub struct CaBundleSource {
    /// A key of a ConfigMap in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<ConfigMapKey>,
    /// A key of a Secret in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKey>,
}

impl CaBundleSource {
    /// The same certificates, in this namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> NamespacedCaBundleSource {
        let (map, secret) = (&self.config_map_key_ref, &self.secret_key_ref);
        NamespacedCaBundleSource {
            config_map_key_ref: map.as_ref().map(|key| key.within(namespace)),
            secret_key_ref: secret.as_ref().map(|key| key.within(namespace)),
        }
    }
}

/// Where PEM certificates are, in a named namespace: exactly one of its fields is set.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = exactly_one("caBundleFrom", &["configMapKeyRef", "secretKeyRef"]))]
pub struct NamespacedCaBundleSource {
    /// A key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<NamespacedConfigMapKey>,
    /// A key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<NamespacedSecretKey>,
}
