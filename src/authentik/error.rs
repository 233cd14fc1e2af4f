//! What can go wrong, by what a caller would do about it, and how an answer or a broken connection becomes one of these.

use std::{collections::BTreeMap, error, io, iter, time::Duration};

use reqwest::{StatusCode, Url};
use serde_json::Value;

use super::{redact::Redactor, transport::Answer};

/// Most characters of a [`Error::Rejected`] that are displayed.
const MAX_DISPLAY: usize = 1000;

/// Most messages kept of one refusal.
const MAX_MESSAGES: usize = 50;

/// The key of messages that belong to no field, as Django names it.
const NO_FIELD: &str = "non_field_errors";

/// Why a request did not do what it was for.
///
/// The texts are the same for the same fault (no time, no request id, no port) and never hold a token or a secret that was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// authentik refused the values (400). Nothing was saved, not even the valid ones.
    #[error("{}", rejection(messages))]
    Rejected {
        /// By field, in authentik's words; items of lists as `device_classes[1]`, and `non_field_errors` for those of no field.
        messages: BTreeMap<String, Vec<String>>,
    },
    /// The token is not accepted or may not do this. authentik answers 403 for both, never 401 (measured on 2024.2 to 2026.5).
    #[error("{}", denial(*kind, detail, permission.as_deref()))]
    AccessDenied {
        /// Which of the two it is. From 2024.8 on requests for a single object without any credentials look like a missing permission.
        kind: DeniedKind,
        /// authentik's words.
        detail: String,
        /// The model permission that was missing, `app_label.codename`, where it is known.
        permission: Option<String>,
    },
    /// The object is gone.
    #[error("authentik has no such object")]
    NotFound,
    /// authentik can't be reached or can't answer now. The same request may succeed later.
    #[error("{cause}")]
    Unavailable {
        /// What was seen, in a fixed phrase.
        cause: String,
        /// How long the server asks to be left alone; an hour at most.
        retry_after: Option<Duration>,
        /// True after a write that may have been carried out all the same: look before writing again.
        outcome_unknown: bool,
    },
    /// A row of a list can't be understood. It exists, so the list can't be used as if it didn't.
    #[error("authentik's answer is not understood: {collection}, object {key}")]
    Malformed {
        /// Path of the collection.
        collection: &'static str,
        /// The row's primary key, or `without a key`.
        key: String,
    },
    /// Whatever answers at this URL, it doesn't speak as authentik does.
    #[error("{what}: this doesn't look like authentik's API, check the connection's url")]
    NotAuthentik {
        /// What was seen.
        what: String,
    },
    /// authentik has no page at this path (404 in HTML): the URL's path is wrong, or this authentik is too old to have it.
    #[error("there is no {path}: check the path of the connection's url and authentik's version")]
    EndpointMissing {
        /// The path asked for.
        path: String,
    },
    /// authentik refused the request in a way that it never should, such as a 415.
    #[error("authentik answered {status}: {detail}")]
    Unexpected {
        /// HTTP status.
        status: u16,
        /// authentik's words.
        detail: String,
    },
    /// The client was closed, or its [`Gate`](super::Gate), before the request was sent.
    #[error("the operator is ending")]
    Closed,
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

    /// How long the server asks to be left alone; an hour at most.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(super) fn unavailable(cause: impl Into<String>, outcome_unknown: bool) -> Error {
        Error::Unavailable {
            cause: cause.into(),
            retry_after: None,
            outcome_unknown,
        }
    }
}

/// What [`refusal`] has to know of the request.
pub(super) struct Asked<'a> {
    pub write: bool,
    pub url: &'a Url,
    pub permission: Option<String>,
    pub redactor: &'a Redactor,
}

/// The error that an answer other than 2xx stands for.
pub(super) fn refusal(asked: Asked<'_>, answer: &Answer) -> Error {
    let status = answer.status;
    // An internal error answers writes with a 405 that is empty and not JSON (measured on 2024.2 to 2026.5).
    let broken = status == StatusCode::METHOD_NOT_ALLOWED && answer.json().is_none();
    if broken || status.is_server_error() || is_passing(status) {
        return Error::Unavailable {
            cause: outage(status),
            retry_after: answer.retry_after,
            outcome_unknown: asked.write && status != StatusCode::TOO_MANY_REQUESTS,
        };
    }
    if status.is_redirection() {
        return redirection(&asked, answer);
    }
    let json = answer.json();
    let detail = json.as_ref().and_then(|body| body.get("detail")?.as_str());
    let detail = detail.map(|text| asked.redactor.clean(text));
    match (status, json, detail) {
        (StatusCode::UNAUTHORIZED, _, detail) => denied(asked, DeniedKind::Token, detail),
        (StatusCode::FORBIDDEN, Some(_), detail) => {
            let kind = denied_kind(detail.as_deref().unwrap_or_default());
            denied(asked, kind, detail)
        }
        (StatusCode::BAD_REQUEST, Some(body), _) => Error::Rejected {
            messages: messages(&body, asked.redactor),
        },
        (StatusCode::NOT_FOUND, _, Some(_)) => Error::NotFound,
        (StatusCode::NOT_FOUND, None, _) => Error::EndpointMissing {
            path: asked.url.path().to_owned(),
        },
        (_, Some(_), Some(detail)) => Error::Unexpected {
            status: status.as_u16(),
            detail,
        },
        _ => Error::NotAuthentik {
            what: format!("answered {} without authentik's JSON", status.as_u16()),
        },
    }
}

/// Client errors that say "later" rather than "no".
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY
    )
}

fn outage(status: StatusCode) -> String {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            "authentik failed inside (405 without a body); see its log".to_owned()
        }
        StatusCode::TOO_MANY_REQUESTS => "too many requests (429)".to_owned(),
        _ => format!("authentik answered {}", status.as_u16()),
    }
}

/// Says where to, but no more of it than the origin: the rest may be long, and anything.
fn redirection(asked: &Asked<'_>, answer: &Answer) -> Error {
    let target = answer.location.as_deref();
    let target = target.and_then(|location| asked.url.join(location).ok());
    let origin = target.map(|url| url.origin().ascii_serialization());
    let status = answer.status.as_u16();
    Error::NotAuthentik {
        what: match origin {
            Some(origin) => format!(
                "answered {status}, a redirect to {}, which is not followed",
                asked.redactor.clean(&origin)
            ),
            None => format!("answered {status}, a redirect, which is not followed"),
        },
    }
}

fn denied(asked: Asked<'_>, kind: DeniedKind, detail: Option<String>) -> Error {
    Error::AccessDenied {
        kind,
        detail: detail.unwrap_or_else(|| "no reason given".to_owned()),
        permission: asked.permission.filter(|_| kind == DeniedKind::Permission),
    }
}

/// Tells the two by their words, for there is no code: "Token invalid/expired", "Authentication credentials were not provided.",
/// "Unsupported authentication type" against "You do not have permission to perform this action." (measured on 2024.2 to 2026.5).
fn denied_kind(detail: &str) -> DeniedKind {
    let detail = detail.to_lowercase();
    let of_token = ["token", "credentials", "authentication"];
    if of_token.iter().any(|word| detail.contains(word)) {
        DeniedKind::Token
    } else {
        DeniedKind::Permission
    }
}

/// All messages of a 400, whatever its shape: fields with lists, lists of objects, positions in a list, plain texts.
pub(super) fn messages(body: &Value, redactor: &Redactor) -> BTreeMap<String, Vec<String>> {
    let mut found = Vec::new();
    collect(body, String::new(), &mut found);
    let mut messages = BTreeMap::<String, Vec<String>>::new();
    for (path, text) in found.into_iter().take(MAX_MESSAGES) {
        let of_path = messages.entry(redactor.clean(&path)).or_default();
        of_path.push(redactor.clean(&text));
    }
    messages
}

fn collect(value: &Value, path: String, found: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (key, inner) in fields {
                collect(inner, below(&path, key), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let plain = !(item.is_object() || item.is_array());
                let path = if plain {
                    path.clone()
                } else {
                    format!("{path}[{index}]")
                };
                collect(item, path, found);
            }
        }
        Value::String(text) => found.push((field(path), text.clone())),
        other => found.push((field(path), other.to_string())),
    }
}

fn below(path: &str, key: &str) -> String {
    match key {
        _ if path.is_empty() => key.to_owned(),
        NO_FIELD => path.to_owned(),
        _ if key.bytes().all(|b| b.is_ascii_digit()) => format!("{path}[{key}]"),
        _ => format!("{path}.{key}"),
    }
}

fn field(path: String) -> String {
    if path.is_empty() || path == "detail" {
        NO_FIELD.to_owned()
    } else {
        path
    }
}

fn rejection(messages: &BTreeMap<String, Vec<String>>) -> String {
    let fields = messages.iter().map(|(field, texts)| match field.as_str() {
        NO_FIELD => texts.join(" "),
        _ => format!("{field}: {}", texts.join(" ")),
    });
    let text = fields.collect::<Vec<_>>().join("; ");
    match text.char_indices().nth(MAX_DISPLAY) {
        _ if text.is_empty() => "authentik refused the values and gave no reason".to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn denial(kind: DeniedKind, detail: &str, permission: Option<&str>) -> String {
    match (kind, permission) {
        (DeniedKind::Token, _) => format!("authentik does not accept the token: {detail}"),
        (_, Some(permission)) => {
            format!("the token's user lacks the permission {permission}: {detail}")
        }
        (_, None) => format!("the token's user lacks a permission: {detail}"),
    }
}

/// The error that a connection without a whole answer stands for.
///
/// Nothing of reqwest's own text is kept: it holds the URL and, in places, ports.
pub(super) fn broken(error: &reqwest::Error, write: bool, timeout: Duration) -> Error {
    // Without a connection nothing was sent; in all other cases nobody knows.
    let outcome_unknown = write && !error.is_connect();
    Error::unavailable(phrase(error, timeout), outcome_unknown)
}

fn phrase(error: &reqwest::Error, timeout: Duration) -> String {
    let known = causes(error).find_map(known_cause);
    match known {
        Some(text) => text.to_owned(),
        None if error.is_connect() && error.is_timeout() => "no connection in time".to_owned(),
        None if error.is_timeout() => format!("no answer within {timeout:?}"),
        None if error.is_connect() => "no connection".to_owned(),
        None => "connection closed before the answer was complete".to_owned(),
    }
}

/// An error and all that it comes from. `io::Error::source` skips what it wraps, which is where TLS errors are.
fn causes<'a>(
    error: &'a (dyn error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn error::Error + 'static)> {
    iter::successors(Some(error), |error| {
        match error.downcast_ref::<io::Error>() {
            Some(wrapper) => wrapper.get_ref().map(|inner| inner as _),
            None => error.source(),
        }
    })
}

fn known_cause(error: &(dyn error::Error + 'static)) -> Option<&'static str> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls_cause(tls));
    }
    if let Some(io) = error.downcast_ref::<io::Error>() {
        return io_cause(io.kind());
    }
    // The connector's type is private; its text begins like this.
    error
        .to_string()
        .starts_with("dns error")
        .then_some("the host's name does not resolve")
}

fn io_cause(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::ConnectionRefused => Some("connection refused"),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Some("the host can't be reached")
        }
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Some("connection closed before the answer was complete"),
        _ => None,
    }
}

fn tls_cause(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Bad;
    let rustls::Error::InvalidCertificate(problem) = error else {
        return "TLS: no handshake (does the server speak TLS at this port?)";
    };
    match problem {
        // A bad signature is what a renewed CA of the same name looks like.
        Bad::UnknownIssuer | Bad::BadSignature => {
            "TLS: the certificate is not trusted (set caBundle)"
        }
        Bad::Expired | Bad::ExpiredContext { .. } => "TLS: the certificate has expired",
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "TLS: the certificate is not valid yet"
        }
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
            "TLS: the certificate is for another host name"
        }
        _ => "TLS: the certificate is not valid",
    }
}
