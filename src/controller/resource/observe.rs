//! What authentik holds of a resource: its stage, by the recorded UUID or, where that is gone, by its name.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    stop::{Steps, Stop},
    subject::Subject,
};
use crate::{
    authentik::{Collection, Error, ObjectId},
    controller::{
        connection::{Found, List, Server, State},
        context::Context,
        memory::Creation,
    },
    kinds::Kind,
    plan::{
        AnyRow, Desired, Fact, Ignored, Live, Record, Referred, Row,
        bindings::Binding,
        decide::Holder,
        failure::{Failure, Reason},
        has_become,
        pace::ROWS_AN_OBJECT,
    },
};

/// What a reconcile has seen of authentik so far.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// The stage.
    pub live: Option<Arc<Live>>,
    /// Whether authentik itself was asked for it; else a list showed it.
    pub is_certain: bool,
    /// Where the stage stands in flows, as far as the spec manages that.
    pub bindings: Vec<Arc<Binding>>,
    /// Who holds the name, where authentik has refused it.
    pub holder: Option<Holder>,
    /// What the server is known to ignore.
    pub ignored: Vec<Ignored>,
    /// The creation of which no answer came.
    pub lost: Option<Arc<Creation>>,
    /// Whether the resource has the finalizer.
    pub has_finalizer: bool,
    /// When the stage was last seen before it was changed, at the earliest; nothing where this process has not seen it before.
    pub last_look: Option<Instant>,
}

/// The server of a resource, once it answers.
pub(super) fn server<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    is_deletion: bool,
) -> Steps<Arc<Server>> {
    let reference = subject.resource.common().connection_ref.as_ref();
    let namespace = &subject.id.namespace;
    match ctx.registry.find(namespace, reference, is_deletion)? {
        Found::NotYet(_) => Err(Stop::NotYet),
        Found::Server(server, handle) => {
            let uses = Some(handle.key.clone());
            let memory = &ctx.shared.memory;
            let need_changed = memory.with(&subject.uid, |entry| {
                let known = std::mem::replace(&mut entry.uses, uses.clone());
                known != uses && entry.needs_connection()
            });
            if need_changed == Some(true) {
                ctx.registry.poke(namespace, reference);
            }
            Ok(server)
        }
    }
}

/// Looks for the stage. Returns what is seen and the facts that follow.
pub(super) async fn observe<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Server,
    record: &Record,
) -> Steps<(Sight, Vec<Fact>)> {
    let eye = Eye {
        ctx,
        subject,
        server,
        list: server.inventory.kind::<K>(),
    };
    is_kind_known::<K>(server)?;
    eye.is_ready()?;
    let mut facts = Vec::new();
    let (live, is_certain) = eye.find(record, &mut facts).await?;
    let view = &subject.view;
    let mut sight = Sight {
        live,
        is_certain,
        ignored: view.ignored.clone(),
        lost: subject.lost_on(&server.url),
        has_finalizer: subject.has_finalizer(),
        last_look: eye.last_look(),
        ..Sight::default()
    };
    sight.holder = eye.holder_as_before(&sight).await?;
    Ok((sight, facts))
}

/// Of a kind that the server is too old for nothing is asked: it would answer 404, over and over.
fn is_kind_known<K: Kind>(server: &Server) -> Result<(), Failure> {
    let version = server.version()?;
    match K::SINCE {
        Some(since) if !since.may_be_known(&version) => Err(Failure::new(
            Reason::FieldUnsupported,
            format!(
                "authentik {version} has no {}s: {} needs {since}; upgrade authentik, or delete this resource",
                K::TITLE,
                K::KIND
            ),
        )),
        _ => Ok(()),
    }
}

struct Eye<'a, K> {
    ctx: &'a Context,
    subject: &'a Subject<K>,
    server: &'a Server,
    list: Arc<List<Live>>,
}

impl<K: Kind> Eye<'_, K> {
    /// The connection's task reads the list again by itself; here that is asked for only where it never was read, or where
    /// so many people ask for a look that a look at each stage takes longer.
    fn is_ready(&self) -> Steps<()> {
        let view = &self.subject.view;
        let is_cheaper = |asked: &Instant| {
            let Some(read_at) = self.list.read_at().filter(|read_at| read_at < asked) else {
                return false;
            };
            let memory = &self.ctx.shared.memory;
            let looks = memory.looks(K::KIND, &self.server.key, read_at);
            looks * ROWS_AN_OBJECT >= self.list.total()
        };
        let not_before = view.asked.filter(is_cheaper);
        match self.list.state(not_before, view.waits_since) {
            State::Read => Ok(()),
            State::NotYet => Err(Stop::NotYet),
            State::Refused(error) => Err(error.into()),
        }
    }

    /// When the stage was last seen before it was changed.
    fn last_look(&self) -> Option<Instant> {
        let view = &self.subject.view;
        // What the list has not shown to be changed was still the same when that was read.
        let unchanged = view.seen_at.max(view.seen_at.and(self.list.looked_at()));
        view.changed_after.or(unchanged)
    }

    async fn find(
        &self,
        record: &Record,
        facts: &mut Vec<Fact>,
    ) -> Steps<(Option<Arc<Live>>, bool)> {
        let view = &self.subject.view;
        let list = &self.list;
        let looks = view.asked.is_some_and(|asked| list.is_older_than(asked));
        let is_uncertain = view.is_uncertain || looks;
        if let Some(recorded) = record.managed() {
            let uuid = recorded.uuid;
            if list.is_unreadable(uuid) {
                return Err(not_understood::<K>(uuid).into());
            }
            if let Some(live) = list.get(uuid).filter(|_| !is_uncertain) {
                return Ok((Some(live), false));
            }
            if let Some(live) = get::<K>(self.server, uuid).await? {
                self.settle();
                return Ok((Some(live), true));
            }
            tracing::info!(resource = %self.subject.id, %uuid, "gone from authentik");
            facts.push(Fact::Vanished);
        }
        if let Some(found) = self.find_lost(facts).await? {
            return Ok(found);
        }
        self.find_by_name(is_uncertain).await
    }

    /// Looks for what came of a creation that was not answered.
    async fn find_lost(&self, facts: &mut Vec<Fact>) -> Steps<Option<(Option<Arc<Live>>, bool)>> {
        let Some(lost) = self.subject.lost_on(&self.server.url) else {
            return Ok(None);
        };
        let name = &lost.desired.name;
        let found = look_up::<K>(self.server, name).await?;
        let is_own = |live: &Arc<Live>| has_become::<K>(&lost.desired, live);
        if let Some(live) = found.clone().filter(is_own) {
            // On record before anything else can fail, whatever the spec says by now. Its secrets are sent once more: which
            // request brought them is not known.
            facts.push(Fact::Created(live, Vec::new(), None));
            self.settle();
            return Ok(Some((found, true)));
        }
        if *name == self.subject.resource.label() {
            self.settle();
            return Ok(Some((found, true)));
        }
        Ok(None)
    }

    async fn find_by_name(&self, is_uncertain: bool) -> Steps<(Option<Arc<Live>>, bool)> {
        let name = self.subject.resource.label();
        let view = &self.subject.view;
        let listed = self.list.labelled(&name).into_iter().next();
        // What is taken over or only observed is judged as it is now, not as it was before the spec asked for it. A stage
        // that is not there yet needs no look: creating it will tell.
        let is_left_out = listed.is_none() && self.list.left_out(&name);
        let is_claimed = is_left_out
            || (listed.is_some() || self.subject.observes())
                && self.list.is_older_than(view.edited);
        // A write may have come through, or the name may have become free.
        if !(is_claimed || is_uncertain || self.was_in_conflict()) {
            return Ok((listed, false));
        }
        let live = look_up::<K>(self.server, &name).await?;
        self.settle();
        Ok((live, true))
    }

    fn was_in_conflict(&self) -> bool {
        self.subject.view.status.ready_reason() == Reason::NameConflict.as_str()
    }

    /// While another stage holds the name, as it did at the last look, a write that is bound to be refused is not sent again
    /// and again.
    async fn holder_as_before(&self, sight: &Sight) -> Steps<Option<Holder>> {
        let name = self.subject.resource.label();
        let is_ours = |live: &Arc<Live>| live.name == *name.as_str();
        if self.subject.observes()
            || !self.was_in_conflict()
            || sight.live.as_ref().is_some_and(is_ours)
        {
            return Ok(None);
        }
        let found = holder(self.ctx, self.subject, self.server, &name).await?;
        Ok(found.filter(|holder| *holder != Holder::Unseen))
    }

    /// The outcome of the last write is known now.
    fn settle(&self) {
        settle(self.ctx, self.subject);
    }
}

/// The outcome of a resource's last write is known.
pub(super) fn settle<K>(ctx: &Context, subject: &Subject<K>) {
    ctx.shared.memory.with(&subject.uid, |entry| {
        entry.is_uncertain = false;
        entry.lost = None;
    });
}

fn not_understood<K: Kind>(uuid: Uuid) -> Failure {
    let noun = K::NOUN;
    Failure::new(
        Reason::AuthentikUnavailable,
        format!(
            "authentik's answer about {noun} {uuid} is not understood; check what stands before authentik, and the {noun}'s fields there"
        ),
    )
}

/// Names an object to authentik.
pub(super) fn object_id(live: &Live) -> ObjectId<'_> {
    ObjectId {
        key: live.uuid,
        label: live.name.raw(),
    }
}

/// Asks authentik for the object of this UUID, and notes what it says.
pub(super) async fn get<K: Kind>(server: &Server, uuid: Uuid) -> Result<Option<Arc<Live>>, Error> {
    match server.client.get::<Row<K>>(K::COLLECTION, uuid).await? {
        Some(row) => Ok(Some(note::<K>(server, row))),
        None => {
            note_gone::<K>(server, uuid);
            Ok(None)
        }
    }
}

/// Asks authentik for the stage of this name, and notes what it says.
///
/// # Errors
/// Also where a stage of this name can't be understood: it is there.
pub(super) async fn look_up<K: Kind>(
    server: &Server,
    name: &str,
) -> Result<Option<Arc<Live>>, Failure> {
    let keep = |row: Row<K>| (row.0.name == *name).then_some(row);
    let filter = [(K::LABEL.api, name)];
    let listing = server.client.list(K::COLLECTION, &filter, keep).await?;
    let found = listing.rows.into_iter().next();
    if let (None, Some(uuid)) = (&found, listing.unreadable.iter().next()) {
        return Err(not_understood::<K>(*uuid));
    }
    let found = found.map(|row| note::<K>(server, row));
    // In a rehearsal it may have got another name.
    let found = found.filter(|live| live.name == *name);
    if found.is_none() {
        let list = server.inventory.kind::<K>();
        for stale in list.labelled(name) {
            list.note(stale.uuid, None);
        }
    }
    Ok(found)
}

/// Notes what authentik answered about a stage.
pub(super) fn note<K: Kind>(server: &Server, row: Row<K>) -> Arc<Live> {
    let list = server.inventory.kind::<K>();
    if let Some(rehearsed) = list.rehearsed(row.0.uuid) {
        return rehearsed;
    }
    let live = list.kept(row.0);
    let referred = server.inventory.referred(K::NAMES);
    if let Some(known) = referred
        .get(live.uuid)
        .filter(|known| known.label != live.name)
    {
        let renamed = Referred {
            label: live.name.clone(),
            ..(*known).clone()
        };
        referred.note(live.uuid, Some(Arc::new(renamed)));
    }
    list.note(live.uuid, Some(live.clone()));
    live
}

/// Notes that a stage is gone from authentik.
pub(super) fn note_gone<K: Kind>(server: &Server, uuid: Uuid) {
    server.inventory.kind::<K>().note(uuid, None);
    server.inventory.referred(K::NAMES).note(uuid, None);
}

/// Who holds this name in authentik; nothing where it is free.
pub(super) async fn holder<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Server,
    name: &str,
) -> Result<Option<Holder>, Error> {
    let keep = |row: AnyRow| {
        let row = row.of(K::NAMES)?;
        (row.label == *name).then_some(row)
    };
    let filter = [(K::NAMES.label(), name)];
    let client = &server.client;
    let listing = client.list(K::NAMES, &filter, keep).await?;
    let Some(found) = listing.rows.into_iter().next() else {
        return Ok(None);
    };
    let rehearsed = server.inventory.rehearsed_name(found.key);
    if rehearsed.is_some_and(|rehearsed| rehearsed != *name) {
        return Ok(None);
    }
    let memory = &ctx.shared.memory;
    let claimants = memory.claimants(&subject.id, K::NAMES, name, &[found.key]);
    let owner = claimants.into_iter().find(|(_, standing)| {
        let manages = standing.stage.as_ref();
        manages.is_some_and(|of| of.managed && of.server == server.url && of.uuid == found.key)
    });
    Ok(Some(match owner {
        Some((id, _)) => Holder::Of(id),
        None if found.verbose_name.raw().is_empty() => {
            Holder::Object(server.client.show_str(K::NOUN), found.key)
        }
        None => Holder::Object(server.show(&found.verbose_name), found.key),
    }))
}

/// The slugs of flows, as far as they are known.
pub(super) fn slugs(server: &Server, sight: &Sight, desired: &Desired) -> BTreeMap<Uuid, String> {
    let of_stage = sight.live.iter().flat_map(|live| &live.flows);
    let of_stage = of_stage.map(|flow| (flow.pk, server.show(&flow.slug).into_string()));
    let places = desired.bindings.iter().flat_map(|desired| &desired.places);
    let bound = sight.bindings.iter().map(|binding| binding.target);
    let of_list = bound
        .chain(places.map(|place| place.target))
        .filter_map(|flow| {
            let slug = server.inventory.label_of(Collection::FLOWS, flow)?;
            Some((flow, server.show(&slug).into_string()))
        });
    of_stage.chain(of_list).collect()
}
