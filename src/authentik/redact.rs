//! What a server says goes into conditions, events and logs, so it is made harmless first.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// Fields of a request whose values are secret. authentik never returns them, yet an error text could repeat what was sent.
const SECRET_FIELDS: [&str; 2] = ["client_secret", "admin_secret_key"];

/// Longest text, in characters, taken from a server for one message.
const MAX_TEXT: usize = 300;

/// The secrets that one request carries.
pub(super) struct Redactor(Vec<SecretString>);

impl Redactor {
    pub(super) fn new(token: &str, body: Option<&Value>) -> Redactor {
        let sent = SECRET_FIELDS
            .iter()
            .filter_map(|field| body?.get(field)?.as_str());
        let secrets = sent
            .chain([token])
            // authentik strips what it stores, and might repeat the stripped text.
            .map(str::trim)
            .filter(|secret| !secret.is_empty())
            .map(SecretString::from);
        Redactor(secrets.collect())
    }

    /// The text on one line and of bounded length. A text that repeats a secret is withheld as a whole:
    /// cutting a short secret out of it would tell by the gaps what it was.
    pub(super) fn clean(&self, text: &str) -> String {
        if self.0.iter().any(|s| text.contains(s.expose_secret())) {
            return "(withheld: the text repeats a secret)".to_owned();
        }
        let line = |c: char| if c.is_control() { ' ' } else { c };
        let mut cleaned: String = text.trim().chars().map(line).take(MAX_TEXT).collect();
        if text.trim().chars().nth(MAX_TEXT).is_some() {
            cleaned.push('…');
        }
        cleaned
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_that_repeat_a_secret_are_withheld() {
        let body =
            json!({"client_id": "public", "client_secret": " s3cr3t\n", "admin_secret_key": 5});
        let redactor = Redactor::new("t0ken", Some(&body));
        for leak in ["\"s3cr3t\" is bad", "at0kenb"] {
            assert_eq!(
                redactor.clean(leak),
                "(withheld: the text repeats a secret)"
            );
        }
        assert_eq!(redactor.clean("public\nis fine "), "public is fine");
    }

    #[test]
    fn long_texts_are_cut() {
        let cleaned = Redactor::new("", None).clean(&"ä".repeat(1000));
        assert_eq!(cleaned.chars().count(), MAX_TEXT + 1);
    }
}
