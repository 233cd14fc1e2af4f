//! Secrets: which versions exist, from a watch of their metadata alone, and their values, read when they
//! are sent and kept nowhere.

use std::collections::{HashMap, HashSet};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use parking_lot::Mutex;
use secrecy::SecretString;

use crate::{
    api::{SecretKey, can_be_named},
    plan::{
        SecretVersion,
        failure::{Failure, Reason},
    },
};

/// A Secret's uid and resourceVersion.
type Version = (String, String);

/// The newest version of a Secret that is known.
struct Newest {
    version: Version,
    /// Whether the watch has shown it; else it was read.
    shown: bool,
}

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
    /// Namespaces (none: all) of which Kubernetes refuses the watch.
    refused: Mutex<HashSet<Option<String>>>,
    known: Mutex<HashMap<(String, String), Newest>>,
}

impl Secrets {
    /// An empty index of the Secrets that are watched.
    #[must_use]
    pub fn new(client: Client, watched: Watched) -> Self {
        Self {
            client,
            watched,
            refused: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// Whether the Secrets of resources are watched at all.
    pub fn are_watched(&self) -> bool {
        !matches!(self.watched, Watched::Nowhere)
    }

    /// Notes whether Kubernetes refuses the watch of a namespace (none: of all). What can't be watched is read.
    pub fn refused(&self, namespace: Option<&str>, refused: bool) {
        let namespace = namespace.map(str::to_owned);
        let mut all = self.refused.lock();
        if refused {
            all.insert(namespace);
        } else {
            all.remove(&namespace);
        }
    }

    fn covers(&self, namespace: &str) -> bool {
        let refused = self.refused.lock();
        self.watched.covers(namespace)
            && !refused.contains(&None)
            && !refused.contains(&Some(namespace.to_owned()))
    }

    /// Notes a Secret that the watch shows. Returns whether it has shown another one before. A watch that lags behind
    /// what was read changes nothing.
    pub fn seen(&self, namespace: &str, name: &str, uid: String, resource_version: String) -> bool {
        let key = (namespace.to_owned(), name.to_owned());
        let new = (uid, resource_version);
        let mut known = self.known.lock();
        match known.get(&key) {
            Some(known) if known.shown && known.version == new => false,
            Some(known) if is_older(&new, &known.version) => false,
            _ => {
                let version = new;
                known.insert(
                    key,
                    Newest {
                        version,
                        shown: true,
                    },
                );
                true
            }
        }
    }

    /// Notes a Secret that was read, where that is newer than what the watch has shown: what is sent now is not sent
    /// again once the watch shows it.
    fn was_read(&self, namespace: &str, version: &SecretVersion) {
        if !self.covers(namespace) {
            return;
        }
        let key = (namespace.to_owned(), version.name.clone());
        let new = (version.uid.clone(), version.resource_version.clone());
        let mut all = self.known.lock();
        let known = all.get(&key);
        if known.is_none_or(|known| known.version != new && !is_older(&new, &known.version)) {
            all.insert(
                key,
                Newest {
                    version: new,
                    shown: false,
                },
            );
        }
    }

    /// The Secret is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        self.known.lock().remove(&key);
    }

    /// Every Secret known in this namespace (none: all), to find those that have gone unseen.
    pub fn keys(&self, namespace: Option<&str>) -> Vec<(String, String)> {
        let known = self.known.lock();
        let keys = known.keys();
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
        if !self.covers(namespace) {
            return Ok(self.read(namespace, key).await?.0);
        }
        let found = {
            let known = self.known.lock();
            let known = known.get(&(namespace.to_owned(), key.name.clone()));
            known.map(|known| known.version.clone())
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
        if !can_be_named(&key.name) || !can_be_named(namespace) {
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
        self.was_read(namespace, &version);
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

/// Whether one is an earlier version of the same Secret. Kubernetes counts resourceVersions up, and lets clients compare
/// them as numbers.
fn is_older(one: &Version, other: &Version) -> bool {
    let number = |version: &Version| version.1.parse::<u128>().ok();
    one.0 == other.0
        && number(one).is_some_and(|one| number(other).is_some_and(|other| one < other))
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
