//! Whose a token is, and what it may do, found out without a write.
//!
//! A list answers 403 to those who may view nothing of it. `OPTIONS` describes how to create (of a list) and to change (of
//! an object) to those who may, and leaves it out to others: so Django REST framework does (`metadata.py`); what it says to
//! those who may was measured on 2024.2 to 2026.5. Nothing safe tells who may delete.

use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use uuid::Uuid;

use super::{
    answer::{AtMost, Success},
    client::{Client, MAX_PAGE, ObjectId},
    collection::Collection,
    error::{DeniedKind, Error},
    reading::Weigh,
    receive::FREE,
    shown::Remote,
    transport::Request,
};

/// Most bytes of the account's page.
const MAX_ACCOUNT: usize = 16 * FREE;

/// Most rows of a page of which one was asked for.
const MAX_ROWS: usize = 1000;

/// The user of the token, as they are told to themselves.
#[derive(Clone, Debug)]
pub struct Whoami {
    /// Their number.
    pub pk: u64,
    /// Their name.
    pub username: Remote,
    /// What the account is for, such as `service_account`.
    pub kind: Option<Remote>,
    /// Whether they may do everything.
    pub is_superuser: bool,
    /// What they may do besides models, such as `edit_system_settings`.
    pub system_permissions: Vec<Remote>,
}

impl Whoami {
    /// Whether they are an outpost's own account, which sees empty lists where others see an error.
    #[must_use]
    pub fn is_outposts(&self) -> bool {
        self.kind
            .as_ref()
            .is_some_and(|kind| *kind == "internal_service_account")
    }
}

/// A token of a user. Its key is never asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiToken {
    /// What it is called.
    pub identifier: Remote,
    /// Whether it ends; nothing where that could not be read.
    pub expires: Option<bool>,
    /// When it ends, if it does.
    pub at: Option<Timestamp>,
}

/// What a token may do with the objects of a collection. Nothing: it can't be known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Rights {
    /// Whether this release has no such collection.
    pub is_absent: bool,
    /// To see them.
    pub view: Option<bool>,
    /// To create one.
    pub add: Option<bool>,
    /// To change one.
    pub change: Option<bool>,
}

/// A token, which may be another user's.
#[derive(Deserialize)]
pub(super) struct TokenRow {
    identifier: Remote,
    #[serde(default)]
    intent: Value,
    #[serde(default)]
    user: Value,
    #[serde(default)]
    expiring: Value,
    #[serde(default)]
    expires: Value,
}

impl Weigh for TokenRow {
    fn weight(&self) -> usize {
        let values = [&self.intent, &self.user, &self.expiring, &self.expires];
        let values: usize = values.into_iter().map(Weigh::weight).sum();
        size_of::<Self>() + self.identifier.raw().len() + values
    }
}

impl TokenRow {
    /// The token, if it is one for the API, and this user's. A filter that the server did not know would have let others in.
    pub(super) fn token(self, user: u64) -> Option<ApiToken> {
        let is_theirs = self.intent == "api" && self.user == user;
        let at = self.expires.as_str().and_then(|text| text.parse().ok());
        is_theirs.then_some(ApiToken {
            identifier: self.identifier,
            expires: self.expiring.as_bool(),
            at,
        })
    }
}

/// What `OPTIONS` describes.
#[derive(Deserialize)]
struct Metadata {
    /// Which every such answer of authentik's has, and hardly another.
    #[serde(rename = "parses")]
    _parses: AtMost<Remote, 100>,
    #[serde(default)]
    actions: Map<String, Value>,
}

impl Client {
    /// Who the token's user is. Any valid token may ask.
    ///
    /// # Errors
    /// As any request.
    pub async fn whoami(&self) -> Result<Whoami, Error> {
        let request = self.request(Method::GET, self.url("core/users/me", &[]), MAX_ACCOUNT);
        self.0.call(&request, read_whoami).await
    }

    /// The API tokens of this user, as far as the token may see them. Which of them it is itself, authentik does not tell.
    ///
    /// # Errors
    /// [`Error::AccessDenied`] where it may see none.
    pub async fn api_tokens(&self, user: &Whoami) -> Result<Vec<ApiToken>, Error> {
        let filter = [("user__username", user.username.raw()), ("intent", "api")];
        let keep = |row: TokenRow| row.token(user.pk);
        Ok(self.list(Collection::TOKENS, &filter, keep).await?.rows)
    }

    /// What the token may do with the objects of a collection. Nothing is written.
    ///
    /// # Errors
    /// Where the server can't be asked, or does not accept the token.
    pub async fn rights(&self, collection: Collection) -> Result<Rights, Error> {
        let first = self.first(collection).await;
        let mut rights = Rights {
            add: self.describes(collection, None, "POST").await?,
            ..Rights::default()
        };
        match first {
            Ok(object) => {
                rights.view = Some(true);
                if let Some(object) = object {
                    rights.change = self.describes(collection, Some(&object), "PUT").await?;
                }
            }
            Err(Error::EndpointMissing { .. }) => rights.is_absent = true,
            Err(error) => rights.view = denied(error)?,
        }
        Ok(rights)
    }

    /// Whether the token may see this collection; nothing where this release has none.
    ///
    /// # Errors
    /// As [`Self::rights`].
    pub async fn may_view(&self, collection: Collection) -> Result<Rights, Error> {
        let mut rights = Rights::default();
        match self.first(collection).await {
            Ok(_) => rights.view = Some(true),
            Err(Error::EndpointMissing { .. }) => rights.is_absent = true,
            Err(error) => rights.view = denied(error)?,
        }
        Ok(rights)
    }

    /// What the path of some object of the collection ends with; nothing where there is none.
    async fn first(&self, collection: Collection) -> Result<Option<String>, Error> {
        #[derive(Deserialize)]
        struct Page<'a> {
            #[serde(borrow)]
            results: AtMost<&'a RawValue, MAX_ROWS>,
        }
        let mut url = self.url(collection.path(), &[]);
        url.query_pairs_mut().append_pair("page_size", "1");
        if collection == Collection::AUDIT_LOG {
            // authentik counts what a filter lets pass: without one, all of a log that may have millions.
            let nothing = Uuid::nil().simple().to_string();
            url.query_pairs_mut()
                .append_pair("context_model_pk", &nothing);
        }
        let request = Request {
            collection: Some(collection),
            ..self.request(Method::GET, url, MAX_PAGE)
        };
        let read = self.0.call(&request, |success| {
            let page: Page<'_> = success.decode()?;
            let row = page.results.0.first();
            Ok(row.and_then(|row| end_of_path(collection, row)))
        });
        read.await
    }

    /// Whether `OPTIONS` describes this method, of one object or of the list. Nothing where something else has answered.
    async fn describes(
        &self,
        collection: Collection,
        object: Option<&str>,
        method: &str,
    ) -> Result<Option<bool>, Error> {
        let more: Vec<&str> = object.into_iter().collect();
        let request = Request {
            collection: Some(collection),
            object: object.is_some(),
            ..self.request(
                Method::OPTIONS,
                self.url(collection.path(), &more),
                MAX_PAGE,
            )
        };
        let read = |success: &Success<'_>| read_description(success, method);
        match self.0.call(&request, read).await {
            Ok(describes) => Ok(Some(describes)),
            // A proxy may answer by itself, or refuse the method.
            Err(error @ (Error::AccessDenied { .. } | Error::Closed)) => {
                denied(error).map(|_| None)
            }
            Err(_) => Ok(None),
        }
    }
}

/// Reads who the token's user is.
pub(super) fn read_whoami(success: &Success<'_>) -> Result<Whoami, Error> {
    #[derive(Deserialize)]
    struct Page {
        user: User,
    }
    #[derive(Deserialize)]
    struct User {
        pk: u64,
        username: Remote,
        #[serde(default)]
        is_superuser: bool,
        #[serde(default, rename = "type")]
        kind: Value,
        #[serde(default)]
        system_permissions: Value,
    }
    let user = success.decode::<Page>()?.user;
    let permissions = user.system_permissions.as_array().into_iter().flatten();
    Ok(Whoami {
        pk: user.pk,
        username: user.username,
        kind: user.kind.as_str().map(Remote::from),
        is_superuser: user.is_superuser,
        system_permissions: permissions
            .filter_map(Value::as_str)
            .map(Remote::from)
            .collect(),
    })
}

/// Reads whether `OPTIONS` describes this method.
pub(super) fn read_description(success: &Success<'_>, method: &str) -> Result<bool, Error> {
    let metadata: Metadata = success.decode()?;
    Ok(metadata.actions.contains_key(method))
}

/// Whether a refusal says that a permission is missing, or is one of the whole token.
fn denied(error: Error) -> Result<Option<bool>, Error> {
    match error {
        Error::AccessDenied {
            kind: DeniedKind::Permission,
            ..
        } => Ok(Some(false)),
        Error::AccessDenied { .. } | Error::Closed | Error::Unavailable { .. } => Err(error),
        _ => Ok(None),
    }
}

/// What the path of this object ends with.
fn end_of_path(collection: Collection, row: &RawValue) -> Option<String> {
    let row: Map<String, Value> = serde_json::from_str(row.get()).ok()?;
    let text = |field: &str| row.get(field)?.as_str();
    let key = collection.parse_key(text(collection.key())?)?;
    let label = text(collection.label()).unwrap_or_default();
    ObjectId { key, label }.end_of_path(collection).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(row: Value) -> Option<ApiToken> {
        serde_json::from_value::<TokenRow>(row).unwrap().token(7)
    }

    #[test]
    fn a_token_is_read_as_far_as_it_can_be() {
        let row = json!({"identifier": "a", "intent": "api", "user": 7, "expiring": true, "expires": "2026-12-01T10:00:00Z"});
        let read = token(row).unwrap();
        assert_eq!((read.expires, read.at.is_some()), (Some(true), true));
        let odd =
            json!({"identifier": "a", "intent": "api", "user": 7, "expiring": "no", "expires": 5});
        let read = token(odd).unwrap();
        assert_eq!((read.expires, read.at), (None, None));
    }

    #[test]
    fn tokens_of_others_and_passwords_of_apps_are_left_out() {
        let of = |user: u64, intent: &str| {
            token(json!({"identifier": "a", "intent": intent, "user": user}))
        };
        assert!(of(7, "api").is_some());
        assert!(of(8, "api").is_none());
        assert!(of(7, "app_password").is_none());
    }
}
