//! What was done to a recorded server between the recorded exchanges.

use crate::recording::Exchange;
use crate::replay::{FLOWS, Replay, is_default};
use devkit::simulator::DeviceKind::{Duo, Email, Sms, Static, Totp, WebAuthn};
use devkit::simulator::NewDevice;
use reqwest::Method;
use serde_json::{Value, json};

const VALIDATE: &str = "/api/v3/stages/authenticator/validate/";
const DUO: &str = "/api/v3/stages/authenticator/duo/";

impl Replay {
    /// Does what was done to the recorded server between two recorded exchanges.
    pub async fn prepare(&mut self, exchange: &Exchange) {
        match exchange.name.as_str() {
            "setup-assign-readonly" => self.role("rec-readonly", exchange),
            "setup-assign-addonly" => self.role("rec-addonly", exchange),
            "setup-assign-object-validate" => self.role("rec-objectonly", exchange),
            "validate-list-after-parallel-posts" => self.race().await,
            "x-order-stability-1-post-ABC" => self.stages_to_configure(exchange).await,
            "x-flow-set-order-after-binding-2-0-1" => self.bind_to_three_flows().await,
            "x-flow-set-order-after-flow-0-updated" => {
                self.send(
                    Method::PATCH,
                    &format!("{FLOWS}rec-f0/"),
                    &json!({"title": "t2"}),
                )
                .await;
            }
            "x-duo-106-items-no-page-size" => self.many_stages().await,
            "people-user-alice" => self.simulator.set_email("akadmin", "akadmin@example.com"),
            "devices-all-of-alice" => self.enroll().await,
            "x-db-down-list" => self.outage().await,
            "x-db-up-again-list" => self.simulator.set_database_down(false),
            "x-redis-down-list" => self.simulator.set_redis_down(true),
            "x-redis-up-again-list" => self.simulator.set_redis_down(false),
            "y-hints-post-absent" => self.clean_up().await,
            "flow-patch-slug-upper" => {
                let path = &exchange.request.path;
                self.send(Method::PATCH, path, &json!({"name": "knd-flow"}))
                    .await;
            }
            "flow-patch-title-null" => {
                let path = format!("{FLOWS}KND-UP/");
                self.send(Method::PATCH, &path, &json!({"slug": "knd-slug"}))
                    .await;
            }
            name => {
                if let Some(kind) = name.strip_suffix("-patch-configure_flow-null") {
                    let path = self.mapping.to_simulated(&exchange.request.path);
                    let body = json!({"name": format!("knd-{kind}")});
                    self.send(Method::PATCH, &path, &body).await;
                }
            }
        }
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.simulator.url());
        let request = self
            .client
            .request(method, url)
            .bearer_auth(self.simulator.token());
        let response = request
            .json(body)
            .send()
            .await
            .expect("the simulator answers");
        assert!(
            response.status().is_success(),
            "{path} {body}: {}",
            response.status()
        );
        response.json().await.unwrap_or_default()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.send(Method::POST, path, &body).await
    }

    async fn post_duo(&self, name: &str) {
        let body = json!({"name": name, "client_id": "DIXXXXXXXXXXXXXXXXXX",
            "client_secret": "s3cr3t-value", "api_hostname": "api-12345678.duosecurity.com"});
        self.post(DUO, body).await;
    }

    fn role(&mut self, name: &str, exchange: &Exchange) {
        let simulated = self.simulator.create_role(name, name).to_string();
        let recorded = exchange
            .request
            .path
            .split('/')
            .rev()
            .nth(2)
            .unwrap_or_default();
        assert!(self.mapping.bind(recorded, &simulated));
    }

    /// Of the parallel POSTs of one name, one made it.
    async fn race(&self) {
        self.post(VALIDATE, json!({"name": "rec-race-validate"}))
            .await;
        self.post_duo("rec-race-duo").await;
    }

    async fn stages_to_configure(&mut self, exchange: &Exchange) {
        self.clean_up().await;
        let kinds = [
            ("rec-A", "totp"),
            ("rec-B", "static"),
            ("rec-C", "webauthn"),
        ];
        let recorded = exchange.request.body["configuration_stages"].as_array();
        for ((name, kind), recorded) in kinds.iter().zip(recorded.into_iter().flatten()) {
            let path = format!("/api/v3/stages/authenticator/{kind}/");
            let stage = self.post(&path, json!({"name": name, "digits": "6"})).await;
            self.bind(recorded, &stage["pk"]);
        }
    }

    pub fn bind(&mut self, recorded: &Value, simulated: &Value) {
        let (recorded, simulated) = (recorded.as_str(), simulated.as_str());
        assert!(
            self.mapping
                .bind(recorded.expect("a key"), simulated.expect("a key"))
        );
    }

    async fn bind_to_three_flows(&self) {
        let listed = self
            .send(Method::GET, &format!("{VALIDATE}?name=rec-ord"), &json!({}))
            .await;
        let stage = &listed["results"][0]["pk"];
        let mut flows = Vec::new();
        for n in 0..3 {
            let body = json!({"name": format!("rec f{n}"), "slug": format!("rec-f{n}"),
                "title": "t", "designation": "authentication"});
            flows.push(self.post(FLOWS, body).await);
        }
        for n in [2, 0, 1] {
            let body = json!({"target": flows[n]["pk"], "stage": stage, "order": n});
            self.post("/api/v3/flows/bindings/", body).await;
        }
    }

    async fn many_stages(&self) {
        for n in 0..105 {
            self.post_duo(&format!("rec-page-{n:03}")).await;
        }
    }

    async fn outage(&mut self) {
        self.clean_up().await;
        let stage = self.post(VALIDATE, json!({"name": "rec-outage"})).await;
        let recorded = self
            .exchanges
            .iter()
            .map(|exchange| &exchange.response.body);
        let recorded = recorded
            .clone()
            .find(|body| body["name"] == "rec-outage")
            .cloned();
        self.bind(
            &recorded.expect("a recorded answer shows it")["pk"],
            &stage["pk"],
        );
        self.simulator.set_database_down(true);
    }

    /// Gives people the devices that were put into the recorded server's database.
    async fn enroll(&self) {
        let type_of_key = uuid::uuid!("ee882879-721c-4913-9775-3dfcce97072a");
        self.simulator
            .add_device_type(type_of_key, "YubiKey 5 Series");
        let devices = [
            ("rec-alice", NewDevice::of(Totp, "phone")),
            (
                "rec-alice",
                NewDevice::of(Static, "paper").with("canary-static-t"),
            ),
            (
                "rec-alice",
                NewDevice::of(WebAuthn, "key").of_type(type_of_key),
            ),
            ("rec-bob", NewDevice::of(Totp, "half").unconfirmed()),
            ("rec-bob", NewDevice::of(Sms, "sms").with("+15550001")),
            (
                "rec-bob",
                NewDevice::of(Email, "mail").with("bob@example.com"),
            ),
            ("rec-carol", NewDevice::of(Duo, "duo")),
        ];
        let users = self.all("/api/v3/core/users/").await;
        for (owner, device) in devices {
            let mut users = users.iter();
            let user = users.find(|user| user["username"] == owner);
            let pk = user.and_then(|user| user["pk"].as_u64());
            self.simulator.give_device(pk.expect("a user"), device);
        }
    }

    /// Deletes everything that a fresh server does not have.
    async fn clean_up(&self) {
        for (path, key) in [("/api/v3/stages/all/", "pk"), (FLOWS, "slug")] {
            for object in self.all(path).await {
                if !is_default(&object) {
                    let key = object[key].as_str().unwrap_or_default();
                    self.send(Method::DELETE, &format!("{path}{key}/"), &json!({}))
                        .await;
                }
            }
        }
    }

    /// All objects of a list.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut page = json!(1);
        while page != 0 {
            let answer = self
                .send(Method::GET, &format!("{path}?page={page}"), &json!({}))
                .await;
            all.extend(answer["results"].as_array().cloned().unwrap_or_default());
            page = answer["pagination"]["next"].clone();
        }
        all
    }
}
