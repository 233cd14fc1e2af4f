//! What can go wrong, by what to do about it.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use super::shown::Shown;

/// Most characters of an [`Error::Rejected`] that are displayed.
const MAX_DISPLAY: usize = 1000;

/// The key of messages that belong to no field, as Django names it.
pub(super) const NO_FIELD: &str = "non_field_errors";

/// Why a request did not do what it was for.
///
/// The texts are the same for the same fault (no time, no request id) and never hold a token or a secret that was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// authentik refused the values (400). Nothing was saved, not even the valid ones.
    #[error("{}", rejection(messages))]
    Rejected {
        /// By field, in authentik's words; items of lists as `device_classes[1]`, and `non_field_errors` for those of no field.
        messages: BTreeMap<Shown, Vec<Shown>>,
    },
    /// The token is not accepted or may not do this. authentik answers 403 for both, never 401 (measured on 2024.2 to 2026.5).
    #[error("{}", denial(*kind, detail, permission.as_deref()))]
    AccessDenied {
        /// Which of the two it is. From 2024.8 on requests for a single object without any credentials look like a missing permission.
        kind: DeniedKind,
        /// authentik's words.
        detail: Shown,
        /// The model permission that was missing, `app_label.codename`, where it is known.
        permission: Option<String>,
    },
    /// The object is gone.
    #[error("authentik has no such object")]
    NotFound,
    /// authentik can't be reached or can't answer now. The same request may succeed later.
    #[error("{cause}")]
    Unavailable {
        /// What was seen.
        cause: Shown,
        /// How long the server asks to be left alone; five minutes at most.
        retry_after: Option<Duration>,
        /// True after a write that may have been carried out all the same: look before writing again.
        outcome_unknown: bool,
    },
    /// There is more of it than the operator reads. Other requests may fare well.
    #[error("{what}, which is more than this operator reads")]
    TooMuch {
        /// What was seen.
        what: Shown,
    },
    /// Whatever answers at this URL, it doesn't speak as authentik does.
    #[error("{what}: this doesn't look like authentik's API, check the connection's url")]
    NotAuthentik {
        /// What was seen.
        what: Shown,
    },
    /// authentik has no page at this path (404 in HTML): the URL's path is wrong, or this authentik is too old to have it.
    #[error("there is no {path}: check the path of the connection's url and authentik's version")]
    EndpointMissing {
        /// The path asked for.
        path: Shown,
    },
    /// authentik refused the request in a way that it never should, such as a 415.
    #[error("authentik answered {status}: {detail}")]
    Unexpected {
        /// HTTP status.
        status: u16,
        /// authentik's words.
        detail: Shown,
    },
    /// The client was closed, or its [`Gate`](super::Gate), before the request was sent.
    #[error("the operator is ending")]
    Closed,
}

/// A [`Config`](super::Config) that can't work. Its text names the field and never repeats a value, for a value may hold a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ConfigError {
    /// The field as a connection's spec spells it, or `token`.
    pub field: Cow<'static, str>,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// What was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeniedKind {
    /// The token is unknown, expired or not meant for the API, or its user is inactive.
    Token,
    /// The token is good and its user lacks a permission.
    Permission,
}

impl Error {
    /// Whether the server is at fault or out of reach, so that any other request would probably fare alike.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Error::Unavailable { .. })
    }

    /// Whether this came of a write that may have been carried out nevertheless.
    pub fn outcome_unknown(&self) -> bool {
        matches!(
            self,
            Error::Unavailable {
                outcome_unknown: true,
                ..
            }
        )
    }

    /// Whether what this field is to hold is taken: `{"name": ["stage with this name already exists."]}`. Names are unique across
    /// all kinds of stage, slugs across all flows (measured on 2024.2 to 2026.5).
    pub fn says_taken(&self, field: &str) -> bool {
        let Error::Rejected { messages } = self else {
            return false;
        };
        let texts = messages.get(field).into_iter().flatten();
        texts
            .into_iter()
            .any(|text| text.as_str().contains("already exists"))
    }

    /// How long the server asks to be left alone; five minutes at most.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(super) fn unavailable(cause: Shown, outcome_unknown: bool) -> Error {
        Error::Unavailable {
            cause,
            retry_after: None,
            outcome_unknown,
        }
    }
}

fn rejection(messages: &BTreeMap<Shown, Vec<Shown>>) -> String {
    let fields = messages.iter().map(|(field, texts)| {
        let texts = texts.iter().map(Shown::as_str).collect::<Vec<_>>();
        match field.as_str() {
            NO_FIELD => texts.join(" "),
            field => format!("{field}: {}", texts.join(" ")),
        }
    });
    let text = fields.collect::<Vec<_>>().join("; ");
    match text.char_indices().nth(MAX_DISPLAY) {
        _ if text.is_empty() => "authentik refused the values and gave no reason".to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn denial(kind: DeniedKind, detail: &Shown, permission: Option<&str>) -> String {
    match (kind, permission) {
        (DeniedKind::Token, _) => format!("authentik does not accept the token: {detail}"),
        (_, Some(permission)) => {
            format!("the token's user lacks the permission {permission}: {detail}")
        }
        (_, None) => format!("the token's user lacks a permission: {detail}"),
    }
}
