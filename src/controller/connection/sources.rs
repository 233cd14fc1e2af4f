//! What a connection takes from Secrets and ConfigMaps: where it is, and its values.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::{
    api::{
        NamespacedCaBundleSource, NamespacedConfigMapKey, NamespacedHeader, NamespacedSecretKey,
        SecretKey,
    },
    authentik::Header,
    controller::shared::Shared,
    plan::{SecretVersion, failure::Failure},
};

/// What holds a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Holds {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
}

/// Where a value is.
#[derive(Clone, Debug, PartialEq)]
struct Place {
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

impl From<&NamespacedSecretKey> for Place {
    fn from(at: &NamespacedSecretKey) -> Self {
        Self::at(Holds::Secret, &at.namespace, &at.name, &at.key)
    }
}

impl From<&NamespacedConfigMapKey> for Place {
    fn from(at: &NamespacedConfigMapKey) -> Self {
        Self::at(Holds::ConfigMap, &at.namespace, &at.name, &at.key)
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

    async fn read(&self, shared: &Shared) -> Result<SecretString, Failure> {
        let (namespace, key) = (&self.namespace, &self.key);
        let read = match self.holds {
            Holds::Secret => shared.secrets.read(namespace, key).await,
            Holds::ConfigMap => shared.config_maps.read(namespace, key).await,
        };
        Ok(read?.1)
    }
}

/// What a connection takes from elsewhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sources {
    /// Where the token is.
    pub token: NamespacedSecretKey,
    /// Where PEM certificates are.
    pub ca_bundle: Option<NamespacedCaBundleSource>,
    /// The headers beside the operator's own.
    pub headers: Vec<NamespacedHeader>,
}

impl Sources {
    /// Whether something of it is in this object.
    pub fn name(&self, holds: Holds, namespace: &str, name: &str) -> bool {
        self.places().iter().any(|place| {
            place.holds == holds && place.namespace == namespace && place.key.name == name
        })
    }

    fn places(&self) -> Vec<Place> {
        let mut places = vec![Place::from(&self.token)];
        places.extend(self.place_of_bundle());
        places.extend(self.headers.iter().filter_map(place_of_header));
        places
    }

    fn place_of_bundle(&self) -> Option<Place> {
        let from = self.ca_bundle.as_ref()?;
        let map = from.config_map_key_ref.as_ref().map(Place::from);
        map.or(from.secret_key_ref.as_ref().map(Place::from))
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

    /// The values.
    ///
    /// # Errors
    /// As [`Self::versions`].
    pub async fn read(&self, shared: &Shared) -> Result<Given, Failure> {
        let token = Place::from(&self.token).read(shared).await?;
        let ca_bundle = match self.place_of_bundle() {
            Some(place) => Some((place.to_string(), place.read(shared).await?)),
            None => None,
        };
        let mut headers = Vec::new();
        for header in &self.headers {
            headers.push(read_header(header, shared).await?);
        }
        Ok(Given {
            token,
            ca_bundle,
            headers,
        })
    }
}

fn place_of_header(header: &NamespacedHeader) -> Option<Place> {
    let from = header.value_from.as_ref()?;
    Some(Place::from(&from.secret_key_ref))
}

async fn read_header(header: &NamespacedHeader, shared: &Shared) -> Result<Header, Failure> {
    let place = place_of_header(header);
    let value = match &place {
        Some(place) => place.read(shared).await?,
        None => {
            let value = header.value.as_ref();
            SecretString::from(value.map_or("", |value| value.0.as_str()))
        }
    };
    Ok(Header {
        name: header.name.clone(),
        value,
        is_secret: place.is_some(),
    })
}

/// What a connection has been given by Secrets and ConfigMaps.
#[derive(Clone)]
pub struct Given {
    /// The token.
    pub token: SecretString,
    /// Where PEM certificates are, and they themselves.
    pub ca_bundle: Option<(String, SecretString)>,
    /// The headers beside the operator's own.
    pub headers: Vec<Header>,
}

impl Given {
    /// Whether it is the same token.
    pub fn has_token_of(&self, other: &Self) -> bool {
        self.token.expose_secret() == other.token.expose_secret()
    }

    /// Whether all of it is the same.
    pub fn is_as(&self, other: &Self) -> bool {
        let headers = self.headers.iter().zip(&other.headers);
        self.has_token_of(other)
            && self.pem() == other.pem()
            && self.headers.len() == other.headers.len()
            && headers.into_iter().all(|(one, other)| one.is_as(other))
    }

    /// The PEM certificates.
    pub fn pem(&self) -> Option<&str> {
        let bundle = self.ca_bundle.as_ref();
        bundle.map(|(_, pem)| pem.expose_secret())
    }
}
