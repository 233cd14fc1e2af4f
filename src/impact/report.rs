//! How many people a change hits, and whom.

use std::collections::BTreeMap;

use serde::Serialize;

use super::outcome::Outcome;
use crate::authentik::Shown;

/// Most people who are listed by name.
pub(super) const MAX_LISTED: usize = 10_000;

/// What a stage does with somebody, before and after.
pub type Fate = (Outcome, Outcome);

/// Somebody, and what becomes of them.
#[derive(Clone, Debug)]
pub struct Assessed {
    /// Their name, fit to be shown.
    pub username: Shown,
    /// If recovery codes are among the devices that are seen.
    pub seen: Fate,
    /// If they are not.
    pub unseen: Fate,
}

/// How many people there are of each outcome.
pub type Counts = BTreeMap<Outcome, u64>;

/// Somebody whom the change hits.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Change {
    /// Their name.
    pub username: Shown,
    /// What the stage does with them now.
    pub before: Outcome,
    /// What it would do.
    pub after: Outcome,
}

/// Who could not be looked at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Unseen {
    /// People who went away while their devices were read.
    pub gone: u64,
    /// Users who can't be read.
    pub unreadable: u64,
    /// Whether others may have been missed, for the list changed while it was read.
    pub perhaps_more: bool,
    /// Whether recovery codes may be there that the token is not shown.
    pub recovery_codes: bool,
}

/// Whom a change of a validation stage hits.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Report {
    /// The stage's name.
    pub stage: Shown,
    /// Whether there is such a stage now. Without one, everybody passes.
    pub exists: bool,
    /// How many people were looked at: users who are active, and no service accounts.
    pub people: u64,
    /// How many are refused by the change.
    pub locked_out: u64,
    /// Of how many it can't be told whether they are refused by the change.
    pub perhaps_locked_out: u64,
    /// How many are asked to enrol by the change.
    pub to_enrol: u64,
    /// How many it lets pass without a device who do not pass so now.
    pub let_through: u64,
    /// How many the stage does what with, now.
    pub before: Counts,
    /// How many it would do what with.
    pub after: Counts,
    /// Whom the change hits, by name; the first ten thousand.
    pub changes: Vec<Change>,
    /// How many more it hits.
    pub more_changes: u64,
    /// Who could not be looked at.
    pub unseen: Unseen,
    /// What the report does not take into account.
    pub notes: Vec<String>,
}

impl Report {
    /// The report on these people. `otherwise` is what the stage would do with people without a device.
    #[must_use]
    pub fn of(
        stage: Shown,
        exists: bool,
        people: &[Assessed],
        otherwise: Outcome,
        unseen: Unseen,
    ) -> Self {
        let zero = || Outcome::ALL.map(|outcome| (outcome, 0)).into();
        let mut report = Self {
            stage,
            exists,
            people: people.len() as u64,
            locked_out: 0,
            perhaps_locked_out: 0,
            to_enrol: 0,
            let_through: 0,
            before: zero(),
            after: zero(),
            changes: Vec::new(),
            more_changes: 0,
            unseen,
            notes: Vec::new(),
        };
        for person in people {
            report.add(person, otherwise);
        }
        // Those who are hit hardest come first; where all are named, in the order of their names.
        report.changes.sort_by(|one, other| {
            (rank(one.after), &one.username).cmp(&(rank(other.after), &other.username))
        });
        report
    }

    fn add(&mut self, person: &Assessed, otherwise: Outcome) {
        let (before, after) = match self.unseen.recovery_codes {
            true => person.unseen,
            false => person.seen,
        };
        *self.before.entry(before).or_default() += 1;
        *self.after.entry(after).or_default() += 1;
        let newly = |outcome| u64::from(after == outcome && before != outcome);
        self.locked_out += newly(Outcome::Refused);
        self.to_enrol += newly(Outcome::Enrols);
        self.let_through += newly(Outcome::Passes);
        let perhaps = after == Outcome::Unknown && otherwise == Outcome::Refused;
        let perhaps = perhaps && before != Outcome::Refused;
        self.perhaps_locked_out += u64::from(perhaps);
        if before == after && !perhaps {
            return;
        }
        if self.changes.len() == MAX_LISTED {
            self.more_changes += 1;
            return;
        }
        self.changes.push(Change {
            username: person.username.clone(),
            before,
            after,
        });
    }

    /// How many people are locked out at worst.
    #[must_use]
    pub fn locked_out_at_worst(&self) -> u64 {
        self.locked_out + self.perhaps_locked_out
    }
}

/// Who is hit hardest comes first.
fn rank(after: Outcome) -> u8 {
    match after {
        Outcome::Refused => 0,
        Outcome::Unknown => 1,
        Outcome::Enrols => 2,
        Outcome::Passes => 3,
        Outcome::HasDevice => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &'static str, before: Outcome, after: Outcome) -> Assessed {
        Assessed {
            username: Shown::fixed(name),
            seen: (before, after),
            unseen: (Outcome::Unknown, Outcome::Unknown),
        }
    }

    fn report(people: &[Assessed], unseen: Unseen) -> Report {
        Report::of(Shown::fixed("mfa"), true, people, Outcome::Refused, unseen)
    }

    #[test]
    fn only_the_difference_counts() {
        use Outcome::{Enrols, HasDevice, Passes, Refused, Unknown};
        let people = [
            person("was refused before", Refused, Refused),
            person("b", HasDevice, Refused),
            person("a", Unknown, Refused),
            person("c", Passes, Enrols),
            person("d", Enrols, Enrols),
            person("e", Refused, Passes),
            person("f", HasDevice, HasDevice),
            person("g", HasDevice, Unknown),
        ];
        let report = report(&people, Unseen::default());
        let counts = (report.people, report.locked_out, report.perhaps_locked_out);
        assert_eq!(counts, (8, 2, 1));
        assert_eq!((report.to_enrol, report.let_through), (1, 1));
        assert_eq!(report.locked_out_at_worst(), 3);
        let names: Vec<_> = report
            .changes
            .iter()
            .map(|change| change.username.as_str())
            .collect();
        assert_eq!(names, ["a", "b", "g", "c", "e"]);
        assert_eq!(report.after[&Refused], 3);
        assert_eq!(report.before[&Unknown], 1);
    }

    #[test]
    fn where_recovery_codes_are_not_seen_that_is_what_counts() {
        let people = [person("a", Outcome::Passes, Outcome::Refused)];
        let unseen = Unseen {
            recovery_codes: true,
            ..Unseen::default()
        };
        let report = report(&people, unseen);
        assert_eq!((report.locked_out, report.perhaps_locked_out), (0, 1));
    }

    #[test]
    fn what_can_not_be_told_is_no_danger_where_nobody_is_refused() {
        let people = [person("a", Outcome::Passes, Outcome::Unknown)];
        let report = Report::of(
            Shown::fixed("mfa"),
            true,
            &people,
            Outcome::Enrols,
            Unseen::default(),
        );
        assert_eq!(report.locked_out_at_worst(), 0);
        assert_eq!(report.changes.len(), 1);
    }

    #[test]
    fn the_list_of_names_is_bounded() {
        let people = vec![person("a", Outcome::Passes, Outcome::Refused); MAX_LISTED + 5];
        let report = report(&people, Unseen::default());
        assert_eq!((report.changes.len(), report.more_changes), (MAX_LISTED, 5));
        assert_eq!(report.locked_out, MAX_LISTED as u64 + 5);
    }
}
