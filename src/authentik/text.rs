//! How authentik stores a text.

/// The text as authentik stores it: without the white space around it, as Python's `str.strip` has it, which takes
/// the separators U+001C to U+001F for white space too (measured on 2024.2 to 2026.5).
#[must_use]
pub fn stripped(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::stripped;

    #[test]
    fn what_python_takes_for_white_space_goes_and_nothing_else() {
        for (text, stored) in [
            ("mfa\u{1f}", "mfa"),
            ("\u{1c}\u{a0} mfa\n\u{85}\u{3000}", "mfa"),
            ("m\u{1f}fa", "m\u{1f}fa"),
            ("\u{200b}mfa", "\u{200b}mfa"),
            ("\u{0}", "\u{0}"),
        ] {
            assert_eq!(stripped(text), stored);
        }
    }
}
