//! Reading from authentik who has which devices, and what a stage does with them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::{
    outcome::{Kind, Malformed, Outcome, Owned, Rules, SMS, STATIC, WEBAUTHN},
    report::{Assessed, Fate, Report, Unseen},
};
use crate::{
    authentik::{Client, Collection, Device, Error, Person, Shown, Version, versions::Since},
    kinds::Fields,
};

/// Most people whose devices are asked for at once; the client lets fewer through.
const AT_ONCE: usize = 32;

/// How often somebody's devices are asked for while authentik can't answer.
const TRIES: u32 = 3;

/// The wait before another try, where authentik names none, and the longest of those that it names.
const WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Since when a stage can take some kinds of WebAuthn device only. An older server ignores the field.
const KINDS: (&str, Since) = ("webauthn_allowed_device_types", Since::Release(2024, 6));

/// The classes whose devices have lists that show whether the token may see them.
const DEVICES: [(&str, Collection); 5] = [
    ("totp", Collection::TOTP_DEVICES),
    (WEBAUTHN, Collection::WEBAUTHN_DEVICES),
    ("duo", Collection::DUO_DEVICES),
    (SMS, Collection::SMS_DEVICES),
    ("email", Collection::EMAIL_DEVICES),
];

/// Why it can't be told whom a change hits.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// authentik did not answer as it should.
    #[error("{0}")]
    Authentik(#[from] Error),
    /// The token may not see devices, so nobody would seem to have one.
    #[error(
        "people's {class} devices can't be seen, so it can't be told who has one: {error} (before authentik 2024.12, devices \
         are shown to superusers only)"
    )]
    Blind {
        /// The class.
        class: &'static str,
        /// What authentik said.
        error: Error,
    },
    /// The token is an outpost's, which is shown empty lists instead of errors.
    #[error(
        "the token belongs to an outpost's own account: authentik shows it empty lists where it may see nothing, so it can't \
         be told who has a device"
    )]
    Outpost,
    /// A field of the stage can't be understood.
    #[error("{0}")]
    Malformed(#[from] Malformed),
}

impl Failure {
    /// Why devices of this class could not be listed.
    fn of(class: &'static str, error: Error) -> Self {
        match error {
            Error::AccessDenied { .. } => Self::Blind { class, error },
            error => Self::Authentik(error),
        }
    }
}

/// The fields of a stage after a change: those that are wanted, and of the others those that it has now.
#[must_use]
pub fn merged(before: Option<&Fields>, wanted: &Fields) -> Fields {
    let mut fields = before.cloned().unwrap_or_default();
    fields.extend(wanted.iter().map(|(name, value)| (*name, value.clone())));
    fields
}

/// A stage, and what is to become of it.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// Its name.
    pub name: &'a str,
    /// The fields that it has; nothing where there is no such stage.
    pub before: Option<&'a Fields>,
    /// The fields that it gets.
    pub after: &'a Fields,
}

/// Whom it hits when these stages of one server change, in their order. `progress` is told how many people of how many are done. Asks
/// once for each person, however many stages there are, and for a few lists.
///
/// # Errors
/// Also where the token is not proven to be shown devices.
pub async fn assess(
    client: &Client,
    stages: &[Stage<'_>],
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Vec<Report>, Failure> {
    let version = client.version().await?;
    let changes = stages.iter().map(|stage| Change::of(stage, &version));
    let changes: Vec<_> = changes.collect::<Result<_, _>>()?;
    let sight = sight(client, &changes).await?;
    let listed = client.people().await?;
    let mut unseen = Unseen {
        unreadable: listed.unreadable.len() as u64,
        perhaps_more: !listed.complete,
        ..Unseen::default()
    };
    let people = owners(client, &sight, &listed.rows, progress).await?;
    let saw_codes = people.iter().any(|owner| owner.devices.iter().any(is_code));
    let people = remaining(client, people, &mut unseen).await?;
    let report = |(stage, change): (&Stage<'_>, Change)| {
        unseen.recovery_codes = !sight.sees_all && !saw_codes && change.takes(STATIC);
        change.report(client.show_str(stage.name), &people, unseen)
    };
    Ok(stages.iter().zip(changes).map(report).collect())
}

fn is_code(device: &Owned) -> bool {
    device.class.as_deref() == Some(STATIC)
}

/// The fields that a server of this version acts on.
fn known(after: &Fields, version: &Version) -> (Fields, Option<String>) {
    let (field, since) = KINDS;
    let mut after = after.clone();
    if since.may_be_known(version) || after.remove(field).is_none() {
        return (after, None);
    }
    let note = format!("This authentik ignores {field}, which {since} is the first to know.");
    (after, Some(note))
}

/// What a stage does, now and then.
struct Change {
    before: Option<Rules>,
    after: Rules,
    note: Option<String>,
}

impl Change {
    fn of(stage: &Stage<'_>, version: &Version) -> Result<Self, Malformed> {
        let (after, note) = known(stage.after, version);
        Ok(Self {
            before: stage.before.map(Rules::of).transpose()?,
            after: Rules::of(&after)?,
            note,
        })
    }

    fn rules(&self) -> impl Iterator<Item = &Rules> {
        self.before.iter().chain([&self.after])
    }

    /// Whether a class matters.
    fn takes(&self, class: &str) -> bool {
        self.rules().any(|rules| rules.takes(class))
    }

    fn fate(&self, devices: &[Owned], codes_unseen: bool) -> Fate {
        let before = self.before.as_ref();
        let before = before.map(|rules| rules.outcome(devices, codes_unseen));
        (
            before.unwrap_or(Outcome::Passes),
            self.after.outcome(devices, codes_unseen),
        )
    }

    fn report(self, name: Shown, people: &[Owner], unseen: Unseen) -> Report {
        let assessed = people.iter().map(|owner| Assessed {
            username: owner.username.clone(),
            seen: self.fate(&owner.devices, false),
            unseen: self.fate(&owner.devices, true),
        });
        let assessed: Vec<_> = assessed.collect();
        let otherwise = self.after.otherwise();
        let mut report = Report::of(name, self.before.is_some(), &assessed, otherwise, unseen);
        report.notes.extend(self.note);
        report
    }
}

/// Proves that the devices of all classes that matter are shown, and reads what a person's list of devices does not tell. Of
/// recovery codes there is no proof but that somebody's are shown, for their own list would show them in clear.
async fn sight(client: &Client, changes: &[Change]) -> Result<Sight, Failure> {
    let account = client.whoami().await?;
    if account.is_outposts() && !account.is_superuser {
        return Err(Failure::Outpost);
    }
    if !account.is_superuser {
        prove(client, changes).await?;
    }
    let blind = |class| move |error| Failure::of(class, error);
    let mut sight = Sight {
        sees_all: account.is_superuser,
        ..Sight::default()
    };
    let mut rules = changes.iter().flat_map(Change::rules);
    if rules.any(Rules::tells_kinds_apart) {
        sight.kinds = client.webauthn_kinds().await.map_err(blind(WEBAUTHN))?;
    }
    if changes.iter().any(|change| change.takes(SMS)) {
        sight.hashed = client.hashed_numbers().await.map_err(blind(SMS))?;
    }
    Ok(sight)
}

async fn prove(client: &Client, changes: &[Change]) -> Result<(), Failure> {
    for (class, devices) in DEVICES {
        if !changes.iter().any(|change| change.takes(class)) {
            continue;
        }
        match client.may_list(devices).await {
            Ok(()) => {}
            // Before 2025.2 nobody can have one.
            Err(Error::EndpointMissing { .. }) if class == "email" => {}
            Err(error) => return Err(Failure::of(class, error)),
        }
    }
    Ok(())
}

/// What the token is shown, and what is known of devices by their numbers.
#[derive(Default)]
struct Sight {
    /// Whether everything is.
    sees_all: bool,
    kinds: HashMap<u64, Option<Uuid>>,
    hashed: HashMap<u64, bool>,
}

impl Sight {
    fn owned(&self, device: Device) -> Owned {
        let kind = device.pk.and_then(|pk| self.kinds.get(&pk)).copied();
        Owned {
            is_hashed: device.pk.and_then(|pk| self.hashed.get(&pk)).copied(),
            kind: match (kind, device.kind) {
                (Some(Some(kind)), _) | (None, Some(kind)) => Kind::Is(kind),
                (Some(None), _) => Kind::None,
                (None, None) => Kind::Unknown,
            },
            class: device.class,
            is_confirmed: device.is_confirmed,
        }
    }
}

/// Somebody, and what they have.
struct Owner {
    pk: u64,
    username: Shown,
    devices: Vec<Owned>,
}

/// What each has. People who are gone are left out.
async fn owners(
    client: &Client,
    sight: &Sight,
    people: &[Person],
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Vec<Owner>, Failure> {
    let done = AtomicUsize::new(0);
    let owner = async |person: &Person| {
        let devices = devices(client, person).await?;
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, people.len());
        Ok::<_, Failure>(devices.map(|devices| {
            Owner {
                pk: person.pk,
                username: client.show(&person.username),
                devices: devices
                    .into_iter()
                    .map(|device| sight.owned(device))
                    .collect(),
            }
        }))
    };
    let owners = stream::iter(people).map(owner).buffer_unordered(AT_ONCE);
    let owners = owners.try_filter_map(async |owner| Ok(owner));
    owners.try_collect().await
}

/// Somebody's devices, asked for again where authentik could not answer.
async fn devices(client: &Client, person: &Person) -> Result<Option<Vec<Device>>, Error> {
    let mut tries = 1;
    loop {
        match client.devices_of(person.pk).await {
            Err(error) if error.is_unavailable() && tries < TRIES => {
                let wait = error.retry_after().unwrap_or(WAIT * tries);
                tokio::time::sleep(wait.min(LONGEST_WAIT)).await;
                tries += 1;
            }
            read => return read,
        }
    }
}

/// Those of the people who are still there. Before 2026.5, who is gone looks like somebody without devices.
async fn remaining(
    client: &Client,
    mut people: Vec<Owner>,
    unseen: &mut Unseen,
) -> Result<Vec<Owner>, Failure> {
    let later = client.people().await?;
    let known: BTreeSet<u64> = later.rows.iter().map(|person| person.pk).collect();
    let before = people.len();
    people.retain(|owner| !later.complete || known.contains(&owner.pk));
    unseen.gone += (before - people.len()) as u64;
    Ok(people)
}
