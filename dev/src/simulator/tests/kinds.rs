//! What no recording shows of set-up stages, flows and what names them.

use super::Bench;
use crate::simulator::{Simulator, Version};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::time::Duration;

const STAGES: &str = "/api/v3/stages/authenticator/";
const FLOWS: &str = "/api/v3/flows/instances/";
const BRANDS: &str = "/api/v3/core/brands/";
const MAPPINGS: &str = "/api/v3/propertymappings/notification/";
const PROVIDERS: &str = "/api/v3/providers/oauth2/";

impl Bench {
    /// The status and body of an answer.
    async fn ask(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let answer = self.send(method, path, self.simulator.token(), &body).await;
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    async fn flow(&self, slug: &str) -> Value {
        let body = json!({
            "name": slug, "slug": slug, "title": slug, "designation": "stage_configuration",
        });
        self.post(FLOWS, body).await
    }

    async fn stage(&self, kind: &str, name: &str) -> Value {
        let body = json!({
            "name": name, "digits": "6", "provider": "generic", "from_number": "1",
            "account_sid": "a", "auth": "b", "client_id": "c", "client_secret": "d",
            "api_hostname": "e",
        });
        self.post(&format!("{STAGES}{kind}/"), body).await
    }

    async fn only(&self, path: &str) -> Value {
        let listed = self.get(path).await;
        assert_eq!(listed["pagination"]["count"], 1, "{path}: {listed}");
        listed["results"][0].clone()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn actions(users: &Value) -> Vec<(&str, &str)> {
    let users = users.as_array().expect("a list").iter();
    let mut actions: Vec<_> = users
        .map(|user| (text(&user["model_name"]), text(&user["action"])))
        .collect();
    actions.sort_unstable();
    actions
}

#[tokio::test]
async fn devices_that_refer_to_their_stage_use_it_and_go_with_it() {
    let bench = Bench::new().await;
    for (kind, device) in [
        ("duo", Some("duodevice")),
        ("sms", Some("smsdevice")),
        ("email", Some("emaildevice")),
        ("totp", None),
        ("static", None),
        ("webauthn", None),
    ] {
        let stage = bench.stage(kind, kind).await;
        let key = text(&stage["pk"]);
        let id = key.parse().expect("a UUID");
        bench.simulator.enroll_device(id, "phone of Ada");
        let path = format!("{STAGES}{kind}/{key}/");
        let users = bench.get(&format!("{path}used_by/")).await;
        let expected: Vec<_> = device
            .map(|device| (device, "cascade"))
            .into_iter()
            .collect();
        assert_eq!(actions(&users), expected);
        if let Some(user) = users.get(0) {
            assert_eq!(
                user["app"],
                format!("authentik_stages_authenticator_{kind}")
            );
        }
        let (status, _) = bench.ask(Method::DELETE, &path, Value::Null).await;
        assert_eq!(status, 204);
    }
}

#[tokio::test]
async fn devices_protect_stages_of_every_kind_that_they_refer_to() {
    let bench = Bench::new().await;
    bench.simulator.protect_devices();
    for (kind, expected) in [("sms", 500), ("email", 500), ("totp", 204)] {
        let stage = bench.stage(kind, kind).await;
        let key = text(&stage["pk"]);
        let id = key.parse().expect("a UUID");
        bench.simulator.enroll_device(id, "phone of Ada");
        let path = format!("{STAGES}{kind}/{key}/");
        let (status, _) = bench.ask(Method::DELETE, &path, Value::Null).await;
        assert_eq!(status, expected, "{kind}");
    }
}

#[tokio::test]
async fn a_flow_that_is_deleted_leaves_nothing_that_names_it() {
    let bench = Bench::new().await;
    let flow = bench.flow("mine").await["pk"].clone();
    let stage = bench.stage("totp", "totp").await;
    let stage = format!("{STAGES}totp/{}/", text(&stage["pk"]));
    let body = json!({ "configure_flow": flow });
    bench.ask(Method::PATCH, &stage, body).await;
    let bound = bench.stage("static", "static").await["pk"].clone();
    let body = json!({ "target": flow, "stage": bound, "order": 0 });
    bench.post("/api/v3/flows/bindings/", body).await;
    let body = json!({ "domain": "mine.example", "flow_recovery": flow, "flow_device_code": flow });
    let brand = bench.post(BRANDS, body).await;
    let body = json!({ "name": "app", "authorization_flow": flow, "invalidation_flow": flow });
    let provider = bench.post(PROVIDERS, body).await;
    let users = bench.get(&format!("{FLOWS}mine/used_by/")).await;
    assert_eq!(
        actions(&users),
        [
            ("authenticatortotpstage", "set_null"),
            ("brand", "set_null"),
            ("brand", "set_null"),
            ("flowstagebinding", "cascade"),
            ("provider", "cascade"),
            ("provider", "set_default"),
            ("stage", "cascade_many"),
        ]
    );
    let (status, _) = bench
        .ask(Method::DELETE, &format!("{FLOWS}mine/"), Value::Null)
        .await;
    assert_eq!(status, 204);
    assert_eq!(bench.get(&stage).await["configure_flow"], Value::Null);
    let brand = bench
        .get(&format!("{BRANDS}{}/", text(&brand["brand_uuid"])))
        .await;
    assert_eq!(
        (&brand["flow_recovery"], &brand["flow_device_code"]),
        (&Value::Null, &Value::Null)
    );
    let (status, _) = bench
        .ask(
            Method::GET,
            &format!("{PROVIDERS}{}/", provider["pk"]),
            Value::Null,
        )
        .await;
    assert_eq!(status, 404);
    let bindings = format!("/api/v3/flows/bindings/?stage={}", text(&bound));
    assert_eq!(bench.get(&bindings).await["pagination"]["count"], 0);
}

#[tokio::test]
async fn the_default_brand_names_the_default_flows_and_is_the_only_default() {
    let bench = Bench::new().await;
    let brand = bench
        .only(&format!("{BRANDS}?domain=authentik-default"))
        .await;
    assert_eq!(brand["default"], true);
    let flow = bench
        .only(&format!("{FLOWS}?slug=default-invalidation-flow"))
        .await;
    assert_eq!(brand["flow_invalidation"], flow["pk"]);
    let by_flow = format!("{BRANDS}?flow_invalidation={}", text(&flow["pk"]));
    assert_eq!(bench.only(&by_flow).await, brand);
    let users = bench
        .get(&format!("{FLOWS}default-invalidation-flow/used_by/"))
        .await;
    let users = users.as_array().expect("a list");
    assert!(users.iter().any(|user| user["name"] == "Default brand"));
    let body = json!({ "domain": "other", "default": true });
    let refused = bench.ask(Method::POST, BRANDS, body).await;
    let message = json!({ "default": ["Only a single brand can be set as default."] });
    assert_eq!(refused, (400, message));
    let body = json!({ "domain": "authentik-default" });
    assert_eq!(bench.ask(Method::POST, BRANDS, body).await.0, 400);
}

#[tokio::test]
async fn an_sms_stage_takes_webhook_mappings_and_no_others() {
    let bench = Bench::new().await;
    let body = json!({ "name": "sms", "expression": "return {}" });
    let mapping = bench.post(MAPPINGS, body).await;
    let key = text(&mapping["pk"]);
    assert_eq!(bench.only(&format!("{MAPPINGS}?name=sms")).await, mapping);
    let shown = bench
        .get(&format!("/api/v3/propertymappings/all/{key}/"))
        .await;
    assert_eq!(
        shown["meta_model_name"],
        "authentik_events.notificationwebhookmapping"
    );
    let managed = "goauthentik.io/providers/oauth2/scope-email";
    let scope = bench
        .only(&format!("/api/v3/propertymappings/all/?managed={managed}"))
        .await;
    let stage = bench.stage("sms", "sms").await;
    let stage = format!("{STAGES}sms/{}/", text(&stage["pk"]));
    let patch = async |mapping: &Value| {
        let body = json!({ "mapping": mapping });
        bench.ask(Method::PATCH, &stage, body).await
    };
    assert_eq!(patch(&scope["pk"]).await.0, 400);
    assert_eq!(patch(&mapping["pk"]).await.1["mapping"], mapping["pk"]);
    let found = bench.only(&format!("{STAGES}sms/?mapping={key}")).await;
    assert_eq!(found["name"], "sms");
    let users = bench.get(&format!("{MAPPINGS}{key}/used_by/")).await;
    assert_eq!(actions(&users), [("authenticatorsmsstage", "set_null")]);
    let (status, _) = bench
        .ask(Method::DELETE, &format!("{MAPPINGS}{key}/"), Value::Null)
        .await;
    assert_eq!(status, 204);
    assert_eq!(bench.get(&stage).await["mapping"], Value::Null);
}

#[tokio::test]
async fn slugs_that_do_not_fit_a_path_are_refused() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let bench = Bench {
        simulator: Simulator::start(Version::V2024_2).await,
        client: Client::new(),
    };
    let flow = bench.flow("mine").await;
    let path = format!("{FLOWS}{}/", text(&flow["slug"]));
    let no_slug = "Enter a valid \"slug\" consisting of letters, numbers, underscores or hyphens.";
    let long = "Ensure this field has no more than 50 characters.";
    for (slug, message) in [
        (json!("a b"), no_slug),
        (json!("\u{fc}"), no_slug),
        (json!(["a"]), no_slug),
        (json!("z".repeat(51)), long),
        (json!(""), "This field may not be blank."),
        (Value::Null, "This field may not be null."),
        (
            json!("default-password-change"),
            "Flow with this slug already exists.",
        ),
    ] {
        let refused = bench
            .ask(Method::PATCH, &path, json!({ "slug": slug }))
            .await;
        assert_eq!(refused, (400, json!({ "slug": [message] })));
    }
    let (status, _) = bench
        .ask(Method::PATCH, &path, json!({ "slug": "Other" }))
        .await;
    assert_eq!(status, 200);
    assert_eq!(bench.ask(Method::GET, &path, Value::Null).await.0, 404);
    assert_eq!(
        bench
            .ask(Method::GET, &format!("{FLOWS}Other/"), Value::Null)
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn allowed_device_types_are_a_set_that_is_written_after_its_row() {
    let bench = Bench::new().await;
    let types = bench
        .get("/api/v3/stages/authenticator/webauthn_device_types/")
        .await;
    let aaguid = types["results"][0]["aaguid"].clone();
    let held = bench.simulator.hold_sets();
    let path = format!("{STAGES}webauthn/");
    let body = json!({
        "name": "keys", "max_attempts": 3, "device_type_restrictions": [aaguid, aaguid],
    });
    let look = async {
        assert!(
            held.hold(1, Duration::from_secs(5)).await,
            "nothing is held"
        );
        let seen = bench.only(&format!("{path}?name=keys")).await;
        drop(held);
        seen
    };
    let (made, seen) = tokio::join!(bench.post(&path, body), look);
    assert_eq!(
        (&seen["max_attempts"], &seen["device_type_restrictions"]),
        (&json!(3), &json!([]))
    );
    assert_eq!(made["device_type_restrictions"], json!([aaguid]));
    let users = bench
        .get(&format!("{path}{}/used_by/", text(&made["pk"])))
        .await;
    assert_eq!(actions(&users), [("webauthndevicetype", "cascade_many")]);
}

#[tokio::test]
async fn lists_of_set_up_stages_are_filtered_by_their_fields() {
    let bench = Bench::new().await;
    let stage = bench.stage("email", "mail").await;
    bench.stage("email", "other").await;
    let path = format!("{STAGES}email/");
    let body = json!({ "port": 587, "use_tls": true, "host": "smtp.example" });
    bench
        .ask(
            Method::PATCH,
            &format!("{path}{}/", text(&stage["pk"])),
            body,
        )
        .await;
    for query in ["port=587", "use_tls=true", "host=smtp.example"] {
        let found = bench.only(&format!("{path}?{query}")).await;
        assert_eq!(found["name"], "mail", "{query}");
    }
    let refused = bench
        .ask(Method::GET, &format!("{path}?port=x"), Value::Null)
        .await;
    assert_eq!(refused, (400, json!({ "port": ["Enter a number."] })));
}
