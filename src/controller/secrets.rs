//! Secrets and ConfigMaps: which versions exist, from a watch of their metadata alone, and their values, read when they
//! are sent and kept nowhere.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    marker::PhantomData,
};

use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{Api, Client, Resource};
use parking_lot::Mutex;
use secrecy::SecretString;
use serde::de::DeserializeOwned;

use crate::{
    api::{SecretKey, can_be_named},
    plan::{
        SecretVersion,
        failure::{Failure, Reason},
    },
};

/// What holds values by key.
pub trait Holder:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// The name of the kind.
    const KIND: &'static str;
    /// Why it fails that a value is not there.
    const MISSING: Reason;

    /// The value in this key.
    fn take(self, key: &str) -> Option<Vec<u8>>;
}

impl Holder for Secret {
    const KIND: &'static str = "Secret";
    const MISSING: Reason = Reason::SecretNotFound;

    fn take(self, key: &str) -> Option<Vec<u8>> {
        Some(self.data?.remove(key)?.0)
    }
}

impl Holder for ConfigMap {
    const KIND: &'static str = "ConfigMap";
    const MISSING: Reason = Reason::ReferenceNotFound;

    fn take(self, key: &str) -> Option<Vec<u8>> {
        let text = self.data.and_then(|mut data| data.remove(key));
        let bytes = || Some(self.binary_data?.remove(key)?.0);
        text.map(String::into_bytes).or_else(bytes)
    }
}

/// An object's uid and resourceVersion.
type Version = (String, String);

/// The newest version of an object that is known.
struct Newest {
    version: Version,
    /// Whether the watch has shown it; else it was read.
    shown: bool,
}

/// Where Secrets and ConfigMaps are watched.
#[derive(Clone)]
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
pub type Secrets = Held<Secret>;

/// The versions of all ConfigMaps where they are watched.
pub type ConfigMaps = Held<ConfigMap>;

/// The versions of all objects of one kind where they are watched.
pub struct Held<T> {
    client: Client,
    watched: Watched,
    /// Namespaces (none: all) of which Kubernetes refuses the watch.
    refused: Mutex<HashSet<Option<String>>>,
    known: Mutex<HashMap<(String, String), Newest>>,
    kind: PhantomData<fn() -> T>,
}

impl<T: Holder> Held<T> {
    /// An empty index of the objects that are watched.
    #[must_use]
    pub fn new(client: Client, watched: Watched) -> Self {
        Self {
            client,
            watched,
            refused: Mutex::default(),
            known: Mutex::default(),
            kind: PhantomData,
        }
    }

    /// Whether they are watched at all.
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

    /// Notes an object that the watch shows. Returns whether it has shown another one before. A watch that lags behind
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

    /// Notes an object that was read, where that is newer than what the watch has shown: what is sent now is not sent
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

    /// The object is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        self.known.lock().remove(&key);
    }

    /// Every object known in this namespace (none: all), to find those that have gone unseen.
    pub fn keys(&self, namespace: Option<&str>) -> Vec<(String, String)> {
        let known = self.known.lock();
        let keys = known.keys();
        keys.filter(|(of, _)| namespace.is_none_or(|namespace| of == namespace))
            .cloned()
            .collect()
    }

    /// The object's present version: read where it is not watched.
    ///
    /// # Errors
    /// [`Holder::MISSING`] when there is none.
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
        let (uid, resource_version) = found.ok_or_else(|| missing::<T>(namespace, key))?;
        Ok(SecretVersion {
            name: key.name.clone(),
            key: key.key.clone(),
            uid,
            resource_version,
        })
    }

    /// The value in this key, and the version of the object that it comes from.
    ///
    /// # Errors
    /// [`Holder::MISSING`] when there is no such object, or no such key in it, or no text in the key.
    pub async fn read(
        &self,
        namespace: &str,
        key: &SecretKey,
    ) -> Result<(SecretVersion, SecretString), Failure> {
        if !can_be_named(&key.name) || !can_be_named(namespace) {
            return Err(missing::<T>(namespace, key));
        }
        let api: Api<T> = Api::namespaced(self.client.clone(), namespace);
        let found = api.get_opt(&key.name).await?;
        let found = found.ok_or_else(|| missing::<T>(namespace, key))?;
        let meta = found.meta();
        let version = SecretVersion {
            name: key.name.clone(),
            key: key.key.clone(),
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
        };
        self.was_read(namespace, &version);
        let value = found.take(&key.key);
        let value = value.ok_or_else(|| unusable::<T>(namespace, key, "has no key"))?;
        let text = String::from_utf8(value)
            .map_err(|_| unusable::<T>(namespace, key, "holds no text in the key"))?;
        if text.trim().is_empty() {
            return Err(unusable::<T>(namespace, key, "holds nothing in the key"));
        }
        Ok((version, SecretString::from(text)))
    }
}

/// Whether one is an earlier version of the same object. Kubernetes counts resourceVersions up, and lets clients compare
/// them as numbers.
fn is_older(one: &Version, other: &Version) -> bool {
    let number = |version: &Version| version.1.parse::<u128>().ok();
    one.0 == other.0
        && number(one).is_some_and(|one| number(other).is_some_and(|other| one < other))
}

fn missing<T: Holder>(namespace: &str, key: &SecretKey) -> Failure {
    Failure::new(
        T::MISSING,
        format!(
            "{} {namespace}/{} does not exist; create it with the key {:?}",
            T::KIND,
            key.name,
            key.key
        ),
    )
}

fn unusable<T: Holder>(namespace: &str, key: &SecretKey, what: &str) -> Failure {
    Failure::new(
        T::MISSING,
        format!(
            "{} {namespace}/{} {what} {:?}; add the value there",
            T::KIND,
            key.name,
            key.key
        ),
    )
}
