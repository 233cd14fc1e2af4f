//! From how a reconcile ended to the resource's conditions and to the warning that it gives.

use std::time::Duration;

use super::{failure::Failure, note::Note};
use crate::api::{DriftedField, Status, conditions, set_condition, without_condition};

/// How a reconcile ended that did not fail.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// authentik holds what the resource says.
    InSync,
    /// It does not, and the resource only observes.
    Drifted(Vec<DriftedField>),
}

/// The status that this outcome makes of the one that the reconcile has worked on.
pub fn conclude(status: &mut Status, result: &Result<Outcome, Failure>, generation: Option<i64>) {
    status.observed_generation = generation;
    status.drift = match result {
        Ok(Outcome::Drifted(drift)) => drift.clone(),
        Ok(Outcome::InSync) => Vec::new(),
        Err(_) => std::mem::take(&mut status.drift),
    };
    let list = &mut status.conditions;
    let progress = result
        .as_ref()
        .err()
        .map(|failure| failure.reason.progress());
    for type_ in [
        conditions::RECONCILING,
        conditions::STALLED,
        conditions::SUSPENDED,
    ] {
        // The one that goes on keeps its time: a status that says the same as before is not written.
        if Some(type_) != progress {
            without_condition(list, type_);
        }
    }
    let (ready, reason, message) = match result {
        Ok(Outcome::InSync) => (
            true,
            "InSync",
            "authentik holds what the spec says".to_owned(),
        ),
        Ok(Outcome::Drifted(drift)) => (false, "Drifted", drifted(drift)),
        Err(failure) => (false, failure.reason.as_str(), failure.message.clone()),
    };
    set_condition(list, conditions::READY, ready, reason, &message, generation);
    if let Some(progress) = progress {
        set_condition(list, progress, true, reason, &message, generation);
    }
}

fn drifted(drift: &[DriftedField]) -> String {
    let fields: Vec<_> = drift.iter().map(|drift| drift.field.as_str()).collect();
    format!(
        "authentik differs in {}, and managementPolicy: Observe keeps it so; see status.drift, and set Enforce to mend it",
        fields.join(", ")
    )
}

/// The status of a resource that is suspended: `Ready` and what belongs to it stay as they were.
pub fn suspended(status: &mut Status, generation: Option<i64>) {
    // Or whoever waits for this generation to be seen would wait for as long as it is suspended.
    status.observed_generation = generation;
    let list = &mut status.conditions;
    without_condition(list, conditions::RECONCILING);
    without_condition(list, conditions::STALLED);
    let message = "spec.suspend is true: nothing is read or written until it is false";
    set_condition(
        list,
        conditions::SUSPENDED,
        true,
        "Suspended",
        message,
        generation,
    );
}

/// How long something may be missing before an event warns of it: what is applied together arrives one by one.
pub const GRACE: Duration = Duration::from_secs(5);

/// Whether the warning about an outcome is given now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Grace {
    /// There is nothing to warn of, or it was warned of.
    Nothing,
    /// It is to be published.
    Warn(Note),
    /// It is to be published if it is so still after this time.
    Wait(Duration),
}

/// The warning that an outcome gives. `failing_for` is how long the resource has failed in just this way, `warned`
/// whether it was warned of that already, `is_new` whether it has never been in sync.
#[must_use]
pub fn warning(
    status: &Status,
    result: &Result<Outcome, Failure>,
    warned: bool,
    is_new: bool,
    failing_for: Duration,
) -> Grace {
    let Some(ready) = status.condition(conditions::READY) else {
        return Grace::Nothing;
    };
    let (reason, patient) = match result {
        Ok(Outcome::InSync) => return Grace::Nothing,
        Ok(Outcome::Drifted(_)) => ("Drifted", false),
        Err(failure) => (
            failure.reason.as_str(),
            is_new && failure.reason.may_pass_at_once(),
        ),
    };
    match patience(patient, failing_for) {
        _ if warned => Grace::Nothing,
        Some(left) => Grace::Wait(left),
        None => Grace::Warn(Note::warning(reason, ready.message.clone())),
    }
}

/// How long nobody is warned yet of what has failed for so long; nothing where it is time.
#[must_use]
pub fn patience(patient: bool, failing_for: Duration) -> Option<Duration> {
    let left = GRACE.saturating_sub(failing_for);
    (patient && !left.is_zero()).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::failure::Reason;

    fn concluded(result: &Result<Outcome, Failure>) -> Status {
        let mut status = Status::default();
        conclude(&mut status, result, Some(1));
        status
    }

    #[test]
    fn a_failure_that_goes_on_is_the_same_status() {
        let failed = Err(Failure::new(Reason::SecretNotFound, "no Secret"));
        let mut status = concluded(&failed);
        let before = status.clone();
        conclude(&mut status, &failed, Some(1));
        assert_eq!(status, before);
        conclude(&mut status, &Ok(Outcome::InSync), Some(1));
        let types: Vec<_> = status.conditions.iter().map(|c| c.type_.as_str()).collect();
        assert_eq!(types, [conditions::READY]);
    }

    #[test]
    fn what_may_be_on_its_way_is_warned_of_only_once_it_lasts() {
        let failed = Err(Failure::new(Reason::SecretNotFound, "no Secret"));
        let status = concluded(&failed);
        let at = |failing_for| warning(&status, &failed, false, true, failing_for);
        assert_eq!(at(Duration::ZERO), Grace::Wait(GRACE));
        let note = Note::warning("SecretNotFound", "no Secret".to_owned());
        assert_eq!(at(GRACE), Grace::Warn(note));
        assert_eq!(warning(&status, &failed, true, true, GRACE), Grace::Nothing);
        let late = warning(&status, &failed, false, false, Duration::ZERO);
        assert!(matches!(late, Grace::Warn(_)), "it was in sync before");
    }

    #[test]
    fn what_does_not_pass_by_itself_is_warned_of_at_once() {
        for result in [
            Err(Failure::new(Reason::NameConflict, "taken")),
            Ok(Outcome::Drifted(Vec::new())),
        ] {
            let status = concluded(&result);
            let warned = warning(&status, &result, false, true, Duration::ZERO);
            assert!(matches!(warned, Grace::Warn(_)), "{warned:?}");
        }
    }
}
