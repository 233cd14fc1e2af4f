//! Fields that hold text, each with rules of its own.

use super::fields::{Checked, Context, Invalid};
use super::python;
use super::tables::Table;
use serde_json::{Value, json};

/// A text field's value: numbers become text, surrounding whitespace goes.
pub(crate) fn text(value: &Value, blank: bool) -> Result<String, Invalid> {
    text_or(value, blank, "Not a valid string.")
}

/// As [`text`], with a message of the field's own for what is no text.
fn text_or(value: &Value, blank: bool, invalid: &str) -> Result<String, Invalid> {
    let text = match value {
        Value::String(text) => python::strip(text).to_owned(),
        Value::Number(_) => python::str_of(value),
        _ => return Err(Invalid::message(invalid)),
    };
    if text.is_empty() && !blank {
        return Err(Invalid::message("This field may not be blank."));
    }
    if text.contains('\0') {
        return Err(Invalid::message("Null characters are not allowed."));
    }
    Ok(text)
}

/// A stage's name.
pub(crate) fn stage_name(value: &Value, context: &Context<'_>) -> Checked {
    let name = text(value, false)?;
    let holder = context.state.names.get(&name);
    if holder.is_some_and(|id| Some(*id) != context.instance) {
        return Err(Invalid::message("stage with this name already exists."));
    }
    Ok(name.into())
}

/// Text that is in a field of one row only.
pub(crate) fn unique(
    value: &Value,
    field: &str,
    among: &[Table],
    taken: &str,
    context: &Context<'_>,
) -> Checked {
    let text = text(value, false)?;
    let mut rows = context.state.rows_of(among);
    if rows.any(|row| Some(row.id) != context.instance && row.text(field) == text) {
        return Err(Invalid::message(taken));
    }
    Ok(text.into())
}

const NO_SLUG: &str =
    "Enter a valid \"slug\" consisting of letters, numbers, underscores or hyphens.";

/// A flow's slug. All that is wrong with it is told at once.
pub(crate) fn slug(value: &Value, context: &Context<'_>) -> Checked {
    let slug = text_or(value, false, NO_SLUG)?;
    let mut wrong = Vec::new();
    let holder = context.state.slugs.get(&slug);
    if holder.is_some_and(|id| Some(*id) != context.instance) {
        wrong.push("Flow with this slug already exists.".to_owned());
    }
    wrong.extend(too_long(&slug, context.state.rules.longest_slug));
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !slug.chars().all(fits) {
        wrong.push(NO_SLUG.to_owned());
    }
    all_right(slug, wrong)
}

const NO_ADDRESS: &str = "Enter a valid email address.";
const LONGEST_ADDRESS: usize = 254;

/// The address of an e-mail.
pub(crate) fn email(value: &Value) -> Checked {
    let address = text_or(value, false, NO_ADDRESS)?;
    let mut wrong: Vec<String> = too_long(&address, LONGEST_ADDRESS).into_iter().collect();
    if !is_address(&address) {
        wrong.push(NO_ADDRESS.to_owned());
    }
    all_right(address, wrong)
}

fn too_long(text: &str, longest: usize) -> Option<String> {
    let message = || format!("Ensure this field has no more than {longest} characters.");
    (text.chars().count() > longest).then(message)
}

fn all_right(text: String, wrong: Vec<String>) -> Checked {
    if wrong.is_empty() {
        return Ok(text.into());
    }
    Err(Invalid::Messages(json!(wrong)))
}

/// Django's idea of an address, but for quoted names and literal IP addresses.
fn is_address(address: &str) -> bool {
    let Some((user, domain)) = address.rsplit_once('@') else {
        return false;
    };
    let in_user = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{}|~-".contains(c);
    let word = |word: &str| !word.is_empty() && word.chars().all(in_user);
    user.split('.').all(word) && is_domain(domain)
}

fn is_domain(domain: &str) -> bool {
    let in_label = |c: char| c == '-' || c.is_ascii_alphanumeric() || !c.is_ascii();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(in_label)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain == "localhost" || (domain.contains('.') && domain.split('.').all(label))
}

const LONGEST_FILE: usize = 1024;
const LONGEST_COMPONENT: usize = 255;

/// The path of an uploaded file, or what points elsewhere. It may be empty.
pub(crate) fn file(value: &Value) -> Checked {
    let name = text(value, true)?;
    match wrong_file(&name) {
        Some(wrong) if !name.is_empty() && !is_elsewhere(&name) => Err(Invalid::message(wrong)),
        _ => Ok(name.into()),
    }
}

/// Whether a file is not one of those that were uploaded.
pub(crate) fn is_elsewhere(name: &str) -> bool {
    ["/static", "http:", "https:", "fa:"]
        .iter()
        .any(|start| name.starts_with(start))
}

fn wrong_file(name: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    let wrong = if !name.chars().all(fits) {
        "File name can only contain letters (a-z, A-Z), numbers (0-9), dots (.), hyphens (-), \
         underscores (_), and forward slashes (/)"
    } else if name.contains("//") {
        "File name cannot contain duplicate /"
    } else if name.starts_with('/') {
        "Absolute paths are not allowed"
    } else if name.split('/').any(|part| part == "..") {
        "Parent directory references ('..') are not allowed"
    } else if name.starts_with('.') {
        "Paths cannot start with '.'"
    } else if name.len() > LONGEST_FILE {
        return Some(format!(
            "File name too long (max {LONGEST_FILE} characters)"
        ));
    } else if name.split('/').any(|part| part.len() > LONGEST_COMPONENT) {
        return Some(format!(
            "Path component too long (max {LONGEST_COMPONENT} characters)"
        ));
    } else {
        return None;
    };
    Some(wrong.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_server_reads_them() {
        for valid in [
            "system@authentik.local",
            "a.b+c@localhost",
            "x@m\u{fc}ller.de",
        ] {
            assert!(is_address(valid), "{valid}");
        }
        for invalid in ["x", "@a.b", "a@b", "a@-b.c", "a..b@c.d", "a b@c.d"] {
            assert!(!is_address(invalid), "{invalid}");
        }
    }

    #[test]
    fn files_are_refused_by_their_path() {
        for right in ["", "a/b.png", "https://example.com/a b", "/static/x y"] {
            assert!(file(&json!(right)).is_ok(), "{right}");
        }
        for wrong in ["a b", "/etc/x", "a//b", "a/../b", ".x", &"y".repeat(256)] {
            assert!(file(&json!(wrong)).is_err(), "{wrong}");
        }
    }
}
