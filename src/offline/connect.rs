//! Which objects stand on the desk: the manifests, the servers that their connections lead to, and the Secrets that can be had.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{
    cluster::Known,
    desk::Name,
    names::{is_connection, is_plural_of_connections, kind_of, name_of, plurals},
    secrets::Secrets,
};
use crate::{
    api::{ClusterAuthentikConnection, DEFAULT_CONNECTION, GROUP, VERSION},
    authentik::{Header, base_url},
    manifests::{Manifest, Set},
};

/// The namespace and the name of the Secret with the token that was given.
const OWN: &str = "given-on-the-command-line";

/// When what is not there yet is created: after all that is there, for the older of two has the better claim to a stage.
const TO_COME: &str = "9999-01-01T00:00:00Z";

/// Which server is asked, and what is known beside the manifests.
#[derive(Debug, Default)]
pub struct Server {
    /// Its URL; nothing: the servers of the manifests' connections.
    pub url: Option<String>,
    /// The token, for the server or for the connections whose Secret can't be had.
    pub token: Option<SecretString>,
    /// Headers for each request to the server of that URL.
    pub headers: Vec<Header>,
    /// PEM certificates to trust besides the system's own.
    pub ca_bundle: Option<String>,
    /// The longest time for one request, in seconds.
    pub timeout: u64,
    /// Whether what is there under a resource's name counts as its own, whatever its `adoptionPolicy` says.
    pub takes_over: bool,
    /// What a cluster knows of the manifests.
    pub known: Known,
}

/// The objects that stand for these manifests. `variable` reads the environment.
///
/// # Errors
/// Where no server is named, or it has no token.
pub(super) fn objects(
    set: &Set,
    server: &Server,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<BTreeMap<Name, Value>, String> {
    let plurals = plurals();
    let mut secrets = Secrets::new(set, &server.known.secrets);
    let token = server.token.as_ref();
    let mut objects = BTreeMap::new();
    if server.url.is_none() {
        for (name, connection) in server.known.connections() {
            secrets.look_for(connection, &name.1, token, variable);
            objects.insert(name.clone(), connection.clone());
        }
    }
    for manifest in &set.ours {
        if is_connection(&manifest.kind) && server.url.is_some() {
            continue;
        }
        secrets.look_for(&manifest.object, &manifest.namespace, token, variable);
        let name = name_of(manifest, &plurals);
        let object = prepared(manifest, server, server.known.object(&name));
        objects.insert(name, object);
    }
    if let Some(url) = &server.url {
        let kind = kind_of::<ClusterAuthentikConnection>();
        let plural = plurals.get(&kind).cloned().unwrap_or_default();
        let name = (plural, String::new(), DEFAULT_CONNECTION.to_owned());
        objects.insert(name, connection(kind, url, server));
        let token = token.ok_or(
            "there is no token: give --token-file, or set AUTHENTIK_TOKEN to an API token",
        )?;
        secrets.put(OWN, OWN, "token", token.expose_secret());
        for header in &server.headers {
            secrets.put(OWN, OWN, &key_of(header), header.value.expose_secret());
        }
    } else if !objects
        .keys()
        .any(|(plural, ..)| is_plural_of_connections(plural))
    {
        return Err("no server is named: give --url, set AUTHENTIK_URL, or name the manifest of a connection too".to_owned());
    }
    objects.extend(secrets.objects());
    objects.extend(config_maps(set, &server.known));
    objects.extend(namespaces(set, &server.known));
    Ok(objects)
}

/// The object as Kubernetes would have it once it is applied; `known` is how it is there now.
fn prepared(manifest: &Manifest, server: &Server, known: Option<&Value>) -> Value {
    let mut object = manifest.object.clone();
    let known = |pointer: &str| known.and_then(|known| known.pointer(pointer)).cloned();
    if let Some(Value::Object(meta)) = object.get_mut("metadata") {
        let own = format!("{} {}/{}", manifest.kind, manifest.namespace, manifest.name);
        let uid = known("/metadata/uid").unwrap_or_else(|| Value::from(own));
        let generation = known("/metadata/generation").and_then(|value| value.as_i64());
        meta.insert("uid".to_owned(), uid);
        meta.insert("generation".to_owned(), json!(generation.unwrap_or(0) + 1));
        for field in ["deletionTimestamp", "finalizers"] {
            meta.remove(field);
        }
        let created = known("/metadata/creationTimestamp");
        let created = created.unwrap_or_else(|| Value::from(TO_COME));
        meta.insert("creationTimestamp".to_owned(), created);
    }
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
        if let Some(status) = known("/status") {
            object.insert("status".to_owned(), on_server(status, server));
        }
    }
    if let Some(Value::Object(spec)) = object.get_mut("spec") {
        if server.url.is_some() {
            spec.remove("connectionRef");
        }
        if server.takes_over && !is_connection(&manifest.kind) {
            spec.insert("adoptionPolicy".to_owned(), json!("Always"));
        }
    }
    object
}

/// A status about the server that is asked: it is the same under a URL of its own.
fn on_server(mut status: Value, server: &Server) -> Value {
    if let (Some(url), Some(fields)) = (&server.url, status.as_object_mut()) {
        for identity in fields
            .values_mut()
            .filter(|value| value.get("uuid").is_some())
        {
            identity["server"] = Value::from(base_url(url));
        }
    }
    status
}

/// Where the value of a header stands that was given.
fn key_of(header: &Header) -> String {
    format!("header.{}", header.name)
}

fn given_header(header: &Header) -> Value {
    let key = json!({"namespace": OWN, "name": OWN, "key": key_of(header)});
    json!({"name": header.name, "valueFrom": {"secretKeyRef": key}})
}

fn connection(kind: String, url: &str, server: &Server) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": kind,
        "metadata": {"name": DEFAULT_CONNECTION, "uid": OWN, "generation": 1},
        "spec": {
            "url": url,
            "caBundle": server.ca_bundle,
            "headers": server.headers.iter().map(given_header).collect::<Vec<_>>(),
            "timeout": format!("{}s", server.timeout),
            "tokenSecretRef": {"namespace": OWN, "name": OWN, "key": "token"},
            "allowedNamespaces": {},
        },
    })
}

/// The ConfigMaps of a cluster and, in their place, those among the manifests.
fn config_maps(set: &Set, known: &Known) -> BTreeMap<Name, Value> {
    let name = |namespace: &str, name: &str| {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        ("configmaps".to_owned(), namespace, name)
    };
    let known = known.config_maps.iter();
    let known = known.map(|((namespace, of), map)| (name(namespace, of), json!(map)));
    let declared = set.config_maps.iter();
    let declared = declared.map(|map| (name(&map.namespace, &map.name), map.object.clone()));
    known.chain(declared).collect()
}

/// The namespaces of the manifests, with the labels that are known.
fn namespaces(set: &Set, known: &Known) -> BTreeMap<Name, Value> {
    let of = |namespace: &str, labels: Value| {
        let meta = json!({"name": namespace, "uid": namespace, "labels": labels});
        (
            ("namespaces".to_owned(), String::new(), namespace.to_owned()),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": meta}),
        )
    };
    let ours = set.ours.iter().map(|manifest| manifest.namespace.as_str());
    let ours = ours.filter(|namespace| !namespace.is_empty());
    let ours = ours.map(|namespace| {
        let labels = known.labels.get(namespace).cloned();
        of(namespace, labels.unwrap_or_default())
    });
    let declared = set.namespaces.iter().map(|manifest| {
        let labels = manifest.object.pointer("/metadata/labels").cloned();
        of(&manifest.name, labels.unwrap_or_default())
    });
    ours.chain(declared).collect()
}
