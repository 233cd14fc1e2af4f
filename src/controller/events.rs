//! Kubernetes events. kube's own recorder counts events by their reason alone and keeps the first one's text;
//! here two texts are two events, and only the very same event is counted up.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use parking_lot::Mutex;
use serde_json::json;

use super::kubernetes::{Kubernetes, WriteError};
use crate::{api::MANAGER, plan::Note};

/// How long the same event is counted up rather than written anew; Kubernetes forgets events after an hour.
const SERIES: Duration = Duration::from_secs(30 * 60);
/// How often the events that are not counted up any more are let go.
const SWEEP: Duration = Duration::from_secs(60);
/// How many events are remembered at the most. Past that they are forgotten, and what is said again is a new event.
const MOST_REMEMBERED: usize = 20_000;
/// The most characters of a name that Kubernetes takes.
const LONGEST_NAME: usize = 253;
/// The most bytes of a note that Kubernetes takes.
const LONGEST_NOTE: usize = 1024;

struct Published {
    name: String,
    count: i32,
    at: Instant,
}

/// Publishes events.
pub struct Events {
    kubernetes: Arc<Kubernetes>,
    recent: Mutex<Recent>,
}

/// What has been published of late: by the object's uid, what was said.
struct Recent {
    published: HashMap<(String, Note), Published>,
    /// When those that are too old were last let go.
    swept: Instant,
}

impl Events {
    /// A publisher that has published nothing.
    #[must_use]
    pub fn new(kubernetes: Arc<Kubernetes>) -> Self {
        Self {
            kubernetes,
            recent: Mutex::new(Recent {
                published: HashMap::new(),
                swept: Instant::now(),
            }),
        }
    }

    /// Publishes an event about this object. A failure is logged: no event is worth a failed reconcile.
    pub async fn publish(&self, about: &ObjectReference, note: Note) {
        let key = (about.uid.clone().unwrap_or_default(), note);
        let namespace = about.namespace.as_deref().unwrap_or("default");
        let events: Api<Event> = Api::namespaced(self.kubernetes.client.clone(), namespace);
        let written = match self.counted_up(&key) {
            Some((name, count)) => self.count_up(&events, &name, count).await,
            None => Err(None),
        };
        let written = match written {
            Ok(name) => Ok(name),
            // The counted event is gone, or there was none.
            Err(None) => self.create(&events, about, &key.1).await,
            Err(Some(error)) => Err(error),
        };
        match written {
            Ok(name) => self.remember(key, name),
            Err(error) => tracing::warn!(reason = key.1.reason, %error, "event not published"),
        }
    }

    fn counted_up(&self, key: &(String, Note)) -> Option<(String, i32)> {
        let mut recent = self.recent.lock();
        recent.sweep();
        let published = recent.published.get(key);
        published
            .filter(|published| published.at.elapsed() < SERIES)
            .map(|published| (published.name.clone(), published.count + 1))
    }

    fn remember(&self, key: (String, Note), name: String) {
        let mut recent = self.recent.lock();
        let entry = recent.published.entry(key).or_insert(Published {
            name: name.clone(),
            count: 0,
            at: Instant::now(),
        });
        entry.count = if entry.name == name {
            entry.count + 1
        } else {
            1
        };
        entry.name = name;
        entry.at = Instant::now();
    }
}

impl Recent {
    /// Lets go what is too old, once in a while: to look at all for each of many events would take ever longer.
    fn sweep(&mut self) {
        if self.swept.elapsed() < SWEEP {
            return;
        }
        self.swept = Instant::now();
        self.published
            .retain(|_, published| published.at.elapsed() < SERIES);
        if self.published.len() > MOST_REMEMBERED {
            self.published.clear();
        }
        self.published.shrink_to_fit();
    }
}

/// A name as client-go makes them: the object's and the time's.
fn event_name(object: &str, at: Timestamp) -> String {
    let suffix = format!(".{:x}", at.as_nanosecond());
    let longest = LONGEST_NAME - suffix.len();
    // A name is ASCII; what is left of it has to end as names may.
    let object = object.get(..longest).unwrap_or(object);
    format!("{}{suffix}", object.trim_end_matches(['-', '.']))
}

impl Events {
    async fn count_up(
        &self,
        events: &Api<Event>,
        name: &str,
        count: i32,
    ) -> Result<String, Option<WriteError>> {
        let series = EventSeries {
            count,
            last_observed_time: MicroTime(Timestamp::now()),
        };
        let patch = Patch::Merge(json!({ "series": series }));
        let params = PatchParams::default();
        match self
            .kubernetes
            .write(events.patch(name, &params, &patch))
            .await
        {
            Ok(_) => Ok(name.to_owned()),
            Err(WriteError::Kubernetes(kube::Error::Api(status))) if status.code == 404 => {
                Err(None)
            }
            Err(error) => Err(Some(error)),
        }
    }

    async fn create(
        &self,
        events: &Api<Event>,
        about: &ObjectReference,
        note: &Note,
    ) -> Result<String, WriteError> {
        let event = event(about, note, Timestamp::now());
        let params = PostParams::default();
        self.kubernetes
            .write(events.create(&params, &event))
            .await?;
        Ok(event.metadata.name.unwrap_or_default())
    }
}

fn event(about: &ObjectReference, note: &Note, now: Timestamp) -> Event {
    let namespace = about.namespace.clone();
    Event {
        metadata: ObjectMeta {
            name: Some(event_name(about.name.as_deref().unwrap_or(MANAGER), now)),
            namespace: Some(namespace.unwrap_or_else(|| "default".to_owned())),
            ..ObjectMeta::default()
        },
        action: Some("Reconcile".to_owned()),
        event_time: Some(MicroTime(now)),
        note: Some(cut(&note.text).to_owned()),
        reason: Some(note.reason.to_owned()),
        regarding: Some(about.clone()),
        reporting_controller: Some(MANAGER.to_owned()),
        reporting_instance: Some(MANAGER.to_owned()),
        type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}

/// As much of a note as Kubernetes takes.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_NOTE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_to_the_bytes_that_kubernetes_takes() {
        for (text, bytes) in [
            ("short".to_owned(), 5),
            ("x".repeat(1025), 1024),
            ("\u{754c}".repeat(400), 1023),
        ] {
            assert_eq!(cut(&text).len(), bytes);
        }
    }

    #[test]
    fn an_event_of_an_object_with_the_longest_name_has_one_that_kubernetes_takes() {
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        assert_eq!(event_name("mfa", at), "mfa.18fae27693b40000");
        for object in ["n".repeat(LONGEST_NAME), "n-".repeat(126), "n.".repeat(126)] {
            let name = event_name(&object, at);
            assert!(name.len() <= LONGEST_NAME, "{name}");
            assert!(name.ends_with("n.18fae27693b40000"), "{name}");
        }
    }
}
