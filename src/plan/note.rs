//! What a person is told in an event.

/// The text of an event, before it is published.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Note {
    /// Whether it warns.
    pub warning: bool,
    /// Its reason, in CamelCase.
    pub reason: &'static str,
    /// Its text.
    pub text: String,
}

impl Note {
    pub(crate) fn normal(reason: &'static str, text: String) -> Self {
        Self {
            warning: false,
            reason,
            text,
        }
    }

    pub(crate) fn warning(reason: &'static str, text: String) -> Self {
        Self {
            warning: true,
            reason,
            text,
        }
    }
}
