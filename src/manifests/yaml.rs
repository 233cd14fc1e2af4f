//! A document of YAML or JSON, and the line of each of its parts.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

/// The deepest that values may stand in one another. What the CRDs allow is far less deep.
const DEEPEST: usize = 32;

/// The most documents of one file.
const MOST_DOCUMENTS: usize = 50_000;

/// The most values of one file.
const MOST_NODES: usize = 2_000_000;

/// A document.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it says.
    pub value: Value,
    /// The line of each part, by its JSON pointer.
    lines: BTreeMap<String, u64>,
}

impl Document {
    /// The line of the part at this JSON pointer or, where there is none, of what it would be in.
    pub fn line(&self, pointer: &str) -> u64 {
        let mut pointer = pointer;
        loop {
            if let Some(line) = self.lines.get(pointer) {
                return *line;
            }
            let Some(end) = pointer.rfind('/') else {
                return 1;
            };
            pointer = &pointer[..end];
        }
    }

    /// The parts at this pointer as documents of their own.
    pub fn parts(&self, pointer: &str) -> Vec<Document> {
        let items = self.value.pointer(pointer).and_then(Value::as_array);
        let items = items.into_iter().flatten().enumerate();
        items
            .map(|(index, value)| {
                let prefix = format!("{pointer}/{index}");
                let within = |(path, line): (&String, &u64)| {
                    let rest = path.strip_prefix(&prefix)?;
                    (rest.is_empty() || rest.starts_with('/')).then(|| (rest.to_owned(), *line))
                };
                Document {
                    value: value.clone(),
                    lines: self.lines.iter().filter_map(within).collect(),
                }
            })
            .collect()
    }
}

/// The documents of a text, the empty ones left out.
///
/// # Errors
/// Line and reason, where the text is no YAML.
pub fn documents(text: &str) -> Result<Vec<Document>, (u64, String)> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST,
            max_documents: MOST_DOCUMENTS,
            max_nodes: MOST_NODES,
            max_events: 2 * MOST_NODES,
        },
        with_snippet: false,
    };
    let read = serde_saphyr::from_multiple_with_options::<Spanned<Node>>(text, options);
    let nodes = read.map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        (line, error.to_string())
    })?;
    let documents = nodes.into_iter().map(|node| {
        let mut lines = BTreeMap::new();
        let value = plain(node, String::new(), &mut lines);
        Document { value, lines }
    });
    let is_something = |document: &Document| !document.value.is_null();
    Ok(documents.filter(is_something).collect())
}

/// A value with the line of each of its parts.
enum Node {
    Scalar(Value),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

fn plain(node: Spanned<Node>, pointer: String, lines: &mut BTreeMap<String, u64>) -> Value {
    let line = node.referenced.line();
    lines.entry(pointer.clone()).or_insert(line);
    match node.value {
        Node::Scalar(value) => value,
        Node::List(items) => {
            let items = items.into_iter().enumerate();
            items
                .map(|(index, item)| plain(item, format!("{pointer}/{index}"), lines))
                .collect()
        }
        Node::Map(fields) => {
            let mut map = Map::new();
            for (name, value) in fields {
                let of = format!("{pointer}/{}", escaped(&name.value));
                lines.insert(of.clone(), name.referenced.line());
                map.insert(name.value, plain(value, of, lines));
            }
            Value::Object(map)
        }
    }
}

/// A name as it stands in a JSON pointer (RFC 6901).
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Scalar(Value::from(value)))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Scalar(Value::from(value)))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Scalar(Value::from(value)))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
                let number = Number::from_f64(value);
                let number = number.ok_or_else(|| E::custom("a number that JSON does not have"))?;
                Ok(Node::Scalar(Value::Number(number)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Node, E> {
                Ok(Node::Scalar(Value::from(value)))
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Scalar(Value::Null))
            }

            fn visit_none<E>(self) -> Result<Node, E> {
                Ok(Node::Scalar(Value::Null))
            }

            fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<Node, D::Error> {
                Node::deserialize(value)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Node::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Node::Map(fields))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
