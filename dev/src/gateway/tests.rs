use super::{Fault, FaultKind, Gateway};
use crate::simulator::{Simulator, Version};
use hyper::Method;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const STAGES: &str = "/api/v3/stages/authenticator/validate/";
const SOON: Duration = Duration::from_secs(5);

struct Bench {
    simulator: Simulator,
    gateway: Gateway,
    client: Client,
}

impl Bench {
    async fn new() -> Self {
        let simulator = Simulator::start(Version::V2026_5).await;
        let gateway = Gateway::in_front_of(&simulator.url()).launch().await;
        let client = Client::builder().redirect(reqwest::redirect::Policy::none());
        Self {
            simulator,
            gateway,
            client: client.build().expect("a client"),
        }
    }

    async fn get(&self, query: &str) -> reqwest::Result<Response> {
        let request = self
            .client
            .get(format!("{}{STAGES}{query}", self.gateway.url()));
        request.bearer_auth(self.simulator.token()).send().await
    }

    async fn post(&self, name: &str) -> reqwest::Result<Response> {
        let request = self.client.post(format!("{}{STAGES}", self.gateway.url()));
        request
            .bearer_auth(self.simulator.token())
            .json(&json!({ "name": name }))
            .send()
            .await
    }

    /// Whether the server has a stage of this name, asked past the gateway.
    async fn exists(&self, name: &str) -> bool {
        let url = format!("{}{STAGES}?name={name}", self.simulator.url());
        let request = self.client.get(url).bearer_auth(self.simulator.token());
        let body: Value = request
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        body["pagination"]["count"] == 1
    }
}

#[tokio::test]
async fn requests_are_written_down() {
    let bench = Bench::new().await;
    let made: Value = bench
        .post("one")
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let path = format!("{}/", made["pk"].as_str().expect("a key"));
    bench.get(&path).await.expect("an answer");
    bench.get("?name=one").await.expect("an answer");
    let audit = bench.gateway.audit();
    assert_eq!(audit.len(), 3);
    assert_eq!(audit[0].body, Some(json!({ "name": "one" })));
    assert_eq!(
        (audit[0].status, audit[0].response.as_ref()),
        (Some(201), Some(&made))
    );
    assert_eq!(
        (audit[2].path.as_str(), audit[2].query.as_str()),
        (STAGES, "name=one")
    );
    assert_eq!(bench.gateway.count("GET", &format!("{STAGES}{{uuid}}/")), 1);
    assert_eq!(bench.gateway.writes(), audit[..1]);
    bench.gateway.clear();
    assert!(bench.gateway.audit().is_empty());
}

#[tokio::test]
async fn waiting_ends_with_the_awaited_request() {
    let bench = Bench::new().await;
    let written = bench
        .gateway
        .wait_for(|audit| audit.iter().any(|e| e.status == Some(201)), SOON);
    let (written, _) = tokio::join!(written, bench.post("one"));
    assert!(written);
    assert!(
        !bench
            .gateway
            .wait_for(|audit| audit.len() > 1, Duration::from_millis(20))
            .await
    );
}

#[tokio::test]
async fn cut_connections_give_no_answer() {
    let bench = Bench::new().await;
    bench
        .gateway
        .inject(Fault::new(FaultKind::CutBefore).times(1));
    assert!(bench.post("before").await.is_err());
    assert!(!bench.exists("before").await);
    bench
        .gateway
        .inject(Fault::new(FaultKind::CutAfter).writes().times(1));
    assert!(bench.post("after").await.is_err());
    assert!(bench.exists("after").await);
    assert_eq!(bench.post("usual").await.expect("an answer").status(), 201);
    assert_eq!(bench.gateway.audit()[1].status, None);
}

#[tokio::test]
async fn internal_errors_look_like_authentiks() {
    let bench = Bench::new().await;
    bench
        .gateway
        .inject(Fault::new(FaultKind::InternalError { effect: true }).times(2));
    let answer = bench.post("one").await.expect("an answer");
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    assert!(answer.bytes().await.expect("a body").is_empty());
    assert!(bench.exists("one").await);
    assert_eq!(bench.get("").await.expect("an answer").status(), 500);
    assert_eq!(bench.get("").await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn refusals_carry_their_headers() {
    let bench = Bench::new().await;
    let throttled = FaultKind::TooManyRequests {
        retry_after: Some(7),
    };
    bench.gateway.inject(Fault::new(throttled).times(1));
    let answer = bench.get("").await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (429, &"7".parse().expect("a header"))
    );
    bench
        .gateway
        .inject(Fault::new(FaultKind::Redirect("http://elsewhere/".to_owned())).times(1));
    let answer = bench.get("").await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["location"]),
        (302, &"http://elsewhere/".parse().expect("a header"))
    );
    bench
        .gateway
        .inject(Fault::new(FaultKind::ServiceUnavailable).times(1));
    assert_eq!(bench.get("").await.expect("an answer").status(), 503);
}

#[tokio::test]
async fn bodies_can_be_spoilt() {
    let bench = Bench::new().await;
    bench
        .gateway
        .inject(Fault::new(FaultKind::MalformedBody).times(1));
    let text = bench
        .get("")
        .await
        .expect("an answer")
        .text()
        .await
        .expect("a whole body");
    assert!(serde_json::from_str::<Value>(&text).is_err());
    bench
        .gateway
        .inject(Fault::new(FaultKind::TruncatedBody).times(1));
    assert!(bench.get("").await.expect("a head").bytes().await.is_err());
    bench
        .gateway
        .inject(Fault::new(FaultKind::WrongJson).times(1));
    let body: Value = bench
        .get("")
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert!(body.get("results").is_none());
    let replace = FaultKind::Replace {
        this: "\"name\":\"tea\"".to_owned(),
        by: "\"name\":7".to_owned(),
    };
    bench.gateway.inject(Fault::new(replace).times(1));
    let made = bench.post("tea").await.expect("an answer");
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.expect("JSON");
    assert_eq!(made["name"], 7);
    bench
        .gateway
        .inject(Fault::new(FaultKind::HugeBody(1 << 20)).times(1));
    let body = bench
        .get("")
        .await
        .expect("an answer")
        .bytes()
        .await
        .expect("a body");
    assert_eq!(body.len(), 1 << 20);
    let teapot = FaultKind::Respond {
        status: 418,
        content_type: "text/plain".to_owned(),
        body: "short and stout".to_owned(),
        forward: true,
    };
    bench.gateway.inject(Fault::new(teapot).times(1));
    assert_eq!(bench.post("pot").await.expect("an answer").status(), 418);
    assert!(bench.exists("pot").await);
}

#[tokio::test]
async fn faults_strike_only_what_they_match() {
    let bench = Bench::new().await;
    let id = bench.gateway.inject(
        Fault::new(FaultKind::CutBefore)
            .method(Method::POST)
            .path("/validate/"),
    );
    assert!(bench.get("").await.is_ok());
    assert!(bench.post("one").await.is_err());
    assert!(bench.post("one").await.is_err());
    bench.gateway.remove(id);
    assert!(bench.post("one").await.is_ok());
}

#[tokio::test]
async fn hanging_requests_end_with_their_fault() {
    let bench = Bench::new().await;
    bench.gateway.inject(Fault::new(FaultKind::Hang).times(1));
    let end = async {
        assert!(bench.gateway.wait_for(|audit| audit.len() == 1, SOON).await);
        bench.gateway.clear_faults();
    };
    let (answer, ()) = tokio::join!(bench.get(""), end);
    assert!(answer.is_err());
}

#[tokio::test]
async fn held_requests_go_on_when_they_are_let_go_and_hold_up_no_other() {
    let bench = Bench::new().await;
    let held = Fault::new(FaultKind::Hold).method(Method::POST);
    let held = bench.gateway.inject(held);
    let end = async {
        assert!(bench.gateway.hang(2, SOON).await);
        assert!(!bench.exists("one").await);
        bench.get("").await.expect("a read is not held");
        assert_eq!(bench.gateway.hanging(), 2);
        bench.gateway.remove(held);
    };
    let (one, two, ()) = tokio::join!(bench.post("one"), bench.post("two"), end);
    for answer in [one, two] {
        assert_eq!(answer.expect("an answer").status(), 201);
    }
    assert_eq!(bench.gateway.hanging(), 0);
    assert_eq!(bench.gateway.given_up(), 0);
}

#[tokio::test]
async fn a_client_that_waits_no_longer_is_counted() {
    let bench = Bench::new().await;
    bench.gateway.inject(Fault::new(FaultKind::Hang));
    let request = tokio::time::timeout(Duration::from_millis(50), bench.get(""));
    assert!(request.await.is_err());
    let given_up = async {
        while bench.gateway.given_up() == 0 {
            tokio::task::yield_now().await;
        }
    };
    let counted = tokio::time::timeout(SOON, given_up).await;
    counted.expect("it is counted");
    assert_eq!(bench.gateway.hanging(), 0);
}

#[tokio::test]
async fn latency_shows_requests_in_flight() {
    let bench = Bench::new().await;
    bench
        .gateway
        .inject(Fault::new(FaultKind::Latency(Duration::from_millis(100))));
    let start = Instant::now();
    let answers = futures::future::join_all((0..4).map(|_| bench.get(""))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert_eq!(bench.gateway.greatest_in_flight(), 4);
}

#[tokio::test]
async fn a_stopped_gateway_refuses_connections_and_starts_again() {
    let bench = Bench::new().await;
    bench.get("").await.expect("an answer");
    bench.gateway.stop().await;
    assert!(
        bench
            .get("")
            .await
            .expect_err("nobody listens")
            .is_connect()
    );
    bench.gateway.start().await;
    bench.gateway.start().await;
    bench.get("").await.expect("an answer");
}

#[tokio::test]
async fn tls_and_a_path_are_for_the_client_alone() {
    let simulator = Simulator::start(Version::V2024_8).await;
    let gateway = Gateway::in_front_of(&simulator.url())
        .prefix("/auth")
        .tls()
        .launch()
        .await;
    let ca = gateway.ca_pem().expect("a CA").as_bytes();
    let ca = reqwest::Certificate::from_pem(ca).expect("a certificate");
    let client = Client::builder()
        .tls_certs_only([ca])
        .build()
        .expect("a client");
    let url = format!("{}/api/v3/root/config/", gateway.url());
    assert!(url.starts_with("https://") && url.contains("/auth/api/"));
    assert_eq!(
        client.get(url).send().await.expect("an answer").status(),
        200
    );
    assert_eq!(gateway.audit()[0].path, "/api/v3/root/config/");
    let outside = format!("https://{}/api/v3/root/config/", gateway.address());
    assert_eq!(
        client
            .get(outside)
            .send()
            .await
            .expect("an answer")
            .status(),
        404
    );
}

#[tokio::test]
async fn the_third_request_hangs_after_it_took_effect() {
    let bench = Bench::new().await;
    let third = Fault::new(FaultKind::HangAfter).after(2).times(1);
    bench.gateway.inject(third);
    bench.post("one").await.expect("an answer");
    bench.post("two").await.expect("an answer");
    let end = async {
        assert!(bench.gateway.hangs(SOON).await);
        assert!(bench.exists("three").await);
        bench.gateway.clear_faults();
    };
    let (answer, ()) = tokio::join!(bench.post("three"), end);
    assert!(answer.is_err());
    bench.gateway.clear();
    assert_eq!(bench.gateway.audit(), []);
    assert_eq!(bench.gateway.history().len(), 3);
}
