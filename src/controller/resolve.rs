//! From what a spec says to what authentik is to hold: every reference looked up.

use std::{collections::HashSet, sync::Arc};

use serde_json::Value;
use uuid::Uuid;

use super::{
    connections::candidates,
    context::Context,
    dependents::Dependency,
    failure::{Failure, MISSING_RETRY, Reason},
    inventory::{List, Listed},
    known::stage_name,
    server::Server,
};
use crate::{
    api::{DeviceTypeReference, FlowReference, ResourceReference, SecretKey, StageReference},
    authentik::{Collection, Error, versions},
    plan::Desired,
    stages::{Field, ResourceId, StageKind, Wanted, kind_named},
};

/// Everything that a resource depends on.
pub fn dependencies<K: StageKind>(resource: &K, namespace: &str) -> HashSet<Dependency> {
    let connections = candidates(namespace, resource.common().connection_ref.as_ref());
    let mut dependencies: HashSet<_> = connections
        .into_iter()
        .map(Dependency::Connection)
        .collect();
    dependencies.insert(Dependency::Namespace(namespace.to_owned()));
    for (_, wanted) in resource.wanted() {
        match wanted {
            Wanted::Secret(Some(key)) => {
                dependencies.insert(Dependency::Secret(namespace.to_owned(), key.name));
            }
            Wanted::Stages(stages) => {
                let names = stages.iter().filter_map(|stage| stage.name.as_deref());
                let names = names.map(|name| Dependency::StageName(name.trim().to_owned()));
                dependencies.extend(names);
                let resources = stages
                    .iter()
                    .filter_map(|stage| resource_id(namespace, stage.resource.as_ref()?));
                dependencies.extend(resources.map(Dependency::Resource));
            }
            _ => {}
        }
    }
    dependencies
}

fn resource_id(namespace: &str, reference: &ResourceReference) -> Option<ResourceId> {
    Some(ResourceId {
        kind: kind_named(&reference.kind)?,
        namespace: namespace.to_owned(),
        name: reference.name.clone(),
    })
}

/// Looks up what one resource refers to.
pub struct Resolver<'a> {
    ctx: &'a Context,
    server: &'a Arc<Server>,
    id: &'a ResourceId,
}

impl<'a> Resolver<'a> {
    /// For this resource, whose stage is on this server.
    pub fn new(ctx: &'a Context, server: &'a Arc<Server>, id: &'a ResourceId) -> Self {
        Self { ctx, server, id }
    }

    /// What the resource wants.
    ///
    /// # Errors
    /// A reference that finds nothing, or several; a Secret that is missing; a list that can't be read.
    pub async fn desired<K: StageKind>(&self, resource: &K) -> Result<Desired, Failure> {
        let version = self.server.version()?;
        let mut desired = Desired {
            name: stage_name(resource),
            ..Desired::default()
        };
        for (field, wanted) in resource.wanted() {
            if versions::field_since(field.api).is_some_and(|since| !since.may_be_known(&version)) {
                desired.unsupported.push(field);
                continue;
            }
            if let Wanted::Secret(key) = wanted {
                let secret = match key {
                    Some(key) => Some(self.ctx.secrets.version(&self.id.namespace, &key).await?),
                    None => None,
                };
                desired.secrets.insert(field.api, secret);
                continue;
            }
            desired
                .fields
                .insert(field.api, self.value(field, wanted).await?);
        }
        Ok(desired)
    }

    async fn value(&self, field: &Field, wanted: Wanted) -> Result<Value, Failure> {
        Ok(match wanted {
            Wanted::Value(value) => value,
            Wanted::OptionalText(Some(text)) => Value::from(text),
            Wanted::OptionalText(None) => versions::no_friendly_name(&self.server.version()?),
            Wanted::Stages(stages) => {
                let mut uuids = Vec::with_capacity(stages.len());
                for stage in &stages {
                    uuids.push(self.stage(field, stage).await?);
                }
                uuids_value(uuids)
            }
            Wanted::DeviceTypes(types) => {
                let mut uuids = Vec::with_capacity(types.len());
                for device_type in &types {
                    uuids.push(self.device_type(field, device_type).await?);
                }
                uuids_value(uuids)
            }
            Wanted::Flow(Some(flow)) => Value::from(self.flow(field, &flow).await?.to_string()),
            Wanted::Flow(None) | Wanted::Secret(_) => Value::Null,
        })
    }

    async fn stage(&self, field: &Field, reference: &StageReference) -> Result<Uuid, Failure> {
        let stages = &self.server.inventory.stages;
        match (&reference.name, &reference.uuid, &reference.resource) {
            (Some(name), None, None) => {
                self.labelled(
                    field,
                    stages,
                    Collection::ALL_STAGES,
                    name.trim(),
                    reference,
                )
                .await
            }
            (None, Some(uuid), None) => {
                self.with_uuid(field, stages, Collection::ALL_STAGES, uuid, reference)
                    .await
            }
            (None, None, Some(resource)) => self.resource(field, resource),
            _ => Err(not_one(field, "name, uuid and resource")),
        }
    }

    /// The flow that a reference names.
    ///
    /// # Errors
    /// As [`Self::desired`].
    pub async fn flow(&self, field: &Field, reference: &FlowReference) -> Result<Uuid, Failure> {
        let flows = &self.server.inventory.flows;
        match (&reference.slug, &reference.uuid) {
            (Some(slug), None) => {
                self.labelled(field, flows, Collection::FLOWS, slug, reference)
                    .await
            }
            (None, Some(uuid)) => {
                self.with_uuid(field, flows, Collection::FLOWS, uuid, reference)
                    .await
            }
            _ => Err(not_one(field, "slug and uuid")),
        }
    }

    async fn device_type(
        &self,
        field: &Field,
        reference: &DeviceTypeReference,
    ) -> Result<Uuid, Failure> {
        let types = &self.server.inventory.device_types;
        let collection = Collection::WEBAUTHN_DEVICE_TYPES;
        match (&reference.aaguid, &reference.description) {
            (Some(aaguid), None) => {
                self.with_uuid(field, types, collection, aaguid, reference)
                    .await
            }
            (None, Some(description)) => {
                self.labelled(field, types, collection, description.trim(), reference)
                    .await
            }
            _ => Err(not_one(field, "aaguid and description")),
        }
    }

    fn resource(&self, field: &Field, reference: &ResourceReference) -> Result<Uuid, Failure> {
        let Some(id) = resource_id(&self.id.namespace, reference) else {
            return Err(Failure::new(
                Reason::InvalidSpec,
                format!(
                    "{}: there is no kind {:?}; write AuthenticatorValidateStage or DuoStage",
                    field.spec, reference.kind
                ),
            ));
        };
        let waits = |what: &str| {
            let message = format!(
                "{} waits for {} {}, which {what}",
                field.spec, id.kind, id.name
            );
            Failure::new(Reason::ReferenceNotFound, message)
        };
        let known = self
            .ctx
            .resources
            .get(&id)
            .ok_or_else(|| waits("does not exist"))?;
        let stage = known
            .stage
            .ok_or_else(|| waits("has no stage in authentik yet"))?;
        if stage.server != self.server.url {
            return Err(waits("is on another authentik server"));
        }
        // Gone by other hands, it is about to be made again under another UUID.
        if self.server.inventory.lacks(id.kind, stage.uuid) {
            return Err(waits("has no stage in authentik any more"));
        }
        Ok(stage.uuid)
    }

    async fn with_uuid<T: Listed>(
        &self,
        field: &Field,
        list: &List<T>,
        collection: Collection,
        text: &str,
        reference: &impl ToString,
    ) -> Result<Uuid, Failure> {
        let Ok(uuid) = text.trim().parse::<Uuid>() else {
            return Err(Failure::new(
                Reason::InvalidSpec,
                format!("{}: {text:?} is not a UUID", field.spec),
            ));
        };
        self.found(field, list, collection, reference, || {
            list.get(uuid).into_iter().map(|_| uuid).collect()
        })
        .await
    }

    async fn labelled<T: Listed>(
        &self,
        field: &Field,
        list: &List<T>,
        collection: Collection,
        label: &str,
        reference: &impl ToString,
    ) -> Result<Uuid, Failure> {
        self.found(field, list, collection, reference, || {
            list.labelled(label).iter().map(|row| row.uuid()).collect()
        })
        .await
    }

    /// Looks in the inventory and, where nothing is found, in a list that is not older than the pause between
    /// two tries, nor than the spec. A person who asks for a look gets one at a list that is read after that.
    async fn found<T: Listed>(
        &self,
        field: &Field,
        list: &List<T>,
        collection: Collection,
        reference: &impl ToString,
        look: impl Fn() -> Vec<Uuid>,
    ) -> Result<Uuid, Failure> {
        self.read(list, collection, self.server.resync * 2).await?;
        let mut found = look();
        if found.is_empty() {
            let edited = self.ctx.resources.edited_since(self.id);
            self.read(list, collection, MISSING_RETRY.min(edited))
                .await?;
            found = look();
        }
        match found.as_slice() {
            [uuid] => Ok(*uuid),
            [] => Err(Failure::new(
                Reason::ReferenceNotFound,
                format!(
                    "{}: authentik has no {}; create it there or name another",
                    field.spec,
                    reference.to_string()
                ),
            )),
            several => {
                let mut several: Vec<_> = several.iter().map(Uuid::to_string).collect();
                several.sort_unstable();
                Err(Failure::new(
                    Reason::ReferenceAmbiguous,
                    format!(
                        "{}: authentik has more than one {}: {}; name one by its UUID",
                        field.spec,
                        reference.to_string(),
                        several.join(", ")
                    ),
                ))
            }
        }
    }

    async fn read<T: Listed>(
        &self,
        list: &List<T>,
        collection: Collection,
        max_age: std::time::Duration,
    ) -> Result<(), Error> {
        let max_age = self.ctx.resources.asked_since(self.id).min(max_age);
        let read = list.at_most(max_age, self.server.client()).await;
        self.server.learn(collection, &reqwest::Method::GET, read)
    }
}

fn not_one(field: &Field, of: &str) -> Failure {
    Failure::new(
        Reason::InvalidSpec,
        format!("{}: a reference needs exactly one of {of}", field.spec),
    )
}

/// Sorted, so that a request's body does not depend on the order in the spec.
fn uuids_value(mut uuids: Vec<Uuid>) -> Value {
    uuids.sort_unstable();
    uuids.dedup();
    uuids.iter().map(Uuid::to_string).collect()
}

/// A value that a Secret holds, for one field.
pub type SecretKeyOf = (&'static Field, Option<SecretKey>);

/// The secret fields that the spec sets, and where their values are.
pub fn secret_keys<K: StageKind>(resource: &K) -> Vec<SecretKeyOf> {
    let wanted = resource.wanted().into_iter();
    wanted
        .filter_map(|(field, wanted)| match wanted {
            Wanted::Secret(key) => Some((field, key)),
            _ => None,
        })
        .collect()
}
