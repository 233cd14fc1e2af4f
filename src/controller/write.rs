//! The writes of a stage's own fields: creating it, changing what differs, and what is noted of either.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use super::{
    bindings::Wanted,
    context::{Creation, Ignored},
    failure::{Failure, Reason},
    ownership::name_taken,
    resolve::secret_keys,
    server::Server,
    stage::Run,
};
use crate::{
    api::{Change, SentSecret},
    authentik::{self, versions},
    plan::{self, Desired, Diff, Fields, Live, SecretVersion},
    stages::{Field, StageKind},
};

/// How often one reconcile looks again at what its own writes made of a stage.
const ROUNDS: usize = 3;

impl<K: StageKind> Run<K> {
    /// Creates the stage. Whatever holds the name already, or came to hold it by a write whose answer was lost,
    /// is looked at first.
    pub(super) async fn create(
        &mut self,
        server: &Server,
        desired: &Desired,
        bindings: Option<&Wanted>,
    ) -> Result<Arc<Live>, Failure> {
        let mut body = plan::create_body(desired);
        let all: Vec<_> = secret_keys(&*self.resource)
            .into_iter()
            .map(|(field, _)| field)
            .collect();
        let sent = self.add_secrets(&mut body, &all).await?;
        match server.create(K::COLLECTION, &object(&body)).await {
            Ok(answer) => {
                let live = self.wrote(server, answer)?;
                self.created(server, &live, sent);
                Ok(live)
            }
            Err(error) if name_taken(&error) => self.held(server, desired, bindings).await,
            Err(error) if error.outcome_unknown() => {
                self.lost = Some(Arc::new(Creation {
                    server: server.url.clone(),
                    desired: desired.clone(),
                }));
                match self.look_up(server, &desired.name).await {
                    Ok(Some(live)) => self.adopt(server, desired, live, bindings),
                    // The request may be under way still, so that it is not there yet says nothing.
                    Ok(None) | Err(_) => {
                        self.uncertain();
                        Err(error.into())
                    }
                }
            }
            Err(error) => Err(refused(server, desired, error)),
        }
    }

    pub(super) fn created(&mut self, server: &Server, live: &Live, sent: Vec<SentSecret>) {
        let again = self
            .before
            .stage
            .as_ref()
            .is_some_and(|stage| stage.managed && stage.server == server.url);
        self.lost = None;
        self.certain();
        self.identify(server, live, true);
        self.status.secrets.clear();
        self.record_sent(sent);
        let fields = plan::sorted(self.resource.wanted().into_iter().map(|(field, _)| field));
        self.changed("Created", fields);
        let what = if again {
            "created again, for it was gone,"
        } else {
            "created"
        };
        self.note(
            "Created",
            format!(
                "{what} stage {:?} ({}) on {}",
                live.name, live.uuid, server.url
            ),
        );
    }

    /// Writes what differs, until the answer holds all that the server is able to hold.
    pub(super) async fn update(
        &mut self,
        server: &Server,
        desired: &Desired,
        mut live: Arc<Live>,
    ) -> Result<(), Failure> {
        for _ in 0..ROUNDS {
            let mut diff = plan::diff::<K>(desired, &live, &self.status.secrets);
            self.pass_over_ignored(&mut diff);
            if diff.is_empty() {
                self.identify(server, &live, true);
                return unsupported(server, &diff);
            }
            if self.was_in_sync() && !diff.changes.is_empty() {
                self.ctx.metrics.drift_found(K::KIND);
            }
            live = self.patch(server, desired, &diff, &live).await?;
        }
        self.identify(server, &live, true);
        Err(Failure::new(
            Reason::AuthentikUnavailable,
            "the stage kept changing in authentik while it was written; someone else may be writing it",
        ))
    }

    pub(super) async fn patch(
        &mut self,
        server: &Server,
        desired: &Desired,
        diff: &Diff,
        live: &Live,
    ) -> Result<Arc<Live>, Failure> {
        let mut body = plan::update_body::<K>(diff, desired);
        let sent = self.add_secrets(&mut body, &diff.secrets).await?;
        let answer = match server
            .update(K::COLLECTION, live.uuid, &object(&body))
            .await
        {
            Ok(answer) => answer,
            Err(error) => return Err(self.patch_failed(server, desired, live, error).await),
        };
        let live = self.wrote(server, answer)?;
        self.note_ignored(diff, &live);
        self.record_sent(sent);
        self.identify(server, &live, true);
        self.wrote_fields(diff.spec_fields(), !diff.changes.is_empty());
        Ok(live)
    }

    /// After a write of which nothing is known the inventory is not to be trusted either.
    pub(super) async fn patch_failed(
        &self,
        server: &Server,
        desired: &Desired,
        live: &Live,
        error: authentik::Error,
    ) -> Failure {
        let list = server.inventory.kind::<K>();
        if name_taken(&error) {
            return self.name_conflict(server, &desired.name).await;
        }
        if matches!(error, authentik::Error::NotFound) {
            list.wrote(live.uuid, None);
            return Failure::new(
                Reason::AuthentikUnavailable,
                "the stage was deleted in authentik just now; it will be created again",
            );
        }
        if error.outcome_unknown() {
            self.uncertain();
        }
        refused(server, desired, error)
    }

    /// Reads the values of these secret fields into the body. Returns what to record once they are sent.
    pub(super) async fn add_secrets(
        &self,
        body: &mut Fields,
        fields: &[&'static Field],
    ) -> Result<Vec<SentSecret>, Failure> {
        let mut sent = Vec::new();
        for (field, key) in secret_keys(&*self.resource) {
            if !fields.contains(&field) {
                continue;
            }
            let version = match key {
                Some(key) => {
                    let (version, value) = self.ctx.secrets.read(&self.id.namespace, &key).await?;
                    body.insert(field.api, Value::from(value.expose_secret().trim()));
                    Some(version)
                }
                None => {
                    body.insert(field.api, Value::from(""));
                    None::<SecretVersion>
                }
            };
            sent.push(plan::sent_secret(field, version.as_ref()));
        }
        Ok(sent)
    }

    pub(super) fn record_sent(&mut self, sent: Vec<SentSecret>) {
        let secrets = &mut self.status.secrets;
        secrets.retain(|old| sent.iter().all(|new| new.field != old.field));
        secrets.extend(sent);
        secrets.sort_unstable_by(|one, other| one.field.cmp(&other.field));
    }

    /// Notes a change of these fields, by whatever request. What is written while a stage is created or taken
    /// over is part of that.
    pub(super) fn wrote_fields(&mut self, fields: Vec<String>, readable: bool) {
        let drift = readable && self.was_in_sync();
        if drift {
            self.ctx.metrics.drift_repaired(K::KIND);
        }
        let reason = if drift { "DriftCorrected" } else { "Updated" };
        self.note(reason, format!("changed {}", fields.join(", ")));
        let earlier = self
            .status
            .last_change
            .take_if(|change| Some(&*change) != self.before.last_change.as_ref());
        match earlier {
            Some(earlier) => {
                let all: BTreeSet<_> = earlier.fields.into_iter().chain(fields).collect();
                self.changed(&earlier.reason, all.into_iter().collect());
            }
            None => self.changed(reason, fields),
        }
    }

    /// Nothing but authentik has changed since the resource was last in sync.
    pub(super) fn was_in_sync(&self) -> bool {
        let in_sync = self
            .ctx
            .resources
            .get(&self.id)
            .and_then(|known| known.in_sync);
        in_sync.is_some() && in_sync == self.resource.meta().generation
    }

    pub(super) fn changed(&mut self, reason: &str, fields: Vec<String>) {
        self.status.last_change = Some(Change {
            time: Time(Timestamp::now()),
            reason: reason.to_owned(),
            fields,
        });
    }

    /// A value that the server took and did not keep is not sent again while it wants and finds the same.
    pub(super) fn pass_over_ignored(&self, diff: &mut Diff) {
        let all = self.ctx.ignored.lock().expect("no panic while held");
        let Some(ignored) = all.get(&self.id) else {
            return;
        };
        let (passed, kept): (Vec<_>, Vec<_>) = diff.changes.drain(..).partition(|change| {
            ignored.iter().any(|(field, wanted, found)| {
                *field == change.field.api && *wanted == change.wanted && *found == change.found
            })
        });
        diff.changes = kept;
        diff.unsupported
            .extend(passed.iter().map(|change| change.field));
    }

    pub(super) fn note_ignored(&self, sent: &Diff, live: &Live) {
        let ignored: Ignored = sent
            .changes
            .iter()
            .filter(|change| live.fields.get(change.field.api) == Some(&change.found))
            .map(|change| {
                (
                    change.field.api,
                    change.wanted.clone(),
                    change.found.clone(),
                )
            })
            .collect();
        let mut all = self.ctx.ignored.lock().expect("no panic while held");
        if ignored.is_empty() {
            all.remove(&self.id);
        } else {
            all.insert(self.id.clone(), ignored);
        }
    }
}

pub(super) fn object(fields: &Fields) -> Value {
    Value::Object(
        fields
            .iter()
            .map(|(field, value)| ((*field).to_owned(), value.clone()))
            .collect::<Map<_, _>>(),
    )
}

/// Why the server did not take a stage: in its own words, and with the release that knows a value which is too new for it.
fn refused(server: &Server, desired: &Desired, error: authentik::Error) -> Failure {
    let mut failure = Failure::from(error);
    if let (Reason::Rejected, Ok(version)) = (failure.reason, server.version()) {
        let listed = desired.fields.iter().flat_map(|(field, value)| {
            let values = value.as_array().into_iter().flatten();
            values.filter_map(move |value| Some((*field, value.as_str()?)))
        });
        for (field, value) in listed {
            if let Some(since) = versions::value_since(field, value)
                && !since.may_be_known(&version)
            {
                let explanation = format!("; {value:?} needs {since}, and this is {version}");
                failure.message.push_str(&explanation);
            }
        }
    }
    failure
}

/// Fields that the server does not know are reported, never dropped without a word.
pub(super) fn unsupported(server: &Server, diff: &Diff) -> Result<(), Failure> {
    if diff.unsupported.is_empty() {
        return Ok(());
    }
    let version = server.version()?;
    let mut fields: Vec<_> = diff
        .unsupported
        .iter()
        .map(|field| match versions::field_since(field.api) {
            Some(since) if !since.may_be_known(&version) => format!("{} needs {since}", field.spec),
            _ => format!("{} was not kept by the server", field.spec),
        })
        .collect();
    fields.sort_unstable();
    fields.dedup();
    Err(Failure::new(
        Reason::FieldUnsupported,
        format!(
            "authentik {version} can't hold everything that the spec sets: {}; remove what is not supported from the spec, or upgrade authentik (all else is in sync)",
            fields.join("; ")
        ),
    ))
}

/// Whether authentik holds what the spec says, as far as it is able to.
pub(super) fn is_written(updated: &Result<(), Failure>) -> bool {
    updated
        .as_ref()
        .err()
        .is_none_or(|failure| failure.reason == Reason::FieldUnsupported)
}
