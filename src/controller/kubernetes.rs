//! Every write to Kubernetes. Nothing is written by a replica that may not lead any more.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
    core::{ApiResource, DynamicObject, ObjectMeta},
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::{
    api::MANAGER,
    authentik,
    ops::leader::Leadership,
    plan::failure::{Failure, Reason},
};

/// The most writes to Kubernetes at one time.
const CONCURRENCY: usize = 32;

/// How long a write may take: as long as the API server gives a request.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An object of ours.
#[derive(Clone, Debug)]
pub struct Target {
    resource: ApiResource,
    /// Its metadata, as the watch has shown it.
    namespace: Option<String>,
    name: String,
    uid: Option<String>,
    resource_version: Option<String>,
}

impl Target {
    /// The object of kind `R` with this metadata.
    #[must_use]
    pub fn new<R: Resource<DynamicType = ()>>(meta: &ObjectMeta) -> Self {
        Self {
            resource: ApiResource::erase::<R>(&()),
            namespace: meta.namespace.clone(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
        }
    }

    /// The object at this version, which is newer than what the watch has shown.
    #[must_use]
    pub fn at(self, version: Option<u64>) -> Self {
        let version = version.map(|version| version.to_string());
        Self {
            resource_version: version.or(self.resource_version),
            ..self
        }
    }

    /// As an event refers to it.
    #[must_use]
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(self.resource.api_version.clone()),
            kind: Some(self.resource.kind.clone()),
            namespace: self.namespace.clone(),
            name: Some(self.name.clone()),
            uid: self.uid.clone(),
            resource_version: self.resource_version.clone(),
            ..ObjectReference::default()
        }
    }
}

/// Kubernetes, as far as it is written.
pub struct Kubernetes {
    /// The client, for what is read.
    pub client: Client,
    leadership: Leadership,
    turns: Semaphore,
}

impl Kubernetes {
    /// Writes only while `leadership` is certain.
    #[must_use]
    pub fn new(client: Client, leadership: Leadership) -> Self {
        Self {
            client,
            leadership,
            turns: Semaphore::new(CONCURRENCY),
        }
    }

    /// Does one write.
    ///
    /// # Errors
    /// Those of the write; `Ending` where another replica may lead.
    pub async fn write<T>(
        &self,
        write: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, WriteError> {
        let _turn = self.turns.acquire().await;
        if !self.leadership.is_certain() {
            return Err(WriteError::Closed);
        }
        match tokio::time::timeout(TIMEOUT, write).await {
            Ok(written) => written.map_err(WriteError::Kubernetes),
            Err(_) => Err(WriteError::TimedOut),
        }
    }

    fn api(&self, target: &Target) -> Api<DynamicObject> {
        match &target.namespace {
            Some(namespace) => {
                Api::namespaced_with(self.client.clone(), namespace, &target.resource)
            }
            None => Api::all_with(self.client.clone(), &target.resource),
        }
    }

    /// Reads an object past the watch.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn get(&self, target: &Target) -> Result<Option<DynamicObject>, Failure> {
        Ok(self.api(target).get_opt(&target.name).await?)
    }

    /// Writes the whole status. Returns the new resourceVersion, or nothing where the object is gone.
    ///
    /// # Errors
    /// `Stale` where the object has changed since, or is another one of the same name. Kubernetes looks at the
    /// resourceVersion here and not at the uid (measured on 1.36).
    pub async fn apply_status(
        &self,
        target: &Target,
        status: &impl Serialize,
    ) -> Result<Option<String>, Failure> {
        let patch = json!({
            "apiVersion": target.resource.api_version,
            "kind": target.resource.kind,
            "metadata": {"resourceVersion": target.resource_version},
            "status": status,
        });
        let params = PatchParams::apply(MANAGER).force();
        self.patch_status(target, &params, Patch::Apply(patch))
            .await
    }

    /// Writes these fields of the status.
    ///
    /// # Errors
    /// Those of the write.
    pub async fn merge_status(&self, target: &Target, status: Value) -> Result<(), Failure> {
        let version = &target.resource_version;
        let patch = json!({"metadata": {"resourceVersion": version}, "status": status});
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        self.patch_status(target, &params, Patch::Merge(patch))
            .await
            .map(drop)
    }

    async fn patch_status(
        &self,
        target: &Target,
        params: &PatchParams,
        patch: Patch<Value>,
    ) -> Result<Option<String>, Failure> {
        let api = self.api(target);
        match self
            .write(api.patch_status(&target.name, params, &patch))
            .await
        {
            Ok(written) => Ok(Some(written.metadata.resource_version.unwrap_or_default())),
            Err(error) => match error.status() {
                Some(404) => Ok(None),
                _ => Err(error.into()),
            },
        }
    }

    /// Writes the finalizers. Returns the new resourceVersion. The old one guards those of others against a stale view.
    ///
    /// # Errors
    /// `Stale` where the object has changed since, or is gone.
    pub async fn set_finalizers(
        &self,
        target: &Target,
        finalizers: &[String],
    ) -> Result<Option<u64>, Failure> {
        let patch = json!({"metadata": {
            "finalizers": finalizers,
            "resourceVersion": target.resource_version,
        }});
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(patch);
        let api = self.api(target);
        let written = self.write(api.patch_metadata(&target.name, &params, &patch));
        match written.await {
            Ok(written) => {
                let version = written.metadata.resource_version;
                Ok(version.and_then(|version| version.parse().ok()))
            }
            Err(error) => match error.status() {
                Some(404) => Err(Failure::new(Reason::Stale, "the object is gone")),
                _ => Err(error.into()),
            },
        }
    }
}

/// Why a write was not done, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Another replica may lead: it may have found out more meanwhile.
    #[error("another replica may lead")]
    Closed,
    /// Kubernetes did not answer in time.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    /// Kubernetes refused the write, or can't be reached.
    #[error(transparent)]
    Kubernetes(kube::Error),
}

impl WriteError {
    /// The code of Kubernetes' answer.
    fn status(&self) -> Option<u16> {
        match self {
            Self::Kubernetes(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        // The object has changed, or is another one of the same name: the watch is about to show it.
        if matches!(error.status(), Some(409 | 422)) {
            return Self::new(Reason::Stale, "the object has changed meanwhile");
        }
        match error {
            WriteError::Closed => authentik::Error::Closed.into(),
            WriteError::TimedOut => {
                Self::new(Reason::Internal, format!("Kubernetes gives {error}"))
            }
            WriteError::Kubernetes(error) => error.into(),
        }
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        // An API error's own text holds a request's whole answer; its message says enough.
        let message = match &error {
            kube::Error::Api(status) => {
                format!("Kubernetes answered {}: {}", status.code, status.message)
            }
            other => format!("Kubernetes can't be reached: {other}"),
        };
        Self::new(Reason::Internal, message)
    }
}
