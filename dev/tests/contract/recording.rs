//! The recordings and the list of what may differ from them.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// A request and its answer.
#[derive(Clone, Deserialize)]
pub struct Exchange {
    pub n: u64,
    /// What the case shows.
    pub name: String,
    pub request: Request,
    pub response: Response,
}

#[derive(Clone, Deserialize)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: Map<String, Value>,
    pub body: Value,
    /// Which token is sent, and how.
    pub auth: String,
    /// The body where it is not plain JSON.
    pub raw_body: Option<String>,
    /// The content type where it is not JSON; `Some(None)` sends none.
    #[serde(default, deserialize_with = "present")]
    pub content_type: Option<Option<String>>,
    #[serde(default)]
    pub headers: Map<String, Value>,
}

#[derive(Clone, Deserialize)]
pub struct Response {
    pub status: u16,
    pub headers: Map<String, Value>,
    pub body: Value,
}

/// Keeps a null apart from a missing key.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// A case whose body need not be as recorded. Status and content type always must.
#[derive(Debug, Deserialize)]
pub struct Exception {
    set: String,
    /// The case's name; a trailing `*` stands for anything.
    case: String,
    /// The releases it holds for; all without it.
    versions: Option<Vec<String>>,
    /// Why the simulator cannot or should not answer as recorded.
    #[serde(rename = "reason")]
    _reason: String,
}

impl Exception {
    pub fn covers(&self, exchange: &Exchange) -> bool {
        match self.case.strip_suffix('*') {
            Some(start) => exchange.name.starts_with(start),
            None => exchange.name == self.case,
        }
    }
}

fn lines(file: &str) -> Vec<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("contract")
        .join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().map(str::to_owned).collect()
}

pub fn load(set: &str, version: &str) -> Vec<Exchange> {
    let lines = lines(&format!("{set}-{version}.jsonl"));
    lines
        .iter()
        .map(|line| serde_json::from_str(line).expect("a recorded exchange"))
        .collect()
}

pub fn exceptions(set: &str, version: &str) -> Vec<Exception> {
    let all = lines("exceptions.jsonl");
    let all = all
        .iter()
        .map(|line| serde_json::from_str::<Exception>(line).expect("an exception"));
    all.filter(|exception| exception.set == set)
        .filter(|e| {
            e.versions
                .as_ref()
                .is_none_or(|of| of.iter().any(|known| known == version))
        })
        .collect()
}
