//! Requests to authentik, shown with their answers: what a person does by hand.
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

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

/// A client that acts as a superuser.
pub(super) struct Authentik<'a> {
    simulator: &'a Simulator,
    http: reqwest::Client,
}

impl<'a> Authentik<'a> {
    pub(super) fn new(simulator: &'a Simulator) -> Self {
        Self {
            simulator,
            http: reqwest::Client::new(),
        }
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
        self.http
            .request(method, url)
            .bearer_auth(self.simulator.token())
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
