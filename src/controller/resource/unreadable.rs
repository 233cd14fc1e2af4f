//! A resource that the operator can't read: it has passed an older CRD, or one that this operator is too old for.

use kube::core::{DynamicObject, ObjectMeta};
use serde_json::{Value, json};

use crate::{
    api::{FINALIZER, Status},
    controller::{context::Context, kubernetes::Target},
    kinds::Kind,
    ops::traces,
    plan::{
        conclude,
        failure::{Failure, Reason},
    },
};

/// Why such a resource is left alone.
pub fn refuse(error: &str) -> Failure {
    Failure::new(
        Reason::InvalidSpec,
        format!(
            "the resource can't be read: {error}; mend the field, and see that the operator and its CRDs are of one version"
        ),
    )
}

/// Says so in its status; or lets it go, where it is being deleted and leaves its stage alone.
pub async fn unreadable<K: Kind>(ctx: &Context, meta: &ObjectMeta, error: &str) {
    let mut failure = refuse(error);
    traces::ends(failure.reason.as_str(), true);
    if meta.deletion_timestamp.is_some() {
        failure.message = format!(
            "{}; or set deletionPolicy: Orphan to leave the {} in authentik and let the resource go",
            failure.message,
            K::NOUN
        );
    }
    if let Err(failure) = attend::<K>(ctx, meta, failure).await
        && failure.reason.is_reported()
    {
        let (namespace, name) = (meta.namespace.as_deref(), meta.name.as_deref());
        tracing::warn!(
            kind = K::KIND,
            namespace,
            name,
            "not written: {}",
            failure.message
        );
    }
}

async fn attend<K: Kind>(
    ctx: &Context,
    meta: &ObjectMeta,
    failure: Failure,
) -> Result<(), Failure> {
    let target = Target::new::<K>(meta);
    let kubernetes = &ctx.shared.kubernetes;
    let Some(object) = kubernetes.get(&target).await? else {
        return Ok(());
    };
    // What was read may be newer than what the watch has shown.
    let target = Target::new::<K>(&object.metadata);
    let finalizers = object.metadata.finalizers.clone().unwrap_or_default();
    let is_held = finalizers.iter().any(|finalizer| finalizer == FINALIZER);
    if object.metadata.deletion_timestamp.is_some() && is_held && leaves_its_stage(&object) {
        let others: Vec<_> = finalizers
            .into_iter()
            .filter(|of| of != FINALIZER)
            .collect();
        return kubernetes.set_finalizers(&target, &others).await.map(drop);
    }
    let old = object
        .data
        .get("status")
        .and_then(|status| status.get("conditions"));
    let old = old.cloned().unwrap_or_else(|| json!([]));
    let mut status = Status {
        conditions: serde_json::from_value(old).unwrap_or_default(),
        ..Status::default()
    };
    let before = status.conditions.clone();
    conclude(&mut status, &Err(failure), object.metadata.generation);
    if status.conditions == before {
        return Ok(());
    }
    let status = json!({
        "conditions": status.conditions, "observedGeneration": status.observed_generation,
    });
    kubernetes.merge_status(&target, status).await
}

/// What can be read of its policies says that its deletion leaves the stage alone.
fn leaves_its_stage(object: &DynamicObject) -> bool {
    let spec = object.data.get("spec").unwrap_or(&Value::Null);
    let says = |field: &str, value: Value| spec.get(field) == Some(&value);
    spec.get("deletionPolicy").is_none_or(Value::is_null)
        || says("deletionPolicy", json!("Orphan"))
        || says("managementPolicy", json!("Observe"))
        || says("suspend", json!(true))
}
