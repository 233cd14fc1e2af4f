//! Query parameters that narrow and order lists.

use super::http::{Reply, Request};
use super::python;
use super::versions::Rules;
use serde_json::{Value, json};
use uuid::Uuid;

/// The value of a text filter: stripped, and none if it is empty.
pub(crate) fn text(request: &Request, name: &str) -> Result<Option<String>, Reply> {
    let value = python::strip(request.param(name).unwrap_or(""));
    if value.contains('\0') {
        return Err(Reply::field_error(name, "Null characters are not allowed."));
    }
    Ok((!value.is_empty()).then(|| value.to_owned()))
}

/// The value of a filter that has a fixed set of values.
pub(crate) fn choice(request: &Request, name: &str, of: &[&str]) -> Result<Option<String>, Reply> {
    match request.param(name) {
        None | Some("") => Ok(None),
        Some(value) if of.contains(&value) => Ok(Some(value.to_owned())),
        Some(value) => Err(not_available(name, value)),
    }
}

/// The refusal of a value that cannot be asked for.
pub(crate) fn not_available(name: &str, what: &str) -> Reply {
    Reply::field_error(
        name,
        &format!("Select a valid choice. {what} is not one of the available choices."),
    )
}

/// The value of a filter by yes or no; anything else asks for nothing.
pub(crate) fn boolean(request: &Request, name: &str) -> Option<bool> {
    match request.param(name) {
        Some("true" | "True" | "1") => Some(true),
        Some("false" | "False" | "0") => Some(false),
        _ => None,
    }
}

/// The object that a filter names by its key.
pub(crate) fn reference(
    request: &Request,
    name: &str,
    exists: impl Fn(Uuid) -> bool,
) -> Result<Option<Uuid>, Reply> {
    match request.param(name) {
        None | Some("") => Ok(None),
        Some(value) => match python::uuid(value) {
            None => Err(malformed(name, value)),
            Some(id) if exists(id) => Ok(Some(id)),
            Some(_) => Err(Reply::field_error(
                name,
                "Select a valid choice. That choice is not one of the available choices.",
            )),
        },
    }
}

/// The objects that a filter names by their keys.
pub(crate) fn references(
    request: &Request,
    name: &str,
    exists: impl Fn(Uuid) -> bool,
) -> Result<Vec<Uuid>, Reply> {
    let values = request.params(name).filter(|value| !value.is_empty());
    values
        .map(|value| match python::uuid(value) {
            None => Err(malformed(name, value)),
            Some(id) if exists(id) => Ok(id),
            Some(_) => Err(not_available(name, value)),
        })
        .collect()
}

fn malformed(name: &str, value: &str) -> Reply {
    Reply::field_error(name, &format!("“{value}” is not a valid UUID."))
}

/// A filter by a plain UUID, which need not belong to anything.
pub(crate) fn uuid(request: &Request, name: &str) -> Result<Option<Uuid>, Reply> {
    match request.param(name) {
        None | Some("") => Ok(None),
        Some(value) => python::uuid(value)
            .map(Some)
            .ok_or_else(|| Reply::field_error(name, "Enter a valid UUID.")),
    }
}

/// The lower-cased terms of a search, all of which a row must contain.
pub(crate) fn search_terms(rules: &Rules, request: &Request) -> Result<Vec<String>, Reply> {
    let search = request.param("search").unwrap_or("");
    if rules.search_refuses_nul && search.contains('\0') {
        return Err(Reply::json(
            400,
            json!(["Null characters are not allowed."]),
        ));
    }
    let mut terms = vec![String::new()];
    let mut quoted = false;
    for c in search.chars().filter(|c| *c != '\0') {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => terms.push(String::new()),
            c if c.is_whitespace() && !quoted => terms.push(String::new()),
            c => terms
                .last_mut()
                .expect("there is always a term")
                .extend(c.to_lowercase()),
        }
    }
    terms.retain(|term| !term.is_empty());
    Ok(terms)
}

/// Whether some of the texts contains each term.
pub(crate) fn matches(terms: &[String], texts: &[&str]) -> bool {
    let texts: Vec<_> = texts.iter().map(|text| text.to_lowercase()).collect();
    terms
        .iter()
        .all(|term| texts.iter().any(|text| text.contains(term)))
}

/// Orders rows as `ordering` asks; an unknown key leaves them as they are.
pub(crate) fn order<T>(request: &Request, rows: &mut [T], key: impl Fn(&T, &str) -> Option<Value>) {
    let ordering = request.param("ordering").unwrap_or("");
    for field in ordering.split(',').rev().map(str::trim) {
        let (name, descending) = field
            .strip_prefix('-')
            .map_or((field, false), |name| (name, true));
        if name.is_empty() || rows.first().is_none_or(|row| key(row, name).is_none()) {
            continue;
        }
        rows.sort_by(|a, b| {
            let order = compare(key(a, name).as_ref(), key(b, name).as_ref());
            if descending { order.reverse() } else { order }
        });
    }
}

fn compare(a: Option<&Value>, b: Option<&Value>) -> std::cmp::Ordering {
    match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => a.as_i64().cmp(&b.as_i64()),
        _ => a.map(python::str_of).cmp(&b.map(python::str_of)),
    }
}
