//! People, their devices and the audit log.

use super::Bench;
use crate::simulator::{DeviceKind, NewDevice, Version};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

const ALL: &str = "/api/v3/authenticators/admin/all/";
const EVENTS: &str = "/api/v3/events/events/";
const STAGES: &str = "/api/v3/stages/authenticator/validate/";
const FLOWS: &str = "/api/v3/flows/instances/";
const BINDINGS: &str = "/api/v3/flows/bindings/";

#[tokio::test]
async fn devices_are_shown_to_those_who_may_see_their_kind() {
    for version in Version::ALL {
        let bench = Bench::of(version).await;
        let user = bench.simulator.add_person("ada", "internal");
        for kind in [DeviceKind::Totp, DeviceKind::Duo] {
            bench.simulator.give_device(user, NewDevice::of(kind, "d"));
        }
        let path = format!("{ALL}?user={user}");
        let view = "authentik_stages_authenticator_totp.view_totpdevice";
        let token = bench.simulator.create_token(&[view]);
        let all = bench.get(&path).await;
        assert_eq!(all.as_array().map(Vec::len), Some(2), "{version}: {all}");
        let as_limited = async |path| {
            let answer = bench.send(Method::GET, path, &token, &Value::Null).await;
            let status = answer.status().as_u16();
            (status, answer.json::<Value>().await.unwrap_or_default())
        };
        let (status, some) = as_limited(&path).await;
        let (list, _) = as_limited("/api/v3/authenticators/admin/totp/").await;
        match version {
            Version::V2024_2 | Version::V2024_8 => assert_eq!((status, list), (403, 403)),
            _ => {
                assert_eq!(some.as_array().map(Vec::len), Some(1), "{some}");
                assert_eq!((status, list), (200, 200));
            }
        }
    }
}

#[tokio::test]
async fn what_goes_along_with_a_stage_is_an_event_too_and_what_no_request_does_is_none() {
    let bench = Bench::of(Version::V2026_5).await;
    let none = bench.get(EVENTS).await;
    assert_eq!(none["pagination"]["count"], 0);
    let stage = bench.post(STAGES, json!({"name": "mfa"})).await;
    let flow = json!({"name": "f", "slug": "f", "title": "f", "designation": "authentication"});
    let flow = bench.post(FLOWS, flow).await;
    let binding = json!({"target": flow["pk"], "stage": stage["pk"], "order": 1});
    let binding = bench.post(BINDINGS, binding).await;
    let key = stage["pk"].as_str().unwrap_or_default();
    let token = bench.simulator.token();
    let path = format!("{STAGES}{key}/");
    bench.send(Method::DELETE, &path, token, &Value::Null).await;
    let actions = async |key: &Value| {
        let key = key.as_str().and_then(|key| key.parse::<Uuid>().ok());
        let key = key.expect("a key").simple();
        let found = bench.get(&format!("{EVENTS}?context_model_pk={key}")).await;
        let events = found["results"].as_array().cloned().unwrap_or_default();
        events
            .iter()
            .map(|event| event["action"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        actions(&stage["pk"]).await,
        ["model_deleted", "model_created"]
    );
    assert_eq!(
        actions(&binding["pk"]).await,
        ["model_deleted", "model_created"]
    );
    assert_eq!(actions(&flow["pk"]).await, ["model_created"]);
    let part = bench.get(&format!("{EVENTS}?action=deleted")).await;
    assert_eq!(part["pagination"]["count"], 2);
}

#[tokio::test]
async fn the_log_masks_what_may_be_secret() {
    let bench = Bench::of(Version::V2024_2).await;
    let duo = "/api/v3/stages/authenticator/duo/";
    let body = json!({"name": "d", "client_id": "i", "client_secret": "s", "api_hostname": "h"});
    let stage = bench.post(duo, body).await;
    let key = stage["pk"].as_str().unwrap_or_default();
    let change = json!({"client_secret": "other", "client_id": "j"});
    let token = bench.simulator.token();
    let path = format!("{duo}{key}/");
    bench.send(Method::PATCH, &path, token, &change).await;
    let path = format!("{EVENTS}?context_model_pk={key}&action=updated");
    let found = bench.get(&path).await;
    let diff = &found["results"][0]["context"]["diff"];
    assert_eq!(diff["client_secret"], "********************");
    assert_eq!(diff["client_id"]["new_value"], "j");
}

#[tokio::test]
async fn lists_of_users_are_by_type_and_by_whether_they_can_sign_in() {
    let bench = Bench::of(Version::V2026_5).await;
    for (name, kind) in [
        ("ada", "internal"),
        ("bob", "external"),
        ("svc", "service_account"),
    ] {
        bench.simulator.add_person(name, kind);
    }
    bench.simulator.set_active("bob", false);
    let names = async |query: &str| {
        let found = bench.get(&format!("/api/v3/core/users/?{query}")).await;
        let users = found["results"].as_array().cloned().unwrap_or_default();
        users
            .iter()
            .map(|user| user["username"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("is_active=false").await, ["bob"]);
    assert_eq!(
        names("type=external&type=service_account").await,
        ["bob", "svc"]
    );
    assert_eq!(
        names("is_active=true&type=internal").await,
        ["ada", "akadmin"]
    );
    let unknown = bench.get("/api/v3/core/users/?type=nobody").await;
    assert!(unknown["type"].is_array(), "{unknown}");
}
