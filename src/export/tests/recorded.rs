//! A manifest is true of every object that was recorded of a real server.

use std::{collections::HashMap, fs, path::Path};

use serde_json::Value;
use uuid::Uuid;

use super::{
    described::is_true_of,
    support::{Named, described, referred},
};
use crate::{
    kinds::{ForEachKind, Kind, for_each_kind},
    plan::{Live, Row},
};

/// Path and body of every answer that was recorded.
fn answers() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dev/contract");
    let files = fs::read_dir(folder).expect("there are recordings");
    let files = files.map(|file| file.expect("a file").path());
    let files = files.filter(|file| file.extension().is_some_and(|of| of == "jsonl"));
    let mut answers = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).expect("a recording can be read");
        for line in text.lines() {
            let mut exchange: Value = serde_json::from_str(line).expect("an exchange");
            let path = exchange["request"]["path"].as_str().map(str::to_owned);
            answers.extend(path.map(|path| (path, exchange["response"]["body"].take())));
        }
    }
    answers
}

/// The objects of a kind in an answer: one, or a page of them.
fn objects<K: Kind>(path: &str, body: &Value) -> Vec<Live> {
    if !path.contains(&format!("/{}/", K::COLLECTION.path())) {
        return Vec::new();
    }
    let rows = match body["results"].as_array() {
        Some(rows) => rows.clone(),
        None => vec![body.clone()],
    };
    let read = |row| serde_json::from_value::<Row<K>>(row).ok();
    rows.into_iter().filter_map(read).map(|row| row.0).collect()
}

/// A name of its own for each object that this one refers to.
fn named<K: Kind>(live: &Live) -> Named {
    let referred = referred::<K>(live).into_iter();
    Named(
        referred
            .map(|(of, uuid)| ((of, uuid), format!("object-{uuid}")))
            .collect(),
    )
}

#[test]
fn a_manifest_wants_nothing_of_any_object_that_was_recorded() {
    struct Each(Vec<(String, Value)>);
    impl ForEachKind for Each {
        fn kind<K: Kind>(&mut self) {
            let mut seen: HashMap<Uuid, Vec<Live>> = HashMap::new();
            for (path, body) in &self.0 {
                for live in objects::<K>(path, body) {
                    let known = seen.entry(live.uuid).or_default();
                    if !known.contains(&live) {
                        known.push(live);
                    }
                }
            }
            let all: Vec<_> = seen.into_values().flatten().collect();
            assert!(all.len() > 3, "{} {}s", all.len(), K::KIND);
            for live in all {
                let named = named::<K>(&live);
                let text = match described::<K>(&live, &named.labels()) {
                    Ok(made) => made.yaml().expect("a text"),
                    // Such as an empty host name, or a name with a tab.
                    Err(refused) => {
                        let is_name = refused.field == K::LABEL.spec;
                        let is_by_rule = refused.why.contains("can't be said here");
                        assert!(is_name || is_by_rule, "{refused}");
                        continue;
                    }
                };
                if let Err(error) = is_true_of::<K>(&text, &live, &named) {
                    panic!("{}: {error}", K::KIND);
                }
            }
        }
    }
    for_each_kind(&mut Each(answers()));
}
