//! Whose a stage is: which of several resources has the better claim, and when one that exists already is taken over.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;
use uuid::Uuid;

use super::{
    bindings::{FLOWS, Wanted},
    failure::{Failure, Reason},
    known::{Known, stage_name},
    server::Server,
    stage::Run,
};
use crate::{
    api::AdoptionPolicy,
    authentik::{self, Collection},
    plan::{self, Desired, Live},
    stages::{NAME, ResourceId, StageKind},
};

impl<K: StageKind> Run<K> {
    /// Refuses when another resource has the better claim: it manages the stage already or, where that does
    /// not decide, is older.
    pub(super) fn claim(&self, server: &Server, live: Option<&Live>) -> Result<(), Failure> {
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

    /// Refuses while another stage holds the name, where it did at the last look: a write that is bound to be
    /// refused is not sent again and again.
    pub(super) async fn name_is_free(
        &self,
        server: &Server,
        live: Option<&Live>,
    ) -> Result<(), Failure> {
        let name = stage_name(&*self.resource);
        let was_held = self.before.ready_reason() == Reason::NameConflict.as_str();
        if !was_held || live.is_some_and(|live| live.name == name) {
            return Ok(());
        }
        match holder(server, &name).await? {
            None => Ok(()),
            held => Err(self.conflict(server, &name, held.as_ref())),
        }
    }

    /// Why authentik refuses the name.
    pub(super) async fn name_conflict(&self, server: &Server, name: &str) -> Failure {
        match holder(server, name).await {
            Ok(holder) => self.conflict(server, name, holder.as_ref()),
            Err(error) => error.into(),
        }
    }

    fn conflict(&self, server: &Server, name: &str, holder: Option<&Value>) -> Failure {
        let uuid = holder.and_then(|row| text(row, "pk").parse::<Uuid>().ok());
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
            |row| format!("the {} {}", text(row, "verbose_name"), text(row, "pk")),
        );
        Failure::new(
            Reason::NameConflict,
            format!(
                "the name {name:?} is held by {holder} on {}; rename that stage in authentik or give this resource another spec.name",
                server.url
            ),
        )
    }

    pub(super) fn on_server(&self, id: &ResourceId, known: &Known, server: &Server) -> bool {
        let url = self
            .ctx
            .connections
            .url_for(&id.namespace, known.connection.as_ref());
        url.or_else(|| known.stage.as_ref().map(|stage| stage.server.clone()))
            .is_some_and(|url| url == server.url)
    }

    /// Takes over a stage that is there already, as far as the policy allows.
    pub(super) fn adopt(
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
        if self.recognise(server, &live) {
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

    /// The name is taken: by a stage of this kind that the inventory did not show yet, or by another kind's.
    pub(super) async fn held(
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
}

/// The stage of this name, of whatever kind, as far as the token may see it.
async fn holder(server: &Server, name: &str) -> Result<Option<Value>, authentik::Error> {
    let rows = server
        .list(Collection::ALL_STAGES, &[("name", name)])
        .await?;
    Ok(rows.into_iter().find(|row| text(row, "name") == name))
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or("?")
}

/// `{"name": ["stage with this name already exists."]}`: names are unique across all kinds of stage.
pub(super) fn name_taken(error: &authentik::Error) -> bool {
    let authentik::Error::Rejected { messages } = error else {
        return false;
    };
    messages
        .get(NAME.api)
        .is_some_and(|texts| texts.iter().any(|text| text.contains("already exists")))
}

pub(super) fn belongs_to(server: &Server, name: &str, holder: &ResourceId) -> Failure {
    Failure::new(
        Reason::NameConflict,
        format!(
            "the stage named {name:?} on {} belongs to {holder}; delete one of the two resources or give this one another spec.name",
            server.url
        ),
    )
}
