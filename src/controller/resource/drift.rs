//! What is told of drift: what was changed, by whom, and whether the second factor got weaker by it.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    act::Actor,
    observe::{Sight, slugs},
    subject::Subject,
};
use crate::{
    api::DriftedField,
    controller::{connection::Server, context::Context},
    kinds::Kind,
    plan::{
        Authors, Desired, Diff, Naming, Note, Outcome, Record, another_writer, authors,
        bindings::{BindingWrite, places_drift},
        drift::{self, Drift, Ended, Repair},
        others, own_user,
    },
};

impl<K: Kind> Actor<'_, K> {
    pub(super) fn finding(&self) -> Finding<'_, K> {
        Finding {
            ctx: self.ctx,
            subject: self.subject,
            server: self.server,
            sight: self.sight,
            desired: self.desired,
        }
    }

    /// This drift could not be put right.
    pub(super) fn still_weak(&mut self, drift: Option<&Drift>) {
        let Some(drift) = drift.filter(|drift| self.finding().is_new_weakness(drift)) else {
            return;
        };
        let since = self.finding().since();
        self.record.notes.push(drift.weakened(since, Ended::NotYet));
    }

    /// This drift is put right. `object` is what others have changed, `is_written` whether that was written to put it right, or
    /// something new in its place.
    pub(super) fn repaired(&self, drift: Drift, object: Option<Uuid>, is_written: bool) -> Repair {
        self.ctx.shared.metrics.drift_repaired(K::KIND);
        Repair {
            warns: self.finding().is_new_weakness(&drift),
            lasted: self.finding().since(),
            drift,
            object,
            is_written,
        }
    }

    /// The object of which others had deleted the one before is there again.
    pub(super) fn replaced(&self) -> Option<Repair> {
        let before = self.record.before.stage.as_ref();
        let before = before.filter(|stage| stage.managed && stage.server == self.server.url)?;
        let drift = self.finding().deletion();
        self.finding().count(&drift);
        Some(self.repaired(drift, Some(before.uuid), false))
    }
}

/// One reconcile that has found drift.
pub(super) struct Finding<'a, K> {
    pub ctx: &'a Context,
    pub subject: &'a Subject<K>,
    pub server: &'a Server,
    pub sight: &'a Sight,
    pub desired: &'a Desired,
}

impl<K: Kind> Finding<'_, K> {
    /// How the object's own fields differ.
    pub fn fields(&self, diff: &Diff) -> Drift {
        let client = &self.server.client;
        self.drift(diff.drift::<K>(&|text| client.show_str(text)))
    }

    /// How the stage's places in flows differ.
    pub fn places(&self) -> Drift {
        let slugs = slugs(self.server, self.sight, self.desired);
        let client = &self.server.client;
        let wanted = self.desired.bindings.as_ref();
        let field = wanted.and_then(|wanted| {
            let show = |text: &str| client.show_str(text);
            let found = &self.sight.bindings;
            places_drift(wanted, found, &slugs, K::ASKS_FOR_FACTOR, &show)
        });
        self.drift(field.into_iter().collect())
    }

    /// The object is gone.
    fn deletion(&self) -> Drift {
        self.drift(vec![drift::missing::<K>(self.desired)])
    }

    fn drift(&self, fields: Vec<DriftedField>) -> Drift {
        Drift {
            fields,
            by: None,
            names: self.ctx.shared.names_people,
        }
    }

    /// Counts what was found, by field.
    pub fn count(&self, drift: &Drift) {
        self.ctx.shared.metrics.drift_found(K::KIND);
        self.count_fields(drift);
    }

    fn count_fields(&self, drift: &Drift) {
        let metrics = &self.ctx.shared.metrics;
        for field in &drift.fields {
            metrics.field_drifted(K::KIND, &field.field);
        }
    }

    /// How long ago the object was last seen as it should be, at the most; nothing where this process has not seen it so.
    fn since(&self) -> Option<Duration> {
        self.sight.last_look.map(|look| look.elapsed())
    }

    /// Whether this drift makes the second factor weaker, and that is new.
    fn is_new_weakness(&self, drift: &Drift) -> bool {
        if !drift.is_weaker() {
            return false;
        }
        let memory = &self.ctx.shared.memory;
        let was_weak = memory.with(&self.subject.uid, |entry| {
            std::mem::replace(&mut entry.is_weak, true)
        });
        let is_new = was_weak == Some(false);
        if is_new {
            self.ctx.shared.metrics.factor_weakened(K::KIND);
        }
        is_new
    }

    /// Tells of all that was put right. Only now is it asked who made it necessary.
    pub async fn tell_repaired(&self, record: &mut Record) {
        for repaired in record.take_repaired() {
            let repair = &repaired.repair;
            let (by, mut notes) = self.ask_who(repair.object, repair.is_written).await;
            record.notes.append(&mut notes);
            record.tell_repaired(repaired, by);
        }
    }

    /// Asks the audit log who changed an object, which the last write may have put right; and what else is to be told of that.
    /// What has come to be as it is before this process looked is nobody's doing.
    async fn ask_who(&self, object: Option<Uuid>, is_mended: bool) -> (Option<Authors>, Vec<Note>) {
        match (object, self.sight.last_look) {
            (Some(object), Some(look)) => self.ask(object, look, is_mended).await,
            _ => (None, Vec::new()),
        }
    }

    async fn ask(
        &self,
        object: Uuid,
        look: Instant,
        is_mended: bool,
    ) -> (Option<Authors>, Vec<Note>) {
        let audit = &self.server.audit;
        let log = audit.log_of(&self.server.client, object).await;
        // As of now: the answer has come after what it tells.
        let entries = others(&log, &audit.agent, look.elapsed(), is_mended);
        if entries.is_empty() {
            return (None, Vec::new());
        }
        let user = own_user(&log, &audit.agent);
        let user = audit.own_user(&self.server.client, user).await;
        let naming = Naming {
            names: self.ctx.shared.names_people,
            show: &|text| self.server.show(text),
        };
        let another = another_writer(&entries, user, &naming);
        if another.is_some() {
            let metrics = &self.ctx.shared.metrics;
            metrics.another_wrote(&self.server.key.path());
        }
        let notes = another.as_ref().map(drift::another_writer);
        (authors(&entries, &naming), notes.into_iter().collect())
    }

    /// The binding that others have taken away, changed or made: of several, the first of these. And whether these writes
    /// write it.
    pub fn binding(&self, writes: &[BindingWrite]) -> (Option<Uuid>, bool) {
        let is_gone = |pk: &Uuid| self.sight.bindings.iter().all(|found| found.pk != *pk);
        let memory = &self.ctx.shared.memory;
        let gone = memory.with(&self.subject.uid, |entry| {
            let known = entry.bound.iter().map(|binding| binding.pk);
            known.into_iter().find(is_gone)
        });
        let gone = gone.flatten();
        let written = writes.iter().find_map(|write| match write {
            BindingWrite::Update(pk, _) | BindingWrite::Delete(pk) => Some(*pk),
            BindingWrite::Create(_) => None,
        });
        (gone.or(written), gone.is_none())
    }

    /// Nothing is left to do: what was seen is what later drift is told from.
    pub async fn conclude(&self, record: &mut Record, outcome: &Outcome) {
        self.observed(record, outcome).await;
        let seen_at = match self.sight.is_certain {
            true => Some(self.subject.began),
            false => self.server.inventory.kind::<K>().looked_at(),
        };
        self.ctx.shared.memory.with(&self.subject.uid, |entry| {
            entry.seen_at = seen_at.max(entry.seen_at);
            entry.changed_after = None;
            entry.bound.clone_from(&self.sight.bindings);
            entry.is_weak &= *outcome != Outcome::InSync;
        });
    }

    /// Of a resource that only observes: tells of drift when it is first seen.
    async fn observed(&self, record: &mut Record, outcome: &Outcome) {
        let Outcome::Drifted(fields) = outcome else {
            return;
        };
        let memory = &self.ctx.shared.memory;
        let is_known = record.before.drift == *fields;
        if is_known || !record.was_in_sync {
            let is_weak = fields.iter().any(|field| field.weaker);
            memory.with(&self.subject.uid, |entry| entry.is_weak = is_weak);
            return;
        }
        let mut drift = self.drift(fields.clone());
        self.count_fields(&drift);
        let (by, mut notes) = self.ask_who(self.changed(fields), false).await;
        drift.by = by;
        record.notes.append(&mut notes);
        if !drift.is_weaker() {
            memory.with(&self.subject.uid, |entry| entry.is_weak = false);
        }
        if self.is_new_weakness(&drift) {
            let note = drift.weakened(self.since(), Ended::Observed);
            record.notes.push(note);
        }
        record.by = drift.by.map(|by| by.told(drift.names));
    }

    /// What was changed so that these fields differ: the object itself or, where only its places do, a binding.
    fn changed(&self, fields: &[DriftedField]) -> Option<Uuid> {
        let live = self.sight.live.as_ref().map(|live| live.uuid);
        let known = self.subject.view.status.stage.as_ref();
        if fields.iter().all(|field| field.field == "flows") {
            let wanted = self.desired.bindings.as_ref()?;
            return self.binding(&wanted.writes(&self.sight.bindings)).0;
        }
        live.or(known.map(|stage| stage.uuid))
    }
}
