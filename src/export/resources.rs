//! What the resources are called that stand for objects of authentik.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

/// The longest name: so long may a label of Kubernetes be, too.
const MOST: usize = 63;

/// A name for the resource of each object of a kind. It depends on all objects and on no order. `fallback` is for labels without any
/// letter that a name may have.
#[must_use]
pub fn resource_names(objects: &[(Uuid, &str)], fallback: &str) -> BTreeMap<Uuid, String> {
    let mut objects: Vec<_> = objects
        .iter()
        .map(|(uuid, label)| (*label, *uuid))
        .collect();
    objects.sort_unstable();
    // Who is called so in authentik has the first claim to the name.
    let (exact, others): (Vec<_>, Vec<_>) = objects
        .into_iter()
        .partition(|(label, _)| as_name(label, fallback) == *label);
    let mut taken = BTreeSet::new();
    let mut names = BTreeMap::new();
    for (label, uuid) in exact.into_iter().chain(others) {
        let name = free(&as_name(label, fallback), &taken);
        taken.insert(name.clone());
        names.insert(uuid, name);
    }
    names
}

/// The label in lower case, with `-` for what a name may not have.
fn as_name(label: &str, fallback: &str) -> String {
    let mut name = String::new();
    for letter in label.chars().flat_map(char::to_lowercase) {
        match letter {
            'a'..='z' | '0'..='9' | '-' => name.push(letter),
            _ if name.ends_with('-') => {}
            _ => name.push('-'),
        }
        if name.trim_start_matches('-').len() > MOST {
            break;
        }
    }
    match cut(name.trim_matches('-'), MOST) {
        "" => fallback.to_owned(),
        name => name.to_owned(),
    }
}

/// So much of a name at most.
fn cut(name: &str, most: usize) -> &str {
    name[..name.len().min(most)].trim_end_matches('-')
}

/// This name or, where it is taken, the first with a number that is not.
fn free(name: &str, taken: &BTreeSet<String>) -> String {
    let numbered = (2..=taken.len() + 1).map(|number| {
        let number = format!("-{number}");
        format!("{}{number}", cut(name, MOST - number.len()))
    });
    let mut all = std::iter::once(name.to_owned()).chain(numbered);
    // Of one more than there are taken, one is free.
    all.find(|name| !taken.contains(name))
        .unwrap_or_else(|| name.to_owned())
}
