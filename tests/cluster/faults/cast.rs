//! Which kinds take part in a history, and the resources of them that it has now and then.

use authentik_stage_operator::authentik::Collection;

use super::world::At;
use crate::harness::{FLOW, VALIDATE, kinds, naming};

/// The resources of a kind that always takes part.
const SURE: &[(At, &str)] = &[(At::Home, "r0"), (At::Home, "r1"), (At::Away, "r0")];

/// The resources of the others.
const DRAWN: [&[(At, &str)]; OTHERS] = [
    &[(At::Home, "r0"), (At::Home, "r1")],
    &[(At::Home, "r0"), (At::Away, "r0")],
];

/// How many kinds take part beside the two that always do.
const OTHERS: usize = 2;

/// Kinds that older releases of authentik don't have.
const SINCE: [(&str, (u16, u16)); 1] = [("AuthenticatorEmailStage", (2025, 2))];

/// A resource that a history has now and then.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Slot {
    pub at: At,
    pub kind: &'static str,
    pub name: &'static str,
}

impl Slot {
    /// What its object is called as a rule. In both namespaces there are resources of one name.
    pub fn label(self) -> String {
        let kind = self.kind.trim_start_matches("Authenticator");
        let kind = kind.trim_end_matches("Stage").to_lowercase();
        match self.at {
            At::Home => format!("{kind}-{}", self.name),
            At::Away => format!("away-{kind}-{}", self.name),
        }
    }

    /// Among which objects no two have one label.
    pub fn names(self) -> Collection {
        naming(self.kind).names
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.label())
    }
}

/// The kinds and the resources of a history.
pub struct Cast {
    pub kinds: Vec<&'static str>,
    pub slots: Vec<Slot>,
}

impl Cast {
    /// Those of this seed. Seeds that follow each other have all kinds in turn.
    pub fn of(seed: u64, release: (u16, u16)) -> Self {
        let is_known = |kind: &&str| {
            let since = SINCE.iter().find(|(of, _)| of == kind);
            since.is_none_or(|(_, since)| *since <= release)
        };
        let mut others: Vec<_> = kinds().into_iter().filter(is_known).collect();
        others.retain(|kind| ![VALIDATE, FLOW].contains(kind));
        let count = others.len();
        let seed = usize::try_from(seed).expect("it is small");
        let first = OTHERS * seed + seed / count;
        let others = (first..first + OTHERS).map(|number| others[number % count]);
        let kinds: Vec<_> = [VALIDATE, FLOW].into_iter().chain(others).collect();
        let resources = [SURE, SURE].into_iter().chain(DRAWN);
        let slots = kinds.iter().zip(resources).flat_map(|(kind, resources)| {
            let resources = resources.iter();
            resources.map(|(at, name)| Slot {
                at: *at,
                kind,
                name,
            })
        });
        Self {
            slots: slots.collect(),
            kinds,
        }
    }

    /// The resources of the namespace.
    pub fn at(&self, at: At) -> Vec<Slot> {
        let slots = self.slots.iter().copied();
        slots.filter(|slot| slot.at == at).collect()
    }

    /// The resources that stand for objects of which no two have one label.
    pub fn among(&self, names: Collection) -> Vec<Slot> {
        let slots = self.slots.iter().copied();
        slots.filter(|slot| slot.names() == names).collect()
    }
}

#[test]
fn some_history_of_the_first_few_has_every_kind() {
    let mut left = kinds();
    for seed in 1..=left.len() as u64 {
        let cast = Cast::of(seed, (2026, 5));
        left.retain(|kind| !cast.kinds.contains(kind));
    }
    assert!(left.is_empty(), "{left:?}");
    let old = (1..100).map(|seed| Cast::of(seed, (2024, 8)));
    let (email, _) = SINCE[0];
    assert!(old.into_iter().all(|cast| !cast.kinds.contains(&email)));
}
