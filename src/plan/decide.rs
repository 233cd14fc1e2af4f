//! The next step of a reconcile, and of a deletion.

use std::{collections::BTreeMap, sync::Arc};

use uuid::Uuid;

use super::{
    bindings::{Binding, BindingWrite, places_drift},
    claims::{Claim, Rival, Verdict, verdict},
    conclude::Outcome,
    desired::Desired,
    diff::{Diff, Ignored, diff, has_become, mismatches},
    drift::missing,
    failure::{Failure, Reason},
    live::Live,
};
use crate::{
    api::{AdoptionPolicy, DriftedField, Identity, SentSecret},
    authentik::{Shown, Version},
    kinds::Kind,
};

/// What else holds the label in authentik.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Holder {
    /// An object that the token may see: what authentik calls its kind, and its UUID.
    Object(Shown, Uuid),
    /// The object of this resource.
    Of(crate::kinds::ResourceId),
    /// An object that the token may not see.
    Unseen,
}

impl Holder {
    /// The object's UUID, where it is known.
    #[must_use]
    pub fn uuid(&self) -> Option<Uuid> {
        match self {
            Self::Object(_, uuid) => Some(*uuid),
            Self::Of(_) | Self::Unseen => None,
        }
    }
}

/// All that the next step depends on.
pub struct Situation<'a> {
    /// The resource's own claim to the stage.
    pub own: Claim,
    /// Whether it only observes.
    pub observes: bool,
    /// What it does with a stage that is there already.
    pub adoption: AdoptionPolicy,
    /// Whether it has the finalizer.
    pub has_finalizer: bool,
    /// The URL of its server.
    pub server: &'a str,
    /// authentik's version.
    pub version: &'a Version,
    /// What it asks for.
    pub desired: &'a Desired,
    /// The stage, if there is one.
    pub live: Option<&'a Live>,
    /// Whether authentik itself was asked for the stage just now; else a list showed it.
    pub is_certain: bool,
    /// Where the stage stands in flows.
    pub bindings: &'a [Arc<Binding>],
    /// The slugs of the flows, as far as they are known.
    pub slugs: &'a BTreeMap<Uuid, String>,
    /// Who else wants the stage, or has it.
    pub rivals: &'a [Rival],
    /// Who holds the name, where authentik has refused it.
    pub holder: Option<&'a Holder>,
    /// What was last sent of the secrets.
    pub sent: &'a [SentSecret],
    /// What the server is known to ignore.
    pub ignored: &'a [Ignored],
    /// What the stage was to be of which the creation was not answered.
    pub lost: Option<&'a Desired>,
    /// Whether only authentik can have changed since the resource was last in sync.
    pub was_in_sync: bool,
    /// Makes a server's text fit to be shown.
    pub show: &'a dyn Fn(&str) -> Shown,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Step {
    /// Nothing more.
    End(Result<Outcome, Failure>),
    /// Find out whether this rival's server is ours.
    TellApart(Rival),
    /// Ask authentik itself: a list may have shown half of a change.
    LookAgain,
    /// Add the finalizer.
    Finalize,
    /// Create the stage.
    Create,
    /// Record the stage as the one whose creation was not answered.
    Recognise,
    /// Take the stage over.
    Adopt,
    /// Write what differs.
    Patch(Diff),
    /// Bind, move and unbind the stage.
    Bind(Vec<BindingWrite>),
}

/// The next step.
#[must_use]
pub fn decide<K: Kind>(seen: &Situation<'_>) -> Step {
    if seen.observes {
        return observe::<K>(seen);
    }
    let step = unopposed::<K>(seen);
    match verdict(&seen.own, seen.rivals) {
        Verdict::Theirs(rival) => {
            Step::End(Err(belongs_to::<K>(seen, &rival.claim, &rival.server)))
        }
        Verdict::Unknown(rival) if is_at_stake(seen, &rival.claim, &step) => {
            Step::TellApart(rival.clone())
        }
        Verdict::Unknown(_) | Verdict::Ours => step,
    }
}

/// Whether it matters whose the stage is: something is to be written to authentik, or the resource has come to manage the
/// stage since the operator started, or the other one has. What both managed before that was told apart then.
fn is_at_stake(seen: &Situation<'_>, rival: &Claim, step: &Step) -> bool {
    let is_old = seen.own.is_restored && rival.is_restored;
    let writes = !matches!(step, Step::End(_) | Step::Finalize);
    writes || seen.own.manages && !is_old
}

/// The next step where nobody else has a claim to the stage.
fn unopposed<K: Kind>(seen: &Situation<'_>) -> Step {
    if let Some(holder) = seen.holder {
        return Step::End(Err(held_by::<K>(seen, holder)));
    }
    if !seen.has_finalizer {
        return Step::Finalize;
    }
    let Some(live) = seen.live else {
        return Step::Create;
    };
    if !seen.own.manages {
        return adopt::<K>(seen, live);
    }
    mend::<K>(seen, live)
}

fn difference<K: Kind>(seen: &Situation<'_>, live: &Live) -> Diff {
    let mut diff = diff::<K>(seen.desired, live, seen.sent);
    diff.pass_over(seen.ignored);
    diff
}

fn binding_writes(seen: &Situation<'_>) -> Vec<BindingWrite> {
    let desired = seen.desired.bindings.as_ref();
    desired.map_or_else(Vec::new, |desired| desired.writes(seen.bindings))
}

/// Writes what differs of the stage, then of its bindings.
fn mend<K: Kind>(seen: &Situation<'_>, live: &Live) -> Step {
    let diff = difference::<K>(seen, live);
    let bindings = binding_writes(seen);
    let drifted = !diff.changes.is_empty() || !bindings.is_empty();
    if drifted && seen.was_in_sync && !seen.is_certain {
        return Step::LookAgain;
    }
    // A label that leads to an object may have come to lead to another one since the list.
    if !diff.is_empty() && K::COLLECTION.is_found_by_label() && !seen.is_certain {
        return Step::LookAgain;
    }
    if !diff.is_empty() {
        return Step::Patch(diff);
    }
    // What the server can't hold of the stage is no reason to leave it out of its flows.
    if !bindings.is_empty() {
        return Step::Bind(bindings);
    }
    Step::End(
        every_flow_is_found(seen)
            .and_then(|()| unsupported(seen, &diff))
            .map(|()| Outcome::InSync),
    )
}

fn every_flow_is_found(seen: &Situation<'_>) -> Result<(), Failure> {
    let missing = seen.desired.bindings.as_ref();
    match missing.and_then(|bindings| bindings.missing.clone()) {
        Some(missing) => Err(missing),
        None => Ok(()),
    }
}

/// Takes over a stage that is there already, as far as the policy allows.
fn adopt<K: Kind>(seen: &Situation<'_>, live: &Live) -> Step {
    if seen.lost.is_some_and(|lost| has_become::<K>(lost, live)) {
        return Step::Recognise;
    }
    let why_not = match seen.adoption {
        AdoptionPolicy::Always => return Step::Adopt,
        AdoptionPolicy::IfMatch => {
            let fields = mismatched::<K>(seen, live);
            if fields.is_empty() {
                return Step::Adopt;
            }
            format!(
                "it differs in {}; make the spec equal, or set adoptionPolicy: Always to change it",
                fields.join(", ")
            )
        }
        AdoptionPolicy::Never => {
            format!(
                "adoptionPolicy is Never; set it to IfMatch or Always, or choose another spec.{}",
                K::LABEL.spec
            )
        }
    };
    Step::End(Err(Failure::new(
        Reason::AdoptionRefused,
        format!(
            "authentik already has a {} {} ({}), and {why_not}",
            K::NOUN,
            K::called(&seen.desired.name),
            live.uuid
        ),
    )))
}

/// The fields for which `IfMatch` does not take a stage over, sorted. A stage may lack bindings, as one does that was
/// created and not yet bound when the operator was killed, but nothing that is there may be wrong.
fn mismatched<K: Kind>(seen: &Situation<'_>, live: &Live) -> Vec<&'static str> {
    let fields = mismatches::<K>(seen.desired, live).into_iter();
    let mut fields: Vec<_> = fields.map(|field| field.spec).collect();
    if let Some(desired) = &seen.desired.bindings
        && !desired.lacks_only(seen.bindings)
    {
        fields.push("flows");
    }
    fields.sort_unstable();
    fields
}

/// Under `Observe`: what differs, and no write.
fn observe<K: Kind>(seen: &Situation<'_>) -> Step {
    let Some(live) = seen.live else {
        let drift = vec![missing::<K>(seen.desired)];
        return Step::End(Ok(Outcome::Drifted(drift)));
    };
    let mut diff = diff::<K>(seen.desired, live, seen.sent);
    if !seen.own.manages {
        // Nothing was ever sent from here, so nothing is known of the secrets that authentik does not show.
        diff.secrets.retain(|field| live.shows(field));
    }
    let mut drift = diff.drift::<K>(seen.show);
    drift.extend(binding_drift::<K>(seen));
    if !drift.is_empty() && seen.was_in_sync && !seen.is_certain {
        return Step::LookAgain;
    }
    let result = every_flow_is_found(seen).and_then(|()| {
        if drift.is_empty() {
            return unsupported(seen, &diff).map(|()| Outcome::InSync);
        }
        Ok(Outcome::Drifted(drift))
    });
    Step::End(result)
}

fn binding_drift<K: Kind>(seen: &Situation<'_>) -> Option<DriftedField> {
    let desired = seen.desired.bindings.as_ref()?;
    places_drift(
        desired,
        seen.bindings,
        seen.slugs,
        K::ASKS_FOR_FACTOR,
        seen.show,
    )
}

/// Fields that the server does not know are reported, never dropped without a word.
fn unsupported(seen: &Situation<'_>, diff: &Diff) -> Result<(), Failure> {
    if diff.unsupported.is_empty() {
        return Ok(());
    }
    let version = seen.version;
    let mut fields: Vec<_> = diff
        .unsupported
        .iter()
        .map(|field| match field.since {
            Some(since) if !since.may_be_known(version) => format!("{} needs {since}", field.spec),
            _ => format!("{} was not kept by the server", field.spec),
        })
        .collect();
    fields.sort_unstable();
    Err(Failure::new(
        Reason::FieldUnsupported,
        format!(
            "authentik {version} can't hold everything that the spec sets: {}; remove what is not supported from the spec, or upgrade authentik (all else is in sync)",
            fields.join("; ")
        ),
    ))
}

fn belongs_to<K: Kind>(seen: &Situation<'_>, claim: &Claim, server: &str) -> Failure {
    let (noun, label) = (K::NOUN, K::LABEL.spec);
    let called = K::called(&seen.desired.name);
    let elsewhere = if server == seen.server {
        String::new()
    } else {
        format!(", which reaches the same server under {server}")
    };
    Failure::new(
        Reason::NameConflict,
        format!(
            "the {noun} {called} on {} belongs to {}{elsewhere}; delete one of the two resources or give this one another spec.{label}",
            seen.server, claim.id
        ),
    )
}

fn held_by<K: Kind>(seen: &Situation<'_>, holder: &Holder) -> Failure {
    let (noun, label) = (K::NOUN, K::LABEL.spec);
    let name = &seen.desired.name;
    let holder = match holder {
        Holder::Of(id) => {
            let claim = Claim {
                id: id.clone(),
                created: None,
                manages: true,
                is_restored: false,
            };
            return belongs_to::<K>(seen, &claim, seen.server);
        }
        Holder::Object(kind, uuid) => format!("the {kind} {uuid}"),
        Holder::Unseen => format!("a {noun} that the token may not see"),
    };
    Failure::new(
        Reason::NameConflict,
        format!(
            "the {label} {name:?} is held by {holder} on {}; rename that {noun} in authentik or give this resource another spec.{label}",
            seen.server
        ),
    )
}

/// What a deletion needs.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// Nothing: the resource stands for no stage of its own.
    Nothing,
    /// The stage stays in authentik.
    Leave(Identity),
    /// The stage is to be deleted in authentik.
    Delete(Identity),
    /// No stage is on record, but a creation was not answered: it is to be looked for, and deleted.
    FindAndDelete,
}

/// What becomes of the stage of a resource that is deleted. `leave` is whether its policies leave the stage alone,
/// `managed` the stage that it created or took over, `has_lost` whether a creation was not answered.
#[must_use]
pub fn fate(leave: bool, managed: Option<&Identity>, has_lost: bool) -> Fate {
    match managed {
        Some(stage) if leave => Fate::Leave(stage.clone()),
        Some(stage) => Fate::Delete(stage.clone()),
        None if has_lost && !leave => Fate::FindAndDelete,
        None => Fate::Nothing,
    }
}
