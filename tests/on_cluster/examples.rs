//! The manifests of `examples/`, which the tests apply as people would.

use std::{collections::BTreeSet, fs};

use authentik_stage_operator::api::GROUP;
use serde_json::Value;

use crate::{
    cluster::{Cluster, TEAM},
    release::repository,
    simulator::TOKEN,
};

/// One file.
pub struct Example {
    text: String,
    /// The resources of the operator's kinds.
    resources: Vec<Value>,
    names_namespaces: bool,
}

/// All of them, in the order of their names.
pub fn examples() -> Vec<Example> {
    let files = fs::read_dir(repository("examples")).expect("it can be read");
    let mut paths: Vec<_> = files.map(|file| file.expect("an entry").path()).collect();
    paths.sort();
    let texts = paths.iter().map(fs::read_to_string);
    texts
        .map(|text| Example::of(text.expect("it can be read")))
        .collect()
}

/// The text of the one of this name.
pub fn example(name: &str) -> String {
    let text = fs::read_to_string(repository("examples").join(name)).expect("it can be read");
    filled_in(&text, "simulator.authentik")
}

/// A manifest with the placeholders for the server and the token filled in.
fn filled_in(text: &str, host: &str) -> String {
    text.replace("https://authentik.example.com", &format!("http://{host}"))
        .replace("REPLACE-WITH-AN-API-TOKEN", TOKEN)
}

impl Example {
    fn of(text: String) -> Self {
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).expect("it is YAML");
        let is_ours = |document: &Value| {
            let version = document["apiVersion"].as_str();
            version.is_some_and(|version| version.starts_with(GROUP))
        };
        Self {
            names_namespaces: documents
                .iter()
                .any(|document| document["kind"] == "Namespace"),
            resources: documents.into_iter().filter(is_ours).collect(),
            text,
        }
    }

    /// Whether all its kinds are among these.
    pub fn is_of(&self, kinds: &BTreeSet<String>) -> bool {
        let mut own = self.resources.iter().map(|resource| &resource["kind"]);
        own.all(|kind| kind.as_str().is_some_and(|kind| kinds.contains(kind)))
    }

    /// Applies it.
    pub fn apply(&self, cluster: &Cluster) {
        // Once the whole name, and once one that the resolver has to complete.
        let (namespace, host) = match self.names_namespaces {
            true => (None, "simulator.authentik.svc.cluster.local"),
            false => (Some(TEAM), "simulator.authentik"),
        };
        cluster.apply(namespace, &filled_in(&self.text, host));
    }

    fn stages(&self) -> impl Iterator<Item = &Value> {
        let stages = self.resources.iter();
        stages.filter(|resource| {
            resource["kind"]
                .as_str()
                .is_some_and(|kind| kind.ends_with("Stage"))
        })
    }

    /// The names of its stages in authentik.
    pub fn stage_names(&self) -> impl Iterator<Item = String> {
        let names = self.stages().map(|stage| &stage["spec"]["name"]);
        names.map(|name| {
            name.as_str()
                .expect("each has a name of its own")
                .to_owned()
        })
    }

    /// How often its stages stand in a flow.
    pub fn bindings(&self) -> usize {
        let flows = self.stages().map(|stage| &stage["spec"]["flows"]);
        flows
            .map(|flows| flows.as_array().map_or(0, Vec::len))
            .sum()
    }
}

/// What is compared with authentik is what people read in the examples.
#[test]
fn the_examples_have_these_stages() {
    let examples = examples();
    let mut names: Vec<_> = examples.iter().flat_map(Example::stage_names).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "company-confirm",
            "company-duo",
            "company-mfa",
            "company-recovery-codes",
            "company-security-key",
            "company-totp",
        ]
    );
    let bound: usize = examples.iter().map(Example::bindings).sum();
    assert_eq!(bound, 5, "each stands in one flow, and Duo in none");
}
