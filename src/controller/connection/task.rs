//! The task of one connection. It owns the server's health, its lists and their clock, and is the only one that probes and
//! lists. It waits for its own server alone.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::time::Instant;

use super::{
    client::{self, Rest},
    declared::Declared,
    handle::{Handle, Known},
    health::{Health, asked_to_wait, down},
    inventory::Looks,
    object::Object,
    server::Server,
    sources::Sources,
    status::Seen,
    told::Told,
};
use crate::{
    controller::{keys::Dependency, shared::Shared},
    plan::{
        SecretVersion, due,
        failure::{Failure, MISSING_RETRY, Retry},
    },
};

/// Runs until the connection is gone. After a panic it begins anew: that ends nothing else.
pub(super) async fn run(shared: Arc<Shared>, handle: Arc<Handle>) {
    let mut panics = 0;
    loop {
        let task = work(shared.clone(), handle.clone());
        if AssertUnwindSafe(task).catch_unwind().await.is_ok() {
            return;
        }
        panics += 1;
        // The panic's own message may hold anything, a secret included.
        tracing::error!(connection = %handle.key, "the connection's task panicked; it begins anew");
        tokio::time::sleep(due::backoff(panics, fastrand::f64())).await;
    }
}

async fn work(shared: Arc<Shared>, handle: Arc<Handle>) {
    let mut declared = handle.declared.subscribe();
    let mut begins = handle.declared.subscribe();
    tokio::select! {
        () = async { shared.synced().await; shared.leadership.begins().await } => {}
        // Gone before there was anything to do.
        _ = begins.wait_for(Option::is_none) => return,
    }
    let mut task = Task::new(shared, handle);
    loop {
        let Some(current) = declared.borrow_and_update().clone() else {
            break;
        };
        // A change of the object ends whatever the look is waiting for.
        let next = tokio::select! {
            biased;
            _ = declared.changed() => continue,
            next = task.look(&current) => next,
        };
        tokio::select! {
            _ = declared.changed() => {}
            () = task.poked() => {}
            () = tokio::time::sleep_until(next) => {}
        }
    }
    task.end();
}

/// How long a server took to answer.
#[derive(Clone, Copy, Debug)]
struct Spent {
    probe: Duration,
    lists: Duration,
}

struct Task {
    shared: Arc<Shared>,
    handle: Arc<Handle>,
    object: Object,
    server: Option<Arc<Server>>,
    /// What the server's client was made from, and which states of Secrets and ConfigMaps at least.
    drawn: Option<(Sources, Vec<SecretVersion>)>,
    /// The rest that the server has asked for: another token does not shorten it.
    rest: Rest,
    /// When the server is next probed and listed.
    due: Instant,
    failures: u32,
    requested_at: Option<Option<String>>,
    /// When Secrets that are not watched are next looked at.
    secrets_due: Instant,
    /// Whether the last look has looked at every list again.
    has_listed: bool,
    told: Option<Told>,
}

impl Task {
    fn new(shared: Arc<Shared>, handle: Arc<Handle>) -> Self {
        Self {
            object: Object::new(shared.clone(), handle.key.clone()),
            shared,
            handle,
            server: None,
            drawn: None,
            rest: Rest::default(),
            due: Instant::now(),
            failures: 0,
            requested_at: None,
            secrets_due: Instant::now(),
            has_listed: false,
            told: None,
        }
    }

    async fn poked(&self) {
        let learned = self.server.as_ref().map(|server| server.learned.clone());
        let suspected = async {
            match learned {
                Some(learned) => learned.poke.notified().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.handle.poke.notified() => {}
            () = suspected => {}
        }
    }

    /// Brings everything up to date. Returns when that is next due by itself.
    async fn look(&mut self, declared: &Declared) -> Instant {
        let waits_for = self.object.hold(declared).await;
        let was_down = self.is_down();
        let result = self.visit(declared).await;
        let known = Known {
            allowed: Some(declared.allowed.clone()),
            server: self.server.clone(),
            // Of a server that is out of reach its health tells why.
            failure: result
                .as_ref()
                .err()
                .filter(|_| self.drawn.is_none() || !self.is_down())
                .cloned(),
        };
        *self.handle.known.write() = known.clone();
        let server = self.server.as_ref();
        let seen = Seen {
            version: server
                .and_then(|server| server.version().ok())
                .map(|version| version.to_string()),
            missing_permissions: server
                .map(|server| server.learned.missing_permissions())
                .unwrap_or_default(),
            result,
            waits_for,
        };
        let warn_at = self.object.report(declared, &seen).await;
        self.tell(declared, &known, was_down);
        let others = [warn_at, self.object.again()];
        others.into_iter().flatten().fold(self.due, Instant::min)
    }

    /// Whether the server itself is known to be out of reach.
    fn is_down(&self) -> bool {
        let server = self.server.as_ref();
        server.is_some_and(|server| matches!(server.learned.health(), Health::Down(_)))
    }

    async fn visit(&mut self, declared: &Declared) -> Result<(), Failure> {
        self.has_listed = false;
        let server = match self.try_prepare(declared).await {
            Ok(server) => server,
            Err(failure) => {
                self.keep_for_deletions(&failure).await;
                return Err(failure);
            }
        };
        let asked = match &self.requested_at {
            Some(known) => *known != declared.requested_at,
            None => false,
        };
        self.requested_at = Some(declared.requested_at.clone());
        let is_due = asked || self.due <= Instant::now();
        let looks = match is_due {
            false => Looks::Wanted,
            true if asked || server.set_interval.is_some() => Looks::All,
            true => Looks::Own,
        };
        let visited = match server.learned.health() {
            Health::Down(failure) if !is_due => return Err(failure),
            Health::Busy { cause, pause } => Err(asked_to_wait(&cause, pause)),
            Health::Up if !is_due => self.list(&server, looks).await,
            _ => self.probe_and_list(&server, looks).await,
        };
        self.schedule(&server, is_due, &visited);
        visited.map(drop)
    }

    /// Returns how long the server took to answer.
    async fn probe_and_list(&self, server: &Server, looks: Looks) -> Result<Spent, Failure> {
        let (client, meter) = server.client.metered();
        server.probe(&client).await.map_err(down)?;
        server.learned.set_health(Health::Up);
        let listed = self.list(server, looks).await?;
        Ok(Spent {
            probe: meter.spent(),
            ..listed
        })
    }

    async fn list(&self, server: &Server, looks: Looks) -> Result<Spent, Failure> {
        let memory = &self.shared.memory;
        let inventory = &server.inventory;
        let lists = inventory.refresh(looks, &server.client, memory).await;
        Ok(Spent {
            probe: Duration::ZERO,
            lists: lists.map_err(down)?,
        })
    }

    fn schedule(&mut self, server: &Server, is_due: bool, visited: &Result<Spent, Failure>) {
        match visited {
            Ok(spent) => {
                self.failures = 0;
                self.has_listed = is_due;
                if is_due {
                    let took = spent.probe + spent.lists;
                    let next = spent.probe + server.inventory.price();
                    self.due = Instant::now() + server.looked(took, next);
                }
            }
            Err(failure) => self.goes_down(server, failure.clone()),
        }
    }

    /// The server is out of reach: it is probed again with growing pauses.
    fn goes_down(&mut self, server: &Server, failure: Failure) {
        self.failures = self.failures.saturating_add(1);
        let asked = failure.retry_after.unwrap_or_default().min(due::LONGEST);
        let pause = due::backoff(self.failures, fastrand::f64()).max(asked);
        self.due = Instant::now() + pause;
        server.learned.set_health(Health::Down(failure));
    }

    /// The connection can't be used any more, as when its Secret is gone. What has to be deleted through it still may be.
    async fn keep_for_deletions(&mut self, why: &Failure) {
        let is_due = self.due <= Instant::now();
        let Some(server) = self.server.clone() else {
            return self.try_again(why, is_due);
        };
        let visited = match server.learned.health() {
            Health::Down(_) if !is_due => return,
            Health::Up => {
                // Its lists may be asked for.
                let _ = self.list(&server, Looks::Wanted).await;
                return self.try_again(why, is_due);
            }
            _ => self.probe_and_list(&server, Looks::Wanted).await,
        };
        match visited {
            Ok(_) => self.try_again(why, is_due),
            Err(failure) => self.goes_down(&server, failure),
        }
    }

    /// Sets when to try again after this failure. Where it was not due yet, nothing puts it off.
    fn try_again(&mut self, failure: &Failure, is_due: bool) {
        self.failures = match failure.retry() {
            Retry::Backoff => self.failures.saturating_add(u32::from(is_due)),
            _ => 0,
        };
        let failures = self.failures.max(1);
        let pause = due::after(failure, failures, MISSING_RETRY, fastrand::f64());
        let next = Instant::now() + pause.min(MISSING_RETRY);
        self.due = if is_due { next } else { self.due.min(next) };
    }

    /// The server that the object leads to. It stays while neither settings nor what is given change.
    async fn try_prepare(&mut self, declared: &Declared) -> Result<Arc<Server>, Failure> {
        let settings = match &declared.settings {
            Ok(settings) => settings,
            Err(failure) => {
                self.replace(None);
                return Err(failure.clone());
            }
        };
        if self
            .server
            .as_ref()
            .is_some_and(|server| server.settings != *settings)
        {
            self.replace(None);
        }
        let (shared, sources) = (self.shared.clone(), &declared.sources);
        let versions = sources.versions(&shared).await;
        let drawn = (
            sources.clone(),
            versions.inspect_err(|_| self.drawn = None)?,
        );
        if let Some(server) = self
            .server
            .clone()
            .filter(|_| self.drawn.as_ref() == Some(&drawn))
        {
            return Ok(server);
        }
        let read = sources.read(&shared).await;
        let given = read.inspect_err(|_| self.drawn = None)?;
        self.drawn = Some(drawn);
        let known = self.server.clone();
        if let Some(server) = known.as_ref().filter(|server| server.given.is_as(&given)) {
            // It is due now where it was down for want of its Secret.
            self.due = self.due.min(Instant::now() + server.resync);
            return Ok(server.clone());
        }
        let known = known.filter(|server| server.given.has_token_of(&given));
        let (key, rest) = (&self.handle.key, self.rest.at(&settings.url));
        let built = client::server(&shared, key, settings, given, rest, known.as_deref());
        let built = built.inspect_err(|_| self.replace(None))?;
        match known {
            // What its lists hold is as true as before.
            Some(_) => self.take(Some(built.clone())),
            None => self.replace(Some(built.clone())),
        }
        Ok(built)
    }

    /// Takes another server, or none, in place of the last.
    fn replace(&mut self, server: Option<Arc<Server>>) {
        self.take(server);
        self.failures = 0;
        self.due = Instant::now();
    }

    /// As [`Self::replace`], where nothing is due that was not due before: nothing more is sent by the last one's client.
    fn take(&mut self, server: Option<Arc<Server>>) {
        if let Some(old) = std::mem::replace(&mut self.server, server) {
            old.client.close();
            *self.handle.known.write() = Known::default();
        }
    }

    /// Wakes whoever is concerned by what was found.
    fn tell(&mut self, declared: &Declared, known: &Known, was_down: bool) {
        let key = &self.handle.key;
        let is_new = self.told.as_ref().is_none_or(|told| !told.is(known));
        self.told = Some(Told {
            server: known.server.clone(),
            failure: known.failure.clone(),
            allowed: declared.allowed.clone(),
        });
        if is_new {
            self.shared.reconnected(key);
        } else if was_down != self.is_down() {
            self.shared.changed(&Dependency::Connection(key.clone()));
        }
        if let Some(server) = self.server.clone() {
            self.tell_differences(&server);
        }
        self.shared.wake(&self.handle.take_waiting());
    }

    fn tell_differences(&mut self, server: &Server) {
        let found = server.inventory.take_differences();
        let memory = &self.shared.memory;
        let stages = found.stages.iter();
        let stages = stages.map(|found| (found.uuid, found.label.as_str(), found.since));
        let bound = found.bound.iter().map(|(uuid, since)| (*uuid, "", *since));
        for (uuid, name, since) in stages.chain(bound) {
            let concerned = memory.concerned(uuid, name);
            if let Some(since) = since {
                memory.changed_after(&concerned, since);
            }
            self.shared.due(&concerned);
        }
        for (collection, uuid, label) in found.references {
            for name in [uuid.to_string(), label] {
                self.shared.changed(&Dependency::Object(collection, name));
            }
        }
        let is_due = server.set_interval.is_some() || self.secrets_due <= Instant::now();
        if self.has_listed && is_due {
            self.secrets_due = Instant::now() + server.resync;
            self.shared.look_at_secrets(&self.handle.key);
        }
    }

    /// The connection is gone, or the operator ends.
    fn end(self) {
        if let Some(server) = &self.server {
            server.client.close();
        }
        self.shared
            .metrics
            .forget_connection(&self.handle.key.path());
        let key = self.handle.key.clone();
        self.shared.changed(&Dependency::Connection(key));
    }
}
