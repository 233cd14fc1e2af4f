//! The public CAs of the image: those of Mozilla's root program, in the release that Cargo.lock names. So they don't depend on the
//! machine that builds.
use std::fmt::Write;

use pem::{EncodeConfig, LineEnding, Pem};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// The crate that brings them.
pub(super) const CRATE: &str = "webpki-root-certs";

/// All of them, as PEM.
#[must_use]
pub fn certificates() -> String {
    let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
    let mut text = format!(
        "# The public CAs of Mozilla's root program, as the crate {CRATE} has them. CDLA-Permissive-2.0\n"
    );
    for certificate in TLS_SERVER_ROOT_CERTS {
        let block = Pem::new("CERTIFICATE", certificate.as_ref());
        // A text can always be written to.
        let _ = write!(text, "{}", pem::encode_config(&block, lines));
    }
    text
}

/// The release of a crate, as a text of the form of Cargo.lock has it.
pub(super) fn locked<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = lock.split_once(&format!("\nname = \"{name}\"\nversion = \""))?;
    rest.split_once('"').map(|(version, _)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_what_a_reader_of_pem_takes() {
        let all = pem::parse_many(certificates()).unwrap();
        assert_eq!(all.len(), TLS_SERVER_ROOT_CERTS.len());
        assert!(all.len() > 100);
        for (read, certificate) in all.iter().zip(TLS_SERVER_ROOT_CERTS) {
            assert_eq!(
                (read.tag(), read.contents()),
                ("CERTIFICATE", certificate.as_ref())
            );
        }
    }

    #[test]
    fn their_release_is_in_the_lock() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(locked(lock, CRATE).is_some());
        assert_eq!(
            locked("\nname = \"a\"\nversion = \"1.2\"\n", "a"),
            Some("1.2")
        );
        assert_eq!(locked("\nname = \"a\"\nversion = \"1.2\"\n", "b"), None);
    }
}
