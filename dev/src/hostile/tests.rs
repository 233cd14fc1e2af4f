use super::{ECHOED, Hostile, Manner, Requests, Row};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);
const PROBE: &str = "admin/version/";
const LIST: &str = "stages/all/?page=1";

async fn ask(server: &Hostile, method: Method, path: &str) -> reqwest::Result<(u16, Value)> {
    // Another test of this process may have chosen it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let request = Client::new().request(method, format!("{}/api/v3/{path}", server.url()));
    let request = request
        .bearer_auth("some-token")
        .json(&json!({"name": "mfa"}));
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    Ok((status, answer.json().await.unwrap_or_default()))
}

async fn get(server: &Hostile, path: &str) -> Value {
    let answer = ask(server, Method::GET, path).await;
    let (status, body) = answer.expect("an answer");
    assert_eq!(status, 200);
    body
}

#[tokio::test]
async fn without_rules_it_is_an_authentik_that_holds_nothing() {
    let server = Hostile::builder().launch().await;
    assert_eq!(get(&server, PROBE).await["version_current"], "2026.5.0");
    assert_eq!(get(&server, LIST).await["results"], json!([]));
    let made = ask(&server, Method::POST, "stages/dummy/").await;
    let (status, made) = made.expect("an answer");
    assert_eq!((status, &made["name"]), (201, &json!("mfa")));
    assert!(server.asked(Requests::All, 3, SOON).await);
    assert!(server.asked(Requests::Writes, 1, SOON).await);
}

#[tokio::test]
async fn only_what_a_rule_is_about_goes_without_an_answer() {
    let server = Hostile::builder()
        .on(Requests::Lists, Manner::Never)
        .launch()
        .await;
    get(&server, PROBE).await;
    let unanswered = async {
        assert!(server.asked(Requests::Lists, 1, SOON).await);
    };
    tokio::select! {
        () = unanswered => {}
        answer = ask(&server, Method::GET, LIST) => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn each_manner_is_as_it_says() {
    let on = |manner| Hostile::builder().on(Requests::NoProbe, manner).launch();
    let numbers = get(&on(Manner::Numbers(1 << 20)).await, LIST).await;
    assert!(numbers["a"].as_array().expect("an array").len() > 500_000);
    let rows = |row, endless| Manner::Rows {
        row,
        rows: 2,
        endless,
    };
    let pages = get(&on(rows(Row::Named(99), true)).await, LIST).await;
    assert_eq!(pages["pagination"]["next"], 2);
    assert_eq!(pages["results"][1]["name"].as_str().map(str::len), Some(99));
    let arrays = get(&on(rows(Row::Arrays(99), false)).await, LIST).await;
    assert_eq!(arrays["pagination"]["next"], 0);
    let items = arrays["results"][1]["device_classes"].as_array();
    assert_eq!(items.map(Vec::len), Some(99));
    let echo = on(Manner::EchoToken).await;
    let row = &get(&echo, LIST).await["results"][0];
    assert_eq!(
        (&row["name"], &row["slug"]),
        (&json!(ECHOED), &json!("some-token"))
    );
    let users = get(&echo, "stages/dummy/x/used_by/").await;
    assert_eq!(users[0]["name"], "some-token");
    let refused = ask(&echo, Method::POST, "stages/dummy/").await;
    assert_eq!(refused.expect("an answer").0, 400);
    let unavailable = on(Manner::Unavailable { retry_after: 7 }).await;
    let refused = ask(&unavailable, Method::GET, LIST).await;
    assert_eq!(refused.expect("an answer").0, 503);
}
