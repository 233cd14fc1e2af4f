//! What refers to an object.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    answer::{AtMost, Success},
    error::Error,
    shown::{MAX_REMOTE, Redactor, Shown},
};

/// Most entries that are read. Each enrolled device is one.
const MAX_USERS: usize = 30_000;

/// Something that refers to an object, and what deleting the object would do to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedBy {
    /// Django app, `authentik_flows`.
    pub app: Shown,
    /// Django model, `flowstagebinding`.
    pub model_name: Shown,
    /// Primary key.
    pub pk: Shown,
    /// authentik's description of it, such as `Flow Login (login)`.
    pub name: Shown,
    /// `cascade`, `cascade_many`, `set_null` and the like; in lower case, which 2024.2 does not use.
    pub action: Shown,
}

/// One entry as it came.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry<'a> {
    #[serde(borrow)]
    app: Option<&'a RawValue>,
    #[serde(borrow)]
    model_name: Option<&'a RawValue>,
    #[serde(borrow)]
    pk: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    action: Option<&'a RawValue>,
}

/// Takes whatever is there: an entry that were dropped would look as if nothing used the object.
pub(super) fn read(success: &Success<'_>) -> Result<Vec<UsedBy>, Error> {
    let entries: AtMost<&RawValue, MAX_USERS> = success.decode()?;
    let entries = entries.0.into_iter();
    Ok(entries.map(|raw| used_by(raw, success.redactor)).collect())
}

pub(super) fn used_by(raw: &RawValue, redactor: &Redactor) -> UsedBy {
    let entry: Entry<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
    let show = |raw| redactor.clean(&text(raw));
    UsedBy {
        app: show(entry.app),
        model_name: show(entry.model_name),
        pk: show(entry.pk),
        name: show(entry.name),
        action: redactor.clean(&text(entry.action).to_lowercase()),
    }
}

/// Texts, and numbers as text.
fn text(raw: Option<&RawValue>) -> String {
    let raw = raw.map(RawValue::get).unwrap_or_default();
    match raw.as_bytes().first() {
        Some(b'"') if raw.len() <= MAX_REMOTE => serde_json::from_str(raw).unwrap_or_default(),
        Some(b'-' | b'0'..=b'9') => raw.chars().take(MAX_REMOTE).collect(),
        _ => String::new(),
    }
}
