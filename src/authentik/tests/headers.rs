//! Headers that a connection adds.

use serde_json::json;

use super::support::*;
use crate::authentik::{Client, Config, Header};

fn header(name: &str, value: &str, is_secret: bool) -> Header {
    Header {
        name: name.to_owned(),
        value: value.to_owned().into(),
        is_secret,
    }
}

fn with(url: &str, headers: &[Header]) -> Config {
    Config {
        headers: headers.to_vec(),
        ..config(url)
    }
}

#[tokio::test]
async fn headers_are_sent_with_each_request_and_to_no_other_server() {
    let elsewhere = Server::always(json_answer("200 OK", &json!({}))).await;
    let location = format!("location: {}/login\r\n", elsewhere.url);
    let server = Server::always(answer("302 Found", &location, "")).await;
    let headers = [
        header("X-Access-Id", "me", false),
        header("X-Access-Secret", " s3cr3t\n", true),
    ];
    let client = Client::new(&with(&server.url, &headers)).unwrap();
    let _ = (
        get(&client).await,
        create(&client).await,
        client.version().await,
    );
    assert_eq!(server.seen().len(), 3);
    for request in server.seen() {
        for line in ["x-access-id: me\r\n", "x-access-secret: s3cr3t\r\n"] {
            assert!(request.to_lowercase().contains(line), "{request}");
        }
        assert!(request.contains(TOKEN), "{request}");
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn what_a_header_holds_is_shown_nowhere() {
    let headers = [
        header("X-Secret", "hunter2", true),
        header("X-Mistaken", "a-secret-in-clear", false),
        header("X-Word", "word", false),
    ];
    for (said, is_shown) in [
        ("hunter2 is wrong", false),
        ("a-secret-in-clear is wrong", false),
        ("word is wrong", true),
    ] {
        let answer = json_answer("403 Forbidden", &json!({"detail": said}));
        let config = with(&Server::always(answer).await.url, &headers);
        let client = Client::new(&config).unwrap();
        let error = get(&client).await.unwrap_err().to_string();
        assert_eq!(error.contains(said), is_shown, "{error}");
        let debug = format!("{config:?}");
        assert!(!debug.contains("hunter2") && !debug.contains("in-clear"));
    }
}

#[test]
fn a_header_that_can_not_be_sent_is_named_without_its_value() {
    let long = "x".repeat(8193);
    for (name, value, problem) in [
        ("X A", "v4lue", "is no header's name"),
        ("X-A", "v4lue\nHost: b", "its value holds characters"),
        ("X-A", "v4lue\u{e4}\u{0}", "its value holds characters"),
        ("X-A", long.as_str(), "its value is longer than 8 KiB"),
        ("authorization", "v4lue", "is set already"),
    ] {
        let config = with("http://h", &[header(name, value, true)]);
        let text = Client::new(&config).unwrap_err().to_string();
        let expected = format!("headers[{name}]: {problem}");
        assert!(
            text.starts_with(&expected) && !text.contains("v4lue"),
            "{text}"
        );
    }
    let twice = [header("X-A", "1", false), header("x-a", "2", false)];
    let text = Client::new(&with("http://h", &twice)).unwrap_err();
    assert_eq!(text.to_string(), "headers[x-a]: is set already");
}
