//! Requests to authentik, shown with their answers: what a person does by hand.
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::Result;
use crate::simulator::Simulator;

/// Fields of an answer that say nothing about the stage's settings.
const NOISE: [&str; 6] = [
    "component",
    "meta_model_name",
    "pk",
    "verbose_name",
    "verbose_name_plural",
    "webauthn_allowed_device_types_obj",
];

/// Who does things by hand.
const PERSON: &str = "alice";

/// A client that acts as an administrator, who has an account beside the operator's.
pub(super) struct Authentik<'a> {
    simulator: &'a Simulator,
    http: reqwest::Client,
    token: String,
}

impl<'a> Authentik<'a> {
    pub(super) async fn new(simulator: &'a Simulator) -> Result<Self> {
        let mut client = Self {
            simulator,
            http: reqwest::Client::new(),
            token: simulator.token().to_owned(),
        };
        client.token = client.person().await?;
        Ok(client)
    }

    /// Makes the person's account, and a token of it.
    async fn person(&self) -> Result<String> {
        let user = json!({"username": PERSON, "name": PERSON, "type": "internal"});
        let user: Value = self.post("core/users/", user).await?.json().await?;
        let groups = self.request(Method::GET, "core/groups/?name=authentik%20Admins");
        let groups = self.answer(groups).await?;
        let group = groups["results"][0]["pk"].as_str().unwrap_or_default();
        let joins = format!("core/groups/{group}/add_user/");
        self.post(&joins, json!({"pk": user["pk"]})).await?;
        let token =
            json!({"identifier": PERSON, "user": user["pk"], "intent": "api", "expiring": false});
        self.post("core/tokens/", token).await?;
        let key = self.request(Method::GET, &format!("core/tokens/{PERSON}/view_key/"));
        let key = self.answer(key).await?;
        Ok(key["key"]
            .as_str()
            .ok_or("the token has no key")?
            .to_owned())
    }

    /// Shows the settings of a stage.
    pub(super) async fn show(&self, path: &str) -> Result<Value> {
        println!("GET /api/v3/{path}");
        let answer = self.answer(self.request(Method::GET, path)).await?;
        for (field, value) in answer.as_object().into_iter().flatten() {
            if !NOISE.contains(&field.as_str()) {
                println!("  {field}: {}", slugs(value));
            }
        }
        Ok(answer)
    }

    /// Shows the stages that stand in a flow, in the order in which people meet them.
    pub(super) async fn show_flow(&self, uuid: &str) -> Result<Vec<String>> {
        let path = format!("flows/bindings/?target={uuid}&ordering=order");
        println!("GET /api/v3/{path}");
        let answer = self.answer(self.request(Method::GET, &path)).await?;
        let rows = answer["results"].as_array().into_iter().flatten();
        let named = rows.map(|row| {
            let name = row["stage_obj"]["name"].as_str().unwrap_or_default();
            println!("  {} {name}", row["order"]);
            name.to_owned()
        });
        Ok(named.collect())
    }

    /// Changes a stage and returns what it has become.
    pub(super) async fn patch(&self, path: &str, body: &Value) -> Result<Value> {
        println!("PATCH /api/v3/{path} {body}");
        let answer = self
            .answer(self.request(Method::PATCH, path).json(body))
            .await?;
        for field in body.as_object().into_iter().flat_map(|body| body.keys()) {
            println!("  {field}: {}", answer[field]);
        }
        Ok(answer)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/api/v3/{path}", self.simulator.url());
        self.http.request(method, url).bearer_auth(&self.token)
    }

    async fn post(&self, path: &str, body: Value) -> Result<Response> {
        let request = self.request(Method::POST, path).json(&body);
        Ok(request.send().await?.error_for_status()?)
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Value> {
        Ok(request.send().await?.error_for_status()?.json().await?)
    }
}

/// Of a list of flows their slugs, of anything else all of it.
fn slugs(value: &Value) -> Value {
    let slug = |item: &Value| item.get("slug").cloned();
    match value.as_array().map(|list| list.iter().map(slug).collect()) {
        Some(Some(slugs)) => Value::Array(slugs),
        _ => value.clone(),
    }
}
