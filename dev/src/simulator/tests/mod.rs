mod kinds;
mod people;

use super::{Latency, Simulator, Version};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const STAGES: &str = "/api/v3/stages/authenticator/validate/";
const DUO: &str = "/api/v3/stages/authenticator/duo/";

struct Bench {
    simulator: Simulator,
    client: Client,
}

impl Bench {
    async fn new() -> Self {
        Self::of(Version::V2026_5).await
    }

    async fn of(version: Version) -> Self {
        // Another test of this process may have chosen it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            simulator: Simulator::start(version).await,
            client: Client::new(),
        }
    }

    async fn send(&self, method: Method, path: &str, token: &str, body: &Value) -> Response {
        let request = self
            .client
            .request(method, format!("{}{path}", self.simulator.url()));
        request
            .bearer_auth(token)
            .json(body)
            .send()
            .await
            .expect("an answer")
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self
            .send(Method::POST, path, self.simulator.token(), &body)
            .await;
        assert_eq!(answer.status(), 201);
        answer.json().await.expect("JSON")
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self
            .send(Method::GET, path, self.simulator.token(), &Value::Null)
            .await;
        answer.json().await.expect("JSON")
    }
}

#[tokio::test]
async fn a_restored_server_has_the_uuids_and_tokens_and_goes_its_own_way() {
    let first = Bench::new().await;
    let stage = first.post(STAGES, json!({"name": "mfa"})).await;
    let restored = Bench {
        simulator: Simulator::start_from(&first.simulator).await,
        client: Client::new(),
    };
    restored.post(STAGES, json!({"name": "other"})).await;
    let by_name = format!("{STAGES}?name=");
    let found = restored.get(&format!("{by_name}mfa")).await;
    assert_eq!(found["results"][0]["pk"], stage["pk"]);
    let found = first.get(&format!("{by_name}other")).await;
    assert_eq!(found["results"], json!([]));
}

#[tokio::test]
async fn tokens_have_just_their_permissions_until_revoked() {
    let bench = Bench::new().await;
    let view = "authentik_stages_authenticator_duo.view_authenticatorduostage";
    let token = bench.simulator.create_token(&[view]);
    let status = async |method, path| {
        bench
            .send(method, path, &token, &json!({}))
            .await
            .status()
            .as_u16()
    };
    assert_eq!(status(Method::GET, DUO).await, 200);
    assert_eq!(status(Method::POST, DUO).await, 403);
    assert_eq!(status(Method::GET, STAGES).await, 403);
    bench.simulator.revoke_token(&token);
    assert_eq!(status(Method::GET, DUO).await, 403);
}

#[tokio::test]
async fn enrolled_devices_use_their_stage() {
    let bench = Bench::new().await;
    let body =
        json!({ "name": "duo", "client_id": "a", "client_secret": "b", "api_hostname": "c" });
    let stage = bench.post(DUO, body).await;
    let key = stage["pk"].as_str().expect("a key");
    bench
        .simulator
        .enroll_duo_device(key.parse().expect("a UUID"), "phone");
    let users = bench.get(&format!("{DUO}{key}/used_by/")).await;
    assert_eq!(users[0]["model_name"], "duodevice");
    assert_eq!(
        (&users[0]["name"], &users[0]["action"]),
        (&json!("phone"), &json!("cascade"))
    );
}

#[tokio::test]
async fn enrolled_devices_protect_their_stage_where_the_release_says_so() {
    let bench = Bench::new().await;
    let body =
        json!({ "name": "duo", "client_id": "a", "client_secret": "b", "api_hostname": "c" });
    let stage = bench.post(DUO, body).await;
    let key = stage["pk"].as_str().expect("a key");
    bench.simulator.protect_devices();
    bench
        .simulator
        .enroll_duo_device(key.parse().expect("a UUID"), "phone");
    for path in [DUO, "/api/v3/stages/all/"] {
        let token = bench.simulator.token();
        let path = format!("{path}{key}/");
        let answer = bench.send(Method::DELETE, &path, token, &json!({})).await;
        assert_eq!(answer.status(), 500);
    }
    assert_eq!(bench.get(&format!("{DUO}{key}/")).await["name"], "duo");
}

#[tokio::test]
async fn rows_are_seen_without_their_sets_while_these_are_held() {
    let bench = Bench::new().await;
    let used = bench
        .post(
            "/api/v3/stages/authenticator/totp/",
            json!({ "name": "totp", "digits": "6" }),
        )
        .await;
    let held = bench.simulator.hold_sets();
    let body = json!({
        "name": "mfa", "not_configured_action": "configure", "configuration_stages": [used["pk"]],
    });
    let look = async {
        assert!(
            held.hold(1, Duration::from_secs(5)).await,
            "nothing is held"
        );
        let seen = bench.get(&format!("{STAGES}?name=mfa")).await["results"][0].clone();
        drop(held);
        seen
    };
    let (made, seen) = tokio::join!(bench.post(STAGES, body), look);
    assert_eq!(seen["not_configured_action"], "configure");
    assert_eq!(seen["configuration_stages"], json!([]));
    assert_eq!(made["configuration_stages"], json!([used["pk"]]));
    assert_eq!(bench.get(STAGES).await["results"][1], made);
}

#[tokio::test]
async fn without_redis_a_failed_post_has_made_its_stage() {
    let bench = Bench::new().await;
    bench.simulator.set_redis_down(true);
    let token = bench.simulator.token();
    let answer = bench
        .send(Method::POST, STAGES, token, &json!({ "name": "one" }))
        .await;
    assert_eq!(answer.status(), 405);
    bench.simulator.set_redis_down(false);
    assert_eq!(
        bench.get(&format!("{STAGES}?name=one")).await["pagination"]["count"],
        1
    );
}

#[tokio::test]
async fn a_slow_server_with_one_worker_takes_turns() {
    let bench = Bench::new().await;
    let pause = Duration::from_millis(30);
    bench.simulator.set_latency(Latency {
        get: pause,
        serial: true,
        ..Latency::default()
    });
    let start = Instant::now();
    let requests = (0..4).map(|_| bench.get("/api/v3/root/config/"));
    futures::future::join_all(requests).await;
    assert!(start.elapsed() >= pause * 4);
}

#[tokio::test]
async fn a_dropped_simulator_is_gone() {
    let bench = Bench::new().await;
    bench.get(STAGES).await;
    let url = bench.simulator.url();
    drop(bench.simulator);
    let gone = async {
        while bench.client.get(&url).send().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone)
        .await
        .expect("nobody answers any more");
}

#[tokio::test]
async fn a_list_takes_its_time_by_the_row_and_a_read_at_least() {
    let bench = Bench::new().await;
    for name in ["one", "two", "three"] {
        bench.post(STAGES, json!({ "name": name })).await;
    }
    bench.simulator.set_latency(Latency {
        list_row: Duration::from_millis(20),
        get: Duration::from_millis(30),
        ..Latency::default()
    });
    for (query, least) in [("", 80), ("?name=one", 30)] {
        let start = Instant::now();
        bench.get(&format!("{STAGES}{query}")).await;
        assert!(start.elapsed() >= Duration::from_millis(least), "{query}");
    }
}

#[tokio::test]
async fn answers_are_counted_by_what_was_asked() {
    let bench = Bench::new().await;
    let stage = bench.post(STAGES, json!({ "name": "one" })).await;
    let path = format!("{STAGES}{}/", stage["pk"].as_str().expect("it has a key"));
    for _ in 0..2 {
        bench.get(&path).await;
    }
    let count = |method: &str, path: &str| (method.to_owned(), path.to_owned());
    let answered = bench.simulator.answered().into_iter();
    let expected = [
        (count("GET", &format!("{STAGES}{{uuid}}/")), 2),
        (count("POST", STAGES), 1),
    ];
    assert_eq!(answered.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn thousands_of_stages_are_no_burden() {
    let bench = Bench::new().await;
    for start in (0..10_000).step_by(50) {
        let posts =
            (start..start + 50).map(|n| bench.post(STAGES, json!({ "name": format!("s{n:05}") })));
        futures::future::join_all(posts).await;
    }
    let start = Instant::now();
    let page = bench.get(&format!("{STAGES}?page=50&page_size=100")).await;
    let found = bench.get(&format!("{STAGES}?name=s09999")).await;
    assert_eq!(page["pagination"]["count"], 10_001);
    assert_eq!(found["results"][0]["name"], "s09999");
    println!(
        "a page and a look-up among 10,000 stages: {:?}",
        start.elapsed()
    );
}
