//! The audit log: who changed an object, from where and with what.
//!
//! authentik notes every change that is made by a request, also one that changes nothing; what a blueprint does is not noted
//! (measured on 2024.2 and 2026.5). An entry can hold values of fields. They are never read.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    answer::{AtMost, Success, part},
    client::Client,
    collection::Collection,
    error::Error,
    receive::FREE,
    shown::Remote,
};

/// How many of the newest entries are asked for.
const ENTRIES: usize = 10;

/// Most bytes of them. Each can hold what a request has sent.
const MAX_ANSWER: usize = 64 * FREE;

/// What was done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Deed {
    /// The object was made.
    Created,
    /// It was changed, or written as it was.
    Updated,
    /// It was deleted.
    Deleted,
}

/// One change, as the log tells it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What was done.
    pub deed: Deed,
    /// When.
    pub at: Timestamp,
    /// How long ago that was, by the server's own clock where it tells the time.
    pub age: Duration,
    /// The number of the user who did it.
    pub user: Option<u64>,
    /// Their name.
    pub username: Remote,
    /// The address that their request came from.
    pub address: Remote,
    /// What their program calls itself.
    pub agent: Remote,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(rename = "pagination")]
    _pagination: IgnoredAny,
    #[serde(borrow)]
    results: AtMost<&'a RawValue, 1000>,
}

/// An entry as it came. What can't be read of it is nothing.
#[derive(Deserialize)]
struct Row<'a> {
    action: Remote,
    created: Remote,
    #[serde(borrow, default)]
    user: Option<&'a RawValue>,
    #[serde(borrow, default)]
    client_ip: Option<&'a RawValue>,
    #[serde(borrow, default)]
    context: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User<'a> {
    #[serde(borrow)]
    pk: Option<&'a RawValue>,
    #[serde(borrow)]
    username: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Context<'a> {
    #[serde(borrow)]
    http_request: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HttpRequest<'a> {
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    user_agent: Option<&'a RawValue>,
}

impl Client {
    /// The newest entries of the audit log about one object, the newest first. It may be gone.
    ///
    /// # Errors
    /// [`Error::AccessDenied`] without the permission to view the log.
    pub async fn log_of(&self, object: Uuid) -> Result<Vec<Entry>, Error> {
        let mut url = self.url(Collection::AUDIT_LOG.path(), &[]);
        url.query_pairs_mut()
            .append_pair("context_model_pk", &object.simple().to_string())
            // The filter matches part of the word.
            .append_pair("action", "model_")
            .append_pair("ordering", "-created")
            .append_pair("page_size", &ENTRIES.to_string());
        let request = self.request(Method::GET, url, MAX_ANSWER);
        self.0.call(&request, read).await
    }
}

/// The entries of a page.
pub(super) fn read(success: &Success<'_>) -> Result<Vec<Entry>, Error> {
    let page: Page<'_> = success.decode()?;
    let sent = success
        .answer
        .date
        .and_then(|date| Timestamp::try_from(date).ok());
    let now = sent.unwrap_or_else(Timestamp::now);
    let rows = page.results.0.into_iter();
    Ok(rows
        .filter_map(|raw| entry(raw, now))
        .take(ENTRIES)
        .collect())
}

fn entry(raw: &RawValue, now: Timestamp) -> Option<Entry> {
    let row: Row<'_> = serde_json::from_str(raw.get()).ok()?;
    let deed = match row.action.raw() {
        "model_created" => Deed::Created,
        "model_updated" => Deed::Updated,
        "model_deleted" => Deed::Deleted,
        _ => return None,
    };
    let at: Timestamp = row.created.raw().parse().ok()?;
    let user: User<'_> = part(row.user).unwrap_or_default();
    let context: Context<'_> = part(row.context).unwrap_or_default();
    let request: HttpRequest<'_> = part(context.http_request).unwrap_or_default();
    // 2024.2 can note a deletion a second time, as the doing of whoever read the object just then.
    let method: Option<Remote> = part(request.method);
    if method.is_some_and(|method| matches!(method.raw(), "GET" | "HEAD" | "OPTIONS")) {
        return None;
    }
    Some(Entry {
        deed,
        at,
        age: age(at, now),
        user: part(user.pk),
        username: part(user.username).unwrap_or_default(),
        address: part(row.client_ip).unwrap_or_default(),
        agent: part(request.user_agent).unwrap_or_default(),
    })
}

fn age(at: Timestamp, now: Timestamp) -> Duration {
    let age: SignedDuration = now.duration_since(at);
    age.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-01-01T12:00:10Z";

    fn read_entry(row: &Value) -> Option<Entry> {
        let raw = RawValue::from_string(row.to_string()).unwrap();
        entry(&raw, NOW.parse().unwrap())
    }

    fn row(method: &str) -> Value {
        json!({
            "action": "model_updated", "created": "2026-01-01T12:00:08.250000Z",
            "user": {"pk": 7, "username": "alice", "email": ""}, "client_ip": "10.0.0.4",
            "context": {
                "diff": {"key": {"new_value": "a-secret"}},
                "http_request": {"method": method, "user_agent": "Mozilla/5.0"},
            },
        })
    }

    #[test]
    fn an_entry_tells_who_did_what_when_from_where_and_with_what() {
        let entry = read_entry(&row("PATCH")).unwrap();
        assert_eq!((entry.deed, entry.user), (Deed::Updated, Some(7)));
        assert_eq!(entry.age, Duration::from_millis(1750));
        let texts = [&entry.username, &entry.address, &entry.agent].map(Remote::raw);
        assert_eq!(texts, ["alice", "10.0.0.4", "Mozilla/5.0"]);
        assert!(!format!("{entry:?}").contains("a-secret"));
    }

    #[test]
    fn who_only_read_has_done_nothing() {
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert!(read_entry(&row(method)).is_none(), "{method}");
        }
    }

    #[test]
    fn what_an_entry_does_not_tell_is_left_open() {
        for (name, odd) in [
            ("user", json!(null)),
            ("user", json!({"pk": "x", "username": 5})),
            ("client_ip", json!(null)),
            ("context", json!("gone")),
            ("context", json!({"http_request": []})),
        ] {
            let mut row = row("PATCH");
            row[name] = odd.clone();
            assert!(read_entry(&row).is_some(), "{name}: {odd}");
        }
        for (name, odd) in [("action", json!("login")), ("created", json!("yesterday"))] {
            let mut row = row("PATCH");
            row[name] = odd.clone();
            assert!(read_entry(&row).is_none(), "{name}: {odd}");
        }
    }

    #[test]
    fn what_is_yet_to_come_is_no_age() {
        let late = "2026-01-01T12:00:11Z".parse().unwrap();
        assert_eq!(age(late, NOW.parse().unwrap()), Duration::ZERO);
    }
}
