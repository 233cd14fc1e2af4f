//! Compares answers, seeing through what is a server's own.

use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// How an answer differs from the recorded one.
pub struct Difference {
    pub what: String,
    /// Whether status and content type are as recorded.
    pub in_body: bool,
}

/// Which simulated key stands for which recorded one: one to one.
#[derive(Clone, Default)]
pub struct Mapping {
    simulated: HashMap<String, String>,
    recorded: HashMap<String, String>,
    simulated_numbers: HashMap<u64, u64>,
    recorded_numbers: HashMap<u64, u64>,
}

/// Fields that hold numbers by which a server knows users, groups and devices.
const NUMBERED: [&str; 4] = ["pk", "num_pk", "user", "users"];

/// What stands for a text of the server's own in a recording.
const WITHHELD: [&str; 2] = ["<avatar>", "<key>"];

impl Mapping {
    /// Binds two numbers, unless one of them is bound to another.
    fn bind_numbers(&mut self, recorded: u64, simulated: u64) -> bool {
        let forward = *self.simulated_numbers.entry(recorded).or_insert(simulated);
        let back = *self.recorded_numbers.entry(simulated).or_insert(recorded);
        forward == simulated && back == recorded
    }

    /// A recorded value of a field as the simulator must get it.
    pub fn field_to_simulated(&self, name: &str, value: &Value) -> Value {
        let number = value.as_u64().filter(|_| NUMBERED.contains(&name));
        let known = number.and_then(|number| self.simulated_numbers.get(&number));
        known.map_or_else(|| self.value_to_simulated(value), |known| json!(known))
    }

    /// Binds two keys, unless one of them is bound to another.
    pub fn bind(&mut self, recorded: &str, simulated: &str) -> bool {
        let forward = self
            .simulated
            .entry(recorded.to_owned())
            .or_insert_with(|| simulated.to_owned());
        let back = self
            .recorded
            .entry(simulated.to_owned())
            .or_insert_with(|| recorded.to_owned());
        forward == simulated && back == recorded
    }

    /// Whether both are bare keys that nothing is known of yet.
    fn both_new(&self, recorded: &Value, simulated: &Value) -> bool {
        let (Some(recorded), Some(simulated)) = (recorded.as_str(), simulated.as_str()) else {
            return false;
        };
        key_length(recorded.as_bytes()) == Some(recorded.len())
            && !self.simulated.contains_key(recorded)
            && !self.recorded.contains_key(simulated)
    }

    /// A recorded text as the simulator must get it; spellings of UUIDs are kept.
    pub fn to_simulated(&self, text: &str) -> String {
        let mut out = String::new();
        for (piece, is_key) in pieces(text) {
            out += &if is_key {
                self.respelled(piece)
            } else {
                piece.to_owned()
            };
        }
        out
    }

    fn respelled(&self, key: &str) -> String {
        let plain = canonical(key);
        let mapped = self.simulated.get(&plain).cloned().unwrap_or(plain);
        let mapped = if key.contains('-') {
            mapped
        } else {
            mapped.replace('-', "")
        };
        if key.chars().any(|c| c.is_ascii_uppercase()) {
            mapped.to_uppercase()
        } else {
            mapped
        }
    }

    /// A recorded JSON value as the simulator must get it.
    pub fn value_to_simulated(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.to_simulated(&lengthened(text)).into(),
            Value::Array(items) => items
                .iter()
                .map(|item| self.value_to_simulated(item))
                .collect(),
            Value::Object(map) => {
                let map = map
                    .iter()
                    .map(|(k, v)| (self.to_simulated(k), self.field_to_simulated(k, v)));
                Value::Object(map.collect())
            }
            other => other.clone(),
        }
    }
}

fn canonical(key: &str) -> String {
    uuid::Uuid::parse_str(key)
        .map(|id| id.to_string())
        .unwrap_or_default()
}

/// Cuts a text into UUIDs (dashed or not) and what is between them.
fn pieces(text: &str) -> Vec<(&str, bool)> {
    let mut pieces = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < text.len() {
        match key_length(&text.as_bytes()[at..]) {
            Some(length) => {
                pieces.push((&text[start..at], false));
                pieces.push((&text[at..at + length], true));
                at += length;
                start = at;
            }
            None => at += text[at..].chars().next().map_or(1, char::len_utf8),
        }
    }
    pieces.push((&text[start..], false));
    pieces
}

fn key_length(bytes: &[u8]) -> Option<usize> {
    [36, 32].into_iter().find(|length| {
        let head = bytes
            .get(..*length)
            .and_then(|head| std::str::from_utf8(head).ok());
        let whole = !bytes.get(*length).is_some_and(u8::is_ascii_hexdigit);
        whole && head.is_some_and(|head| uuid::Uuid::parse_str(head).is_ok())
    })
}

const LENGTH_MARK: &str = " chars)";
const LONGEST_RECORDED: usize = 600;
const SHORTENED_TO: usize = 40;

/// The start and the true length of a text that was shortened in the recording.
fn shortened(text: &str) -> Option<(&str, usize)> {
    let (start, length) = text.strip_suffix(LENGTH_MARK)?.rsplit_once("...(")?;
    Some((start, length.parse().ok()?))
}

/// A text of the recorded length: repetitive or incompressible, as the recorded one was.
fn lengthened(text: &str) -> String {
    let Some((start, length)) = shortened(text) else {
        return text.to_owned();
    };
    let first = start.chars().next().unwrap_or('x');
    if start.chars().all(|c| c == first) {
        return String::from(first).repeat(length);
    }
    let mut seed = start
        .bytes()
        .fold(1_u64, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
    let digits = std::iter::repeat_with(|| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + u8::try_from((seed >> 33) % 10).unwrap_or_default())
    });
    start.chars().chain(digits).take(length).collect()
}

fn as_recorded(text: &str) -> String {
    let length = text.chars().count();
    if length <= LONGEST_RECORDED {
        return text.to_owned();
    }
    let start: String = text.chars().take(SHORTENED_TO).collect();
    format!("{start}...({length}{LENGTH_MARK}")
}

/// Lists whose order means nothing: sets, and joins without an order.
const UNORDERED: [&str; 7] = [
    "configuration_stages",
    "webauthn_allowed_device_types",
    "webauthn_allowed_device_types_obj",
    "flow_set",
    "stages",
    "used_by",
    "user_settings",
];

/// Compares two JSON values; `within` names the key or resource that they belong to.
pub fn same(
    mapping: &mut Mapping,
    within: &str,
    recorded: &Value,
    actual: &Value,
) -> Result<(), String> {
    match (recorded, actual) {
        (Value::Object(a), Value::Object(b)) => same_objects(mapping, a, b),
        (Value::Array(a), Value::Array(b)) if a.len() != b.len() => Err(format!(
            "{within}: {} items instead of {}",
            b.len(),
            a.len()
        )),
        (Value::Array(a), Value::Array(b)) if within == "results" && same_order(a, b) => {
            same_sets(mapping, within, a, b)
        }
        (Value::Array(a), Value::Array(b)) if UNORDERED.contains(&within) => {
            same_sets(mapping, within, a, b)
        }
        (Value::Array(a), Value::Array(b)) => {
            let within = if within == "users" { within } else { "" };
            let mut pairs = a.iter().zip(b);
            pairs.try_for_each(|(a, b)| same(mapping, within, a, b))
        }
        (Value::String(a), Value::String(b)) => same_texts(mapping, within, a, b),
        (a, b) if same_numbers(mapping, within, a, b) => Ok(()),
        (a, b) if a == b => Ok(()),
        (a, b) => Err(format!("{within}: {} instead of {}", brief(b), brief(a))),
    }
}

/// Whether both are numbers by which the servers know the same thing.
fn same_numbers(mapping: &mut Mapping, within: &str, recorded: &Value, actual: &Value) -> bool {
    let numbers = recorded.as_u64().zip(actual.as_u64());
    let numbers = numbers.filter(|_| NUMBERED.contains(&within));
    numbers.is_some_and(|(recorded, actual)| mapping.bind_numbers(recorded, actual))
}

/// Whether both are bindings in the same order, as far as `order` tells: ties mean nothing.
fn same_order(recorded: &[Value], actual: &[Value]) -> bool {
    let order = |item: &Value| item.get("order").cloned();
    !recorded.is_empty()
        && recorded.iter().all(|item| order(item).is_some())
        && recorded.iter().map(order).eq(actual.iter().map(order))
}

fn brief(value: &Value) -> String {
    value.to_string().chars().take(300).collect()
}

fn same_objects(
    mapping: &mut Mapping,
    recorded: &Map<String, Value>,
    actual: &Map<String, Value>,
) -> Result<(), String> {
    let extra: Vec<_> = actual
        .keys()
        .filter(|key| !recorded.contains_key(*key))
        .collect();
    if !extra.is_empty() {
        return Err(format!("unexpected {extra:?} in {}", brief(&json!(actual))));
    }
    for (key, recorded) in recorded {
        let actual = actual.get(key).ok_or_else(|| format!("no {key}"))?;
        same(mapping, key, recorded, actual)?;
    }
    Ok(())
}

fn same_sets(
    mapping: &mut Mapping,
    within: &str,
    recorded: &[Value],
    actual: &[Value],
) -> Result<(), String> {
    let mut left: Vec<&Value> = actual.iter().collect();
    for item in recorded {
        if let Some(other) = left.iter().position(|other| mapping.both_new(item, other)) {
            // Which of several unknown keys stands for which, a set cannot tell.
            left.swap_remove(other);
            continue;
        }
        let found = left.iter().position(|candidate| {
            let mut attempt = mapping.clone();
            let fits = same(&mut attempt, "", item, candidate).is_ok();
            if fits {
                *mapping = attempt;
            }
            fits
        });
        let found = found.ok_or_else(|| {
            let left: Vec<_> = left.iter().map(|item| brief(item)).collect();
            format!(
                "{within}: nothing like {} in {}",
                brief(item),
                left.join(", ")
            )
        })?;
        left.swap_remove(found);
    }
    Ok(())
}

fn same_texts(
    mapping: &mut Mapping,
    within: &str,
    recorded: &str,
    actual: &str,
) -> Result<(), String> {
    let differ = || Err(format!("{within}: {actual:?} instead of {recorded:?}"));
    let withheld = WITHHELD.contains(&recorded) && !actual.is_empty();
    if withheld || is_time(recorded) && is_time(actual) {
        return Ok(());
    }
    if matches!(within, "key" | "uid") && recorded.len() == actual.len() {
        return if mapping.bind(recorded, actual) {
            Ok(())
        } else {
            differ()
        };
    }
    let (recorded, actual) = match (file_behind_token(recorded), file_behind_token(actual)) {
        (Some(recorded), Some(actual)) => (recorded, actual),
        _ => (recorded, actual),
    };
    let actual_short = as_recorded(actual);
    let (a, b) = (pieces(recorded), pieces(&actual_short));
    if a.len() != b.len() {
        return differ();
    }
    for ((a, a_is_key), (b, b_is_key)) in a.iter().zip(&b) {
        let fits = match (a_is_key, b_is_key) {
            (true, true) => mapping.bind(&canonical(a), &canonical(b)),
            (false, false) => a == b,
            _ => false,
        };
        if !fits {
            return differ();
        }
    }
    Ok(())
}

/// The path of a file that the server gives out for a token of its own only.
fn file_behind_token(text: &str) -> Option<&str> {
    let (path, token) = text.split_once("?token=")?;
    (path.starts_with("/files/") && token.split('.').count() == 3).then_some(path)
}

fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.len() >= 20 && text.ends_with('Z') && bytes[4] == b'-' && bytes[10] == b'T'
}
