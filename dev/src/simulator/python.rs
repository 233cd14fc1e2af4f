//! The corners of Python that authentik's answers depend on: how values print, how numbers and
//! UUIDs are read, what counts as whitespace.

use serde_json::Value;
use uuid::Uuid;

/// `str(value)` of a decoded JSON value.
pub(crate) fn str_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

/// `repr(value)` of a decoded JSON value.
pub(crate) fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.contains('\'') && !text.contains('"') => format!("\"{text}\""),
        Value::String(text) => format!("'{}'", text.replace('\'', "\\'")),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(repr).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let items: Vec<_> = map
                .iter()
                .map(|(key, item)| format!("'{key}': {}", repr(item)))
                .collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}

/// `type(value).__name__` of a decoded JSON value.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// Whether Python takes the value for true in a condition.
pub(crate) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// `str.strip()`, which takes a few separators more than Rust's `trim`.
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}

/// `float(text)`: underscores between digits and digits of any script are fine.
pub(crate) fn float(text: &str) -> Option<f64> {
    let text = strip(text);
    if text.starts_with('_') || text.ends_with('_') || text.contains("__") {
        return None;
    }
    let plain: String = text
        .chars()
        .filter(|c| *c != '_')
        .map(ascii_digit)
        .collect();
    plain.parse().ok()
}

/// The ASCII digit for a decimal digit of the scripts that are met in practice.
fn ascii_digit(c: char) -> char {
    const ZEROS: [u32; 5] = [0x0660, 0x06f0, 0x0966, 0x09e6, 0xff10];
    let code = u32::from(c);
    ZEROS
        .iter()
        .find(|zero| (**zero..**zero + 10).contains(&code))
        .and_then(|zero| char::from_digit(code - zero, 10))
        .unwrap_or(c)
}

/// `uuid.UUID(text)`: URN, braces, any case and dashes anywhere.
pub(crate) fn uuid(text: &str) -> Option<Uuid> {
    let bare = text.replace("urn:", "").replace("uuid:", "");
    let hex = bare.trim_matches(['{', '}']).replace('-', "");
    let valid = hex.len() == 32 && hex.chars().all(|c| c.is_ascii_hexdigit());
    if valid {
        Uuid::parse_str(&hex).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_print_as_python_does() {
        assert_eq!(str_of(&json!(["a", 1, true, null])), "['a', 1, True, None]");
        assert_eq!(str_of(&json!({"pk": "x"})), "{'pk': 'x'}");
        assert_eq!(str_of(&json!(1.5)), "1.5");
    }

    #[test]
    fn numbers_read_as_python_does() {
        assert_eq!(float("1_0"), Some(10.0));
        assert_eq!(float("\u{661}"), Some(1.0));
        assert_eq!(float("+1"), Some(1.0));
        assert_eq!(float(""), None);
        assert_eq!(float("_1"), None);
    }

    #[test]
    fn uuids_read_as_python_does() {
        let plain = "e119893b-81db-46e3-9346-b2948f73ba40";
        for spelling in [
            "E119893B-81DB-46E3-9346-B2948F73BA40",
            "e119893b81db46e39346b2948f73ba40",
            "urn:uuid:e119893b-81db-46e3-9346-b2948f73ba40",
            "{e119893b-81db-46e3-9346-b2948f73ba40}",
        ] {
            assert_eq!(
                uuid(spelling).map(|id| id.to_string()).as_deref(),
                Some(plain)
            );
        }
        assert_eq!(uuid(" e119893b-81db-46e3-9346-b2948f73ba40 "), None);
    }
}
