//! Secrets: which versions exist, from a watch of their metadata alone, and their values, read when they
//! are sent and kept nowhere.

use std::{collections::HashMap, sync::Mutex};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use secrecy::SecretString;

use super::failure::{Failure, Reason};
use crate::{api::SecretKey, plan::SecretVersion};

/// A Secret's uid and resourceVersion.
type Version = (String, String);

/// Where Secrets are watched.
pub enum Watched {
    /// In all namespaces.
    Everywhere,
    /// In these namespaces.
    In(Vec<String>),
    /// In none.
    Nowhere,
}

impl Watched {
    fn covers(&self, namespace: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::In(namespaces) => namespaces.iter().any(|watched| watched == namespace),
            Self::Nowhere => false,
        }
    }
}

/// The versions of all Secrets where they are watched.
pub struct Secrets {
    client: Client,
    watched: Watched,
    versions: Mutex<HashMap<(String, String), Version>>,
}

impl Secrets {
    /// An empty index of the Secrets that are watched.
    #[must_use]
    pub fn new(client: Client, watched: Watched) -> Self {
        Self {
            client,
            watched,
            versions: Mutex::default(),
        }
    }

    /// Whether the Secrets of resources are watched at all.
    pub fn are_watched(&self) -> bool {
        !matches!(self.watched, Watched::Nowhere)
    }

    /// Notes a Secret that the watch shows. Returns whether it is another than before.
    pub fn seen(&self, namespace: &str, name: &str, uid: String, resource_version: String) -> bool {
        let key = (namespace.to_owned(), name.to_owned());
        let version = (uid, resource_version);
        let mut versions = self.versions.lock().expect("no panic while held");
        versions.insert(key, version.clone()) != Some(version)
    }

    /// The Secret is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        self.versions
            .lock()
            .expect("no panic while held")
            .remove(&key);
    }

    /// Every Secret known in this namespace (none: all), to find those that have gone unseen.
    pub fn keys(&self, namespace: Option<&str>) -> Vec<(String, String)> {
        let versions = self.versions.lock().expect("no panic while held");
        let keys = versions.keys();
        keys.filter(|(of, _)| namespace.is_none_or(|namespace| of == namespace))
            .cloned()
            .collect()
    }

    /// The Secret's present version: read where it is not watched.
    ///
    /// # Errors
    /// `SecretNotFound` when there is none.
    pub async fn version(
        &self,
        namespace: &str,
        key: &SecretKey,
    ) -> Result<SecretVersion, Failure> {
        if !self.watched.covers(namespace) {
            return Ok(self.read(namespace, key).await?.0);
        }
        let found = {
            let versions = self.versions.lock().expect("no panic while held");
            versions
                .get(&(namespace.to_owned(), key.name.clone()))
                .cloned()
        };
        let (uid, resource_version) = found.ok_or_else(|| missing(namespace, key))?;
        Ok(SecretVersion {
            name: key.name.clone(),
            key: key.key.clone(),
            uid,
            resource_version,
        })
    }

    /// The value in this key, and the version of the Secret that it comes from.
    ///
    /// # Errors
    /// `SecretNotFound` when there is no such Secret, or no such key in it, or no text in the key.
    pub async fn read(
        &self,
        namespace: &str,
        key: &SecretKey,
    ) -> Result<(SecretVersion, SecretString), Failure> {
        if !can_be_named(&key.name) {
            return Err(missing(namespace, key));
        }
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = secrets
            .get_opt(&key.name)
            .await?
            .ok_or_else(|| missing(namespace, key))?;
        let version = SecretVersion {
            name: key.name.clone(),
            key: key.key.clone(),
            uid: secret.metadata.uid.clone().unwrap_or_default(),
            resource_version: secret.metadata.resource_version.clone().unwrap_or_default(),
        };
        let value = secret.data.and_then(|mut data| data.remove(&key.key));
        let value = value.ok_or_else(|| unusable(namespace, key, "has no key"))?;
        let text = String::from_utf8(value.0)
            .map_err(|_| unusable(namespace, key, "holds no text in the key"))?;
        if text.trim().is_empty() {
            return Err(unusable(namespace, key, "holds nothing in the key"));
        }
        Ok((version, SecretString::from(text)))
    }
}

/// Whether a Secret can have this name, as Kubernetes has it (RFC 1123). The name goes into the path of a request as it
/// is: `../../other/secrets/x` must not be asked for.
fn can_be_named(name: &str) -> bool {
    let may_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let part = |part: &str| {
        part.starts_with(may_end)
            && part.ends_with(may_end)
            && part.chars().all(|c| may_end(c) || c == '-')
    };
    name.split('.').all(part)
}

fn missing(namespace: &str, key: &SecretKey) -> Failure {
    Failure::new(
        Reason::SecretNotFound,
        format!(
            "Secret {namespace}/{} does not exist; create it with the key {:?}",
            key.name, key.key
        ),
    )
}

fn unusable(namespace: &str, key: &SecretKey, what: &str) -> Failure {
    Failure::new(
        Reason::SecretNotFound,
        format!(
            "Secret {namespace}/{} {what} {:?}; add the value there",
            key.name, key.key
        ),
    )
}
