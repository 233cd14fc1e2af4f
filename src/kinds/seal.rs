//! Seals: what is kept of a secret value that authentik shows, to tell whether it is the wanted one.
//!
//! A seal is a keyed digest. Its key is made when the process starts and never leaves it, so that a seal tells nothing of the
//! value, not even to somebody who guesses it.

use std::{fmt::Write, sync::LazyLock};

use ring::{hmac, rand::SystemRandom};
use serde_json::Value;

static KEY: LazyLock<hmac::Key> = LazyLock::new(|| {
    hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
        .expect("the system has random numbers")
});

/// The seal of this text; of none, none.
#[must_use]
pub fn seal(text: &str) -> Value {
    if text.is_empty() {
        return Value::from("");
    }
    let tag = hmac::sign(&KEY, text.as_bytes());
    let mut hex = String::with_capacity(64);
    for byte in tag.as_ref() {
        // Writing to a String does not fail.
        let _ = write!(hex, "{byte:02x}");
    }
    Value::from(hex)
}

/// The seal of what authentik shows.
#[must_use]
pub fn seal_value(found: &Value) -> Value {
    match found {
        Value::Null => Value::Null,
        Value::String(text) => seal(text),
        other => seal(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_tells_equal_from_different_and_nothing_else() {
        assert_eq!(seal("hunter2"), seal_value(&Value::from("hunter2")));
        assert_ne!(seal("hunter2"), seal("hunter3"));
        assert!(!seal("hunter2").to_string().contains("hunter"));
        assert_eq!(seal(""), Value::from(""));
        assert_eq!(seal_value(&Value::Null), Value::Null);
        assert_ne!(seal_value(&Value::from(7)), Value::from(7));
    }
}
