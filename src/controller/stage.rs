//! The reconcile of a stage: observe, resolve, diff, act, report.

use std::{sync::Arc, time::Duration};

use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    bindings::Wanted,
    connections::Found,
    context::{Context, Creation, Id},
    dependents::Dependency,
    events::Note,
    failure::{Failure, Reason},
    inventory::{AnyStage, List},
    resolve::{Resolver, dependencies},
    retry::Request,
    server::Server,
    write::{is_written, unsupported},
};
use crate::{
    api::{
        DEFAULT_RESYNC, FINALIZER, MANAGER, ManagementPolicy, RECONCILE_ANNOTATION, SentSecret,
        StageIdentity, StageStatus,
    },
    ops::traces,
    plan::{self, Desired, Live},
    stages::{NAME, ResourceId, StageKind},
};

/// For how many rows of a list authentik takes as long as for one stage by itself: 3.5 ms and 70 ms, as measured on
/// a server with one worker.
const ROWS_A_LOOK: usize = 20;

/// One reconcile of one resource: what it works on and what it has achieved so far, which is reported
/// however it ends.
pub struct Run<K> {
    pub(super) ctx: Arc<Context>,
    pub(super) resource: Arc<K>,
    pub(super) id: ResourceId,
    /// The status as it was, and as it will be.
    pub(super) before: StageStatus,
    pub(super) status: StageStatus,
    /// Whether the status as it was has been written.
    pub(super) known_to_kubernetes: bool,
    /// When the reconcile began.
    pub(super) began: Instant,
    pub(super) notes: Vec<Note>,
    /// The resync interval of the connection, once it is known.
    pub(super) resync: Duration,
    /// Nothing is known of the last write's outcome: authentik is asked itself, not the inventory.
    pub(super) distrusts: bool,
    /// The creation of which no answer came, if the last one was such.
    pub(super) lost: Option<Arc<Creation>>,
}

/// What a stage-level reconcile found, beside what it noted in the status.
#[derive(Debug, Eq, PartialEq)]
pub enum Done {
    /// authentik holds what the resource says.
    InSync,
    /// It does not, and the resource only observes.
    Drifted,
    /// The connection is about to be looked at; nothing is known yet.
    Pending,
}

/// Reconciles one resource. Returns when it is next due by itself, if at all: a resource in sync waits for the
/// inventory's refresh, which tells it what has changed.
pub async fn reconcile<K: StageKind>(ctx: Arc<Context>, resource: Arc<K>) -> Option<Duration> {
    ctx.synced().await;
    let run = Run::new(ctx, resource);
    // Asked after the status was taken: what the watch shows from now on is not older than that.
    if run.ctx.resources.is_outdated(&*run.resource) {
        traces::ends("Outdated", false);
        return None;
    }
    let request = run.request();
    let id = Id::Stage(run.id.clone());
    if let Some(wait) = run.ctx.retries.wait(&id, &request) {
        traces::ends("Waiting", false);
        return Some(wait);
    }
    if run.resource.meta().deletion_timestamp.is_some() {
        return run.delete(request).await;
    }
    if run.resource.common().suspend == Some(true) {
        return run.suspended().await;
    }
    run.sync_and_report(request).await
}

impl<K: StageKind> Run<K> {
    fn new(ctx: Arc<Context>, resource: Arc<K>) -> Self {
        let (before, known_to_kubernetes) = ctx.resources.latest_status(&*resource);
        let id = ResourceId::of(&*resource);
        let uncertain = {
            let all = ctx.uncertain.lock().expect("no panic while held");
            all.get(&id).cloned()
        };
        Self {
            id,
            distrusts: uncertain.is_some(),
            lost: uncertain.flatten(),
            known_to_kubernetes,
            began: Instant::now(),
            status: before.clone(),
            before,
            notes: Vec::new(),
            resync: DEFAULT_RESYNC,
            ctx,
            resource,
        }
    }

    fn request(&self) -> Request {
        Request {
            uid: self.resource.meta().uid.clone(),
            generation: self.resource.meta().generation,
            requested_at: self
                .resource
                .annotations()
                .get(RECONCILE_ANNOTATION)
                .cloned(),
            deleting: self.resource.meta().deletion_timestamp.is_some(),
        }
    }

    pub(super) fn api(&self) -> Api<K> {
        Api::namespaced(self.ctx.client.clone(), &self.id.namespace)
    }

    pub(super) fn note(&mut self, reason: &'static str, text: String) {
        self.notes.push(Note {
            warning: false,
            reason,
            text,
        });
    }

    fn observes(&self) -> bool {
        self.resource.common().management_policy == Some(ManagementPolicy::Observe)
    }

    async fn sync_and_report(mut self, request: Request) -> Option<Duration> {
        let result = self.sync().await;
        if result == Ok(Done::Pending) {
            traces::ends("Pending", false);
            return None;
        }
        self.report(result, request).await
    }

    /// The steps, one a line.
    async fn sync(&mut self) -> Result<Done, Failure> {
        let Some(server) = self.server().await? else {
            return Ok(Done::Pending);
        };
        self.move_to(&server);
        let live = self.observe(&server).await?;
        self.ctx.resources.looked(&self.id, self.began);
        self.claim(&server, live.as_deref())?;
        let bindings = self.wanted_bindings(&server).await?;
        let desired = Resolver::new(&self.ctx, &server, &self.id)
            .desired(&*self.resource)
            .await?;
        self.forget_unmanaged(&desired);
        if self.observes() {
            return self.compare(&server, &desired, live, bindings.as_ref());
        }
        self.status.drift.clear();
        self.name_is_free(&server, live.as_deref()).await?;
        self.finalize().await?;
        let live = match live {
            Some(live) => self.adopt(&server, &desired, live, bindings.as_ref())?,
            None => self.create(&server, &desired, bindings.as_ref()).await?,
        };
        let uuid = live.uuid;
        let updated = self.update(&server, &desired, live).await;
        // What the server can't hold of the stage is no reason to leave it out of its flows.
        if let (Some(bindings), true) = (&bindings, is_written(&updated)) {
            let bound = self.bind(&server, uuid, bindings).await;
            return updated.and(bound).map(|()| Done::InSync);
        }
        updated.map(|()| Done::InSync)
    }

    /// The server, once it answers; nothing while its connection has yet to be looked at.
    pub(super) async fn server(&mut self) -> Result<Option<Arc<Server>>, Failure> {
        let id = Id::Stage(self.id.clone());
        self.ctx
            .dependents
            .set(&id, dependencies(&*self.resource, &self.id.namespace));
        let reference = self.resource.common().connection_ref.as_ref();
        match self
            .ctx
            .connections
            .find(&self.ctx, &self.id.namespace, reference)?
        {
            Found::Pending => Ok(None),
            Found::Server(server) => {
                self.resync = server.resync;
                server.ready().await?;
                Ok(Some(server))
            }
        }
    }

    /// Forgets the stage of another server: it is left there.
    fn move_to(&mut self, server: &Server) {
        let Some(old) = self
            .status
            .stage
            .take_if(|stage| stage.server != server.url)
        else {
            return;
        };
        self.status.secrets.clear();
        self.status.drift.clear();
        if old.managed {
            self.note(
                "Orphaned",
                format!(
                    "left stage {:?} ({}) on {}, for the resource now stands for one on {}",
                    old.name, old.uuid, old.server, server.url
                ),
            );
        }
    }

    /// The live stage: by its recorded UUID or, where that is gone, by its name.
    async fn observe(&mut self, server: &Server) -> Result<Option<Arc<Live>>, Failure> {
        let list = self.list(server).await?;
        let name = super::known::stage_name(&*self.resource);
        let looks = list.is_older_than(self.ctx.resources.looks_since(&self.id));
        let uncertain = self.distrusts || looks;
        if let Some(recorded) = self.status.stage.clone().filter(|stage| stage.managed) {
            if let Some(live) = list.get(recorded.uuid).filter(|_| !uncertain) {
                return Ok(Some(live));
            }
            // A list that was read while others wrote may lack a row: ask before taking it for gone.
            if let Some(answer) = server
                .get(K::COLLECTION, &recorded.uuid.to_string())
                .await?
            {
                self.certain();
                return Ok(Some(self.wrote(server, answer)?));
            }
            list.wrote(recorded.uuid, None);
            tracing::info!(resource = %self.id, uuid = %recorded.uuid, "stage is gone from authentik");
            self.status.stage = None;
            self.status.secrets.clear();
        }
        if let Some(lost) = self.lost_on(server) {
            let found = self.look_up(server, &lost.desired.name).await?;
            // On record before anything else can fail.
            if found
                .as_ref()
                .is_some_and(|live| self.recognise(server, live))
            {
                return Ok(found);
            }
            if lost.desired.name == name {
                self.certain();
                return Ok(found);
            }
        }
        let listed = list.labelled(&name).into_iter().next();
        // What is taken over or only observed is judged as it is now, not as it was before the spec asked for it.
        // A stage that is not there yet needs no look: creating it will tell.
        let edited = self.ctx.resources.edited_since(&self.id);
        let claimed = (listed.is_some() || self.observes()) && list.is_older_than(edited);
        // A write may have come through, or the name may have become free.
        let unsure = uncertain || self.before.ready_reason() == Reason::NameConflict.as_str();
        if !(claimed || unsure) {
            return Ok(listed);
        }
        let live = self.look_up(server, &name).await?;
        self.certain();
        Ok(live)
    }

    /// The creation of which no answer came from this server.
    pub(super) fn lost_on(&self, server: &Server) -> Option<Arc<Creation>> {
        self.lost
            .clone()
            .filter(|creation| creation.server == server.url)
    }

    /// Records a stage that came of a creation without an answer, whatever the spec says by now. Returns whether
    /// it is such a one.
    pub(super) fn recognise(&mut self, server: &Server, live: &Live) -> bool {
        let lost = self.lost_on(server);
        let is_own = lost.is_some_and(|creation| creation.made::<K>(live));
        if is_own {
            // Its secrets are sent once more: which request brought them is not known.
            self.created(server, live, Vec::new());
        }
        is_own
    }

    /// Nothing is known of a write's outcome: the next reconcile asks authentik itself.
    pub(super) fn uncertain(&self) {
        self.ctx
            .uncertain
            .lock()
            .expect("no panic while held")
            .insert(self.id.clone(), self.lost.clone());
    }

    pub(super) fn certain(&self) {
        self.ctx
            .uncertain
            .lock()
            .expect("no panic while held")
            .remove(&self.id);
    }

    pub(super) async fn list(&self, server: &Server) -> Result<Arc<List<Live>>, Failure> {
        let list = server.inventory.kind::<K>();
        // The connection refreshes it; here it is read only where it never was, or where so many people ask for a
        // look that a look at each stage takes longer.
        let asked = self.ctx.resources.looks_since(&self.id);
        let is_cheaper = |age: Duration| {
            asked < age && self.ctx.resources.looks(K::KIND, age) * ROWS_A_LOOK >= list.rows()
        };
        let max_age = list.age().filter(|age| is_cheaper(*age)).map(|_| asked);
        let read = list
            .at_most(max_age.unwrap_or(Duration::MAX), server.client())
            .await;
        server.learn(K::COLLECTION, &reqwest::Method::GET, read)?;
        Ok(list)
    }

    /// Asks authentik itself for the stage of this name and notes what it says in the inventory.
    pub(super) async fn look_up(
        &self,
        server: &Server,
        name: &str,
    ) -> Result<Option<Arc<Live>>, Failure> {
        let rows = server.list(K::COLLECTION, &[("name", name)]).await?;
        let list = server.inventory.kind::<K>();
        let mut found = None;
        for row in rows {
            let live = self.wrote(server, row)?;
            if live.name == name {
                found = Some(live);
            }
        }
        if found.is_none() {
            for stale in list.labelled(name) {
                list.wrote(stale.uuid, None);
            }
        }
        Ok(found)
    }

    /// Notes in the inventory what authentik answered.
    pub(super) fn wrote(&self, server: &Server, answer: Value) -> Result<Arc<Live>, Failure> {
        let live = Live::read::<K>(answer).map_err(|_| {
            Failure::new(
                Reason::AuthentikUnavailable,
                "authentik's answer is no stage: check the connection's url and what stands before authentik",
            )
        })?;
        let live = Arc::new(live);
        let named = AnyStage {
            pk: live.uuid,
            name: live.name.clone(),
        };
        server
            .inventory
            .stages
            .wrote(live.uuid, Some(Arc::new(named)));
        server
            .inventory
            .kind::<K>()
            .wrote(live.uuid, Some(live.clone()));
        Ok(live)
    }

    /// Of a secret that the spec does not set any more nothing is known: someone else may change it now, so it is
    /// sent again when the spec sets it again.
    fn forget_unmanaged(&mut self, desired: &Desired) {
        let managed = |sent: &SentSecret| {
            let mut fields = K::FIELDS.iter().filter(|field| field.spec == sent.field);
            fields.any(|field| desired.secrets.contains_key(field.api))
        };
        self.status.secrets.retain(managed);
    }

    /// Under `Observe`: reports the difference and writes nothing.
    fn compare(
        &mut self,
        server: &Server,
        desired: &Desired,
        live: Option<Arc<Live>>,
        bindings: Option<&Wanted>,
    ) -> Result<Done, Failure> {
        let Some(live) = live else {
            self.status.stage = None;
            self.status.drift = vec![crate::api::DriftedField {
                field: NAME.spec.to_owned(),
                wanted: Value::from(desired.name.as_str()).to_string(),
                found: Value::Null.to_string(),
            }];
            return Ok(Done::Drifted);
        };
        let stage = self.status.stage.as_ref();
        let managed = stage.is_some_and(|stage| stage.managed && stage.uuid == live.uuid);
        self.identify(server, &live, managed);
        let mut diff = plan::diff::<K>(desired, &live, &self.status.secrets);
        if !managed {
            // Nothing was ever sent from here, so nothing is known of the secrets.
            diff.secrets.clear();
        }
        self.status.drift = diff.drift();
        if let Some(bindings) = bindings {
            self.identify_flows(server, live.uuid);
            let drift = Self::binding_drift(server, live.uuid, bindings);
            self.status.drift.extend(drift);
            Self::missing_flow(bindings)?;
        }
        if self.status.drift.is_empty() {
            return unsupported(server, &diff).map(|()| Done::InSync);
        }
        Ok(Done::Drifted)
    }

    /// Adds the finalizer, so that a deletion waits for its policy.
    pub(super) async fn finalize(&self) -> Result<(), Failure> {
        if self
            .resource
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == FINALIZER)
        {
            return Ok(());
        }
        let mut finalizers = self.resource.finalizers().to_vec();
        finalizers.push(FINALIZER.to_owned());
        self.set_finalizers(finalizers).await
    }

    /// The resourceVersion guards the finalizers of others against a stale view.
    pub(super) async fn set_finalizers(&self, finalizers: Vec<String>) -> Result<(), Failure> {
        let patch = json!({"metadata": {
            "finalizers": finalizers,
            "resourceVersion": self.resource.resource_version(),
        }});
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        match self
            .api()
            .patch_metadata(&self.id.name, &params, &Patch::Merge(patch))
            .await
        {
            Ok(_) => Ok(()),
            // The watch is about to show what has changed.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                Err(Failure::new(Reason::Stale, status.message.clone()))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn identify(&mut self, server: &Server, live: &Live, managed: bool) {
        let manages_bindings = self.resource.common().flows.is_some();
        let known = self
            .status
            .stage
            .take()
            .filter(|stage| manages_bindings && stage.uuid == live.uuid);
        let bindings = known.map(|stage| stage.bindings).unwrap_or_default();
        self.status.stage = Some(StageIdentity {
            uuid: live.uuid,
            name: live.name.clone(),
            server: server.url.clone(),
            managed,
            flows: live.flows.clone(),
            bindings,
        });
    }

    /// Tells whoever refers to this resource that its stage may be another now, and whoever wants what it has let
    /// go or has taken.
    pub(super) fn tell_dependents(&self, rivals: Vec<ResourceId>) {
        let uuid = |status: &StageStatus| status.stage.as_ref().map(|stage| stage.uuid);
        if uuid(&self.before) != uuid(&self.status) {
            self.ctx.changed(&Dependency::Resource(self.id.clone()));
        }
        let name = |status: &StageStatus| status.stage.as_ref().map(|stage| stage.name.clone());
        if uuid(&self.before) != uuid(&self.status) || name(&self.before) != name(&self.status) {
            let present = self.ctx.resources.rivals(&self.id);
            self.ctx.due(rivals.into_iter().chain(present).collect());
            for name in [name(&self.before), name(&self.status)]
                .into_iter()
                .flatten()
            {
                self.ctx.changed(&Dependency::StageName(name));
            }
        }
    }
}
