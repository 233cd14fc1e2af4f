//! Which objects stand on the desk: the manifests, the servers that their connections lead to, and the Secrets that can be had.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{CustomResourceExt, core::ObjectMeta};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::desk::Name;
use crate::{
    api::{AuthentikConnection, ClusterAuthentikConnection, DEFAULT_CONNECTION, GROUP, VERSION},
    kinds::crds,
    manifests::{Manifest, Set},
};

/// The namespace and the name of the Secret with the token that was given.
const OWN: &str = "given-on-the-command-line";

/// Which server is asked in place of those that the manifests name.
#[derive(Clone, Debug, Default)]
pub struct Override {
    /// Its URL; nothing: the servers of the manifests' connections.
    pub url: Option<String>,
    /// The token, for the server or for the connections whose Secret can't be had.
    pub token: Option<SecretString>,
    /// PEM certificates to trust besides the system's own.
    pub ca_bundle: Option<String>,
    /// The longest time for one request, in seconds.
    pub timeout: u64,
    /// Whether what is there under a resource's name counts as its own, whatever its `adoptionPolicy` says.
    pub takes_over: bool,
}

/// The objects that stand for these manifests. `variable` reads the environment.
///
/// # Errors
/// Where no server is named, or it has no token.
pub fn objects(
    set: &Set,
    server: &Override,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<BTreeMap<Name, Value>, String> {
    let plurals = plurals();
    let mut secrets = Secrets::of(set);
    let mut objects = BTreeMap::new();
    for manifest in &set.ours {
        if is_connection(&manifest.kind) && server.url.is_some() {
            continue;
        }
        secrets.look_for(manifest, server, variable);
        let object = prepared(manifest, server);
        let plural = plurals.get(manifest.kind.as_str());
        let name = (
            plural.cloned().unwrap_or_default(),
            manifest.namespace.clone(),
            manifest.name.clone(),
        );
        objects.insert(name, object);
    }
    if let Some(url) = &server.url {
        let plural = plurals.get(kind_of::<ClusterAuthentikConnection>().as_str());
        let name = (
            plural.cloned().unwrap_or_default(),
            String::new(),
            DEFAULT_CONNECTION.to_owned(),
        );
        objects.insert(name, connection(url, server));
        let token = server.token.as_ref().ok_or(
            "there is no token: give --token-file, or set AUTHENTIK_TOKEN to an API token",
        )?;
        secrets.put(OWN, OWN, "token", token.expose_secret());
    } else if !set
        .ours
        .iter()
        .any(|manifest| is_connection(&manifest.kind))
    {
        return Err("no server is named: give --url, set AUTHENTIK_URL, or name the manifest of a connection too".to_owned());
    }
    objects.extend(secrets.objects());
    objects.extend(namespaces(set));
    Ok(objects)
}

fn kind_of<C: CustomResourceExt>() -> String {
    C::crd().spec.names.kind
}

/// The plural of each kind.
pub(super) fn plurals() -> BTreeMap<String, String> {
    let crds = crds().into_iter();
    crds.map(|crd| (crd.spec.names.kind, crd.spec.names.plural))
        .collect()
}

pub(super) fn is_connection(kind: &str) -> bool {
    [
        kind_of::<AuthentikConnection>(),
        kind_of::<ClusterAuthentikConnection>(),
    ]
    .iter()
    .any(|known| known == kind)
}

/// The object as Kubernetes would have it once it is applied.
fn prepared(manifest: &Manifest, server: &Override) -> Value {
    let mut object = manifest.object.clone();
    if let Some(Value::Object(meta)) = object.get_mut("metadata") {
        // One that a reader finds again, and no other resource has.
        let uid = format!("{} {}/{}", manifest.kind, manifest.namespace, manifest.name);
        meta.insert("uid".to_owned(), Value::from(uid));
        meta.insert("generation".to_owned(), json!(1));
        for field in ["deletionTimestamp", "finalizers", "creationTimestamp"] {
            meta.remove(field);
        }
    }
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
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

fn connection(url: &str, server: &Override) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": kind_of::<ClusterAuthentikConnection>(),
        "metadata": {"name": DEFAULT_CONNECTION, "uid": OWN, "generation": 1},
        "spec": {
            "url": url,
            "caBundle": server.ca_bundle,
            "timeout": format!("{}s", server.timeout),
            "tokenSecretRef": {"namespace": OWN, "name": OWN, "key": "token"},
            "allowedNamespaces": {},
        },
    })
}

/// The namespaces of the manifests, with the labels that these name.
fn namespaces(set: &Set) -> BTreeMap<Name, Value> {
    let bare = |namespace: &String| {
        let meta = json!({"name": namespace, "uid": namespace});
        (
            ("namespaces".to_owned(), String::new(), namespace.clone()),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": meta}),
        )
    };
    let ours = set.ours.iter().map(|manifest| &manifest.namespace);
    let ours = ours.filter(|namespace| !namespace.is_empty()).map(bare);
    let declared = set.namespaces.iter().map(|manifest| {
        let (name, mut object) = bare(&manifest.name);
        object["metadata"]["labels"] = manifest.object["metadata"]["labels"].clone();
        (name, object)
    });
    ours.chain(declared).collect()
}

/// The Secrets that can be had: the values of their keys, by namespace and name.
struct Secrets(BTreeMap<(String, String), BTreeMap<String, ByteString>>);

impl Secrets {
    /// Those among the manifests. One that is encrypted says nothing.
    fn of(set: &Set) -> Self {
        let mut secrets = Self(BTreeMap::new());
        for manifest in &set.secrets {
            if manifest.object.get("sops").is_some() {
                continue;
            }
            let Ok(secret) = serde_json::from_value::<Secret>(manifest.object.clone()) else {
                continue;
            };
            let key = (manifest.namespace.clone(), manifest.name.clone());
            let values = secrets.0.entry(key).or_default();
            values.extend(secret.data.unwrap_or_default());
            let texts = secret.string_data.unwrap_or_default().into_iter();
            values.extend(texts.map(|(key, text)| (key, ByteString(text.into_bytes()))));
        }
        secrets
    }

    fn put(&mut self, namespace: &str, name: &str, key: &str, value: &str) {
        let secret = (namespace.to_owned(), name.to_owned());
        let values = self.0.entry(secret).or_default();
        values.insert(key.to_owned(), ByteString(value.as_bytes().to_vec()));
    }

    /// Looks for the Secrets that this manifest names and that no manifest has.
    fn look_for(
        &mut self,
        manifest: &Manifest,
        server: &Override,
        variable: &dyn Fn(&str) -> Option<String>,
    ) {
        for named in named(&manifest.object, &manifest.namespace) {
            let secret = (named.namespace.clone(), named.name.clone());
            let known = self.0.get(&secret);
            if known.is_some_and(|values| values.contains_key(&named.key)) {
                continue;
            }
            let given = server.token.as_ref().filter(|_| named.is_token);
            let given = given.map(|token| token.expose_secret().to_owned());
            if let Some(value) = variable(&variable_of(&named.name, &named.key)).or(given) {
                self.put(&named.namespace, &named.name, &named.key, &value);
            }
        }
    }

    fn objects(self) -> impl Iterator<Item = (Name, Value)> {
        self.0.into_iter().map(|((namespace, name), data)| {
            let secret = Secret {
                metadata: ObjectMeta {
                    name: Some(name.clone()),
                    namespace: Some(namespace.clone()),
                    uid: Some(format!("{namespace}/{name}")),
                    ..ObjectMeta::default()
                },
                data: Some(data),
                ..Secret::default()
            };
            (("secrets".to_owned(), namespace, name), json!(secret))
        })
    }
}

/// The variable of the environment that stands for a key of a Secret: `SECRET_DUO_CLIENT_SECRET` for `client-secret` of `duo`.
fn variable_of(name: &str, key: &str) -> String {
    let letters = format!("SECRET_{name}_{key}").to_ascii_uppercase();
    let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    letters.chars().map(fits).collect()
}

/// A key of a Secret that a manifest names.
struct Named {
    namespace: String,
    name: String,
    key: String,
    is_token: bool,
}

fn named(value: &Value, namespace: &str) -> Vec<Named> {
    let mut all = Vec::new();
    collect(value, namespace, &mut all);
    all
}

fn collect(value: &Value, namespace: &str, all: &mut Vec<Named>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let text = |key: &str| Some(value.get(key)?.as_str()?.to_owned());
                let is_token = field == "tokenSecretRef";
                if (is_token || field == "secretKeyRef")
                    && let (Some(name), Some(key)) = (text("name"), text("key"))
                {
                    let namespace = text("namespace").unwrap_or_else(|| namespace.to_owned());
                    all.push(Named {
                        namespace,
                        name,
                        key,
                        is_token,
                    });
                }
                collect(value, namespace, all);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, namespace, all)),
        _ => {}
    }
}
