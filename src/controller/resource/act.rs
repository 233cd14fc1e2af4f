//! One step of a reconcile: at most one write of the stage, and what it has shown.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::{
    bindings,
    body::{refused, secret_fields, with_secrets},
    observe::{Sight, get, holder, look_up, note, note_gone, object_id, settle},
    stop::Steps,
    subject::Subject,
};
use crate::{
    api::FINALIZER,
    authentik::Error,
    controller::{
        connection::{Doubt, Server},
        context::Context,
        memory::Creation,
    },
    kinds::Kind,
    plan::{
        Desired, Diff, Fact, Live, Record, Row,
        bindings::BindingWrite,
        claims::{Rival, SameServer},
        create_body,
        decide::{Holder, Step},
        failure::{Failure, Reason},
        update_body,
    },
};

/// Does one step after the other.
pub(super) struct Actor<'a, K> {
    pub ctx: &'a Context,
    pub subject: &'a Subject<K>,
    pub server: &'a Arc<Server>,
    pub record: &'a mut Record,
    pub sight: &'a mut Sight,
    pub desired: &'a mut Desired,
}

impl<K: Kind> Actor<'_, K> {
    /// Does this step or, where the controller only rehearses, notes what it would write.
    pub async fn act(&mut self, step: Step) -> Steps<()> {
        match self.ctx.manner.rehearsal.clone() {
            Some(rehearsal) => self.rehearse(&rehearsal, step).await,
            None => self.act_for_real(step).await,
        }
    }

    pub(super) async fn act_for_real(&mut self, step: Step) -> Steps<()> {
        match step {
            Step::End(_) => Ok(()),
            Step::TellApart(rival) => self.tell_apart(&rival).await,
            Step::LookAgain => self.look_again().await,
            Step::Finalize => self.finalize().await,
            Step::Create => self.create().await,
            Step::Recognise => {
                settle(self.ctx, self.subject);
                let live = self.live()?;
                self.fact(Fact::Created(live, Vec::new(), None));
                Ok(())
            }
            Step::Adopt => {
                let live = self.live()?;
                self.fact(Fact::Adopted(live));
                Ok(())
            }
            Step::Patch(diff) => self.patch(&diff).await,
            Step::Bind(writes) => self.bind(writes).await,
        }
    }

    pub(super) fn fact(&mut self, fact: Fact) {
        let managed = self.record.managed().map(|stage| stage.uuid);
        self.record.note(fact, Timestamp::now());
        let stage = self.record.managed();
        if let Some(stage) = stage.filter(|stage| Some(stage.uuid) != managed) {
            let shared = &self.ctx.shared;
            let concerned = shared.memory.found(&self.subject.uid, stage);
            shared.due(&concerned.rivals);
            if concerned.need_changed {
                let reference = self.subject.resource.common().connection_ref.as_ref();
                let namespace = &self.subject.id.namespace;
                self.ctx.registry.poke(namespace, reference);
            }
        }
    }

    pub(super) fn live(&self) -> Steps<Arc<Live>> {
        let gone = || Failure::new(Reason::Stale, format!("the {} is gone", K::NOUN));
        Ok(self.sight.live.clone().ok_or_else(gone)?)
    }

    pub(super) fn sees(&mut self, live: Option<Arc<Live>>) {
        self.sight.live = live;
        self.sight.is_certain = true;
    }

    async fn tell_apart(&self, rival: &Rival) -> Steps<()> {
        // By its own connection: nobody's token is used for another.
        let memory = &self.ctx.shared.memory;
        let standing = memory.standing(&rival.claim.id);
        let other = standing.and_then(|standing| {
            let reference = standing.connection.as_ref();
            let namespace = &rival.claim.id.namespace;
            self.ctx.registry.working(namespace, reference)
        });
        let Some(other) = other.filter(|other| other.url == rival.server) else {
            return Err(self.doubt(rival, "it is out of reach").into());
        };
        self.subject.writes.begin();
        let found = self.ctx.apart.find_out(&other, self.server).await;
        Ok(found.map_err(|error| match error {
            Doubt::Failed(error) => error.into(),
            Doubt::Because(why) => self.doubt(rival, &why),
        })?)
    }

    fn doubt(&self, rival: &Rival, why: &str) -> Failure {
        Failure::new(
            Reason::NameConflict,
            format!(
                "{} manages a {} with this UUID on {}, and whether that is the same server as {} can't be found out: {why}; delete one of the two resources, or let the tokens create and delete validation stages on both",
                rival.claim.id,
                K::NOUN,
                rival.server,
                self.server.url
            ),
        )
    }

    /// A list may show half of a change: authentik itself is asked before anything is done about it.
    async fn look_again(&mut self) -> Steps<()> {
        self.doubt_other_servers();
        let live = self.live()?;
        let seen = get::<K>(self.server, live.uuid).await?;
        if seen.is_none() {
            self.fact(Fact::Vanished);
        }
        if self.record.manages_bindings {
            self.sight.bindings = match &seen {
                Some(live) => bindings::look_up(self.server, K::USAGE.bound, live.uuid).await?,
                None => Vec::new(),
            };
        }
        self.sees(seen);
        Ok(())
    }

    /// What was another server may be the same by now, as when a host's name has moved. Then its changes show here as drift.
    fn doubt_other_servers(&self) {
        let live = self.sight.live.as_deref();
        let name = &self.desired.name;
        for rival in super::rivals::rivals(self.ctx, self.subject, self.server, name, live) {
            if rival.same_server == SameServer::No {
                self.ctx.apart.forget(&rival.server, &self.server.url);
            }
        }
    }

    /// Adds the finalizer, so that a deletion waits for its policy.
    async fn finalize(&mut self) -> Steps<()> {
        let mut finalizers = self.subject.resource.finalizers().to_vec();
        finalizers.push(FINALIZER.to_owned());
        let target = self.subject.target(self.ctx);
        let kubernetes = &self.ctx.shared.kubernetes;
        let version = kubernetes.set_finalizers(&target, &finalizers).await?;
        let memory = &self.ctx.shared.memory;
        memory.with(&self.subject.uid, |entry| entry.wrote(version));
        self.sight.has_finalizer = true;
        Ok(())
    }

    async fn create(&mut self) -> Steps<()> {
        let secret_fields = secret_fields(&*self.subject.resource);
        let body = create_body::<K>(self.desired);
        let (body, sent) =
            with_secrets(self.ctx, self.subject, self.desired, body, &secret_fields).await?;
        self.subject.writes.begin();
        let created = self.server.client.create::<Row<K>>(K::COLLECTION, &body);
        match created.await {
            Ok(row) => {
                let live = note::<K>(self.server, row);
                settle(self.ctx, self.subject);
                let repair = self.replaced();
                self.fact(Fact::Created(live.clone(), sent, repair));
                self.sight.bindings.clear();
                self.sees(Some(live));
                Ok(())
            }
            Err(error) if error.says_taken(K::LABEL.api) => self.name_is_taken().await,
            Err(error) if error.outcome_unknown() => self.creation_is_lost(error).await,
            Err(error) => Err(refused::<K>(self.server, self.desired, error).into()),
        }
    }

    /// The name is taken: by a stage of this kind that the list did not show yet, or by another kind's.
    async fn name_is_taken(&mut self) -> Steps<()> {
        let name = self.desired.name.clone();
        let found = look_up::<K>(self.server, &name).await?;
        if let Some(live) = found {
            let is_new = self
                .sight
                .live
                .as_ref()
                .is_none_or(|known| known.uuid == live.uuid);
            if is_new {
                if self.record.manages_bindings {
                    self.sight.bindings =
                        bindings::look_up(self.server, K::USAGE.bound, live.uuid).await?;
                }
                self.sees(Some(live));
                return Ok(());
            }
        }
        let holder = holder(self.ctx, self.subject, self.server, &name).await?;
        self.sight.holder = Some(holder.unwrap_or(Holder::Unseen));
        Ok(())
    }

    /// No answer came: the stage may have been created all the same.
    async fn creation_is_lost(&mut self, error: Error) -> Steps<()> {
        let lost = Arc::new(Creation {
            server: self.server.url.clone(),
            desired: self.desired.clone(),
        });
        self.sight.lost = Some(lost.clone());
        let memory = &self.ctx.shared.memory;
        memory.with(&self.subject.uid, |entry| {
            entry.lost = Some(lost);
            entry.is_uncertain = true;
        });
        match look_up::<K>(self.server, &self.desired.name).await {
            Ok(Some(live)) => {
                self.sees(Some(live));
                Ok(())
            }
            // The request may be under way still, so that it is not there yet says nothing.
            Ok(None) | Err(_) => Err(error.into()),
        }
    }

    async fn patch(&mut self, diff: &Diff) -> Steps<()> {
        let is_drift = self.record.was_in_sync && !diff.changes.is_empty();
        let drift = is_drift.then(|| self.finding().fields(diff));
        if let Some(drift) = &drift {
            self.finding().count(drift);
        }
        let live = self.live()?;
        let body = update_body::<K>(diff, self.desired);
        let (body, sent) = with_secrets(
            self.ctx,
            self.subject,
            self.desired,
            body,
            &diff.secret_fields(),
        )
        .await?;
        self.subject.writes.begin();
        let client = &self.server.client;
        let updated = client.update::<Row<K>>(K::COLLECTION, object_id(&live), &body);
        let row = match updated.await {
            Ok(row) => row,
            Err(error) => {
                self.still_weak(drift.as_ref());
                return self.patch_failed(&live, error).await;
            }
        };
        if row.0.uuid != live.uuid {
            return Err(self.has_moved(&live, row).into());
        }
        let live = note::<K>(self.server, row);
        let ignored = diff.ignored_by::<K>(&self.sight.ignored, &live);
        self.sight.ignored.clone_from(&ignored);
        let memory = &self.ctx.shared.memory;
        memory.with(&self.subject.uid, |entry| entry.ignored = ignored);
        let kept = diff.kept(&self.sight.ignored);
        let mended = drift.filter(|_| !kept.changes.is_empty());
        let repair = mended.map(|drift| self.repaired(drift, Some(live.uuid), true));
        self.fact(Fact::Patched {
            live: live.clone(),
            fields: kept.spec_fields(),
            readable: !kept.changes.is_empty(),
            sent,
            repair,
        });
        self.sees(Some(live));
        Ok(())
    }

    /// The label, by which the object is changed, has come to name another one just before the change. The next look finds both.
    fn has_moved(&self, live: &Live, other: Row<K>) -> Failure {
        note::<K>(self.server, other);
        let memory = &self.ctx.shared.memory;
        memory.with(&self.subject.uid, |entry| entry.is_uncertain = true);
        Failure::new(
            Reason::AuthentikUnavailable,
            format!(
                "{} {} was given to another {} in authentik while it was written, which got the change instead; look at that one",
                K::LABEL.spec,
                self.server.show(&live.name),
                K::NOUN
            ),
        )
    }

    async fn patch_failed(&mut self, live: &Live, error: Error) -> Steps<()> {
        if error.says_taken(K::LABEL.api) {
            return self.name_is_taken().await;
        }
        if matches!(error, Error::NotFound) {
            note_gone::<K>(self.server, live.uuid);
            return Err(Failure::new(
                Reason::AuthentikUnavailable,
                format!(
                    "the {} was deleted in authentik just now; it will be created again",
                    K::NOUN
                ),
            )
            .into());
        }
        if error.outcome_unknown() {
            let memory = &self.ctx.shared.memory;
            memory.with(&self.subject.uid, |entry| entry.is_uncertain = true);
        }
        Err(refused::<K>(self.server, self.desired, error).into())
    }

    async fn bind(&mut self, writes: Vec<BindingWrite>) -> Steps<()> {
        let was_in_sync = self.record.was_in_sync;
        let drift = was_in_sync.then(|| self.finding().places());
        if let Some(drift) = &drift {
            self.finding().count(drift);
        }
        let binding = drift.is_some().then(|| self.finding().binding(&writes));
        let live = self.live()?;
        let stage = live.uuid;
        let (has_written, ended) =
            bindings::write(self.ctx, self.subject, self.server, stage, writes).await;
        if ended.is_err() {
            self.still_weak(drift.as_ref());
        }
        if has_written {
            let repair = drift.zip(binding);
            let repair = repair
                .map(|(drift, (binding, is_written))| self.repaired(drift, binding, is_written));
            self.fact(Fact::Bound(repair));
        }
        if ended.is_ok() {
            self.sight.bindings = bindings::look_up(self.server, K::USAGE.bound, stage).await?;
        } else {
            let bindings = &self.server.inventory.bindings;
            self.sight.bindings = bindings.labelled(&stage.to_string());
        }
        let bound = bindings::bound(self.server, self.sight, self.desired);
        self.record.identify_bindings(bound);
        Ok(ended?)
    }
}
