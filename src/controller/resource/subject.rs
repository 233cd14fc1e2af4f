//! Which resource is reconciled, and what is known of it when that begins.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use kube::ResourceExt;
use tokio::time::Instant;

use crate::{
    api::{DeletionPolicy, FINALIZER, ManagementPolicy, RECONCILE_ANNOTATION},
    authentik::Remote,
    controller::{
        context::Context,
        keys::Uid,
        kubernetes::Target,
        memory::{Creation, Request, View},
    },
    kinds::{Kind, ResourceId},
    plan::{Record, Show, sorted},
};

/// Whether a reconcile has begun to write to authentik. Until then it can be broken off.
#[derive(Clone, Debug, Default)]
pub struct Writes(Arc<AtomicBool>);

impl Writes {
    /// A write begins.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether one has begun.
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Whether a resource is being deleted.
pub fn is_deleted<K: Kind>(resource: &K) -> bool {
    resource.meta().deletion_timestamp.is_some()
}

/// Whether it is to be left alone.
pub fn is_suspended<K: Kind>(resource: &K) -> bool {
    resource.common().suspend == Some(true)
}

fn observes<K: Kind>(resource: &K) -> bool {
    resource.common().management_policy == Some(ManagementPolicy::Observe)
}

/// Whether its deletion leaves the stage in authentik alone.
pub fn leaves_its_stage<K: Kind>(resource: &K) -> bool {
    let policy = resource.common().deletion_policy.unwrap_or_default();
    policy == DeletionPolicy::Orphan || is_suspended(resource) || observes(resource)
}

/// One resource, at the beginning of its reconcile.
pub struct Subject<K> {
    /// The resource.
    pub resource: Arc<K>,
    /// Its name.
    pub id: ResourceId,
    /// Its uid, by which it is remembered.
    pub uid: Uid,
    /// What is known of it.
    pub view: View,
    /// When the reconcile began.
    pub began: Instant,
    /// Whether it has begun to write.
    pub writes: Writes,
}

impl<K: Kind> Subject<K> {
    /// The resource as the queue shows it; nothing where the watch has shown a newer version or that it is gone.
    pub fn new(ctx: &Context, resource: Arc<K>) -> Option<Self> {
        let view = ctx.shared.memory.begin(&*resource)?;
        Some(Self {
            id: ResourceId::of(&*resource),
            uid: Uid::from(resource.uid()?),
            view,
            began: Instant::now(),
            writes: Writes::default(),
            resource,
        })
    }

    /// What a person may have changed to ask for another try.
    pub fn request(&self) -> Request {
        let annotations = self.resource.annotations();
        Request {
            generation: self.resource.meta().generation,
            requested_at: annotations.get(RECONCILE_ANNOTATION).cloned(),
            deleting: self.is_deleted(),
        }
    }

    /// The object in Kubernetes, at the newest version that is known.
    pub fn target(&self, ctx: &Context) -> Target {
        let memory = &ctx.shared.memory;
        let newest = memory.with(&self.uid, |entry| entry.newest()).flatten();
        Target::new::<K>(self.resource.meta()).at(newest)
    }

    /// Whether it is being deleted.
    pub fn is_deleted(&self) -> bool {
        is_deleted(&*self.resource)
    }

    /// Whether it is to be left alone.
    pub fn is_suspended(&self) -> bool {
        is_suspended(&*self.resource)
    }

    /// Whether it never writes.
    pub fn observes(&self) -> bool {
        observes(&*self.resource)
    }

    /// Whether its deletion leaves the stage in authentik alone.
    pub fn leaves_its_stage(&self) -> bool {
        leaves_its_stage(&*self.resource)
    }

    /// Whether its deletion waits for its policy.
    pub fn has_finalizer(&self) -> bool {
        let mut finalizers = self.resource.finalizers().iter();
        finalizers.any(|finalizer| finalizer == FINALIZER)
    }

    /// The creation of which no answer came from this server.
    pub fn lost_on(&self, url: &str) -> Option<Arc<Creation>> {
        let lost = self.view.lost.clone();
        lost.filter(|creation| creation.server == url)
    }

    /// What is on record of it, before its server is known.
    pub fn record(&self) -> Record {
        let wanted = self.resource.wanted().into_iter();
        Record {
            before: self.view.status.clone(),
            status: self.view.status.clone(),
            notes: Vec::new(),
            noun: K::NOUN,
            server: String::new(),
            manages_bindings: self.resource.flows().is_some(),
            was_in_sync: self.view.was_in_sync,
            spec_fields: sorted(wanted.map(|(field, _)| field)),
            repaired: Vec::new(),
            by: None,
            show: Show(Arc::new(|_: &Remote| Default::default())),
        }
    }
}
