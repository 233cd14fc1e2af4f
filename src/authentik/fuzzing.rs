//! What fuzzing feeds: answers without a server, read as the client reads them.

use reqwest::{
    Method, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    Collection, UsedBy,
    error::{Asked, Error, refusal},
    list::{Page, Reading},
    model_permission,
    redact::Redactor,
    transport,
};

/// The token that the answered requests carried.
pub const TOKEN: &str = "a-token-that-nothing-may-tell";

/// An answer as it came.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The status; one that is none counts as 200.
    pub status: u16,
    /// The content type.
    pub content_type: &'a str,
    /// `Retry-After`.
    pub retry_after: Option<&'a str>,
    /// `Location`.
    pub location: Option<&'a str>,
    /// The body.
    pub body: &'a str,
}

/// Reads an object.
///
/// # Errors
/// Those of a request.
pub fn read_object(answer: &Answer<'_>, write: bool) -> Result<(), Error> {
    read::<Map<String, Value>>(answer, write).map(drop)
}

/// Reads what uses an object.
///
/// # Errors
/// Those of a request.
pub fn read_users(answer: &Answer<'_>) -> Result<(), Error> {
    let users: Vec<Value> = read(answer, false)?;
    users.iter().map(UsedBy::from_value).for_each(drop);
    Ok(())
}

/// Reads a page of a list.
///
/// # Errors
/// Those of a request, and of a row that is no `T`.
pub fn read_page<T: DeserializeOwned>(answer: &Answer<'_>) -> Result<(), Error> {
    let page: Page = read(answer, false)?;
    let keep = |row: T| drop(row);
    Reading::new()
        .take(Collection::VALIDATE_STAGES, 1, page, keep)
        .map(drop)
}

fn read<T: DeserializeOwned>(answer: &Answer<'_>, write: bool) -> Result<T, Error> {
    let url = Url::parse("https://authentik/api/v3/x/").expect("it is a URL");
    let answer = received(answer);
    if answer.status.is_success() {
        return transport::decode(&answer, write);
    }
    let method = if write { Method::PATCH } else { Method::GET };
    let asked = Asked {
        write,
        url: &url,
        permission: model_permission(Collection::VALIDATE_STAGES, &method),
        redactor: &Redactor::new(TOKEN, None),
    };
    Err(refusal(asked, &answer))
}

fn received(answer: &Answer<'_>) -> transport::Answer {
    let status = StatusCode::from_u16(answer.status).unwrap_or_default();
    transport::answer(status, &headers(answer), answer.body.as_bytes().to_vec())
}

fn headers(answer: &Answer<'_>) -> HeaderMap {
    let headers: [(HeaderName, Option<&str>); 3] = [
        (CONTENT_TYPE, Some(answer.content_type)),
        (RETRY_AFTER, answer.retry_after),
        (LOCATION, answer.location),
    ];
    let present = headers
        .into_iter()
        .filter_map(|(name, value)| Some((name, HeaderValue::from_str(value?).ok()?)));
    present.collect()
}
