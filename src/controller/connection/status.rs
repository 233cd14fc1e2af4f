//! What a connection's status says.

use crate::{
    api::{ConnectionStatus, condition, conditions, set_condition, without_condition},
    plan::failure::{Failure, Reason},
};

/// The reason of a connection's `Ready` condition.
pub(super) fn reason(failure: &Failure) -> &'static str {
    match failure.reason {
        Reason::SecretNotFound => "SecretNotFound",
        Reason::ReferenceNotFound => "ReferenceNotFound",
        Reason::InvalidSpec => "InvalidSpec",
        Reason::AccessDenied => "AccessDenied",
        _ => "Unreachable",
    }
}

/// What a look at a connection found.
pub(super) struct Seen {
    /// Whether the server answers.
    pub result: Result<(), Failure>,
    /// authentik's version, where it is known.
    pub version: Option<String>,
    /// What its token lacks.
    pub missing_permissions: Vec<String>,
    /// The resources that the deletion of the connection waits for.
    pub waits_for: Vec<String>,
}

/// The status that this makes of the last one.
pub(super) fn conclude(
    old: &ConnectionStatus,
    generation: Option<i64>,
    seen: &Seen,
) -> ConnectionStatus {
    let mut new = ConnectionStatus {
        observed_generation: generation,
        conditions: old.conditions.clone(),
        version: seen.version.clone().or_else(|| old.version.clone()),
        missing_permissions: seen.missing_permissions.clone(),
    };
    let list = &mut new.conditions;
    let progress = match &seen.result {
        Ok(()) => None,
        Err(failure) if failure.reason == Reason::InvalidSpec => Some(conditions::STALLED),
        Err(_) => Some(conditions::RECONCILING),
    };
    for type_ in [conditions::RECONCILING, conditions::STALLED] {
        // The one that goes on keeps its time: a status that says the same as before is not written.
        if Some(type_) != progress {
            without_condition(list, type_);
        }
    }
    let (is_ready, reason, message) = match &seen.result {
        Ok(()) => (true, "Connected", "authentik answers".to_owned()),
        Err(failure) => (false, reason(failure), failure.message.clone()),
    };
    let message = match seen.waits_for.as_slice() {
        [] => message,
        waits_for => format!("{message}; {}", deletion_waits(waits_for)),
    };
    set_condition(
        list,
        conditions::READY,
        is_ready,
        reason,
        &message,
        generation,
    );
    if let Some(progress) = progress {
        set_condition(list, progress, true, reason, &message, generation);
    }
    new
}

/// The most resources that a message names.
const MOST_NAMED: usize = 5;

fn deletion_waits(resources: &[String]) -> String {
    let mut named = resources[..resources.len().min(MOST_NAMED)].join(", ");
    if let Some(more) = resources
        .len()
        .checked_sub(MOST_NAMED)
        .filter(|more| *more > 0)
    {
        named = format!("{named} and {more} more");
    }
    format!(
        "its deletion waits for {named}, whose stages are to be deleted through it; delete them, or set their deletionPolicy: Orphan"
    )
}

/// Reason and message where this says that the connection can't be used.
pub(super) fn failed(status: &ConnectionStatus) -> Option<(String, String)> {
    let ready = condition(&status.conditions, conditions::READY)?;
    (ready.status == "False").then(|| (ready.reason.clone(), ready.message.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(waits_for: &[&str]) -> String {
        let seen = Seen {
            result: Ok(()),
            version: None,
            missing_permissions: Vec::new(),
            waits_for: waits_for.iter().map(|&name| name.to_owned()).collect(),
        };
        let status = conclude(&ConnectionStatus::default(), Some(1), &seen);
        let ready = condition(&status.conditions, conditions::READY);
        ready.expect("Ready is there").message.clone()
    }

    #[test]
    fn a_deletion_that_waits_says_for_whom_and_names_a_few() {
        assert_eq!(message(&[]), "authentik answers");
        assert!(message(&["DuoStage a/b"]).contains("waits for DuoStage a/b, whose"));
        let many = message(&["1", "2", "3", "4", "5", "6", "7"]);
        assert!(many.contains("1, 2, 3, 4, 5 and 2 more"), "{many}");
    }
}
