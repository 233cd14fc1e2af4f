//! What becomes of the stage of a resource that is deleted.

use super::support::*;
use crate::{
    api::Identity,
    plan::decide::{Fate, fate},
};

#[test]
fn what_becomes_of_a_stage_depends_on_the_policy_and_on_what_is_known_of_it() {
    let stage = Identity {
        uuid: STAGE,
        name: "mfa".to_owned(),
        server: SERVER.to_owned(),
        managed: true,
        flows: Vec::new(),
        bindings: Vec::new(),
    };
    let (leave, delete) = (true, false);
    for (policy, managed, has_lost, expected) in [
        (leave, Some(&stage), false, Fate::Leave(stage.clone())),
        (leave, Some(&stage), true, Fate::Leave(stage.clone())),
        (leave, None, false, Fate::Nothing),
        // What is left alone is not looked for either: no server is needed.
        (leave, None, true, Fate::Nothing),
        (delete, Some(&stage), false, Fate::Delete(stage.clone())),
        (delete, Some(&stage), true, Fate::Delete(stage.clone())),
        (delete, None, false, Fate::Nothing),
        (delete, None, true, Fate::FindAndDelete),
    ] {
        let fate = fate(policy, managed, has_lost);
        assert_eq!(fate, expected, "{policy} {managed:?} {has_lost}");
    }
}
