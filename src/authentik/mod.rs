//! A small client for the part of authentik's API that this operator uses. It knows nothing of Kubernetes.
//!
//! Written by hand and lenient in what it reads, so that one build works with every authentik from 2024.2 on: objects are plain JSON,
//! unknown fields and values pass through. What is known of authentik's conduct was measured on 2024.2.2, 2024.8.3, 2025.10.4 and
//! 2026.5.0-rc1; where releases differ, [`versions`] says how.
//!
//! ```text
//! config      what a connection needs, and what can be wrong with it
//! transport   one request and its answer: paced, bounded, logged without its content
//! error       what can go wrong, by what to do about it
//! list        whole collections, page by page
//! trace       the span of one request, and the headers that carry it
//! redact      what a server says, made fit to be shown
//! versions    what differs between releases
//! ```

mod config;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod list;
mod redact;
#[cfg(test)]
mod tests;
mod trace;
mod transport;
pub mod versions;

use std::{fmt, sync::Arc};

use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

pub use self::{
    config::{Config, ConfigError, Gate, Observed, Observer},
    error::{DeniedKind, Error},
    versions::Version,
};
use self::{
    redact::Redactor,
    transport::{MAX_BODY, Request, Transport},
};

/// A kind of object that authentik keeps, and where.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Collection {
    /// Path below `/api/v3/`, without slashes around it.
    path: &'static str,
    /// Field of the primary key, which every supported release can order by.
    key: &'static str,
    /// Django's names for the app and the model, of which permissions are made.
    model: (&'static str, &'static str),
}

impl Collection {
    /// Authenticator validation stages.
    pub const VALIDATE_STAGES: Collection = Collection {
        path: "stages/authenticator/validate",
        key: "pk",
        model: (
            "authentik_stages_authenticator_validate",
            "authenticatorvalidatestage",
        ),
    };
    /// Duo authenticator setup stages.
    pub const DUO_STAGES: Collection = Collection {
        path: "stages/authenticator/duo",
        key: "pk",
        model: (
            "authentik_stages_authenticator_duo",
            "authenticatorduostage",
        ),
    };
    /// Stages of every kind, with what they have in common. To be read only.
    pub const ALL_STAGES: Collection = Collection {
        path: "stages/all",
        key: "pk",
        model: ("authentik_flows", "stage"),
    };
    /// Flows. [`Client::get`] finds them by slug, not by UUID.
    pub const FLOWS: Collection = Collection {
        path: "flows/instances",
        key: "pk",
        model: ("authentik_flows", "flow"),
    };
    /// Which stage comes when in which flow.
    pub const BINDINGS: Collection = Collection {
        path: "flows/bindings",
        key: "pk",
        model: ("authentik_flows", "flowstagebinding"),
    };
    /// The kinds of WebAuthn device that authentik knows; not before 2024.6. To be read only.
    pub const WEBAUTHN_DEVICE_TYPES: Collection = Collection {
        path: "stages/authenticator/webauthn_device_types",
        key: "aaguid",
        model: (
            "authentik_stages_authenticator_webauthn",
            "webauthndevicetype",
        ),
    };

    /// Path below `/api/v3/`, without slashes around it.
    pub fn path(self) -> &'static str {
        self.path
    }
}

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)
    }
}

/// The Django permission, `app_label.codename`, that a request with this method needs on a collection's model,
/// or `None` for a method that authentik has no permission for.
///
/// The stage kinds' permissions as assigned on 2024.2 to 2026.5; the other models' names follow the same rule of Django's.
pub fn model_permission(collection: Collection, method: &Method) -> Option<String> {
    let action = match *method {
        Method::GET => "view",
        Method::POST => "add",
        Method::PATCH => "change",
        Method::DELETE => "delete",
        _ => return None,
    };
    let (app, model) = collection.model;
    Some(format!("{app}.{action}_{model}"))
}

/// Something that refers to an object, and what deleting the object would do to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedBy {
    /// Django app, `authentik_flows`.
    pub app: String,
    /// Django model, `flowstagebinding`.
    pub model_name: String,
    /// Primary key.
    pub pk: String,
    /// authentik's description of it, such as `Flow Login (login)`.
    pub name: String,
    /// `cascade`, `cascade_many`, `set_null` and the like; in lower case, which 2024.2 does not use.
    pub action: String,
}

impl UsedBy {
    /// Takes whatever is there: an entry that were dropped would look as if nothing used the object.
    fn from_value(value: &Value) -> UsedBy {
        let text = |key: &str| match value.get(key) {
            Some(Value::String(text)) => Redactor::new("", None).clean(text),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        UsedBy {
            app: text("app"),
            model_name: text("model_name"),
            pk: text("pk"),
            name: text("name"),
            action: text("action").to_lowercase(),
        }
    }
}

/// A connection to one authentik server. Clones share its pace, its limits and its connections.
///
/// Nothing is retried. Every request that fails is an [`Error`], whose class says what to do.
#[derive(Clone)]
pub struct Client(Arc<Transport>);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.0.api_root)
    }
}

impl Client {
    /// Prepares a client; nothing is sent yet.
    ///
    /// # Errors
    /// When the configuration can't work, naming the field.
    pub fn new(config: &Config) -> Result<Client, ConfigError> {
        Client::bounded(config, MAX_BODY)
    }

    fn bounded(config: &Config, max_body: usize) -> Result<Client, ConfigError> {
        Ok(Client(Arc::new(Transport::new(config, max_body)?)))
    }

    /// Sends nothing more: requests that have not been sent end in [`Error::Closed`], those under way as ever.
    pub fn close(&self) {
        self.0.close();
    }

    /// The server's version. Any valid token may ask, whatever its permissions (measured on 2024.2 to 2026.5).
    ///
    /// # Errors
    /// [`Error::AccessDenied`] means that the token itself is not accepted.
    pub async fn version(&self) -> Result<Version, Error> {
        let path = "admin/version";
        let answer: Result<Map<String, Value>, Error> =
            self.read_json(None, self.url(path, &[])).await;
        let answer = answer.map_err(|error| self.no_page(error, path))?;
        match answer.get("version_current").and_then(Value::as_str) {
            Some(text) => Ok(Version::parse(&Redactor::new("", None).clean(text))),
            None => Err(Error::NotAuthentik {
                what: "its version page names no version".to_owned(),
            }),
        }
    }

    /// One object by its UUID, or a flow by its slug; `None` when there is none.
    pub async fn get(&self, collection: Collection, id: &str) -> Result<Option<Value>, Error> {
        // authentik's URLs match no such id, and answer as they do for a wrong path.
        if id.is_empty() || id.contains(['/', '.']) {
            return Ok(None);
        }
        let request = Request {
            method: Method::GET,
            url: self.url(collection.path, &[id]),
            collection: Some(collection),
            body: None,
        };
        match self.0.call(request).await {
            Ok(object) => Ok(Some(Value::Object(object))),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates an object; returns it as stored. Fields that this authentik doesn't know are missing from the answer, without an error.
    ///
    /// # Errors
    /// After one with [`Error::outcome_unknown`] the object may exist: look for it by name before trying again.
    pub async fn create(&self, collection: Collection, body: &Value) -> Result<Value, Error> {
        let request = Request {
            method: Method::POST,
            url: self.url(collection.path, &[]),
            collection: Some(collection),
            body: Some(body),
        };
        let object = self.0.call(request).await?;
        Ok(Value::Object(object))
    }

    /// Changes the given fields (PATCH); returns the object as stored.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the object is gone.
    pub async fn update(
        &self,
        collection: Collection,
        pk: Uuid,
        body: &Value,
    ) -> Result<Value, Error> {
        let request = Request {
            method: Method::PATCH,
            url: self.url(collection.path, &[&pk.to_string()]),
            collection: Some(collection),
            body: Some(body),
        };
        let object = self.0.call(request).await?;
        Ok(Value::Object(object))
    }

    /// Deletes an object; `false` when it was gone already. A stage's bindings go with it, and a Duo stage's enrolled devices.
    ///
    /// # Errors
    /// [`Error::Unavailable`] also for another success than the 204 of authentik (measured on 2024.2 to 2026.5): something
    /// else has answered, such as a proxy, and the object may be there still.
    pub async fn delete(&self, collection: Collection, pk: Uuid) -> Result<bool, Error> {
        let request = Request {
            method: Method::DELETE,
            url: self.url(collection.path, &[&pk.to_string()]),
            collection: Some(collection),
            body: None,
        };
        match self.0.exchange(&request).await {
            Ok(answer) if answer.status == StatusCode::NO_CONTENT => Ok(true),
            Ok(answer) => {
                let cause = format!("answered {} to a deletion", answer.status.as_u16());
                Err(Error::unavailable(cause, true))
            }
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What refers to an object, as far as the token may see it.
    ///
    /// A token that may not view the flows, bindings or devices gets a list without them, not an error; on 2024.2 even one
    /// that may not view the object gets an empty list. A validate stage's own configuration stages are among the entries (as
    /// `stage`), and the validate stages that use a stage for configuration are not (measured on 2024.2 to 2026.5).
    ///
    /// # Errors
    /// [`Error::NotFound`] when the object is gone.
    pub async fn used_by(&self, collection: Collection, pk: Uuid) -> Result<Vec<UsedBy>, Error> {
        let request = Request {
            method: Method::GET,
            url: self.url(collection.path, &[&pk.to_string(), "used_by"]),
            collection: Some(collection),
            body: None,
        };
        let users: Vec<Value> = self.0.call(request).await?;
        Ok(users.iter().map(UsedBy::from_value).collect())
    }

    /// `<root>/<path>/<more>/`. Without the last slash authentik answers 404, or worse 405.
    fn url(&self, path: &str, more: &[&str]) -> Url {
        let mut url = self.0.api_root.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path.split('/')).extend(more).push("");
        }
        url
    }

    /// A JSON 404 where no object was asked for comes from some other server.
    fn no_page(&self, error: Error, path: &str) -> Error {
        match error {
            Error::NotFound => Error::EndpointMissing {
                path: self.url(path, &[]).path().to_owned(),
            },
            error => error,
        }
    }

    async fn read_json<T: DeserializeOwned>(
        &self,
        collection: Option<Collection>,
        url: Url,
    ) -> Result<T, Error> {
        let request = Request {
            method: Method::GET,
            url,
            collection,
            body: None,
        };
        self.0.call(request).await
    }
}
