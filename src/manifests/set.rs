//! The manifests of ours, and what belongs to them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    input::File,
    problem::{Place, Problem},
    schema::Schemas,
    yaml::{Document, documents},
};
use crate::api::{GROUP, VERSION};

/// The most manifests.
const MOST: usize = 50_000;

/// One manifest.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Where it begins.
    pub place: Place,
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty for what stands in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The whole object, with its namespace.
    pub object: Value,
}

/// All manifests that matter.
#[derive(Clone, Debug, Default)]
pub struct Set {
    /// Objects of our kinds, connections included, in the order in which they stand.
    pub ours: Vec<Manifest>,
    /// Secrets.
    pub secrets: Vec<Manifest>,
    /// ConfigMaps.
    pub config_maps: Vec<Manifest>,
    /// Namespaces.
    pub namespaces: Vec<Manifest>,
    /// How many others there are.
    pub others: usize,
}

impl Set {
    /// Reads and checks the manifests of these files. What names no namespace stands in `namespace`.
    ///
    /// # Errors
    /// All that is wrong with them, in the order of the files.
    pub fn read(files: &[File], namespace: &str) -> Result<Self, Vec<Problem>> {
        let schemas = Schemas::all().map_err(|text| vec![nowhere(text)])?;
        let mut reader = Reader {
            schemas,
            namespace,
            set: Self::default(),
            problems: Vec::new(),
            seen: BTreeSet::new(),
        };
        for file in files {
            reader.file(file);
        }
        match reader.problems.is_empty() {
            true => Ok(reader.set),
            false => Err(reader.problems),
        }
    }
}

fn nowhere(text: String) -> Problem {
    let place = Place {
        file: "-".to_owned(),
        line: 0,
    };
    Problem { place, text }
}

struct Reader<'a> {
    schemas: &'static Schemas,
    namespace: &'a str,
    set: Set,
    problems: Vec<Problem>,
    seen: BTreeSet<(String, String, String)>,
}

impl Reader<'_> {
    fn file(&mut self, file: &File) {
        match documents(&file.text) {
            Ok(documents) => {
                for document in documents {
                    self.document(&file.name, document);
                }
            }
            Err((line, why)) => self.wrong(&file.name, line, format!("this is no YAML: {why}")),
        }
    }

    fn wrong(&mut self, file: &str, line: u64, text: String) {
        let place = Place {
            file: file.to_owned(),
            line,
        };
        self.problems.push(Problem { place, text });
    }

    fn document(&mut self, file: &str, document: Document) {
        let text = |field: &str| {
            let value = document.value.pointer(field).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let (version, kind) = (text("/apiVersion"), text("/kind"));
        let group = version.rsplit_once('/').map_or("", |(group, _)| group);
        match (group, kind.as_str()) {
            ("", "List") => {
                for part in document.parts("/items") {
                    self.document(file, part);
                }
            }
            (GROUP, _) => self.ours(file, &version, &kind, document),
            ("", "Secret") => {
                if let Some(manifest) = self.manifest(file, &kind, document) {
                    self.set.secrets.push(manifest);
                }
            }
            ("", "ConfigMap") => {
                if let Some(manifest) = self.manifest(file, &kind, document) {
                    self.set.config_maps.push(manifest);
                }
            }
            ("", "Namespace") => {
                if let Some(manifest) = self.manifest(file, &kind, document) {
                    self.set.namespaces.push(manifest);
                }
            }
            ("", "") if version.is_empty() => self.wrong(
                file,
                document.line(""),
                "this is no manifest: it has neither apiVersion nor kind".to_owned(),
            ),
            _ => self.set.others += 1,
        }
    }

    fn ours(&mut self, file: &str, version: &str, kind: &str, document: Document) {
        let known = format!("{GROUP}/{VERSION}");
        if version != known {
            let line = document.line("/apiVersion");
            let text = format!("apiVersion: there is no {version}; write {known}");
            return self.wrong(file, line, text);
        }
        if !self.schemas.kinds().contains(&kind) {
            let line = document.line("/kind");
            let kinds = self.schemas.kinds().join(", ");
            let text = format!("kind: there is no kind {kind:?}; write one of {kinds}");
            return self.wrong(file, line, text);
        }
        let problems = self.schemas.problems(kind, file, &document);
        if !problems.is_empty() {
            return self.problems.extend(problems);
        }
        if let Some(manifest) = self.manifest(file, kind, document) {
            self.set.ours.push(manifest);
        }
    }

    /// The manifest of this object, once it is known to be the only one of its name.
    fn manifest(&mut self, file: &str, kind: &str, document: Document) -> Option<Manifest> {
        let place = Place {
            file: file.to_owned(),
            line: document.line("/kind"),
        };
        let mut object = document.value.clone();
        let name = object.pointer("/metadata/name").and_then(Value::as_str);
        let Some(name) = name.filter(|name| !name.is_empty()).map(str::to_owned) else {
            let line = document.line("/metadata/name");
            self.wrong(file, line, "metadata.name: is missing; add it".to_owned());
            return None;
        };
        let namespace = match kind != "Namespace" && self.schemas.is_namespaced(kind) {
            true => {
                let named = object
                    .pointer("/metadata/namespace")
                    .and_then(Value::as_str);
                named
                    .filter(|named| !named.is_empty())
                    .unwrap_or(self.namespace)
                    .to_owned()
            }
            false => String::new(),
        };
        if let Some(Value::Object(meta)) = object.get_mut("metadata")
            && !namespace.is_empty()
        {
            meta.insert("namespace".to_owned(), Value::from(namespace.as_str()));
        }
        if self.seen.len() == MOST {
            self.wrong(
                file,
                place.line,
                format!("there are more than {MOST} manifests; name fewer"),
            );
            return None;
        }
        let id = (kind.to_owned(), namespace.clone(), name.clone());
        if !self.seen.insert(id) {
            let text = format!("{kind} {namespace}/{name} is there twice; remove one of the two");
            self.wrong(file, place.line, text);
            return None;
        }
        Some(Manifest {
            place,
            kind: kind.to_owned(),
            namespace,
            name,
            object,
        })
    }
}
