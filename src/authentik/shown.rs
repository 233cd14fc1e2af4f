//! Texts of a server: as they came, and made fit to be shown.
//!
//! What a server says goes into conditions, events and logs, so it is made harmless first. The types see to it:
//! a [`Remote`] can't be shown, and only a [`Redactor`] makes a [`Shown`] of it.

use std::{borrow::Borrow, fmt};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, de};

/// Most bytes of a text that are read. A longer one makes its object unreadable.
pub(super) const MAX_REMOTE: usize = 64 * 1024;

/// Most characters of a text that are shown.
const MAX_SHOWN: usize = 300;

/// A text as a server sent it. It has no `Display`, and its `Debug` hides it: it is to be compared, never to be shown.
#[derive(Clone, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Remote(String);

impl Remote {
    /// The text as it came. Never show it: [`Client::show`](super::Client::show) makes it fit for that.
    pub fn raw(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({} bytes)", self.0.len())
    }
}

impl From<&str> for Remote {
    fn from(text: &str) -> Remote {
        Remote(text.to_owned())
    }
}

impl From<String> for Remote {
    fn from(text: String) -> Remote {
        Remote(text)
    }
}

impl PartialEq<str> for Remote {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Remote {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl Borrow<str> for Remote {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Remote {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Remote;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a text of at most {MAX_REMOTE} bytes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Remote, E> {
                match text.len() {
                    0..=MAX_REMOTE => Ok(Remote::from(text)),
                    length => Err(E::invalid_length(length, &self)),
                }
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A text that is fit to be shown: one line, no control characters and none that turn the direction of writing,
/// at most 300 characters, no secret.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Shown(String);

impl Shown {
    /// A text of the operator's own.
    pub(crate) fn fixed(text: &'static str) -> Shown {
        Shown(text.to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for Shown {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Shown {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Shown {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Shown {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

/// Knows what must not be shown.
#[derive(Clone)]
pub(super) struct Redactor(Vec<SecretString>);

impl Redactor {
    pub fn new(token: &str) -> Redactor {
        Redactor(Vec::new()).and(&[SecretString::from(token)])
    }

    /// One that knows these secrets too.
    pub fn and(&self, secrets: &[SecretString]) -> Redactor {
        let more = secrets
            .iter()
            // authentik strips what it stores, and might repeat the stripped text.
            .map(|secret| secret.expose_secret().trim())
            .filter(|secret| !secret.is_empty())
            .map(SecretString::from);
        Redactor(self.0.iter().cloned().chain(more).collect())
    }

    /// The text on one line and of bounded length. A text that repeats a secret is withheld as a whole:
    /// cutting a short secret out of it would tell by the gaps what it was.
    pub fn clean(&self, text: &str) -> Shown {
        let cleaned = one_line(text);
        let cleaned = cleaned.trim();
        // Cleaned, a text may come to repeat what it did not repeat before.
        if self.repeats_a_secret(text) || self.repeats_a_secret(cleaned) {
            return Shown::fixed("(withheld: the text repeats a secret)");
        }
        Shown(cut(cleaned, MAX_SHOWN))
    }

    fn repeats_a_secret(&self, text: &str) -> bool {
        let mut secrets = self.0.iter();
        secrets.any(|secret| text.contains(secret.expose_secret()))
    }
}

/// As much of a text as so many characters, of which the last tells that it was longer.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most - 1).chain(['…']).collect(),
    }
}

/// The text with a space for each character that a terminal or a log would not take for a part of it.
#[must_use]
pub fn one_line(text: &str) -> String {
    let harmless = |c| if is_harmful(c) { ' ' } else { c };
    text.chars().map(harmless).collect()
}

/// Control characters, line separators, and what turns the direction of the text that follows.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
