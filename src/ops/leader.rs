//! Leader election by a Lease: of several replicas one works, and another takes over within seconds.
//!
//! The rules are those of client-go's leader election. A replica trusts its own clock alone: it takes a Lease
//! over once it has seen it unchanged for the Lease's whole duration, and it stops working well before the others
//! may do so. Every write is conditional on the version that was read, so two can't both win.

use std::{future, time::Duration};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use tokio::{sync::watch, time::Instant};

/// How long others leave the Lease alone after they saw it renewed.
const DURATION: Duration = Duration::from_secs(15);
/// A leader that could not renew for this long stops working.
const DEADLINE: Duration = Duration::from_secs(10);
/// The pause between two tries.
const PERIOD: Duration = Duration::from_secs(1);

/// One replica's part in the election.
pub struct Candidate {
    leases: Api<Lease>,
    name: String,
    identity: String,
    /// Until when this replica may work.
    leads: watch::Sender<Option<Instant>>,
}

/// Whether this replica may work, as it changes.
#[derive(Clone, Debug, Default)]
pub struct Leadership(Option<watch::Receiver<Option<Instant>>>);

impl Leadership {
    /// Whether this replica has been elected, and has not given up the Lease or heard of its loss.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let is_held = |leads: &watch::Receiver<Option<Instant>>| leads.borrow().is_some();
        self.0.as_ref().is_none_or(is_held)
    }

    /// Whether no other replica can have been elected meanwhile. A process that was stopped, or got no time, finds
    /// here that its Lease has expired before anything else tells it.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        let is_certain = |leads: &watch::Receiver<Option<Instant>>| {
            leads.borrow().is_some_and(|until| Instant::now() < until)
        };
        self.0.as_ref().is_none_or(is_certain)
    }

    /// Waits until this replica is elected; for ever where it never is.
    pub async fn begins(&self) {
        let Some(mut leads) = self.0.clone() else {
            return;
        };
        if leads.wait_for(Option::is_some).await.is_err() {
            future::pending::<()>().await;
        }
    }
}

/// The Lease was lost, or could not be renewed in time.
#[derive(Debug, thiserror::Error)]
#[error("leadership was lost: another replica holds the Lease, or it could not be renewed for {} s", DEADLINE.as_secs())]
pub struct Lost;

/// What was last seen of the Lease, and since when it is so.
struct Seen {
    version: Option<String>,
    since: Instant,
}

impl Candidate {
    /// A candidate for the Lease of this name. `identity` has to differ between replicas.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: String) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
            leads: watch::Sender::new(None),
        }
    }

    /// Whether this replica leads, as it changes.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        Leadership(Some(self.leads.subscribe()))
    }

    /// Waits for the Lease, then holds it for as long as it can be renewed. Returns in time before another replica
    /// may take over: whoever works as the leader has to stop at once.
    pub async fn run(&self) -> Lost {
        let mut seen = Seen {
            version: None,
            since: Instant::now(),
        };
        let mut until = loop {
            let began = Instant::now();
            if self.take(&mut seen).await {
                break began + DEADLINE;
            }
            tokio::time::sleep(PERIOD).await;
        };
        tracing::info!(identity = self.identity, "leading");
        while Instant::now() < until {
            self.leads.send_replace(Some(until));
            tokio::time::sleep(PERIOD).await;
            let began = Instant::now();
            match tokio::time::timeout_at(until, self.renew()).await {
                Ok(Ok(true)) => until = began + DEADLINE,
                // Another holds it: there is nothing to wait for.
                Ok(Ok(false)) => break,
                Ok(Err(error)) => tracing::warn!(%error, "the Lease was not renewed; trying again"),
                Err(_) => tracing::warn!("the Lease was not renewed in time"),
            }
        }
        self.leads.send_replace(None);
        Lost
    }

    /// Lets the next replica take over at once. Does nothing where this one does not lead.
    pub async fn release(&self) {
        if self.leads.send_replace(None).is_none() {
            return;
        }
        let released = async {
            let mut lease = self.leases.get(&self.name).await?;
            if self.holds(&lease) {
                let spec = lease.spec.get_or_insert_default();
                spec.holder_identity = None;
                spec.lease_duration_seconds = Some(1);
                self.leases
                    .replace(&self.name, &PostParams::default(), &lease)
                    .await?;
            }
            Ok::<_, kube::Error>(())
        };
        if let Err(error) = released.await {
            tracing::warn!(%error, "the Lease was not released; the next replica takes over when it expires");
        }
    }

    fn holds(&self, lease: &Lease) -> bool {
        let holder = lease
            .spec
            .as_ref()
            .and_then(|spec| spec.holder_identity.as_deref());
        holder == Some(self.identity.as_str())
    }

    /// Tries to take the Lease. Returns whether this replica holds it now.
    async fn take(&self, seen: &mut Seen) -> bool {
        match self.try_take(seen).await {
            Ok(taken) => taken,
            // Another was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => false,
            Err(error) => {
                tracing::warn!(%error, "the Lease can't be read or written; trying again");
                false
            }
        }
    }

    async fn try_take(&self, seen: &mut Seen) -> Result<bool, kube::Error> {
        let Some(lease) = self.leases.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.spec(None)),
            };
            self.leases.create(&PostParams::default(), &lease).await?;
            return Ok(true);
        };
        if seen.version != lease.metadata.resource_version {
            seen.version.clone_from(&lease.metadata.resource_version);
            seen.since = Instant::now();
        }
        if !self.is_free(&lease, seen) {
            return Ok(false);
        }
        self.hold(lease).await?;
        Ok(true)
    }

    fn is_free(&self, lease: &Lease, seen: &Seen) -> bool {
        let spec = lease.spec.as_ref();
        let holder = spec
            .and_then(|spec| spec.holder_identity.as_deref())
            .unwrap_or_default();
        let seconds = spec
            .and_then(|spec| spec.lease_duration_seconds)
            .unwrap_or_default();
        let duration = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        holder.is_empty() || self.holds(lease) || seen.since.elapsed() >= duration
    }

    /// Renews the Lease. Returns whether this replica still held it.
    async fn renew(&self) -> Result<bool, kube::Error> {
        let lease = self.leases.get(&self.name).await?;
        if !self.holds(&lease) {
            return Ok(false);
        }
        self.hold(lease).await?;
        Ok(true)
    }

    /// Writes the Lease that was read as this replica's, unless it has changed since.
    async fn hold(&self, lease: Lease) -> Result<(), kube::Error> {
        let lease = Lease {
            spec: Some(self.spec(lease.spec.as_ref())),
            metadata: lease.metadata,
        };
        let params = PostParams::default();
        self.leases.replace(&self.name, &params, &lease).await?;
        Ok(())
    }

    /// The Lease as this replica holds it from now on.
    fn spec(&self, old: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let renewal =
            old.filter(|old| old.holder_identity.as_deref() == Some(self.identity.as_str()));
        let transitions = old
            .and_then(|old| old.lease_transitions)
            .unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: renewal
                .and_then(|old| old.acquire_time.clone())
                .or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions + i32::from(renewal.is_none() && old.is_some())),
            ..LeaseSpec::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_has_not_renewed_for_long_does_not_trust_in_the_lease() {
        let leads = watch::Sender::new(None);
        let leadership = Leadership(Some(leads.subscribe()));
        assert!(!leadership.is_held() && !leadership.is_certain());
        leads.send_replace(Some(Instant::now() + DEADLINE));
        leadership.begins().await;
        assert!(leadership.is_held() && leadership.is_certain());
        tokio::time::advance(DEADLINE).await;
        assert!(leadership.is_held() && !leadership.is_certain());
    }

    #[test]
    fn without_an_election_it_always_leads() {
        let leadership = Leadership::default();
        assert!(leadership.is_held() && leadership.is_certain());
    }
}
