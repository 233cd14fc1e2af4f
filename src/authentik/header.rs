//! Headers that a connection adds to each request.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::error::ConfigError;

/// Most bytes of a value. Servers refuse longer heads of requests.
const MAX_VALUE: usize = 8 * 1024;

/// A value in clear that is shorter than this is none that somebody has mistaken: it is a word, which texts may hold.
const LEAST_SECRET: usize = 16;

/// One more header of each request.
#[derive(Clone, Debug)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value. Whitespace around it is dropped: a Secret made from a file ends in a newline.
    pub value: SecretString,
    /// Whether the value is a secret, and not just treated as one.
    pub is_secret: bool,
}

impl Header {
    /// Whether the two are sent alike.
    pub fn is_as(&self, other: &Self) -> bool {
        self.name == other.name && self.value.expose_secret() == other.value.expose_secret()
    }

    /// What no text of the server may repeat.
    pub(super) fn secret(&self) -> Option<SecretString> {
        let is_long = self.value.expose_secret().len() >= LEAST_SECRET;
        (self.is_secret || is_long).then(|| self.value.clone())
    }

    fn refuse<T>(&self, problem: &'static str) -> Result<T, ConfigError> {
        let field = format!("headers[{}]", self.name);
        Err(ConfigError {
            field: field.into(),
            problem,
        })
    }

    fn parsed(&self) -> Result<(HeaderName, HeaderValue), ConfigError> {
        let Ok(name) = HeaderName::from_bytes(self.name.as_bytes()) else {
            return self.refuse("is no header's name");
        };
        let value = self.value.expose_secret().trim();
        if value.len() > MAX_VALUE {
            return self.refuse("its value is longer than 8 KiB");
        }
        let Ok(mut value) = HeaderValue::from_str(value) else {
            return self.refuse("its value holds characters that a header can't carry");
        };
        value.set_sensitive(true);
        Ok((name, value))
    }
}

/// Adds these headers.
///
/// # Errors
/// Where one of them can't be sent, or is there already.
pub(super) fn add(headers: &mut HeaderMap, more: &[Header]) -> Result<(), ConfigError> {
    for header in more {
        let (name, value) = header.parsed()?;
        if headers.insert(name, value).is_some() {
            return header.refuse("is set already");
        }
    }
    Ok(())
}
