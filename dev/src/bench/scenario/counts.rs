//! Requests counted.
use std::collections::BTreeMap;

pub(super) fn by_method(answered: &BTreeMap<(String, String), u64>) -> BTreeMap<String, u64> {
    let mut methods = BTreeMap::new();
    for ((method, _), count) in answered {
        *methods.entry(method.clone()).or_default() += count;
    }
    methods
}

/// How often each request was answered between two moments.
pub(super) fn difference(
    before: &BTreeMap<(String, String), u64>,
    after: &BTreeMap<(String, String), u64>,
) -> BTreeMap<(String, String), u64> {
    let mut difference = after.clone();
    for (request, count) in &mut difference {
        *count -= before.get(request).copied().unwrap_or_default();
    }
    difference.retain(|_, count| *count > 0);
    difference
}
