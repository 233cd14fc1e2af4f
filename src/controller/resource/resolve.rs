//! From what a spec says to what authentik is to hold: every reference looked up.

use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::{
    lookup::{Name, Place, find},
    references::resource_id,
    stop::{Steps, Stop},
    subject::Subject,
};
use crate::{
    api::{DeviceTypeReference, FlowBinding, FlowReference, ResourceReference, StageReference},
    authentik::{Collection, Weigh, duration, stripped, versions},
    controller::{
        connection::{Listed, Server},
        context::Context,
        memory::stage_name,
    },
    plan::{
        Desired,
        bindings::{DesiredBinding, DesiredBindings},
        failure::{Failure, Reason},
    },
    stages::{Compare, Field, StageKind, Wanted},
};

/// The field of the spec that says in which flows a stage stands.
static FLOWS: Field = Field::new("flows", "flows", Compare::Set);

/// What the resource asks for.
///
/// # Errors
/// A reference that finds nothing, or several; a Secret that is missing; a list that can't be read.
pub(super) async fn resolve<K: StageKind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Server,
) -> Steps<Desired> {
    let resolver = Resolver {
        ctx,
        subject,
        server,
    };
    let version = server.version()?;
    let mut desired = Desired {
        name: stage_name(&*subject.resource),
        bindings: resolver.bindings().await?,
        ..Desired::default()
    };
    for (field, wanted) in subject.resource.wanted() {
        if versions::field_since(field.api).is_some_and(|since| !since.may_be_known(&version)) {
            desired.unsupported.push(field);
            continue;
        }
        if let Wanted::Secret(key) = wanted {
            let namespace = &subject.id.namespace;
            let secret = match key {
                Some(key) => Some(ctx.shared.secrets.version(namespace, &key).await?),
                None => None,
            };
            desired.secrets.insert(field.api, secret);
            continue;
        }
        let value = resolver.value(field, wanted).await?;
        desired.fields.insert(field.api, value);
    }
    Ok(desired)
}

/// Where the resource's stage is to stand in flows; nothing where the spec does not manage that.
///
/// # Errors
/// As [`resolve`]; a flow that is not found is noted in the value.
pub(super) async fn desired_bindings<K: StageKind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Server,
) -> Steps<Option<DesiredBindings>> {
    let resolver = Resolver {
        ctx,
        subject,
        server,
    };
    resolver.bindings().await
}

struct Resolver<'a, K> {
    ctx: &'a Context,
    subject: &'a Subject<K>,
    server: &'a Server,
}

impl<K: StageKind> Resolver<'_, K> {
    async fn value(&self, field: &Field, wanted: Wanted) -> Steps<Value> {
        Ok(match wanted {
            Wanted::Value(value) => understood(field, value)?,
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

    /// Where the stage is to stand; nothing where the spec does not manage that.
    async fn bindings(&self) -> Steps<Option<DesiredBindings>> {
        let Some(flows) = &self.subject.resource.common().flows else {
            return Ok(None);
        };
        let mut desired = DesiredBindings::default();
        for flow in flows {
            match self.flow(&FLOWS, &flow.flow).await {
                Ok(target) => desired.places.push(place(target, flow)),
                Err(Stop::Failed(failure)) if failure.reason == Reason::ReferenceNotFound => {
                    desired.missing = Some(failure);
                }
                Err(stop) => return Err(stop),
            }
        }
        let mut places: Vec<_> = desired
            .places
            .iter()
            .map(|place| (place.target, place.order))
            .collect();
        places.sort_unstable();
        if places.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(invalid(
                "flows: two entries name the same flow, one by its slug and one by its UUID, with the same order; remove one".to_owned(),
            ));
        }
        Ok(Some(desired))
    }

    async fn stage(&self, field: &Field, reference: &StageReference) -> Steps<Uuid> {
        let place = Place {
            list: &self.server.inventory.stages,
            collection: Collection::ALL_STAGES,
            label: "name",
            uuid: None,
        };
        match (&reference.name, &reference.uuid, &reference.resource) {
            (Some(name), None, None) => {
                let name = Name::Label(stripped(name));
                self.find(field, &place, name, reference).await
            }
            (None, Some(uuid), None) => {
                let name = Name::Uuid(parsed(field, uuid)?);
                self.find(field, &place, name, reference).await
            }
            (None, None, Some(resource)) => self.resource(field, resource),
            _ => Err(not_one(field, "name, uuid and resource")),
        }
    }

    async fn flow(&self, field: &Field, reference: &FlowReference) -> Steps<Uuid> {
        let place = Place {
            list: &self.server.inventory.flows,
            collection: Collection::FLOWS,
            label: "slug",
            uuid: Some("flow_uuid"),
        };
        let name = match (&reference.slug, &reference.uuid) {
            (Some(slug), None) => Name::Label(slug),
            (None, Some(uuid)) => Name::Uuid(parsed(field, uuid)?),
            _ => return Err(not_one(field, "slug and uuid")),
        };
        self.find(field, &place, name, reference).await
    }

    async fn device_type(&self, field: &Field, reference: &DeviceTypeReference) -> Steps<Uuid> {
        let place = Place {
            list: &self.server.inventory.device_types,
            collection: Collection::WEBAUTHN_DEVICE_TYPES,
            label: "description",
            uuid: None,
        };
        let name = match (&reference.aaguid, &reference.description) {
            (Some(aaguid), None) => Name::Uuid(parsed(field, aaguid)?),
            (None, Some(description)) => Name::Label(stripped(description)),
            _ => return Err(not_one(field, "aaguid and description")),
        };
        self.find(field, &place, name, reference).await
    }

    async fn find<T>(
        &self,
        field: &Field,
        place: &Place<'_, T>,
        name: Name<'_>,
        reference: &impl Display,
    ) -> Steps<Uuid>
    where
        T: Listed + Weigh + DeserializeOwned,
    {
        let (client, view) = (&self.server.client, &self.subject.view);
        find(client, view, field, place, name, reference).await
    }

    /// The stage of another resource.
    fn resource(&self, field: &Field, reference: &ResourceReference) -> Steps<Uuid> {
        let own = &self.subject.id;
        let Some(id) = resource_id(&own.namespace, reference) else {
            return Err(invalid(format!(
                "{}: there is no kind {:?}; write AuthenticatorValidateStage or DuoStage",
                field.spec, reference.kind
            )));
        };
        let waits = |what: &str| {
            let message = format!(
                "{} waits for {} {}, which {what}",
                field.spec, id.kind, id.name
            );
            Failure::new(Reason::ReferenceNotFound, message)
        };
        let memory = &self.ctx.shared.memory;
        let standing = memory
            .standing(&id)
            .ok_or_else(|| waits("does not exist"))?;
        let Some(stage) = standing.stage else {
            if let Some(circle) = memory.circle(own) {
                return Err(in_circle(field, &circle).into());
            }
            return Err(waits("has no stage in authentik yet").into());
        };
        if stage.server != self.server.url {
            return Err(waits("is on another authentik server").into());
        }
        // Gone by other hands, it is about to be made again under another UUID.
        if self.server.inventory.lacks(id.kind, stage.uuid) {
            return Err(waits("has no stage in authentik any more").into());
        }
        Ok(stage.uuid)
    }
}

fn in_circle(field: &Field, circle: &[crate::stages::ResourceId]) -> Failure {
    let names: Vec<_> = circle
        .iter()
        .chain(circle.first())
        .map(|id| format!("{} {}", id.kind, id.name))
        .collect();
    Failure::new(
        Reason::ReferenceNotFound,
        format!(
            "{} leads in a circle in which each waits for the next one's stage: {}; name one of the stages by its name in authentik once it is there, or leave the reference out until then",
            field.spec,
            names.join(" → ")
        ),
    )
}

/// A duration that authentik would fail on is refused here: it would answer with an internal error.
fn understood(field: &Field, value: Value) -> Steps<Value> {
    let text = value
        .as_str()
        .filter(|_| field.compare == Compare::Duration);
    match text {
        Some(text) if duration::microseconds(text).is_none() => Err(invalid(format!(
            "{}: {text:?} is no duration that authentik takes; write at most 999999998 days in all",
            field.spec
        ))),
        _ => Ok(value),
    }
}

fn parsed(field: &Field, text: &str) -> Steps<Uuid> {
    let uuid = text.trim().parse::<Uuid>();
    uuid.map_err(|_| invalid(format!("{}: {text:?} is not a UUID", field.spec)))
}

fn invalid(message: String) -> Stop {
    Failure::new(Reason::InvalidSpec, message).into()
}

fn not_one(field: &Field, of: &str) -> Stop {
    invalid(format!(
        "{}: a reference needs exactly one of {of}",
        field.spec
    ))
}

/// Sorted, so that a request's body does not depend on the order in the spec.
fn uuids_value(mut uuids: Vec<Uuid>) -> Value {
    uuids.sort_unstable();
    uuids.dedup();
    uuids.iter().map(Uuid::to_string).collect()
}

fn place(target: Uuid, binding: &FlowBinding) -> DesiredBinding {
    let set = [
        (
            "evaluate_on_plan",
            binding.evaluate_on_plan.map(Value::from),
        ),
        (
            "re_evaluate_policies",
            binding.re_evaluate_policies.map(Value::from),
        ),
        (
            "invalid_response_action",
            binding
                .invalid_response_action
                .map(|action| serde_json::json!(action)),
        ),
        (
            "policy_engine_mode",
            binding
                .policy_engine_mode
                .map(|mode| serde_json::json!(mode)),
        ),
    ];
    DesiredBinding {
        target,
        order: binding.order,
        settings: set
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect(),
    }
}
