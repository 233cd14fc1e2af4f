//! What catalogues of charts show.

use std::{collections::BTreeSet, fs};

use authentik_stage_operator::kinds;
use serde_json::{Value, json};

use crate::rendering::{chart, objects, only};

fn metadata() -> Value {
    let text = fs::read_to_string(chart().join("Chart.yaml")).expect("it can be read");
    serde_saphyr::from_str(&text).expect("it is YAML")
}

/// The list that an annotation for Artifact Hub holds as YAML.
fn listed(metadata: &Value, name: &str) -> Vec<Value> {
    let annotation = &metadata["annotations"][format!("artifacthub.io/{name}")];
    let text = annotation.as_str().expect("it is there");
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_metadata_is_that_of_the_code_the_examples_and_the_changelog() {
    let text = fs::read_to_string(chart().join("Chart.yaml")).expect("it can be read");
    assert!(
        text == devkit::chart::metadata().expect("it can be made"),
        "the chart's Chart.yaml is out of date; run `make generate`"
    );
}

#[test]
fn every_kind_has_a_card_and_examples_are_of_them() {
    let metadata = metadata();
    let cards = listed(&metadata, "crds");
    let shown: BTreeSet<_> = cards
        .iter()
        .filter_map(|card| card["name"].as_str())
        .collect();
    let crds = kinds::crds();
    let names = crds
        .iter()
        .map(|crd| crd.metadata.name.as_deref().expect("a name"));
    assert_eq!(shown, names.collect());
    for card in &cards {
        for text in ["kind", "version", "displayName", "description"] {
            assert!(
                card[text].as_str().is_some_and(|text| !text.is_empty()),
                "{card}"
            );
        }
    }
    let examples = listed(&metadata, "crdsExamples");
    assert!(examples.len() > 7, "{}", examples.len());
    for example in examples {
        let is_of = |card: &Value| card["kind"] == example["kind"];
        assert!(cards.iter().any(is_of), "{example}");
    }
}

#[test]
fn the_image_is_the_one_that_the_chart_installs() {
    let images = listed(&metadata(), "images");
    let deployment = only(&objects(&json!({})), "Deployment");
    let installed = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    let installed = installed
        .as_str()
        .expect("text")
        .trim_start_matches("registry.example.com/");
    assert_eq!(images.len(), 1);
    assert_eq!(
        images[0]["image"],
        json!(format!("registry.example.com/{installed}"))
    );
}

/// Whoever makes a release puts the digest in the place of this one text.
#[test]
fn the_image_is_named_in_one_place() {
    let text = fs::read_to_string(chart().join("Chart.yaml")).expect("it can be read");
    let image = listed(&metadata(), "images")[0]["image"].clone();
    let image = image.as_str().expect("text");
    assert_eq!(text.matches(image).count(), 1);
}

#[test]
fn changes_are_of_kinds_that_catalogues_know() {
    let known = [
        "added",
        "changed",
        "deprecated",
        "removed",
        "fixed",
        "security",
    ];
    let changes = listed(&metadata(), "changes");
    assert!(!changes.is_empty());
    for change in changes {
        assert!(
            known.contains(&change["kind"].as_str().expect("text")),
            "{change}"
        );
        assert!(
            change["description"]
                .as_str()
                .is_some_and(|text| text.len() > 10),
            "{change}"
        );
    }
}
