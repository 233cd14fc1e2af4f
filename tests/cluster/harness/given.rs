//! What a test starts from: connections, Secrets, and what is in authentik already.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Authentik, Test, VALIDATE, merge, text};

impl Test {
    /// A name that no other test uses in authentik.
    pub fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace)
    }

    /// Whether a real authentik is behind the gateway: it takes no orders on tokens, devices or its state.
    pub fn is_real(&self) -> bool {
        self.simulator.is_none()
    }

    /// The release of the authentik: year and minor.
    pub async fn release(&self) -> (u16, u16) {
        let (_, version) = self
            .authentik
            .send(Method::GET, "admin/version/", None)
            .await;
        let version = version["version_current"].as_str().expect("a version");
        let mut parts = version.splitn(3, '.').map(|part| part.parse().ok());
        parts
            .next()
            .flatten()
            .zip(parts.next().flatten())
            .expect("year and minor")
    }

    /// Another administrator of the authentik, and what they are called.
    pub async fn colleague(&self, name: &str) -> (Authentik, String) {
        let username = self.name(name);
        let user =
            json!({"username": username, "name": username, "is_active": true, "type": "internal"});
        let user = self.authentik.create("core/users/", user).await["pk"].clone();
        let groups = "core/groups/?name=authentik%20Admins";
        let group = self.authentik.list(groups).await.swap_remove(0);
        let joins = format!("core/groups/{}/add_user/", text(&group["pk"]));
        let (status, _) = self
            .authentik
            .send(Method::POST, &joins, Some(json!({"pk": user})))
            .await;
        assert_eq!(status, 204, "{username} is no administrator");
        let token =
            json!({"identifier": username, "user": user, "intent": "api", "expiring": false});
        self.authentik.create("core/tokens/", token).await;
        let key = format!("core/tokens/{username}/view_key/");
        let (_, key) = self.authentik.send(Method::GET, &key, None).await;
        let key = text(&key["key"]).to_owned();
        self.canaries.add(&key);
        (self.authentik.with(key, "Mozilla/5.0 (test)"), username)
    }

    /// The token that the connection uses.
    pub fn token(&self) -> &str {
        &self.authentik.token
    }

    /// The connection `default` and its Secret, as most tests use them. A resync interval of an hour shows that
    /// nothing waits for it.
    pub async fn connect(&self) {
        self.connect_with(json!({"resyncInterval": "1h"})).await;
    }

    /// As [`Self::connect`], with more or other settings.
    pub async fn connect_with(&self, settings: Value) {
        self.secret("authentik", json!({"token": self.token()}))
            .await;
        self.connection("default", &self.gateway.url(), settings)
            .await;
        self.reason("AuthentikConnection", "default", "Connected")
            .await;
    }

    /// A connection of the namespace to this server, with the token of the Secret `authentik`.
    pub async fn connection(&self, name: &str, url: &str, settings: Value) {
        let mut spec = json!({"url": url, "tokenSecretRef": {"name": "authentik", "key": "token"}});
        merge(&mut spec, settings);
        self.apply("AuthentikConnection", name, spec).await;
    }

    /// A resource for a validation stage of the same name, in this test's part of authentik.
    pub async fn validate(&self, name: &str, settings: Value) {
        let mut spec = json!({"name": self.name(name), "notConfiguredAction": "skip"});
        merge(&mut spec, settings);
        self.apply(VALIDATE, name, spec).await;
    }

    /// A value for a Secret, of this test alone, that can be told wherever it shows.
    pub fn canary(&self, word: &str) -> String {
        format!("{word}-canary-of-{}", self.namespace)
    }

    /// A Secret with this data. Nothing that the operator says may show it.
    pub async fn secret(&self, name: &str, data: Value) -> Secret {
        for value in data.as_object().expect("data by key").values() {
            self.canaries.add(text(value));
        }
        let secrets: Api<Secret> = Api::namespaced(self.kube.clone(), &self.namespace);
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        let params = PatchParams::apply("test").force();
        secrets
            .patch(name, &params, &Patch::Apply(secret))
            .await
            .expect("the Secret is accepted")
    }

    /// Deletes a Secret.
    pub async fn delete_secret(&self, name: &str) {
        let secrets: Api<Secret> = Api::namespaced(self.kube.clone(), &self.namespace);
        secrets
            .delete(name, &DeleteParams::default())
            .await
            .expect("the Secret is deleted");
    }
    /// A stage of a kind that the operator does not manage, made by hand; returns its UUID.
    pub async fn totp_stage(&self, name: &str) -> Value {
        let body = json!({"name": self.name(name), "digits": "6"});
        let stage = self.authentik.create("stages/authenticator/totp/", body);
        stage.await["pk"].clone()
    }

    /// A flow, made by hand; returns its UUID.
    pub async fn flow(&self, name: &str) -> Value {
        let slug = self.name(name);
        let body = json!({"name": slug, "slug": slug, "title": slug, "designation": "stage_configuration"});
        self.authentik.create("flows/instances/", body).await["pk"].clone()
    }

    /// A webhook mapping, made by hand; returns its UUID.
    pub async fn mapping(&self, name: &str) -> Value {
        let body = json!({"name": self.name(name), "expression": "return {}"});
        let mapping = self
            .authentik
            .create("propertymappings/notification/", body);
        mapping.await["pk"].clone()
    }

    /// A spec of a flow in this test's part of authentik, with more or other settings.
    pub fn flow_spec(&self, slug: &str, settings: Value) -> Value {
        let slug = self.name(slug);
        let mut spec = json!({"slug": slug, "name": slug, "title": "Set up", "designation": "stage_configuration"});
        merge(&mut spec, settings);
        spec
    }

    /// The path of the flow of this slug.
    pub fn flow_path(&self, slug: &str) -> String {
        format!("flows/instances/{}/", self.name(slug))
    }

    /// Binds a stage to a flow by hand, both by UUID; returns the binding's path.
    pub async fn bind(&self, flow: &Value, stage: &Value, order: u32) -> String {
        let binding = json!({"target": flow, "stage": stage, "order": order});
        let binding = self.authentik.create("flows/bindings/", binding).await;
        format!("flows/bindings/{}/", text(&binding["pk"]))
    }

    /// The least spec of a Duo stage, and the Secret that it names.
    pub async fn duo_spec(&self) -> Value {
        self.secret("duo", json!({"secret": self.canary("s3cr3t")}))
            .await;
        self.duo_spec_without_secret()
    }

    /// The least spec of a Duo stage, whose Secret is left to the test.
    pub fn duo_spec_without_secret(&self) -> Value {
        json!({
            "name": self.name("duo"), "clientId": "DIXXXXXXXXXXXXXXXXXX", "apiHostname": "api-1.duosecurity.com",
            "clientSecret": {"secretKeyRef": {"name": "duo", "key": "secret"}},
        })
    }
}
