//! Whose a stage is: which of several resources has the best claim to it.

use k8s_openapi::jiff::Timestamp;

use crate::kinds::ResourceId;

/// Whether another resource's stage is on the server of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SameServer {
    /// It is: the two URLs are equal, or were shown to lead to one server.
    Yes,
    /// It is not: the two URLs were shown to lead to two servers.
    No,
    /// The URLs differ and the stage's UUID is the same. One server under two URLs looks like this, and so do two
    /// servers restored from one backup.
    Unknown,
}

/// A resource that wants a stage, or has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claim {
    /// The resource.
    pub id: ResourceId,
    /// When it was created; the older of two has the better claim.
    pub created: Option<Timestamp>,
    /// Whether it manages this very stage.
    pub manages: bool,
    /// Whether it did so already when the operator started.
    pub is_restored: bool,
}

/// Another resource that manages the stage or its name, or could.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rival {
    /// Its claim.
    pub claim: Claim,
    /// Whether a stage that it manages has the name that ours is to get.
    pub has_name: bool,
    /// The URL of its server.
    pub server: String,
    /// Whether that is our server.
    pub same_server: SameServer,
}

/// Who has the best claim.
#[derive(Debug, Eq, PartialEq)]
pub enum Verdict<'a> {
    /// We have.
    Ours,
    /// This one has.
    Theirs(&'a Rival),
    /// This one has, if its server is ours.
    Unknown(&'a Rival),
}

/// Lower is better: who manages the stage, then who is older.
fn rank(claim: &Claim) -> (bool, Option<Timestamp>, &ResourceId) {
    (!claim.manages, claim.created, &claim.id)
}

/// Whether this claim is better than the other.
#[must_use]
pub fn outranks(one: &Claim, other: &Claim) -> bool {
    rank(one) < rank(other)
}

/// Who has the best claim. A rival whose stage has the name that ours is to get keeps it, whatever its age.
#[must_use]
pub fn verdict<'a>(own: &Claim, rivals: &'a [Rival]) -> Verdict<'a> {
    let best = |same_server| {
        rivals
            .iter()
            .filter(|rival| rival.same_server == same_server)
            .filter(|rival| rival.has_name || outranks(&rival.claim, own))
            .min_by_key(|rival| (!rival.has_name, rank(&rival.claim)))
    };
    match (best(SameServer::Yes), best(SameServer::Unknown)) {
        (Some(rival), _) => Verdict::Theirs(rival),
        (None, Some(rival)) => Verdict::Unknown(rival),
        (None, None) => Verdict::Ours,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(name: &str, created: i64, manages: bool) -> Claim {
        Claim {
            id: ResourceId {
                kind: "DuoStage",
                namespace: "login".to_owned(),
                name: name.to_owned(),
            },
            created: Timestamp::from_second(created).ok(),
            manages,
            is_restored: false,
        }
    }

    fn rival(name: &str, created: i64, manages: bool, same_server: SameServer) -> Rival {
        Rival {
            claim: claim(name, created, manages),
            has_name: false,
            server: "https://authentik".to_owned(),
            same_server,
        }
    }

    fn winner<'a>(own: &Claim, rivals: &'a [Rival]) -> Option<&'a str> {
        match verdict(own, rivals) {
            Verdict::Ours => None,
            Verdict::Theirs(rival) | Verdict::Unknown(rival) => Some(&rival.claim.id.name),
        }
    }

    #[test]
    fn who_manages_the_stage_keeps_it_and_else_the_older_one_gets_it() {
        let yes = SameServer::Yes;
        for (own, other, winner_is) in [
            (claim("own", 5, true), rival("old", 1, false, yes), None),
            (
                claim("own", 5, false),
                rival("old", 1, false, yes),
                Some("old"),
            ),
            (claim("own", 1, false), rival("young", 5, false, yes), None),
            (
                claim("own", 1, false),
                rival("young", 5, true, yes),
                Some("young"),
            ),
            (
                claim("own", 5, true),
                rival("old", 1, true, yes),
                Some("old"),
            ),
            (claim("b", 1, false), rival("a", 1, false, yes), Some("a")),
        ] {
            assert_eq!(
                winner(&own, std::slice::from_ref(&other)),
                winner_is,
                "{own:?} {other:?}"
            );
        }
    }

    #[test]
    fn of_several_rivals_the_best_is_named_and_not_the_first_by_name() {
        let rivals = [
            rival("a-young", 7, false, SameServer::Yes),
            rival("z-old", 1, false, SameServer::Yes),
            rival("m-manages", 9, true, SameServer::Yes),
        ];
        let own = claim("own", 8, false);
        assert_eq!(winner(&own, &rivals), Some("m-manages"));
        assert_eq!(winner(&own, &rivals[..2]), Some("z-old"));
    }

    #[test]
    fn whose_stage_has_the_name_keeps_it() {
        let mut young = rival("young", 9, false, SameServer::Yes);
        young.has_name = true;
        let old = rival("old", 1, false, SameServer::Yes);
        assert_eq!(winner(&claim("own", 2, true), &[old, young]), Some("young"));
    }

    #[test]
    fn another_server_is_no_rival_and_an_unknown_one_is_only_a_doubt() {
        let own = claim("own", 5, false);
        let elsewhere = rival("elsewhere", 1, true, SameServer::No);
        assert_eq!(
            verdict(&own, std::slice::from_ref(&elsewhere)),
            Verdict::Ours
        );
        let doubtful = rival("doubtful", 1, true, SameServer::Unknown);
        assert_eq!(
            verdict(&own, std::slice::from_ref(&doubtful)),
            Verdict::Unknown(&doubtful)
        );
        let certain = rival("certain", 2, false, SameServer::Yes);
        assert_eq!(
            verdict(&own, &[doubtful, certain.clone()]),
            Verdict::Theirs(&certain)
        );
    }
}
