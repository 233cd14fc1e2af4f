//! One answer: what of its head counts, and how its body is read.

use std::{
    fmt,
    marker::PhantomData,
    time::{Duration, SystemTime},
};

use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER},
};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, error::Category, value::RawValue};

use super::{
    error::Error,
    receive::Received,
    shown::{Redactor, Shown},
};

/// Longest wait taken from a server's `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// An answer, read to its end.
pub(super) struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    pub location: Option<String>,
    /// When the server says that it has answered.
    pub date: Option<SystemTime>,
    claims_json: bool,
    body: Received,
}

impl Answer {
    pub fn new(status: StatusCode, headers: &HeaderMap, body: Received) -> Answer {
        Answer {
            status,
            retry_after: text(headers, &RETRY_AFTER).and_then(retry_after),
            location: text(headers, &LOCATION).map(str::to_owned),
            date: text(headers, &DATE).and_then(|date| httpdate::parse_http_date(date).ok()),
            claims_json: text(headers, &CONTENT_TYPE).is_some_and(|kind| kind.contains("json")),
            body,
        }
    }

    /// Whether its body needed a share of the budget.
    pub fn is_large(&self) -> bool {
        self.body.is_large()
    }

    /// The body of a refusal, where it both claims to be JSON and is. 2026.5 sends `application/json`, older ones add a charset.
    ///
    /// Refusals are small, and their shape is anybody's guess.
    pub fn refusal(&self) -> Option<Value> {
        let body = (self.claims_json && self.body.whole).then_some(&self.body.bytes)?;
        serde_json::from_slice(body).ok()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Seconds or an HTTP date.
fn retry_after(value: &str) -> Option<Duration> {
    let wait = match value.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value)
            .ok()?
            .duration_since(SystemTime::now())
            .unwrap_or_default(),
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// A 2xx answer, and what reading it takes.
pub(super) struct Success<'a> {
    pub answer: &'a Answer,
    pub write: bool,
    pub redactor: &'a Redactor,
}

impl<'a> Success<'a> {
    /// What the body holds, straight into a `T`. serde's own error text is never shown: it repeats values.
    pub fn decode<T: Deserialize<'a>>(&self) -> Result<T, Error> {
        if !self.answer.claims_json {
            return Err(self.alien("something that is not JSON"));
        }
        let decoded = serde_json::from_slice(&self.answer.body.bytes);
        decoded.map_err(|error| match error.classify() {
            Category::Data => self.alien("JSON of another shape"),
            _ => Error::unavailable(self.seen("broken JSON"), self.write),
        })
    }

    /// The answer is not authentik's. After a write that leaves open what became of it.
    fn alien(&self, with: &str) -> Error {
        let what = self.seen(with);
        match self.write {
            true => Error::unavailable(what, true),
            false => Error::NotAuthentik { what },
        }
    }

    fn seen(&self, with: &str) -> Shown {
        let status = self.answer.status.as_u16();
        self.redactor
            .clean(&format!("answered {status} with {with}"))
    }
}

/// What a part of an answer holds; nothing where it is not there or is no `T`.
pub(super) fn part<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// A list of at most `N` items; a longer one is no list of this type.
pub(super) struct AtMost<T, const N: usize>(pub Vec<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for AtMost<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T, const N: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const N: usize> de::Visitor<'de> for Items<T, N> {
            type Value = AtMost<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {N} items")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    if items.len() == N {
                        return Err(de::Error::invalid_length(N + 1, &self));
                    }
                    items.push(item);
                }
                Ok(AtMost(items))
            }
        }
        deserializer.deserialize_seq(Items(PhantomData))
    }
}
