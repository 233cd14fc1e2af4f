//! How an answer that is no success becomes an error.

use std::collections::BTreeMap;

use reqwest::{StatusCode, Url};
use serde_json::Value;

use super::{
    answer::Answer,
    error::{DeniedKind, Error, NO_FIELD},
    shown::{Redactor, Shown},
};

/// Most messages kept of one refusal.
const MAX_MESSAGES: usize = 50;

/// What [`refusal`] has to know of the request.
pub(super) struct Asked<'a> {
    pub write: bool,
    /// Whether one object was asked for. A 404 in JSON says that it is gone; of anything else it comes from some other server.
    pub object: bool,
    pub url: &'a Url,
    pub permission: Option<String>,
    pub redactor: &'a Redactor,
}

/// The error that an answer other than 2xx stands for.
pub(super) fn refusal(asked: Asked<'_>, answer: &Answer) -> Error {
    let status = answer.status;
    let json = answer.refusal();
    // An internal error answers writes with a 405 that is empty and not JSON (measured on 2024.2 to 2026.5).
    let broken = status == StatusCode::METHOD_NOT_ALLOWED && json.is_none();
    if broken || status.is_server_error() || is_passing(status) {
        return Error::Unavailable {
            cause: outage(&asked, status),
            retry_after: answer.retry_after,
            outcome_unknown: asked.write && status != StatusCode::TOO_MANY_REQUESTS,
        };
    }
    if status.is_redirection() {
        return redirection(&asked, answer);
    }
    let detail = json.as_ref().and_then(|body| body.get("detail")?.as_str());
    let shown = detail.map(|text| asked.redactor.clean(text));
    match (status, &json, shown) {
        (StatusCode::UNAUTHORIZED, _, detail) => denied(asked, DeniedKind::Token, detail),
        (StatusCode::FORBIDDEN, Some(_), shown) => {
            denied(asked, denied_kind(detail.unwrap_or_default()), shown)
        }
        (StatusCode::BAD_REQUEST, Some(body), _) => Error::Rejected {
            messages: messages(body, asked.redactor),
        },
        (StatusCode::NOT_FOUND, _, Some(_)) if asked.object => Error::NotFound,
        (StatusCode::NOT_FOUND, None, _) | (StatusCode::NOT_FOUND, _, Some(_)) => {
            let path = asked.redactor.clean(asked.url.path());
            Error::EndpointMissing { path }
        }
        (_, Some(_), Some(detail)) => Error::Unexpected {
            status: status.as_u16(),
            detail,
        },
        _ => Error::NotAuthentik {
            what: said(&asked, status, "without authentik's JSON"),
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

fn outage(asked: &Asked<'_>, status: StatusCode) -> Shown {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            Shown::fixed("authentik failed inside (405 without a body); see its log")
        }
        StatusCode::TOO_MANY_REQUESTS => Shown::fixed("too many requests (429)"),
        _ => {
            let text = format!("authentik answered {}", status.as_u16());
            asked.redactor.clean(&text)
        }
    }
}

/// Says where to, but no more of it than the origin: the rest may be long, and anything.
fn redirection(asked: &Asked<'_>, answer: &Answer) -> Error {
    let target = answer.location.as_deref();
    let target = target.and_then(|location| asked.url.join(location).ok());
    let origin = target.map(|url| url.origin().ascii_serialization());
    let to = match origin {
        Some(origin) => format!(
            ", a redirect to {}, which is not followed",
            asked.redactor.clean(&origin)
        ),
        None => ", a redirect, which is not followed".to_owned(),
    };
    let status = answer.status.as_u16();
    Error::NotAuthentik {
        what: asked.redactor.clean(&format!("answered {status}{to}")),
    }
}

fn said(asked: &Asked<'_>, status: StatusCode, how: &str) -> Shown {
    let text = format!("answered {} {how}", status.as_u16());
    asked.redactor.clean(&text)
}

fn denied(asked: Asked<'_>, kind: DeniedKind, detail: Option<Shown>) -> Error {
    Error::AccessDenied {
        kind,
        detail: detail.unwrap_or_else(|| Shown::fixed("no reason given")),
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

/// The messages of a 400, whatever its shape: fields with lists, lists of objects, positions in a list, plain texts.
pub(super) fn messages(body: &Value, redactor: &Redactor) -> BTreeMap<Shown, Vec<Shown>> {
    let mut found = Vec::new();
    collect(body, String::new(), &mut found);
    let mut messages = BTreeMap::<Shown, Vec<Shown>>::new();
    for (path, text) in found {
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
                if found.len() == MAX_MESSAGES {
                    return;
                }
                collect(inner, below(&path, key), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                if found.len() == MAX_MESSAGES {
                    return;
                }
                let path = match item {
                    Value::Object(_) | Value::Array(_) => format!("{path}[{index}]"),
                    _ => path.clone(),
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
