//! When two values of a field mean the same to authentik.

use serde_json::Value;

use crate::{authentik::duration, kinds::Compare};

/// Whether `wanted` and `found` mean the same.
#[must_use]
pub fn equal(compare: Compare, wanted: &Value, found: &Value) -> bool {
    match compare {
        Compare::Value => same(wanted, found),
        Compare::List => match (wanted.as_array(), found.as_array()) {
            (Some(wanted), Some(found)) => {
                wanted.len() == found.len() && wanted.iter().zip(found).all(|(a, b)| same(a, b))
            }
            _ => same(wanted, found),
        },
        Compare::Set => match (wanted.as_array(), found.as_array()) {
            (Some(wanted), Some(found)) => subset(wanted, found) && subset(found, wanted),
            _ => same(wanted, found),
        },
        Compare::Duration => same(wanted, found) || same_duration(wanted, found),
        Compare::OptionalText => absent(wanted) && absent(found) || same(wanted, found),
        Compare::WriteOnly => true,
    }
}

/// Equal as JSON, and numbers by their value: `1` is `1.0`.
fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b)
}

fn subset(of: &[Value], in_: &[Value]) -> bool {
    of.iter()
        .all(|item| in_.iter().any(|other| same(item, other)))
}

fn same_duration(a: &Value, b: &Value) -> bool {
    let read = |value: &Value| duration::microseconds(value.as_str()?);
    read(a).is_some_and(|a| read(b) == Some(a))
}

/// authentik says "no text" as null before 2025.10 and as `""` from then on.
fn absent(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}
