//! What the tables are made of: a resource with everything that its next step depends on.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    api::{AdoptionPolicy, DriftedField, SentSecret},
    authentik::{Shown, Version},
    kinds::{AuthenticatorValidateStage, DuoStage, Kind, ResourceId},
    plan::{
        Desired, Ignored, Live, Outcome, Row, SecretVersion,
        bindings::{Binding, BindingWrite, DesiredBinding, DesiredBindings},
        claims::{Claim, Rival, SameServer},
        decide::{Holder, Situation, Step, decide},
        failure::{Failure, Reason},
        sent_secret,
    },
};

pub const SERVER: &str = "https://authentik";
pub const STAGE: Uuid = Uuid::from_u128(1);
pub const LOGIN: Uuid = Uuid::from_u128(11);
pub const RECOVERY: Uuid = Uuid::from_u128(12);

/// The stage that this answer shows.
pub fn read<K: Kind>(answer: Value) -> Live {
    serde_json::from_value::<Row<K>>(answer).expect("a stage").0
}

/// A validate stage named `mfa` as a server shows it, with these fields changed.
pub fn live(changed: Value) -> Live {
    let mut row = json!({
        "pk": STAGE, "name": "mfa", "not_configured_action": "deny", "device_classes": ["totp", "duo"],
    });
    let fields = row.as_object_mut().expect("an object");
    fields.extend(changed.as_object().expect("an object").clone());
    read::<AuthenticatorValidateStage>(row)
}

pub fn resource(name: &str) -> ResourceId {
    ResourceId {
        kind: "AuthenticatorValidateStage",
        namespace: "login".to_owned(),
        name: name.to_owned(),
    }
}

/// A claim of a resource that was created at this second.
pub fn claim(name: &str, created: i64, manages: bool) -> Claim {
    Claim {
        id: resource(name),
        created: Timestamp::from_second(created).ok(),
        manages,
        is_restored: true,
    }
}

/// Another resource that manages the stage, and has the better claim: it is older.
pub fn older(same_server: SameServer) -> Rival {
    Rival {
        claim: claim("older", 1, true),
        has_name: false,
        server: SERVER.to_owned(),
        same_server,
    }
}

pub fn secret(resource_version: &str) -> SecretVersion {
    SecretVersion {
        name: "duo".to_owned(),
        key: "client".to_owned(),
        uid: "uid-1".to_owned(),
        resource_version: resource_version.to_owned(),
    }
}

/// What is on record once this state of the Secret was sent.
pub fn sent(resource_version: &str) -> SentSecret {
    let field = DuoStage::field("client_secret").expect("a field");
    sent_secret(field, Some(&secret(resource_version)))
}

/// These places in flows, wanted.
pub fn places(places: &[(Uuid, i32)]) -> DesiredBindings {
    let place = |(target, order): &(Uuid, i32)| DesiredBinding {
        target: *target,
        order: *order,
        settings: serde_json::Map::new(),
    };
    DesiredBindings {
        places: places.iter().map(place).collect(),
        missing: None,
    }
}

/// These places, and one in a flow that is not there.
pub fn places_and_a_missing_flow(wanted: &[(Uuid, i32)]) -> DesiredBindings {
    DesiredBindings {
        missing: Some(Failure::new(Reason::ReferenceNotFound, "no flow \"gone\"")),
        ..places(wanted)
    }
}

/// These places in flows, as they are.
pub fn bound(places: &[(Uuid, i32)]) -> Vec<Arc<Binding>> {
    let numbered = places.iter().zip(100..);
    let binding = |((target, order), pk): (&(Uuid, i32), u128)| Binding {
        pk: Uuid::from_u128(pk),
        target: *target,
        stage: STAGE.to_string(),
        order: *order,
        settings: serde_json::Map::new(),
    };
    numbered.map(binding).map(Arc::new).collect()
}

pub fn drifted(field: &str, wanted: &str, found: &str, weaker: bool) -> DriftedField {
    DriftedField {
        field: field.to_owned(),
        wanted: wanted.to_owned(),
        found: found.to_owned(),
        weaker,
    }
}

/// A text as it is shown. The tests need no cleaning.
pub fn shown(text: &str) -> Shown {
    Shown::fixed(text.to_owned().leak())
}

/// A resource with everything that its next step depends on.
#[derive(Clone)]
pub struct Case {
    pub own: Claim,
    pub observes: bool,
    pub adoption: AdoptionPolicy,
    pub has_finalizer: bool,
    pub version: Version,
    pub desired: Desired,
    pub live: Option<Live>,
    pub is_certain: bool,
    pub bindings: Vec<Arc<Binding>>,
    pub rivals: Vec<Rival>,
    pub holder: Option<Holder>,
    pub sent: Vec<SentSecret>,
    pub ignored: Vec<Ignored>,
    pub lost: Option<Desired>,
    pub was_in_sync: bool,
}

impl Case {
    /// The resource manages its stage, and a list shows the stage as the spec has it.
    pub fn in_sync() -> Self {
        let live = live(json!({}));
        Self {
            own: claim("own", 5, true),
            observes: false,
            adoption: AdoptionPolicy::IfMatch,
            has_finalizer: true,
            version: Version::parse("2026.5.0"),
            desired: Desired {
                name: "mfa".to_owned(),
                fields: live.fields.clone(),
                ..Desired::default()
            },
            live: Some(live),
            is_certain: false,
            bindings: Vec::new(),
            rivals: Vec::new(),
            holder: None,
            sent: Vec::new(),
            ignored: Vec::new(),
            lost: None,
            was_in_sync: true,
        }
    }

    /// The spec has changed since, so that the stage differs.
    pub fn edited() -> Self {
        let mut case = Self::in_sync();
        case.want("not_configured_action", json!("skip"));
        case.was_in_sync = false;
        case
    }

    /// A list shows a stage that somebody has changed in authentik.
    pub fn drifted() -> Self {
        let live = live(json!({"not_configured_action": "skip"}));
        Self {
            live: Some(live),
            ..Self::in_sync()
        }
    }

    /// A new resource, and a stage of its name that is as the spec has it.
    pub fn unmanaged() -> Self {
        Self {
            own: claim("own", 5, false),
            was_in_sync: false,
            ..Self::in_sync()
        }
    }

    /// A new resource, and no stage of its name.
    pub fn new() -> Self {
        Self {
            live: None,
            ..Self::unmanaged()
        }
    }

    /// The stage is in its flow, as the spec has it.
    pub fn bound() -> Self {
        let mut case = Self::in_sync();
        case.desired.bindings = Some(places(&[(LOGIN, 10)]));
        case.bindings = bound(&[(LOGIN, 10)]);
        case
    }

    /// A Duo stage whose Secret was sent in this state and is in the other one now.
    pub fn duo(sent_version: Option<&str>, current: &str) -> Self {
        let row = json!({"pk": STAGE, "name": "mfa", "client_id": "id", "api_hostname": "api"});
        let live = read::<DuoStage>(row);
        Self {
            desired: Desired {
                name: "mfa".to_owned(),
                fields: live.fields.clone(),
                secrets: BTreeMap::from([("client_secret", Some(secret(current)))]),
                ..Desired::default()
            },
            live: Some(live),
            sent: sent_version.into_iter().map(sent).collect(),
            ..Self::in_sync()
        }
    }

    /// The spec sets this field, by its name in authentik's API.
    pub fn want(&mut self, field: &'static str, value: Value) {
        self.desired.fields.insert(field, value);
    }

    pub fn step(&self) -> Step {
        self.step_of::<AuthenticatorValidateStage>()
    }

    pub fn step_of<K: Kind>(&self) -> Step {
        let slugs = [
            (LOGIN, "login".to_owned()),
            (RECOVERY, "recovery".to_owned()),
        ];
        decide::<K>(&Situation {
            own: self.own.clone(),
            observes: self.observes,
            adoption: self.adoption,
            has_finalizer: self.has_finalizer,
            server: SERVER,
            version: &self.version,
            desired: &self.desired,
            live: self.live.as_ref(),
            is_certain: self.is_certain,
            bindings: &self.bindings,
            slugs: &BTreeMap::from(slugs),
            rivals: &self.rivals,
            holder: self.holder.as_ref(),
            sent: &self.sent,
            ignored: &self.ignored,
            lost: self.lost.as_ref(),
            was_in_sync: self.was_in_sync,
            show: &shown,
        })
    }

    /// The next step in a word or two, for a table.
    pub fn next(&self) -> String {
        in_words(&self.step())
    }

    /// The message of the failure that this is the end of.
    pub fn message(&self) -> String {
        match self.step() {
            Step::End(Err(failure)) => failure.message,
            step => panic!("no failure: {step:?}"),
        }
    }
}

/// A step in a word or two: the reason of a failure, the fields of a difference, the kinds of the writes.
pub fn in_words(step: &Step) -> String {
    match step {
        Step::End(Ok(Outcome::InSync)) => "InSync".to_owned(),
        Step::End(Ok(Outcome::Drifted(drift))) => {
            let fields: Vec<_> = drift.iter().map(|drift| drift.field.as_str()).collect();
            format!("Drifted {}", fields.join(" "))
        }
        Step::End(Err(failure)) => failure.reason.as_str().to_owned(),
        Step::TellApart(rival) => format!("TellApart {}", rival.claim.id.name),
        Step::Patch(diff) => format!("Patch {}", diff.spec_fields().join(" ")),
        Step::Bind(writes) => {
            let kind = |write: &BindingWrite| match write {
                BindingWrite::Create(_) => "create",
                BindingWrite::Update(..) => "update",
                BindingWrite::Delete(_) => "delete",
            };
            format!(
                "Bind {}",
                writes.iter().map(kind).collect::<Vec<_>>().join(" ")
            )
        }
        other => format!("{other:?}"),
    }
}

/// Checks each case of a table: what it is, the case, and the step that is next.
pub fn check<const N: usize>(table: [(&str, Case, &str); N]) {
    for (what, case, next) in table {
        assert_eq!(case.next(), next, "{what}");
    }
}

/// The case with a change.
pub fn with(case: Case, change: impl FnOnce(&mut Case)) -> Case {
    let mut case = case;
    change(&mut case);
    case
}
