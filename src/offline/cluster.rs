//! What a cluster knows of the manifests: how their resources stand, and what they refer to.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, Namespace, Secret},
};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    desk::Name,
    lists::{all, objects_of},
    names::{is_connection, is_plural_of_connections, kind_of, plurals},
    secrets::named,
};
use crate::{
    api::{ClusterAuthentikConnection, can_be_named},
    controller::connection::Holds,
    manifests::Set,
};

/// What a cluster knows.
#[derive(Debug, Default)]
pub struct Known {
    /// The objects of our kinds, where manifests are.
    pub(super) ours: BTreeMap<Name, Value>,
    /// The Secrets that are named.
    pub(super) secrets: BTreeMap<(String, String), Secret>,
    /// The ConfigMaps that are named.
    pub(super) config_maps: BTreeMap<(String, String), ConfigMap>,
    /// The labels of namespaces.
    pub(super) labels: BTreeMap<String, Value>,
}

/// Asks a cluster about these manifests.
///
/// # Errors
/// Where it does not answer, or refuses to show something.
pub async fn known(client: &Client, set: &Set) -> Result<Known, String> {
    let mut known = Known::default();
    for (kind, plural) in plurals() {
        for namespace in namespaces_of(set, &kind) {
            let api = objects_of(client, &kind, &plural, namespace.as_deref());
            let objects = all(&api, |object| object).await;
            let objects = objects.map_err(|error| refused(&plural, &error))?;
            // Where the CRD is not there yet, no object of its kind is.
            for object in objects.unwrap_or_default() {
                let meta = &object.metadata;
                let name = (
                    plural.clone(),
                    meta.namespace.clone().unwrap_or_default(),
                    meta.name.clone().unwrap_or_default(),
                );
                known.ours.insert(name, json!(object));
            }
        }
    }
    known.read_named(client, set).await?;
    known.read_labels(client, set).await?;
    Ok(known)
}

/// Where objects of this kind are looked for: connections wherever resources are, and those of the whole cluster.
fn namespaces_of(set: &Set, kind: &str) -> BTreeSet<Option<String>> {
    let is_wanted = |of: &str| of == kind || is_connection(kind);
    let ours = set.ours.iter().filter(|manifest| is_wanted(&manifest.kind));
    let is_namespaced = kind != kind_of::<ClusterAuthentikConnection>();
    ours.map(|manifest| is_namespaced.then(|| manifest.namespace.clone()))
        .filter(|namespace| namespace.as_ref().is_none_or(|name| !name.is_empty()))
        .collect()
}

fn refused(what: &str, error: &kube::Error) -> String {
    let why = match error {
        kube::Error::Api(status) => {
            format!("Kubernetes answered {}: {}", status.code, status.message)
        }
        other => format!("Kubernetes can't be reached: {other}"),
    };
    format!("{what} can't be read: {why}")
}

/// Those of these objects that are there, by namespace and name.
async fn all_named<T>(
    client: &Client,
    names: BTreeSet<(String, String)>,
) -> Result<BTreeMap<(String, String), T>, String>
where
    T: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let mut all = BTreeMap::new();
    for (namespace, name) in names {
        let api: Api<T> = Api::namespaced(client.clone(), &namespace);
        match api.get_opt(&name).await {
            Ok(Some(found)) => drop(all.insert((namespace, name), found)),
            Ok(None) => {}
            // Who may see the resources and not these is told that they are unknown.
            Err(kube::Error::Api(status)) if status.code == 403 => {}
            Err(error) => {
                let what = format!("{} {namespace}/{name}", T::kind(&()));
                return Err(refused(&what, &error));
            }
        }
    }
    Ok(all)
}

impl Known {
    /// Reads the Secrets and ConfigMaps that manifests and connections name.
    async fn read_named(&mut self, client: &Client, set: &Set) -> Result<(), String> {
        let manifests = set.ours.iter();
        let manifests = manifests.map(|manifest| (&manifest.object, manifest.namespace.as_str()));
        let connections = self.connections();
        let connections =
            connections.map(|((_, namespace, _), object)| (object, namespace.as_str()));
        let named: Vec<_> = manifests
            .chain(connections)
            .flat_map(|(object, namespace)| named(object, namespace))
            .collect();
        let of = |holds| {
            let of = named.iter().filter(move |named| named.holds == holds);
            let names = of.map(|named| (named.namespace.clone(), named.name.clone()));
            let names = names.filter(|(space, name)| can_be_named(space) && can_be_named(name));
            names.collect::<BTreeSet<_>>()
        };
        self.secrets = all_named(client, of(Holds::Secret)).await?;
        self.config_maps = all_named(client, of(Holds::ConfigMap)).await?;
        Ok(())
    }

    async fn read_labels(&mut self, client: &Client, set: &Set) -> Result<(), String> {
        let namespaces = set.ours.iter().map(|manifest| manifest.namespace.as_str());
        let namespaces: BTreeSet<_> = namespaces.filter(|name| can_be_named(name)).collect();
        let api: Api<Namespace> = Api::all(client.clone());
        for name in namespaces {
            match api.get_opt(name).await {
                Ok(Some(found)) => {
                    let labels = json!(found.metadata.labels.unwrap_or_default());
                    self.labels.insert(name.to_owned(), labels);
                }
                Ok(None) => {}
                Err(kube::Error::Api(status)) if status.code == 403 => {}
                Err(error) => return Err(refused(&format!("Namespace {name}"), &error)),
            }
        }
        Ok(())
    }

    /// The object of this name, as the cluster has it.
    pub(super) fn object(&self, name: &Name) -> Option<&Value> {
        self.ours.get(name)
    }

    /// The connections, those that a manifest names too.
    pub(super) fn connections(&self) -> impl Iterator<Item = (&Name, &Value)> {
        let ours = self.ours.iter();
        ours.filter(|((plural, ..), _)| is_plural_of_connections(plural))
    }
}
