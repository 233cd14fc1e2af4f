//! What a spec depends on.

use std::collections::HashSet;

use uuid::Uuid;

use crate::{
    api::ResourceReference,
    controller::keys::{Dependency, candidates},
    kinds::{Kind, Names, Reference, Refers, ResourceId, Wanted, kind_named},
};

/// Everything that a resource of this namespace depends on, each once.
pub fn dependencies<K: Kind>(resource: &K, namespace: &str) -> Vec<Dependency> {
    let common = resource.common();
    let connections = candidates(namespace, common.connection_ref.as_ref());
    let mut all: Vec<_> = connections
        .into_iter()
        .map(Dependency::Connection)
        .collect();
    all.push(Dependency::Namespace(namespace.to_owned()));
    for (_, wanted) in resource.wanted() {
        if let Wanted::Secret(Some(key)) = wanted {
            all.push(Dependency::Secret(namespace.to_owned(), key.name));
            continue;
        }
        let references = wanted.references().iter();
        all.extend(references.filter_map(|reference| of(namespace, reference)));
    }
    let flows = resource.flows().into_iter().flatten();
    all.extend(flows.filter_map(|binding| of(namespace, &binding.flow.reference())));
    let mut seen = HashSet::new();
    all.retain(|dependency| seen.insert(dependency.clone()));
    all
}

fn of(namespace: &str, reference: &Reference) -> Option<Dependency> {
    match &reference.names {
        Names::Resource(resource) => resource_id(namespace, resource).map(Dependency::Resource),
        Names::Label(label) => Some(Dependency::Object(reference.to, label.clone())),
        Names::Uuid(uuid) => {
            let uuid = uuid.parse::<Uuid>().ok()?;
            Some(Dependency::Object(reference.to, uuid.to_string()))
        }
        Names::NotOne => None,
    }
}

/// The resource that a reference of this namespace names; nothing where there is no such kind.
fn resource_id(namespace: &str, reference: &ResourceReference) -> Option<ResourceId> {
    Some(ResourceId {
        kind: kind_named(&reference.kind)?.kind,
        namespace: namespace.to_owned(),
        name: reference.name.clone(),
    })
}
