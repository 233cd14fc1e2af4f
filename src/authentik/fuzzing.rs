//! What fuzzing feeds: answers without a server, read as the client reads them.

use reqwest::{
    Method, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER},
};
use serde::de::DeserializeOwned;

use super::{
    ApiToken, Device, Person, UsedBy, Version, Whoami, answer,
    answer::Success,
    audit,
    client::read_version,
    collection::{Collection, model_permission},
    error::Error,
    people::{self, UserRow},
    reading::{Listing, Reading, Weigh},
    receive::Received,
    refusal::{Asked, refusal},
    shown::{Redactor, Remote, Shown},
    used_by,
    whoami::{self, TokenRow},
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

/// As a client whose token is [`TOKEN`] shows this text.
pub fn show(text: &Remote) -> Shown {
    Redactor::new(TOKEN).clean(text.raw())
}

/// Reads an object.
///
/// # Errors
/// Those of a request.
pub fn read_object<T: DeserializeOwned>(answer: &Answer<'_>, write: bool) -> Result<T, Error> {
    read(answer, write, |success| success.decode())
}

/// Reads a version's page.
///
/// # Errors
/// Those of a request.
pub fn read_its_version(answer: &Answer<'_>) -> Result<Version, Error> {
    read(answer, false, read_version)
}

/// Reads what uses an object.
///
/// # Errors
/// Those of a request.
pub fn read_users(answer: &Answer<'_>) -> Result<Vec<UsedBy>, Error> {
    read(answer, false, used_by::read)
}

/// Reads a list of one page.
///
/// # Errors
/// Those of a request.
pub fn read_page<T: DeserializeOwned + Weigh>(answer: &Answer<'_>) -> Result<Listing<T>, Error> {
    page(answer, Collection::ALL_STAGES, Some)
}

/// Reads a list of users.
///
/// # Errors
/// Those of a request.
pub fn read_people(answer: &Answer<'_>) -> Result<Listing<Person>, Error> {
    page(answer, Collection::USERS, UserRow::person)
}

/// Reads somebody's devices.
///
/// # Errors
/// Those of a request.
pub fn read_devices(answer: &Answer<'_>) -> Result<Vec<Device>, Error> {
    read(answer, false, people::read_devices)
}

/// Reads whose the token is.
///
/// # Errors
/// Those of a request.
pub fn read_whoami(answer: &Answer<'_>) -> Result<Whoami, Error> {
    read(answer, false, whoami::read_whoami)
}

/// Reads a list of tokens, for those of this user.
///
/// # Errors
/// Those of a request.
pub fn read_tokens(answer: &Answer<'_>, user: u64) -> Result<Listing<ApiToken>, Error> {
    page(answer, Collection::TOKENS, |row: TokenRow| row.token(user))
}

/// Reads entries of the audit log.
///
/// # Errors
/// Those of a request.
pub fn read_log(answer: &Answer<'_>) -> Result<Vec<audit::Entry>, Error> {
    read(answer, false, audit::read)
}

/// Reads whether an answer to `OPTIONS` describes this method.
///
/// # Errors
/// Those of a request.
pub fn read_description(answer: &Answer<'_>, method: &str) -> Result<bool, Error> {
    read(answer, false, |success| {
        whoami::read_description(success, method)
    })
}

fn page<T: DeserializeOwned + Weigh, R>(
    answer: &Answer<'_>,
    collection: Collection,
    keep: impl Fn(T) -> Option<R>,
) -> Result<Listing<R>, Error> {
    read(answer, false, |success| {
        let mut reading = Reading::new(collection);
        reading.take(1, success.decode()?, keep, success.redactor)?;
        Ok(reading.finish())
    })
}

fn read<T>(
    answer: &Answer<'_>,
    write: bool,
    read: impl FnOnce(&Success<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let url = Url::parse("https://authentik/api/v3/x/").expect("it is a URL");
    let redactor = &Redactor::new(TOKEN);
    let answer = &received(answer);
    if answer.status.is_success() {
        return read(&Success {
            answer,
            write,
            redactor,
        });
    }
    let method = if write { Method::PATCH } else { Method::GET };
    let asked = Asked {
        write,
        object: write,
        url: &url,
        permission: model_permission(Collection::ALL_STAGES, &method),
        redactor,
    };
    Err(refusal(asked, answer))
}

fn received(answer: &Answer<'_>) -> answer::Answer {
    let status = StatusCode::from_u16(answer.status).unwrap_or_default();
    let body = Received::whole(answer.body.as_bytes().to_vec());
    answer::Answer::new(status, &headers(answer), body)
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
