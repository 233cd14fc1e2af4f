//! From what a spec says to what authentik is to hold: every reference looked up.

use secrecy::ExposeSecret;
use serde_json::Value;
use uuid::Uuid;

use super::{
    lookup::{Name, find},
    stop::{Steps, Stop},
    subject::Subject,
};
use crate::{
    api::{FlowBinding, ResourceReference, SecretKey},
    authentik::{Collection, duration, stripped},
    controller::{connection::Server, context::Context},
    kinds::{
        Compare, Field, Kind, Names, Reference, Refers, ResourceId, Wanted, kind_named, kind_names,
    },
    plan::{
        Desired,
        bindings::{DesiredBinding, DesiredBindings},
        failure::{Failure, Reason},
    },
};

/// The field of the spec that says in which flows a stage stands.
static FLOWS: Field = Field::new("flows", "flows", Compare::Set);

/// What the resource asks for.
///
/// # Errors
/// A reference that finds nothing, or several; a Secret that is missing; a list that can't be read.
pub(super) async fn resolve<K: Kind>(
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
        name: subject.resource.label(),
        bindings: resolver.bindings().await?,
        ..Desired::default()
    };
    for (field, wanted) in subject.resource.wanted() {
        if field
            .since
            .is_some_and(|since| !since.may_be_known(&version))
        {
            desired.unsupported.push(field);
            continue;
        }
        if let Wanted::Secret(key) = wanted {
            resolver.secret(field, key, &mut desired).await?;
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
pub(super) async fn desired_bindings<K: Kind>(
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

impl<K: Kind> Resolver<'_, K> {
    async fn value(&self, field: &'static Field, wanted: Wanted) -> Steps<Value> {
        Ok(match wanted {
            Wanted::Value(value) => understood(field, value)?,
            Wanted::OptionalText(Some(text)) => Value::from(text),
            Wanted::OptionalText(None) => (field.absent)(&self.server.version()?),
            Wanted::Objects(references) => {
                let mut uuids = Vec::with_capacity(references.len());
                for reference in &references {
                    uuids.push(self.object(field, reference).await?);
                }
                uuids_value(uuids)
            }
            Wanted::Object(Some(reference)) => {
                Value::from(self.object(field, &reference).await?.to_string())
            }
            Wanted::Object(None) | Wanted::Secret(_) => Value::Null,
        })
    }

    /// What is wanted of a field whose value is in a Secret: the Secret's version and, where authentik shows the field, the value
    /// as it is kept.
    async fn secret(
        &self,
        field: &'static Field,
        key: Option<SecretKey>,
        desired: &mut Desired,
    ) -> Steps<()> {
        let namespace = &self.subject.id.namespace;
        let secrets = &self.ctx.shared.secrets;
        let version = match &key {
            Some(key) => match secrets.version(namespace, key).await {
                Err(failure) if self.passes_over(&failure) => return self.unknown(field),
                version => Some(version?),
            },
            None => None,
        };
        if !field.is_readable() {
            desired.secrets.insert(field.api, version);
            return Ok(());
        }
        let (Some(key), Some(version)) = (key, version) else {
            desired.fields.insert(field.api, field.kept(""));
            desired.secrets.insert(field.api, None);
            return Ok(());
        };
        let (version, value) = match self.subject.view.seal_of(&version) {
            Some(known) => (version, known),
            None => {
                let (version, value) = secrets.read(namespace, &key).await?;
                let value = field.kept(stripped(value.expose_secret()));
                let memory = &self.ctx.shared.memory;
                memory.with(&self.subject.uid, |entry| {
                    entry.keeps_seal(version.clone(), value.clone());
                });
                (version, value)
            }
        };
        desired.fields.insert(field.api, value);
        desired.secrets.insert(field.api, Some(version));
        Ok(())
    }

    fn passes_over(&self, failure: &Failure) -> bool {
        let manner = &self.ctx.manner;
        manner.passes_over_missing_secrets && failure.reason == Reason::SecretNotFound
    }

    /// Of this secret field nothing is known, so it stays as authentik has it.
    fn unknown(&self, field: &'static Field) -> Steps<()> {
        if let Some(rehearsal) = &self.ctx.manner.rehearsal {
            rehearsal.note(&self.subject.id, |planned| {
                planned.unknown.insert(field.spec.to_owned());
            });
        }
        Ok(())
    }

    /// Where the stage is to stand; nothing where the spec does not manage that.
    async fn bindings(&self) -> Steps<Option<DesiredBindings>> {
        let Some(flows) = self.subject.resource.flows() else {
            return Ok(None);
        };
        let mut desired = DesiredBindings::default();
        for flow in flows {
            match self.object(&FLOWS, &flow.flow.reference()).await {
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

    async fn object(&self, field: &Field, reference: &Reference) -> Steps<Uuid> {
        let name = match &reference.names {
            Names::Label(label) => Name::Label(label),
            Names::Uuid(uuid) => Name::Uuid(parsed(field, uuid)?),
            Names::Resource(resource) => return self.resource(field, reference.to, resource),
            Names::NotOne => return Err(not_one(field, reference.ways)),
        };
        find(self.server, &self.subject.view, field, reference, name).await
    }

    /// What another resource stands for.
    fn resource(
        &self,
        field: &Field,
        to: Collection,
        reference: &ResourceReference,
    ) -> Steps<Uuid> {
        let own = &self.subject.id;
        let Some(kind) = kind_named(&reference.kind).filter(|kind| kind.names == to) else {
            return Err(no_such_kind(field, to, &reference.kind));
        };
        let id = ResourceId {
            kind: kind.kind,
            namespace: own.namespace.clone(),
            name: reference.name.clone(),
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
        let noun = kind.noun;
        let Some(identity) = standing.stage else {
            if let Some(circle) = memory.circle(own) {
                return Err(in_circle(field, &circle).into());
            }
            return Err(waits(&format!("has no {noun} in authentik yet")).into());
        };
        if identity.server != self.server.url {
            return Err(waits("is on another authentik server").into());
        }
        // Gone by other hands, it is about to be made again under another UUID.
        if self.server.inventory.lacks(id.kind, identity.uuid) {
            return Err(waits(&format!("has no {noun} in authentik any more")).into());
        }
        Ok(identity.uuid)
    }
}

fn no_such_kind(field: &Field, to: Collection, kind: &str) -> Stop {
    let kinds = kind_names().iter().filter(|kind| kind.names == to);
    let kinds: Vec<_> = kinds.map(|kind| kind.kind).collect();
    invalid(format!(
        "{}: {kind:?} is no kind that can stand here; write {}",
        field.spec,
        kinds.join(" or ")
    ))
}

fn in_circle(field: &Field, circle: &[crate::kinds::ResourceId]) -> Failure {
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
