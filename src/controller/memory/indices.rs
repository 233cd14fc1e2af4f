//! By what resources are found: the names that they want, the stages that they stand for, and what they depend on.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use uuid::Uuid;

use super::entry::Entry;
use crate::{
    controller::keys::{Dependency, Uid},
    kinds::ResourceId,
};

/// Who is found by something: hardly ever more than one resource.
type Holders = Vec<(Uid, Arc<ResourceId>)>;

/// All indices.
#[derive(Debug, Default)]
pub struct Indices {
    names: HashMap<String, Holders>,
    uuids: HashMap<Uuid, Holders>,
    dependents: HashMap<Arc<Dependency>, HashSet<Uid>>,
    dependencies: HashMap<Uid, Box<[Arc<Dependency>]>>,
}

/// The name that it wants and, while a rename is under way, the name that it still holds.
fn names(entry: &Entry) -> impl Iterator<Item = &str> {
    let standing = &entry.standing;
    let held = standing.stage.as_ref().map(|stage| stage.name.as_str());
    std::iter::once(standing.name.as_str()).chain(held.filter(|held| *held != standing.name))
}

impl Indices {
    /// Adds a resource under what it wants and has.
    pub fn add(&mut self, uid: &Uid, entry: &Entry) {
        let found = || (uid.clone(), entry.id.clone());
        for name in names(entry) {
            let all = self.names.entry(name.to_owned());
            all.or_insert_with(|| Vec::with_capacity(1)).push(found());
        }
        if let Some(stage) = &entry.standing.stage {
            let all = self.uuids.entry(stage.uuid);
            all.or_insert_with(|| Vec::with_capacity(1)).push(found());
        }
    }

    /// Takes it out again.
    pub fn remove(&mut self, uid: &Uid, entry: &Entry) {
        for name in names(entry) {
            remove(&mut self.names, name, uid);
        }
        if let Some(stage) = &entry.standing.stage {
            remove(&mut self.uuids, &stage.uuid, uid);
        }
    }

    /// Notes all that a resource depends on, in place of what it depended on before.
    pub fn depends(&mut self, uid: &Uid, depends: Vec<Dependency>) {
        let known = self.dependencies.get(uid).map_or(&[][..], |known| known);
        if known.len() == depends.len() && depends.iter().zip(known).all(|(a, b)| *a == **b) {
            return;
        }
        for dependency in self.dependencies.remove(uid).into_iter().flatten() {
            if let Some(uids) = self.dependents.get_mut(&dependency) {
                uids.remove(uid);
                if uids.is_empty() {
                    self.dependents.remove(&dependency);
                }
            }
        }
        if depends.is_empty() {
            return;
        }
        let depends = depends
            .into_iter()
            .map(|dependency| self.share(dependency, uid));
        let depends = depends.collect();
        self.dependencies.insert(uid.clone(), depends);
    }

    /// Notes one dependency. Returns it as it is kept: once, however many depend on it.
    fn share(&mut self, dependency: Dependency, uid: &Uid) -> Arc<Dependency> {
        let known = self.dependents.get_key_value(&dependency);
        let dependency = known.map_or_else(|| Arc::new(dependency), |(known, _)| known.clone());
        let uids = self.dependents.entry(dependency.clone()).or_default();
        uids.insert(uid.clone());
        dependency
    }

    /// Who depends on this.
    pub fn dependents<'a>(
        &'a self,
        dependency: &Dependency,
    ) -> impl Iterator<Item = &'a Uid> + use<'a> {
        self.dependents.get(dependency).into_iter().flatten()
    }

    /// Whether this resource names a Secret.
    pub fn names_a_secret(&self, uid: &Uid) -> bool {
        let mut depends = self.dependencies.get(uid).into_iter().flatten();
        depends.any(|dependency| matches!(**dependency, Dependency::Secret(..)))
    }

    /// The resources that this one refers to.
    pub fn references(&self, uid: &Uid) -> Vec<ResourceId> {
        let depends = self.dependencies.get(uid).into_iter().flatten();
        depends
            .filter_map(|dependency| match &**dependency {
                Dependency::Resource(id) => Some(id.clone()),
                _ => None,
            })
            .collect()
    }

    /// The resources that this one refers to, also where it names them as authentik does.
    pub fn targets(&self, uid: &Uid) -> BTreeSet<ResourceId> {
        let mut used = BTreeSet::from_iter(self.references(uid));
        for dependency in self.dependencies.get(uid).into_iter().flatten() {
            let Dependency::Object(_, label) = &**dependency else {
                continue;
            };
            let by_uuid = label.parse().ok().and_then(|uuid| self.uuids.get(&uuid));
            let found = self.names.get(label).into_iter().chain(by_uuid).flatten();
            used.extend(found.map(|(_, id)| (**id).clone()));
        }
        used
    }

    /// Every resource that wants this name or stands for one of these stages, each once.
    pub fn claimants(&self, name: &str, uuids: &[Uuid]) -> BTreeSet<Uid> {
        let by_uuid = uuids.iter().filter_map(|uuid| self.uuids.get(uuid));
        let found = self.names.get(name).into_iter().chain(by_uuid).flatten();
        found.map(|(uid, _)| uid.clone()).collect()
    }

    /// Whether there is any.
    pub fn has_claimant(&self, name: &str, uuid: Uuid) -> bool {
        self.names.contains_key(name) || self.uuids.contains_key(&uuid)
    }

    /// The resources that stand for this object.
    pub fn standing_for(&self, uuid: Uuid) -> impl Iterator<Item = &Uid> {
        let found = self.uuids.get(&uuid).into_iter().flatten();
        found.map(|(uid, _)| uid)
    }

    /// Whether any resource stands for this stage.
    pub fn has_stage(&self, uuid: Uuid) -> bool {
        self.uuids.contains_key(&uuid)
    }

    /// Every other resource that wants what this one wants or has.
    pub fn rivals(&self, uid: &Uid, entry: &Entry) -> Vec<ResourceId> {
        let stage = entry.standing.stage.as_ref();
        let by_uuid = stage.and_then(|stage| self.uuids.get(&stage.uuid));
        let by_name = names(entry).filter_map(|name| self.names.get(name));
        let ids: BTreeSet<_> = by_uuid
            .into_iter()
            .chain(by_name)
            .flatten()
            .filter(|(other, _)| other != uid)
            .map(|(_, id)| id)
            .collect();
        ids.into_iter().map(|id| (**id).clone()).collect()
    }
}

fn remove<Q, T>(index: &mut HashMap<T, Holders>, key: &Q, uid: &Uid)
where
    T: std::borrow::Borrow<Q> + Eq + Hash,
    Q: Eq + Hash + ?Sized,
{
    if let Some(found) = index.get_mut(key) {
        found.retain(|(other, _)| other != uid);
        if found.is_empty() {
            index.remove(key);
        }
    }
}

/// The way from this resource back to itself, if there is one.
pub fn circle(
    id: &ResourceId,
    next: impl Fn(&ResourceId) -> Vec<ResourceId>,
) -> Option<Vec<ResourceId>> {
    let mut seen = HashSet::new();
    let mut ways = vec![vec![id.clone()]];
    while let Some(way) = ways.pop() {
        let last = way.last().unwrap_or(id);
        for following in next(last) {
            if following == *id {
                return Some(way);
            }
            if seen.insert(following.clone()) {
                let mut longer = way.clone();
                longer.push(following);
                ways.push(longer);
            }
        }
    }
    None
}
