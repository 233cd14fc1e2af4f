//! What a connection's task writes of its object: the finalizer, the status, and warnings.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    declared::Declared,
    status::{self, Seen},
};
use crate::{
    api::ConnectionStatus,
    controller::{keys::ConnectionKey, shared::Shared},
    ops::traces,
    plan::{Note, due, patience},
};

/// A connection's object, as far as it is written.
pub(super) struct Object {
    shared: Arc<Shared>,
    key: ConnectionKey,
    /// The version of the object whose finalizers were written last.
    held: Option<u64>,
    /// The newest version of the object that is known: shown by the watch, or made by our own writes.
    newest: Option<u64>,
    /// The status that was written last, and the version of that write.
    written: Option<(u64, ConnectionStatus)>,
    /// What the connection fails for, since when, and whether it was warned of.
    failing: Option<((String, String), Instant, bool)>,
    /// Whether something could not be written in this look, as where somebody else has written meanwhile.
    is_unwritten: bool,
    /// After how many looks in a row that was so.
    failures: u32,
}

impl Object {
    pub(super) fn new(shared: Arc<Shared>, key: ConnectionKey) -> Self {
        Self {
            shared,
            key,
            held: None,
            newest: None,
            written: None,
            failing: None,
            is_unwritten: false,
            failures: 0,
        }
    }

    /// Keeps the object while stages are to be deleted through it. Returns those that its deletion waits for.
    pub(super) async fn hold(&mut self, declared: &Declared) -> Vec<String> {
        self.newest = self.newest.max(declared.version);
        self.is_unwritten = false;
        let finalizer = self.shared.connection_finalizer(&self.key);
        let memory = &self.shared.memory;
        let is_needed = memory.is_needed(&self.key);
        let is_held = declared.finalizers.contains(&finalizer);
        let can_be_written = self.held != declared.version || declared.version.is_none();
        // Kubernetes takes no new finalizer on an object that is being deleted.
        let is_due = is_held != is_needed && (is_held || !declared.is_deleted);
        if is_due && can_be_written {
            let mut finalizers = declared.finalizers.clone();
            finalizers.retain(|of| *of != finalizer);
            if !is_held {
                finalizers.push(finalizer);
            }
            // Our own status, which the watch may not have shown yet, leaves the finalizers as they are.
            let target = declared.target.clone().at(self.newest);
            let kubernetes = &self.shared.kubernetes;
            match kubernetes.set_finalizers(&target, &finalizers).await {
                Ok(version) => {
                    self.held = declared.version;
                    self.newest = self.newest.max(version);
                }
                Err(failure) => {
                    self.is_unwritten = true;
                    let message = failure.message;
                    if failure.reason.is_reported() {
                        tracing::warn!(connection = %self.key, "finalizers not written: {message}");
                    }
                }
            }
        }
        match declared.is_deleted {
            true => memory
                .needing(&self.key)
                .iter()
                .map(ToString::to_string)
                .collect(),
            false => Vec::new(),
        }
    }

    /// Writes the status where it has changed, and warns. Returns when a warning is due that was not given yet.
    pub(super) async fn report(&mut self, declared: &Declared, seen: &Seen) -> Option<Instant> {
        if seen
            .result
            .as_ref()
            .is_err_and(|failure| !failure.reason.is_reported())
        {
            return None;
        }
        let result = seen
            .result
            .as_ref()
            .map_or_else(status::reason, |()| "Connected");
        traces::ends(result, seen.result.is_err());
        let old = match &self.written {
            Some((version, written)) if declared.version < Some(*version) => written,
            _ => &declared.status,
        };
        let new = status::conclude(old, declared.generation, seen);
        let (was, is) = (status::failed(old), status::failed(&new));
        if new != *old {
            let target = declared.target.clone().at(self.newest);
            let written = self.shared.kubernetes.apply_status(&target, &new).await;
            match written {
                Ok(version) => {
                    let version: Option<u64> = version.and_then(|version| version.parse().ok());
                    self.newest = self.newest.max(version);
                    self.written = version.map(|version| (version, new));
                }
                Err(failure) => {
                    self.is_unwritten = true;
                    let message = failure.message;
                    tracing::warn!(connection = %self.key, "status not written: {message}");
                    return None;
                }
            }
        }
        self.warn(declared, seen, was == is, is).await
    }

    /// When to look again because something could not be written. Nothing else may tell: not every write of others
    /// that is in the way asks for a look.
    pub(super) fn again(&mut self) -> Option<Instant> {
        self.failures = match self.is_unwritten {
            true => self.failures.saturating_add(1),
            false => 0,
        };
        let pause = due::backoff(self.failures, fastrand::f64());
        self.is_unwritten.then(|| Instant::now() + pause)
    }

    async fn warn(
        &mut self,
        declared: &Declared,
        seen: &Seen,
        is_old: bool,
        failed: Option<(String, String)>,
    ) -> Option<Instant> {
        let (Some(failed), Err(failure)) = (failed, &seen.result) else {
            self.failing = None;
            return None;
        };
        if self
            .failing
            .as_ref()
            .is_none_or(|(known, ..)| *known != failed)
        {
            let is_warned = self.failing.is_none() && is_old;
            self.failing = Some((failed, Instant::now(), is_warned));
        }
        let (_, since, is_warned) = self.failing.as_mut()?;
        if *is_warned {
            return None;
        }
        let is_new = declared.status.version.is_none();
        let is_patient = is_new && failure.reason.may_pass_at_once();
        if let Some(left) = patience(is_patient, since.elapsed()) {
            return Some(Instant::now() + left);
        }
        *is_warned = true;
        let note = Note::warning(status::reason(failure), failure.message.clone());
        let about = declared.target.reference();
        self.shared.events.publish(&about, note).await;
        None
    }
}
