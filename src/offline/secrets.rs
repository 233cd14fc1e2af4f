//! The Secrets that manifests name: from manifests, the cluster and the environment.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::core::ObjectMeta;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::desk::Name;
use crate::{
    controller::connection::Holds,
    manifests::{Manifest, Set},
};

/// A Secret that can be had.
#[derive(Default)]
struct Found {
    /// Its uid and resourceVersion, where a cluster has it.
    version: Option<(String, String)>,
    values: BTreeMap<String, ByteString>,
}

/// The Secrets that can be had, by namespace and name.
pub struct Secrets(BTreeMap<(String, String), Found>);

impl Secrets {
    /// Those of a cluster and, before them, those among the manifests. One that is encrypted says nothing.
    pub fn new(set: &Set, known: &BTreeMap<(String, String), Secret>) -> Self {
        let known = known
            .iter()
            .map(|(name, secret)| (name.clone(), in_cluster(secret)));
        let mut secrets = Self(known.collect());
        let is_plain = |manifest: &&Manifest| manifest.object.get("sops").is_none();
        for manifest in set.secrets.iter().filter(is_plain) {
            if let Ok(secret) = serde_json::from_value::<Secret>(manifest.object.clone()) {
                let name = (manifest.namespace.clone(), manifest.name.clone());
                let found = secrets.0.entry(name).or_default();
                found.declare(secret);
            }
        }
        secrets
    }

    /// Adds a value.
    pub fn put(&mut self, namespace: &str, name: &str, key: &str, value: &str) {
        let secret = (namespace.to_owned(), name.to_owned());
        let values = &mut self.0.entry(secret).or_default().values;
        values.insert(key.to_owned(), ByteString(value.as_bytes().to_vec()));
    }

    /// Looks for what this object of this namespace names and what is not there yet.
    pub fn look_for(
        &mut self,
        object: &Value,
        namespace: &str,
        token: Option<&SecretString>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) {
        let all = named(object, namespace).into_iter();
        for named in all.filter(|named| named.holds == Holds::Secret) {
            let secret = (named.namespace.clone(), named.name.clone());
            let known = self.0.get(&secret);
            if known.is_some_and(|found| found.values.contains_key(&named.key)) {
                continue;
            }
            let given = token.filter(|_| named.is_token);
            let given = given.map(|token| token.expose_secret().to_owned());
            if let Some(value) = variable(&variable_of(&named.name, &named.key)).or(given) {
                self.put(&named.namespace, &named.name, &named.key, &value);
            }
        }
    }

    /// The Secrets as objects.
    pub fn objects(self) -> impl Iterator<Item = (Name, Value)> {
        self.0.into_iter().map(|((namespace, name), found)| {
            let own = format!("{namespace}/{name}");
            let (uid, version) = found
                .version
                .map_or((own, None), |(uid, version)| (uid, Some(version)));
            let secret = Secret {
                metadata: ObjectMeta {
                    name: Some(name.clone()),
                    namespace: Some(namespace.clone()),
                    uid: Some(uid),
                    resource_version: version,
                    ..ObjectMeta::default()
                },
                data: Some(found.values),
                ..Secret::default()
            };
            (("secrets".to_owned(), namespace, name), json!(secret))
        })
    }
}

impl Found {
    /// A manifest says what the Secret is to hold. Where that is another value than the cluster's, it is another version too.
    fn declare(&mut self, secret: Secret) {
        let before = self.values.clone();
        self.values.extend(secret.data.unwrap_or_default());
        let texts = secret.string_data.unwrap_or_default().into_iter();
        let texts = texts.map(|(key, text)| (key, ByteString(text.into_bytes())));
        self.values.extend(texts);
        if self.values != before {
            self.version = None;
        }
    }
}

fn in_cluster(secret: &Secret) -> Found {
    let meta = &secret.metadata;
    Found {
        version: meta.uid.clone().zip(meta.resource_version.clone()),
        values: secret.data.clone().unwrap_or_default(),
    }
}

/// The variable of the environment that stands for a key of a Secret: `SECRET_DUO_CLIENT_SECRET` for `client-secret` of `duo`.
fn variable_of(name: &str, key: &str) -> String {
    let letters = format!("SECRET_{name}_{key}").to_ascii_uppercase();
    let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    letters.chars().map(fits).collect()
}

/// A key of a Secret or of a ConfigMap that an object names.
pub struct Named {
    /// Which of the two.
    pub holds: Holds,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    key: String,
    is_token: bool,
}

/// The keys of Secrets and ConfigMaps that an object of this namespace names.
pub fn named(object: &Value, namespace: &str) -> Vec<Named> {
    let mut all = Vec::new();
    collect(object, namespace, &mut all);
    all
}

fn collect(value: &Value, namespace: &str, all: &mut Vec<Named>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                all.extend(named_in(field, value, namespace));
                collect(value, namespace, all);
            }
        }
        Value::Array(items) => {
            for item in items {
                collect(item, namespace, all);
            }
        }
        _ => {}
    }
}

fn named_in(field: &str, value: &Value, namespace: &str) -> Option<Named> {
    let is_token = field == "tokenSecretRef";
    let holds = match field {
        "tokenSecretRef" | "secretKeyRef" => Holds::Secret,
        "configMapKeyRef" => Holds::ConfigMap,
        _ => return None,
    };
    let text = |key: &str| Some(value.get(key)?.as_str()?.to_owned());
    Some(Named {
        holds,
        namespace: text("namespace").unwrap_or_else(|| namespace.to_owned()),
        name: text("name")?,
        key: text("key")?,
        is_token,
    })
}
