//! What is on record of a resource (its status, and the events to come), and what each step of a reconcile makes of it.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    authors::Authors,
    drift::{Ended, Repair},
    live::Live,
    note::Note,
};
use crate::{
    api::{BoundFlow, Change, Identity, SentSecret, Status},
    authentik::{Remote, Shown},
};

/// Something that a reconcile has found or done.
#[derive(Clone, Debug)]
pub enum Fact {
    /// The resource now stands for a stage on another server.
    Moved,
    /// The recorded stage is gone from authentik.
    Vanished,
    /// The stage was created; with what was sent of its secrets, and with the deletion that this puts right. Without an answer of its own (a creation that was
    /// recognised later) nothing is known to have been sent.
    Created(Arc<Live>, Vec<SentSecret>, Option<Repair>),
    /// A stage that was there already was taken over.
    Adopted(Arc<Live>),
    /// A stage that was there already is left to others.
    NotAdopted,
    /// The stage is this one, as only an observer sees it.
    Observed(Arc<Live>),
    /// These fields of the spec were written, and authentik keeps them.
    Patched {
        /// The stage as authentik answered.
        live: Arc<Live>,
        /// The names of the fields in the spec, sorted.
        fields: Vec<String>,
        /// Whether a field was among them that authentik shows.
        readable: bool,
        /// What was sent of the secrets.
        sent: Vec<SentSecret>,
        /// What this puts right, where others had changed it.
        repair: Option<Repair>,
    },
    /// authentik shows that it holds what these Secrets do.
    Holds(Vec<SentSecret>),
    /// The stage was bound to flows, moved in them or taken out of them; with what this puts right, where others had changed it.
    Bound(Option<Repair>),
    /// The stage was deleted in authentik.
    Deleted(Identity),
    /// The stage was left in authentik when its resource was deleted.
    Orphaned(Identity),
}

/// What is on record of a resource.
#[derive(Clone, Debug)]
pub struct Record {
    /// The status as it was when the reconcile began.
    pub before: Status,
    /// The status as it is to be.
    pub status: Status,
    /// The events to publish.
    pub notes: Vec<Note>,
    /// What messages call what the resource stands for.
    pub noun: &'static str,
    /// The URL of the server; empty until it is known.
    pub server: String,
    /// Whether the spec says in which flows the stage stands.
    pub manages_bindings: bool,
    /// Whether only authentik can have changed since the resource was last in sync.
    pub was_in_sync: bool,
    /// The names of all fields that the spec sets, sorted.
    pub spec_fields: Vec<String>,
    /// What was put right and is not told yet.
    pub repaired: Vec<Repaired>,
    /// Who has made the difference that is only observed, as far as that is known.
    pub by: Option<String>,
    /// Makes a server's text fit to be shown.
    pub show: Show,
}

/// Something that was put right.
#[derive(Clone, Debug)]
pub struct Repaired {
    /// The repair.
    pub repair: Repair,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// These fields of the spec were written.
    Fields(Vec<String>),
    /// This object was made in place of one that was gone.
    Again(Live),
}

/// Makes a server's text fit to be shown.
#[derive(Clone)]
pub struct Show(pub Arc<dyn Fn(&Remote) -> Shown + Send + Sync>);

impl std::fmt::Debug for Show {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Show")
    }
}

impl Record {
    /// The stage that the resource created or took over on its server.
    #[must_use]
    pub fn managed(&self) -> Option<&Identity> {
        let stage = self.status.stage.as_ref();
        stage.filter(|stage| stage.managed && stage.server == self.server)
    }

    /// Notes a fact, at this time.
    pub fn note(&mut self, fact: Fact, now: Timestamp) {
        match fact {
            Fact::Moved => self.moved(),
            Fact::Vanished => {
                self.status.stage = None;
                self.status.secrets.clear();
            }
            Fact::Created(live, sent, repair) => self.created(&live, sent, repair, now),
            Fact::Adopted(live) => self.adopted(&live, now),
            Fact::NotAdopted => self.status.stage = None,
            Fact::Observed(live) => {
                let managed = self.managed().is_some_and(|stage| stage.uuid == live.uuid);
                self.identify(&live, managed);
            }
            Fact::Patched {
                live,
                fields,
                readable,
                sent,
                repair,
            } => {
                self.record_sent(sent);
                self.identify(&live, true);
                if !fields.is_empty() {
                    self.changed_fields(fields, readable, repair, now);
                }
            }
            Fact::Holds(secrets) => self.record_sent(secrets),
            Fact::Bound(repair) => {
                self.changed_fields(vec!["flows".to_owned()], true, repair, now);
            }
            Fact::Deleted(stage) => self.tell("Deleted", "deleted", &stage),
            Fact::Orphaned(stage) => self.tell("Orphaned", "left", &stage),
        }
    }

    fn tell(&mut self, reason: &'static str, what: &str, stage: &Identity) {
        let text = format!(
            "{what} {} {:?} ({}) on {}",
            self.noun, stage.name, stage.uuid, stage.server
        );
        self.notes.push(Note::normal(reason, text));
    }

    fn moved(&mut self) {
        let Some(old) = self.status.stage.take() else {
            return;
        };
        self.status.secrets.clear();
        self.status.drift.clear();
        if old.managed {
            let text = format!(
                "left {} {:?} ({}) on {}, for the resource now stands for one on {}",
                self.noun, old.name, old.uuid, old.server, self.server
            );
            self.notes.push(Note::normal("Orphaned", text));
        }
    }

    fn created(
        &mut self,
        live: &Live,
        sent: Vec<SentSecret>,
        repair: Option<Repair>,
        now: Timestamp,
    ) {
        let again = self
            .before
            .stage
            .as_ref()
            .is_some_and(|stage| stage.managed && stage.server == self.server);
        self.identify(live, true);
        self.status.secrets.clear();
        self.record_sent(sent);
        self.changed("Created", self.spec_fields.clone(), now);
        match repair {
            Some(repair) => self.repaired.push(Repaired {
                repair,
                what: What::Again(live.clone()),
            }),
            None if again => self.tell_of(live, "Created", "created again, for it was gone,"),
            None => self.tell_of(live, "Created", "created"),
        }
    }

    /// What was put right since the last call.
    pub fn take_repaired(&mut self) -> Vec<Repaired> {
        std::mem::take(&mut self.repaired)
    }

    /// Tells of what was put right, now that it has been asked who made it necessary.
    pub fn tell_repaired(&mut self, repaired: Repaired, by: Option<Authors>) {
        let Repaired { mut repair, what } = repaired;
        repair.drift.by = by;
        let drift = &repair.drift;
        if repair.warns {
            self.notes
                .push(drift.weakened(repair.lasted, Ended::Mended));
        }
        match what {
            What::Fields(fields) => {
                let note = Note::normal("DriftCorrected", drift.mended(&fields));
                self.notes.push(note);
            }
            What::Again(live) => {
                let by = drift.by.as_ref().map(|by| by.told(drift.names));
                let by = by.map_or_else(String::new, |by| format!(" ({by})"));
                let what = format!("created again, for it was gone{by},");
                self.tell_of(&live, "Created", &what);
            }
        }
        let author = repair.drift.by.map(|by| by.last);
        if let (Some(change), Some(author)) = (&mut self.status.last_change, author) {
            change.changed_by = Some(author);
        }
    }

    fn adopted(&mut self, live: &Live, now: Timestamp) {
        self.status.secrets.clear();
        self.identify(live, true);
        self.changed("Adopted", Vec::new(), now);
        self.tell_of(live, "Adopted", "took over");
    }

    fn tell_of(&mut self, live: &Live, reason: &'static str, what: &str) {
        let text = format!(
            "{what} {} {:?} ({}) on {}",
            self.noun,
            self.shown(&live.name),
            live.uuid,
            self.server
        );
        self.notes.push(Note::normal(reason, text));
    }

    fn shown(&self, text: &Remote) -> String {
        (self.show.0)(text).into_string()
    }

    /// Records which stage the resource stands for.
    pub fn identify(&mut self, live: &Live, managed: bool) {
        let known = self.status.stage.take();
        let known = known.filter(|stage| self.manages_bindings && stage.uuid == live.uuid);
        let (flows, bindings) = match known {
            Some(known) => (known.flows, known.bindings),
            None => (self.flows_of(live), Vec::new()),
        };
        self.status.stage = Some(Identity {
            uuid: live.uuid,
            name: self.shown(&live.name),
            server: self.server.clone(),
            managed,
            flows,
            bindings,
        });
    }

    fn flows_of(&self, live: &Live) -> Vec<String> {
        let mut flows: Vec<_> = live
            .flows
            .iter()
            .map(|flow| self.shown(&flow.slug))
            .collect();
        flows.sort_unstable();
        flows.dedup();
        flows
    }

    /// Records where the stage stands in flows.
    pub fn identify_bindings(&mut self, mut bound: Vec<BoundFlow>) {
        bound.sort_unstable();
        if let Some(stage) = &mut self.status.stage {
            stage.flows = bound.iter().map(|bound| bound.flow.clone()).collect();
            stage.flows.dedup();
            stage.bindings = bound;
        }
    }

    fn record_sent(&mut self, sent: Vec<SentSecret>) {
        let secrets = &mut self.status.secrets;
        secrets.retain(|old| sent.iter().all(|new| new.field != old.field));
        secrets.extend(sent);
        secrets.sort_unstable_by(|one, other| one.field.cmp(&other.field));
    }

    /// Notes a change of these fields, by whatever request. What is written while a stage is created or taken over
    /// is part of that.
    fn changed_fields(
        &mut self,
        fields: Vec<String>,
        readable: bool,
        repair: Option<Repair>,
        now: Timestamp,
    ) {
        let reason = match repair.filter(|_| readable && self.was_in_sync) {
            Some(repair) => {
                let what = What::Fields(fields.clone());
                self.repaired.push(Repaired { repair, what });
                "DriftCorrected"
            }
            None => {
                let text = format!("changed {}", fields.join(", "));
                self.notes.push(Note::normal("Updated", text));
                "Updated"
            }
        };
        let before = self.before.last_change.as_ref();
        let earlier = self
            .status
            .last_change
            .take_if(|change| Some(&*change) != before);
        match earlier {
            Some(earlier) => {
                let all: BTreeSet<_> = earlier.fields.into_iter().chain(fields).collect();
                self.changed(&earlier.reason, all.into_iter().collect(), now);
            }
            None => self.changed(reason, fields, now),
        }
    }

    fn changed(&mut self, reason: &str, fields: Vec<String>, now: Timestamp) {
        self.status.last_change = Some(Change {
            time: Time(now),
            reason: reason.to_owned(),
            fields,
            changed_by: None,
        });
    }
}
