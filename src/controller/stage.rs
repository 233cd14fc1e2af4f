//! The reconcile of a stage: observe, resolve, diff, act, report.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    bindings::{FLOWS, Wanted},
    connections::Found,
    context::{Context, Id, Ignored},
    dependents::Dependency,
    events::Note,
    failure::{Failure, Reason},
    inventory::{AnyStage, List},
    known::Known,
    resolve::{Resolver, dependencies, secret_keys},
    retry::Request,
    server::Server,
};
use crate::{
    api::{
        AdoptionPolicy, Change, FINALIZER, MANAGER, ManagementPolicy, RECONCILE_ANNOTATION,
        SentSecret, StageIdentity, StageStatus,
    },
    authentik::{self, Collection, versions},
    plan::{self, Desired, Diff, Fields, Live, SecretVersion},
    stages::{Field, NAME, ResourceId, StageKind},
};

/// How often one reconcile looks again at what its own writes made of a stage.
const ROUNDS: usize = 3;

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
    /// Whether a stage that was not there before may come of this resource's own POST, whose answer was lost.
    appeared: bool,
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
        return None;
    }
    let request = run.request();
    let id = Id::Stage(run.id.clone());
    if let Some(wait) = run.ctx.retries.wait(&id, &request) {
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
        let distrusts = ctx
            .uncertain
            .lock()
            .expect("no panic while held")
            .contains(&id);
        Self {
            id,
            distrusts,
            known_to_kubernetes,
            began: Instant::now(),
            status: before.clone(),
            before,
            notes: Vec::new(),
            resync: Context::default_resync(),
            appeared: false,
            ctx,
            resource,
        }
    }

    fn request(&self) -> Request {
        Request {
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
        let uncertain = self.distrusts;
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
        } else {
            self.appeared = uncertain;
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

    /// Nothing is known of a write's outcome: the next reconcile asks authentik itself.
    pub(super) fn uncertain(&self) {
        self.ctx
            .uncertain
            .lock()
            .expect("no panic while held")
            .insert(self.id.clone());
    }

    pub(super) fn certain(&self) {
        self.ctx
            .uncertain
            .lock()
            .expect("no panic while held")
            .remove(&self.id);
    }

    async fn list(&self, server: &Server) -> Result<Arc<List<Live>>, Failure> {
        let list = server.inventory.kind::<K>();
        // The connection refreshes it; here it is read only where it never was, or when a person asks.
        let max_age = self.ctx.resources.asked_since(&self.id);
        let read = list.at_most(max_age, server.client()).await;
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
    fn wrote(&self, server: &Server, answer: Value) -> Result<Arc<Live>, Failure> {
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

    /// Refuses when another resource has the better claim: it manages the stage already or, where that does
    /// not decide, is older.
    fn claim(&self, server: &Server, live: Option<&Live>) -> Result<(), Failure> {
        let Some(own) = self.ctx.resources.get(&self.id) else {
            return Ok(());
        };
        let uuids: Vec<Uuid> = live.iter().map(|live| live.uuid).collect();
        let target = live.map(|live| live.uuid);
        let rank = |id: &ResourceId, known: &Known| {
            let holds = known.stage.as_ref().is_some_and(|stage| {
                stage.managed && stage.server == server.url && Some(stage.uuid) == target
            });
            (!holds, known.created, id.clone())
        };
        let mut own = own;
        own.stage.clone_from(&self.status.stage);
        let own_rank = rank(&self.id, &own);
        // Where the name is still to be had, a resource whose stage has it keeps it, of whatever kind it is.
        let named = live.is_some_and(|live| live.name == own.name);
        let has_name = |known: &Known| {
            !named
                && known.stage.as_ref().is_some_and(|stage| {
                    stage.managed && stage.server == server.url && stage.name == own.name
                })
        };
        let others = self.ctx.resources.claimants(&self.id, &own.name, &uuids);
        let holder = others
            .into_iter()
            .filter(|(id, known)| self.on_server(id, known, server))
            .filter(|(id, known)| has_name(known) || rank(id, known) < own_rank)
            .map(|(id, _)| id)
            .min();
        match holder {
            None => Ok(()),
            Some(holder) => Err(belongs_to(server, &own.name, &holder)),
        }
    }

    /// Why authentik refuses the name.
    async fn name_conflict(&self, server: &Server, name: &str) -> Failure {
        let rows = match server.list(Collection::ALL_STAGES, &[("name", name)]).await {
            Ok(rows) => rows,
            Err(error) => return error.into(),
        };
        let text = |row: &Value, key: &str| {
            row.get(key)
                .and_then(Value::as_str)
                .unwrap_or("?")
                .to_owned()
        };
        let holder = rows.into_iter().find(|row| text(row, "name") == name);
        let uuid = holder
            .as_ref()
            .and_then(|row| text(row, "pk").parse::<Uuid>().ok());
        let owner = self
            .ctx
            .resources
            .claimants(&self.id, name, uuid.as_slice())
            .into_iter()
            .find(|(_, known)| {
                known.stage.as_ref().is_some_and(|stage| {
                    stage.managed && stage.server == server.url && Some(stage.uuid) == uuid
                })
            });
        if let Some((owner, _)) = owner {
            return belongs_to(server, name, &owner);
        }
        let holder = holder.map_or_else(
            || "a stage that the token may not see".to_owned(),
            |row| format!("the {} {}", text(&row, "verbose_name"), text(&row, "pk")),
        );
        Failure::new(
            Reason::NameConflict,
            format!(
                "the name {name:?} is held by {holder} on {}; rename that stage in authentik or give this resource another spec.name",
                server.url
            ),
        )
    }

    fn on_server(&self, id: &ResourceId, known: &Known, server: &Server) -> bool {
        let url = self
            .ctx
            .connections
            .url_for(&id.namespace, known.connection.as_ref());
        url.or_else(|| known.stage.as_ref().map(|stage| stage.server.clone()))
            .is_some_and(|url| url == server.url)
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
        let managed = self
            .status
            .stage
            .as_ref()
            .is_some_and(|stage| stage.managed && stage.uuid == live.uuid);
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
    async fn finalize(&self) -> Result<(), Failure> {
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

    /// Takes over a stage that is there already, as far as the policy allows.
    fn adopt(
        &mut self,
        server: &Server,
        desired: &Desired,
        live: Arc<Live>,
        bindings: Option<&Wanted>,
    ) -> Result<Arc<Live>, Failure> {
        if self
            .status
            .stage
            .as_ref()
            .is_some_and(|stage| stage.managed && stage.uuid == live.uuid)
        {
            return Ok(live);
        }
        if self.appeared && plan::matches::<K>(desired, &live) {
            // Its secrets are sent once more: which request brought them is not known.
            self.created(server, &live, Vec::new());
            return Ok(live);
        }
        let policy = self.resource.common().adoption_policy.unwrap_or_default();
        let bound =
            bindings.is_none_or(|bindings| Self::bindings_match(server, live.uuid, bindings));
        let why_not = match policy {
            AdoptionPolicy::Always => None,
            AdoptionPolicy::IfMatch if plan::matches::<K>(desired, &live) && bound => None,
            AdoptionPolicy::IfMatch => {
                let fields = plan::diff::<K>(desired, &live, &[]).changes;
                let mut fields: BTreeSet<_> =
                    fields.iter().map(|change| change.field.spec).collect();
                if !bound {
                    fields.insert(FLOWS.spec);
                }
                let fields = fields.into_iter().collect::<Vec<_>>().join(", ");
                Some(format!(
                    "it differs in {fields}; make the spec equal, or set adoptionPolicy: Always to change it"
                ))
            }
            AdoptionPolicy::Never => Some(
                "adoptionPolicy is Never; set it to IfMatch or Always, or choose another spec.name"
                    .to_owned(),
            ),
        };
        if let Some(why_not) = why_not {
            self.status.stage = None;
            return Err(Failure::new(
                Reason::AdoptionRefused,
                format!(
                    "authentik already has a stage named {:?} ({}), and {why_not}",
                    live.name, live.uuid
                ),
            ));
        }
        self.status.secrets.clear();
        self.identify(server, &live, true);
        self.changed("Adopted", Vec::new());
        self.note(
            "Adopted",
            format!(
                "took over stage {:?} ({}) on {}",
                live.name, live.uuid, server.url
            ),
        );
        Ok(live)
    }

    /// Creates the stage. Whatever holds the name already, or came to hold it by a write whose answer was lost,
    /// is looked at first.
    async fn create(
        &mut self,
        server: &Server,
        desired: &Desired,
        bindings: Option<&Wanted>,
    ) -> Result<Arc<Live>, Failure> {
        let mut body = plan::create_body(desired);
        let all: Vec<_> = secret_keys(&*self.resource)
            .into_iter()
            .map(|(field, _)| field)
            .collect();
        let sent = self.add_secrets(&mut body, &all).await?;
        match server.create(K::COLLECTION, &object(&body)).await {
            Ok(answer) => {
                let live = self.wrote(server, answer)?;
                self.created(server, &live, sent);
                Ok(live)
            }
            Err(error) if name_taken(&error) => self.held(server, desired, bindings).await,
            Err(error) if error.outcome_unknown() => {
                match self.look_up(server, &desired.name).await {
                    Ok(Some(live)) => {
                        self.appeared = true;
                        self.adopt(server, desired, live, bindings)
                    }
                    // The request may be under way still, so that it is not there yet says nothing.
                    Ok(None) | Err(_) => {
                        self.uncertain();
                        Err(error.into())
                    }
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn created(&mut self, server: &Server, live: &Live, sent: Vec<SentSecret>) {
        let again = self
            .before
            .stage
            .as_ref()
            .is_some_and(|stage| stage.managed && stage.server == server.url);
        self.identify(server, live, true);
        self.status.secrets.clear();
        self.record_sent(sent);
        let fields = plan::sorted(self.resource.wanted().into_iter().map(|(field, _)| field));
        self.changed("Created", fields);
        let what = if again {
            "created again, for it was gone,"
        } else {
            "created"
        };
        self.note(
            "Created",
            format!(
                "{what} stage {:?} ({}) on {}",
                live.name, live.uuid, server.url
            ),
        );
    }

    /// The name is taken: by a stage of this kind that the inventory did not show yet, or by another kind's.
    async fn held(
        &mut self,
        server: &Server,
        desired: &Desired,
        bindings: Option<&Wanted>,
    ) -> Result<Arc<Live>, Failure> {
        if let Some(live) = self.look_up(server, &desired.name).await? {
            self.claim(server, Some(&live))?;
            return self.adopt(server, desired, live, bindings);
        }
        Err(self.name_conflict(server, &desired.name).await)
    }

    /// Writes what differs, until the answer holds all that the server is able to hold.
    async fn update(
        &mut self,
        server: &Server,
        desired: &Desired,
        mut live: Arc<Live>,
    ) -> Result<(), Failure> {
        for _ in 0..ROUNDS {
            let mut diff = plan::diff::<K>(desired, &live, &self.status.secrets);
            self.pass_over_ignored(&mut diff);
            if diff.is_empty() {
                self.identify(server, &live, true);
                return unsupported(server, &diff);
            }
            if self.was_in_sync() && !diff.changes.is_empty() {
                self.ctx.metrics.drift_found(K::KIND);
            }
            live = self.patch(server, desired, &diff, &live).await?;
        }
        self.identify(server, &live, true);
        Err(Failure::new(
            Reason::AuthentikUnavailable,
            "the stage kept changing in authentik while it was written; someone else may be writing it",
        ))
    }

    async fn patch(
        &mut self,
        server: &Server,
        desired: &Desired,
        diff: &Diff,
        live: &Live,
    ) -> Result<Arc<Live>, Failure> {
        let mut body = plan::update_body::<K>(diff, desired);
        let sent = self.add_secrets(&mut body, &diff.secrets).await?;
        let answer = match server
            .update(K::COLLECTION, live.uuid, &object(&body))
            .await
        {
            Ok(answer) => answer,
            Err(error) => return Err(self.patch_failed(server, desired, live, error).await),
        };
        let live = self.wrote(server, answer)?;
        self.note_ignored(diff, &live);
        self.record_sent(sent);
        self.identify(server, &live, true);
        self.wrote_fields(diff.spec_fields(), !diff.changes.is_empty());
        Ok(live)
    }

    /// After a write of which nothing is known the inventory is not to be trusted either.
    async fn patch_failed(
        &self,
        server: &Server,
        desired: &Desired,
        live: &Live,
        error: authentik::Error,
    ) -> Failure {
        let list = server.inventory.kind::<K>();
        if name_taken(&error) {
            return self.name_conflict(server, &desired.name).await;
        }
        if matches!(error, authentik::Error::NotFound) {
            list.wrote(live.uuid, None);
            return Failure::new(
                Reason::AuthentikUnavailable,
                "the stage was deleted in authentik just now; it will be created again",
            );
        }
        if error.outcome_unknown() {
            self.uncertain();
        }
        error.into()
    }

    /// Reads the values of these secret fields into the body. Returns what to record once they are sent.
    async fn add_secrets(
        &self,
        body: &mut Fields,
        fields: &[&'static Field],
    ) -> Result<Vec<SentSecret>, Failure> {
        let mut sent = Vec::new();
        for (field, key) in secret_keys(&*self.resource) {
            if !fields.contains(&field) {
                continue;
            }
            let version = match key {
                Some(key) => {
                    let (version, value) = self.ctx.secrets.read(&self.id.namespace, &key).await?;
                    body.insert(field.api, Value::from(value.expose_secret().trim()));
                    Some(version)
                }
                None => {
                    body.insert(field.api, Value::from(""));
                    None::<SecretVersion>
                }
            };
            sent.push(plan::sent_secret(field, version.as_ref()));
        }
        Ok(sent)
    }

    fn record_sent(&mut self, sent: Vec<SentSecret>) {
        let secrets = &mut self.status.secrets;
        secrets.retain(|old| sent.iter().all(|new| new.field != old.field));
        secrets.extend(sent);
        secrets.sort_unstable_by(|one, other| one.field.cmp(&other.field));
    }

    /// Notes a change of these fields, by whatever request. What is written while a stage is created or taken
    /// over is part of that.
    pub(super) fn wrote_fields(&mut self, fields: Vec<String>, readable: bool) {
        let drift = readable && self.was_in_sync();
        if drift {
            self.ctx.metrics.drift_repaired(K::KIND);
        }
        let reason = if drift { "DriftCorrected" } else { "Updated" };
        self.note(reason, format!("changed {}", fields.join(", ")));
        let earlier = self
            .status
            .last_change
            .take_if(|change| Some(&*change) != self.before.last_change.as_ref());
        match earlier {
            Some(earlier) => {
                let all: BTreeSet<_> = earlier.fields.into_iter().chain(fields).collect();
                self.changed(&earlier.reason, all.into_iter().collect());
            }
            None => self.changed(reason, fields),
        }
    }

    /// Nothing but authentik has changed since the resource was last in sync.
    pub(super) fn was_in_sync(&self) -> bool {
        let in_sync = self
            .ctx
            .resources
            .get(&self.id)
            .and_then(|known| known.in_sync);
        in_sync.is_some() && in_sync == self.resource.meta().generation
    }

    fn changed(&mut self, reason: &str, fields: Vec<String>) {
        self.status.last_change = Some(Change {
            time: Time(Timestamp::now()),
            reason: reason.to_owned(),
            fields,
        });
    }

    fn identify(&mut self, server: &Server, live: &Live, managed: bool) {
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

    /// A value that the server took and did not keep is not sent again while it wants and finds the same.
    fn pass_over_ignored(&self, diff: &mut Diff) {
        let all = self.ctx.ignored.lock().expect("no panic while held");
        let Some(ignored) = all.get(&self.id) else {
            return;
        };
        let (passed, kept): (Vec<_>, Vec<_>) = diff.changes.drain(..).partition(|change| {
            ignored.iter().any(|(field, wanted, found)| {
                *field == change.field.api && *wanted == change.wanted && *found == change.found
            })
        });
        diff.changes = kept;
        diff.unsupported
            .extend(passed.iter().map(|change| change.field));
    }

    fn note_ignored(&self, sent: &Diff, live: &Live) {
        let ignored: Ignored = sent
            .changes
            .iter()
            .filter(|change| live.fields.get(change.field.api) == Some(&change.found))
            .map(|change| {
                (
                    change.field.api,
                    change.wanted.clone(),
                    change.found.clone(),
                )
            })
            .collect();
        let mut all = self.ctx.ignored.lock().expect("no panic while held");
        if ignored.is_empty() {
            all.remove(&self.id);
        } else {
            all.insert(self.id.clone(), ignored);
        }
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

/// Whether authentik holds what the spec says, as far as it is able to.
fn is_written(updated: &Result<(), Failure>) -> bool {
    updated
        .as_ref()
        .err()
        .is_none_or(|failure| failure.reason == Reason::FieldUnsupported)
}

fn object(fields: &Fields) -> Value {
    Value::Object(
        fields
            .iter()
            .map(|(field, value)| ((*field).to_owned(), value.clone()))
            .collect::<Map<_, _>>(),
    )
}

/// `{"name": ["stage with this name already exists."]}`: names are unique across all kinds of stage.
fn name_taken(error: &authentik::Error) -> bool {
    let authentik::Error::Rejected { messages } = error else {
        return false;
    };
    messages
        .get(NAME.api)
        .is_some_and(|texts| texts.iter().any(|text| text.contains("already exists")))
}

fn belongs_to(server: &Server, name: &str, holder: &ResourceId) -> Failure {
    Failure::new(
        Reason::NameConflict,
        format!(
            "the stage named {name:?} on {} belongs to {holder}; delete one of the two resources or give this one another spec.name",
            server.url
        ),
    )
}

/// Fields that the server does not know are reported, never dropped without a word.
fn unsupported(server: &Server, diff: &Diff) -> Result<(), Failure> {
    if diff.unsupported.is_empty() {
        return Ok(());
    }
    let version = server.version()?;
    let mut fields: Vec<_> = diff
        .unsupported
        .iter()
        .map(|field| match versions::field_since(field.api) {
            Some(since) if !since.may_be_known(&version) => format!("{} needs {since}", field.spec),
            _ => format!("{} was not kept by the server", field.spec),
        })
        .collect();
    fields.sort_unstable();
    fields.dedup();
    Err(Failure::new(
        Reason::FieldUnsupported,
        format!(
            "authentik {version} can't hold everything that the spec sets: {}; remove what is not supported from the spec, or upgrade authentik (all else is in sync)",
            fields.join("; ")
        ),
    ))
}
