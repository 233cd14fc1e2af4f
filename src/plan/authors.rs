//! Who changed an object in authentik, from what its audit log tells.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::Author,
    authentik::{
        Remote, Shown,
        audit::{Deed, Entry},
        cut,
    },
};

/// Most characters of what a program calls itself that are shown.
const LONGEST_AGENT: usize = 80;

/// The most names of others that are shown.
const MOST_NAMES: usize = 3;

/// How people are told of.
pub struct Naming<'a> {
    /// Whether people may be named.
    pub names: bool,
    /// Makes a text of the server fit to be shown.
    pub show: &'a dyn Fn(&Remote) -> Shown,
}

/// Who changed an object since it was last seen as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Authors {
    /// What was done last.
    pub deed: Deed,
    /// Who did it.
    pub last: Author,
    /// Who else changed it: their names, each once. Only their number where people may not be named.
    pub others: Vec<String>,
}

/// The operator's own entries among these of the log.
fn is_own(entry: &Entry, agent: &str) -> bool {
    entry.agent == *agent
}

/// The number of the operator's own account, as its own entries tell it.
#[must_use]
pub fn own_user(log: &[Entry], agent: &str) -> Option<u64> {
    log.iter().find(|entry| is_own(entry, agent))?.user
}

/// What others did since the object was last seen as it should be, the newest first, up to the operator's own last write. Where
/// that has put the object right (`is_mended`), it is what came before that, up to the write before; a log that does not show
/// the repair can't tell the operator's writes from those of others. `agent` is what the operator calls itself, `since` how long ago the
/// object was last seen as it should be.
#[must_use]
pub fn others<'a>(
    log: &'a [Entry],
    agent: &str,
    since: Duration,
    is_mended: bool,
) -> Vec<&'a Entry> {
    let repair = log.iter().position(|entry| is_own(entry, agent));
    let first = match (is_mended, repair) {
        (false, _) => 0,
        (true, Some(repair)) => repair + 1,
        (true, None) => log.len(),
    };
    let others = log.iter().skip(first);
    others
        .take_while(|entry| !is_own(entry, agent) && entry.age <= since)
        .collect()
}

/// Who did this, the newest first; nothing where nobody is known to have done anything.
#[must_use]
pub fn authors(entries: &[&Entry], naming: &Naming<'_>) -> Option<Authors> {
    let (last, earlier) = entries.split_first()?;
    let mut others: Vec<String> = Vec::new();
    for entry in earlier.iter().filter(|entry| entry.user != last.user) {
        let name = (naming.show)(&entry.username).into_string();
        if !others.contains(&name) {
            others.push(name);
        }
    }
    Some(Authors {
        deed: last.deed,
        last: author(last, naming),
        others,
    })
}

/// The newest of these that was made with this operator's account, and not by it. `user` is the account's number.
#[must_use]
pub fn another_writer(
    entries: &[&Entry],
    user: Option<u64>,
    naming: &Naming<'_>,
) -> Option<Author> {
    let mut of_account = entries
        .iter()
        .filter(|entry| entry.user.is_some() && entry.user == user);
    of_account.next().map(|entry| author(entry, naming))
}

fn author(entry: &Entry, naming: &Naming<'_>) -> Author {
    let shown = |text: &Remote| {
        let text = (naming.show)(text).into_string();
        (!text.is_empty()).then_some(text)
    };
    Author {
        username: shown(&entry.username).filter(|_| naming.names),
        client_ip: shown(&entry.address).filter(|_| naming.names),
        user_agent: shown(&entry.agent).map(|agent| cut(&agent, LONGEST_AGENT)),
        time: Time(entry.at),
    }
}

impl Authors {
    /// The end of a sentence that tells what was done, by whom and when.
    #[must_use]
    pub fn told(&self, names: bool) -> String {
        let deed = match self.deed {
            Deed::Created => "made",
            Deed::Updated => "changed",
            Deed::Deleted => "deleted",
        };
        format!("{deed}{}{}", by(&self.last), self.and_others(names))
    }

    fn and_others(&self, names: bool) -> String {
        let count = self.others.len();
        match count {
            0 => String::new(),
            _ if !names => format!("; before that by others, {count} in number"),
            _ => {
                let named = self.others[..count.min(MOST_NAMES)].join(", ");
                let more = if count > MOST_NAMES {
                    " and others"
                } else {
                    ""
                };
                format!("; before that by {named}{more}")
            }
        }
    }
}

/// ` by alice from 10.0.0.4 at 2026-01-01T12:03:08Z with Mozilla/5.0`, as far as it is known.
pub(super) fn by(author: &Author) -> String {
    let part = |word: &str, text: &Option<String>| {
        let text = text.as_ref();
        text.map_or_else(String::new, |text| format!(" {word} {text}"))
    };
    format!(
        "{}{} at {:.0}{}",
        part("by", &author.username),
        part("from", &author.client_ip),
        author.time.0,
        part("with", &author.user_agent),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "authentik-stage-operator/1.0.0 (a1)";

    fn entry(user: u64, name: &str, agent: &str, age: u64) -> Entry {
        Entry {
            deed: Deed::Updated,
            at: format!("2026-01-01T12:00:{:02}.5Z", 59 - age)
                .parse()
                .unwrap(),
            age: Duration::from_secs(age),
            user: Some(user),
            username: Remote::from(name),
            address: Remote::from("10.0.0.4"),
            agent: Remote::from(agent),
        }
    }

    fn naming(names: bool) -> Naming<'static> {
        Naming {
            names,
            show: &|text| crate::plan::tests::shown(text.raw()),
        }
    }

    fn since(log: &[Entry], seconds: u64) -> Vec<&Entry> {
        others(log, OWN, Duration::from_secs(seconds), true)
    }

    fn told(log: &[Entry], seconds: u64, names: bool) -> Option<String> {
        let authors = authors(&since(log, seconds), &naming(names));
        authors.map(|authors| authors.told(names))
    }

    #[test]
    fn what_came_between_the_last_look_and_the_repair_counts() {
        let log = [
            entry(9, "carol", "late", 0),
            entry(1, "operator", OWN, 1),
            entry(7, "alice", "Mozilla/5.0", 2),
            entry(8, "bob", "curl/8", 3),
            entry(7, "alice", "Mozilla/5.0", 4),
            entry(9, "carol", "curl/8", 20),
        ];
        assert_eq!(
            told(&log, 10, true).unwrap(),
            "changed by alice from 10.0.0.4 at 2026-01-01T12:00:57Z with Mozilla/5.0; before that by bob"
        );
        assert_eq!(
            told(&log, 2, true).unwrap(),
            "changed by alice from 10.0.0.4 at 2026-01-01T12:00:57Z with Mozilla/5.0"
        );
        assert_eq!(told(&log, 1, true), None, "it is older");
    }

    #[test]
    fn what_an_earlier_repair_has_put_right_is_not_told_again() {
        let log = [
            entry(1, "operator", OWN, 1),
            entry(8, "bob", "curl/8", 2),
            entry(1, "operator", OWN, 3),
            entry(7, "alice", "Mozilla/5.0", 4),
        ];
        let told = told(&log, 60, true).unwrap();
        assert!(told.contains("by bob") && !told.contains("alice"), "{told}");
    }

    #[test]
    fn where_nothing_was_put_right_what_came_after_our_last_write_counts() {
        let log = [
            entry(7, "alice", "Mozilla/5.0", 2),
            entry(1, "operator", OWN, 3),
            entry(8, "bob", "curl/8", 4),
        ];
        let minute = Duration::from_secs(60);
        let found = others(&log, OWN, minute, false);
        let names: Vec<_> = found.iter().map(|entry| entry.username.raw()).collect();
        assert_eq!(names, ["alice"]);
    }

    #[test]
    fn a_log_that_does_not_show_our_repair_tells_nobody() {
        let log = [entry(1, "operator", "", 1), entry(7, "alice", "", 2)];
        assert_eq!(told(&log, 60, true), None);
    }

    #[test]
    fn people_are_named_only_where_that_is_wanted() {
        let log = [
            entry(1, "operator", OWN, 1),
            entry(7, "alice", "Mozilla/5.0", 2),
            entry(8, "bob", "curl/8", 3),
        ];
        assert_eq!(
            told(&log, 60, false).unwrap(),
            "changed at 2026-01-01T12:00:57Z with Mozilla/5.0; before that by others, 1 in number"
        );
    }

    #[test]
    fn our_account_with_another_program_is_another_writer() {
        let log = [
            entry(1, "operator", OWN, 1),
            entry(7, "alice", "Mozilla/5.0", 2),
            entry(1, "operator", "authentik-stage-operator/1.0.0 (b2)", 3),
        ];
        assert_eq!(own_user(&log, OWN), Some(1));
        let own = own_user(&log, OWN);
        let found = another_writer(&since(&log, 60), own, &naming(true)).unwrap();
        assert_eq!(
            found.user_agent.unwrap(),
            "authentik-stage-operator/1.0.0 (b2)"
        );
        let only_alice = [log[0].clone(), log[1].clone()];
        let entries = since(&only_alice, 60);
        assert_eq!(another_writer(&entries, own, &naming(true)), None);
    }
}
