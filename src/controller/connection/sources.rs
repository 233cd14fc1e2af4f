//! What a connection takes from Secrets and ConfigMaps: where it is, and its values.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::{
    api::{
        AuthentikConnectionSpec, ClusterAuthentikConnectionSpec, ConfigMapKey,
        NamespacedConfigMapKey, NamespacedSecretKey, SecretKey,
    },
    controller::shared::Shared,
    plan::{SecretVersion, failure::Failure},
};

/// What holds a value.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Holds {
    /// A Secret.
    #[default]
    Secret,
    /// A ConfigMap.
    ConfigMap,
}

/// Where a value is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    holds: Holds,
    namespace: String,
    /// The name, and the key in the data.
    key: SecretKey,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SecretKey { name, key } = &self.key;
        write!(f, "{:?} {}/{name}, key {key:?}", self.holds, self.namespace)
    }
}

impl Place {
    fn at(holds: Holds, namespace: &str, name: &str, key: &str) -> Self {
        let (name, key) = (name.to_owned(), key.to_owned());
        Self {
            holds,
            namespace: namespace.to_owned(),
            key: SecretKey { name, key },
        }
    }

    async fn version(&self, shared: &Shared) -> Result<SecretVersion, Failure> {
        let (namespace, key) = (&self.namespace, &self.key);
        match self.holds {
            Holds::Secret => shared.secrets.version(namespace, key).await,
            Holds::ConfigMap => shared.config_maps.version(namespace, key).await,
        }
    }

    async fn read(&self, shared: &Shared) -> Result<(SecretVersion, SecretString), Failure> {
        let (namespace, key) = (&self.namespace, &self.key);
        match self.holds {
            Holds::Secret => shared.secrets.read(namespace, key).await,
            Holds::ConfigMap => shared.config_maps.read(namespace, key).await,
        }
    }
}

/// Where all is that a connection takes from elsewhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sources {
    /// The token.
    token: Place,
    /// PEM certificates.
    ca_bundle: Option<Place>,
}

impl Sources {
    /// Those of a connection of this namespace, which are there too.
    pub fn of_namespace(spec: &AuthentikConnectionSpec, namespace: &str) -> Self {
        let secret = |at: &SecretKey| Place::at(Holds::Secret, namespace, &at.name, &at.key);
        let map = |at: &ConfigMapKey| Place::at(Holds::ConfigMap, namespace, &at.name, &at.key);
        let bundle = spec.ca_bundle_from.as_ref();
        let of_map = bundle.and_then(|from| from.config_map_key_ref.as_ref().map(map));
        let of_secret = bundle.and_then(|from| from.secret_key_ref.as_ref().map(secret));
        Self {
            token: secret(&spec.token_secret_ref),
            ca_bundle: of_map.or(of_secret),
        }
    }

    /// Those of a cluster connection.
    pub fn of_cluster(spec: &ClusterAuthentikConnectionSpec) -> Self {
        let secret =
            |at: &NamespacedSecretKey| Place::at(Holds::Secret, &at.namespace, &at.name, &at.key);
        let map = |at: &NamespacedConfigMapKey| {
            Place::at(Holds::ConfigMap, &at.namespace, &at.name, &at.key)
        };
        let bundle = spec.ca_bundle_from.as_ref();
        let of_map = bundle.and_then(|from| from.config_map_key_ref.as_ref().map(map));
        let of_secret = bundle.and_then(|from| from.secret_key_ref.as_ref().map(secret));
        Self {
            token: secret(&spec.token_secret_ref),
            ca_bundle: of_map.or(of_secret),
        }
    }

    /// Whether something of it is in this object.
    pub fn name(&self, holds: Holds, namespace: &str, name: &str) -> bool {
        let mut places = self.places();
        places.any(|place| {
            place.holds == holds && place.namespace == namespace && place.key.name == name
        })
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        std::iter::once(&self.token).chain(&self.ca_bundle)
    }

    /// The present versions of all of it.
    ///
    /// # Errors
    /// `SecretNotFound` or `ReferenceNotFound` where something is missing.
    pub async fn versions(&self, shared: &Shared) -> Result<Vec<SecretVersion>, Failure> {
        let mut versions = Vec::new();
        for place in self.places() {
            versions.push(place.version(shared).await?);
        }
        Ok(versions)
    }

    /// The values, and the versions that they come from.
    ///
    /// # Errors
    /// As [`Self::versions`].
    pub async fn read(&self, shared: &Shared) -> Result<(Vec<SecretVersion>, Given), Failure> {
        let (version, token) = self.token.read(shared).await?;
        let mut versions = vec![version];
        let mut ca_bundle = None;
        if let Some(place) = &self.ca_bundle {
            let (version, pem) = place.read(shared).await?;
            versions.push(version);
            ca_bundle = Some((place.clone(), pem));
        }
        Ok((versions, Given { token, ca_bundle }))
    }
}

/// What a connection has been given by Secrets and ConfigMaps.
#[derive(Clone)]
pub struct Given {
    /// The token.
    pub token: SecretString,
    /// PEM certificates, and where they are.
    pub ca_bundle: Option<(Place, SecretString)>,
}

impl Given {
    /// Whether it is the same token.
    pub fn has_token_of(&self, other: &Self) -> bool {
        self.token.expose_secret() == other.token.expose_secret()
    }

    /// Whether all of it is the same.
    pub fn is_as(&self, other: &Self) -> bool {
        self.has_token_of(other) && self.pem() == other.pem()
    }

    /// The PEM certificates.
    pub fn pem(&self) -> Option<&str> {
        let bundle = self.ca_bundle.as_ref();
        bundle.map(|(_, pem)| pem.expose_secret())
    }
}
