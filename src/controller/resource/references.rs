//! What a spec depends on.

use crate::{
    api::{FlowReference, ResourceReference, StageReference},
    authentik::{Collection, stripped},
    controller::keys::{Dependency, candidates},
    stages::{ResourceId, StageKind, Wanted, kind_named},
};

/// Everything that a resource of this namespace depends on, each once.
pub fn dependencies<K: StageKind>(resource: &K, namespace: &str) -> Vec<Dependency> {
    let common = resource.common();
    let connections = candidates(namespace, common.connection_ref.as_ref());
    let mut all: Vec<_> = connections
        .into_iter()
        .map(Dependency::Connection)
        .collect();
    all.push(Dependency::Namespace(namespace.to_owned()));
    for (_, wanted) in resource.wanted() {
        match wanted {
            Wanted::Secret(Some(key)) => {
                all.push(Dependency::Secret(namespace.to_owned(), key.name));
            }
            Wanted::Stages(stages) => {
                all.extend(stages.iter().filter_map(|stage| of_stage(namespace, stage)));
            }
            Wanted::Flow(Some(flow)) => all.extend(of_flow(&flow)),
            Wanted::DeviceTypes(types) => {
                let collection = Collection::WEBAUTHN_DEVICE_TYPES;
                all.extend(types.iter().filter_map(|of| {
                    object(collection, of.description.as_deref(), of.aaguid.as_deref())
                }));
            }
            _ => {}
        }
    }
    let flows = common.flows.iter().flatten();
    all.extend(flows.filter_map(|binding| of_flow(&binding.flow)));
    let mut seen = std::collections::HashSet::new();
    all.retain(|dependency| seen.insert(dependency.clone()));
    all
}

fn of_stage(namespace: &str, stage: &StageReference) -> Option<Dependency> {
    match &stage.resource {
        Some(resource) => resource_id(namespace, resource).map(Dependency::Resource),
        None => object(
            Collection::ALL_STAGES,
            stage.name.as_deref(),
            stage.uuid.as_deref(),
        ),
    }
}

fn of_flow(flow: &FlowReference) -> Option<Dependency> {
    object(
        Collection::FLOWS,
        flow.slug.as_deref(),
        flow.uuid.as_deref(),
    )
}

fn object(collection: Collection, label: Option<&str>, uuid: Option<&str>) -> Option<Dependency> {
    let name = match (label, uuid) {
        (Some(label), _) => stripped(label).to_owned(),
        (None, Some(uuid)) => uuid.trim().parse::<uuid::Uuid>().ok()?.to_string(),
        (None, None) => return None,
    };
    Some(Dependency::Object(collection, name))
}

/// The resource that a reference of this namespace names; nothing where there is no such kind.
pub fn resource_id(namespace: &str, reference: &ResourceReference) -> Option<ResourceId> {
    Some(ResourceId {
        kind: kind_named(&reference.kind)?,
        namespace: namespace.to_owned(),
        name: reference.name.clone(),
    })
}
