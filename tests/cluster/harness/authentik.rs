//! The authentik of a test, asked directly.

use reqwest::Method;
use serde_json::Value;

/// An authentik, asked directly, past the gateway: what a person does by hand.
pub struct Authentik {
    http: reqwest::Client,
    url: String,
    pub(super) token: String,
}

impl Authentik {
    /// The authentik at this URL, whose token may do everything.
    pub fn at(url: &str, token: String) -> Self {
        Self {
            http: reqwest::Client::new(),
            url: url.trim_end_matches('/').to_owned(),
            token,
        }
    }

    /// The authentik as somebody else sees it, whose program calls itself so.
    pub fn with(&self, token: String, agent: &str) -> Self {
        let http = reqwest::Client::builder().user_agent(agent);
        Self {
            http: http.build().expect("a client"),
            url: self.url.clone(),
            token,
        }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request; returns status and body.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self
            .http
            .request(method, format!("{}/api/v3/{path}", self.url))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("authentik answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("authentik's answer has a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Creates something; panics unless authentik does.
    pub async fn create(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.send(Method::POST, path, Some(body)).await;
        assert_eq!(status, 201, "POST {path}: {answer}");
        answer
    }

    /// Changes something; panics unless authentik does.
    pub async fn patch(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.send(Method::PATCH, path, Some(body)).await;
        assert_eq!(status, 200, "PATCH {path}: {answer}");
        answer
    }

    /// Deletes something; panics unless authentik does.
    pub async fn delete(&self, path: &str) {
        let (status, answer) = self.send(Method::DELETE, path, None).await;
        assert_eq!(status, 204, "DELETE {path}: {answer}");
    }

    /// What a list holds under these filters, such as `stages/all/?name=x`.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let (status, answer) = self.send(Method::GET, path, None).await;
        assert_eq!(status, 200, "GET {path}: {answer}");
        answer["results"].as_array().cloned().unwrap_or_default()
    }

    /// The flow of this slug, if there is one.
    pub async fn flow(&self, slug: &str) -> Option<Value> {
        self.list(&format!("flows/instances/?slug={slug}"))
            .await
            .pop()
    }

    /// The stage of this kind and name, if there is one; `kind` as in `stages/authenticator/{kind}/`.
    pub async fn stage(&self, kind: &str, name: &str) -> Option<Value> {
        let mut rows = self
            .list(&format!("stages/authenticator/{kind}/?name={name}"))
            .await;
        assert!(rows.len() < 2, "more than one stage named {name}");
        rows.pop()
    }
}

/// The real authentik to test against, if there is one.
pub(super) fn real_authentik() -> Option<(String, String)> {
    Some((
        std::env::var("AUTHENTIK_URL").ok()?,
        std::env::var("AUTHENTIK_TOKEN").ok()?,
    ))
}
