//! Nothing that a server says shows a secret, or anything else than plain text on one line.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::support::*;
use crate::authentik::{
    Body, Collection, Definition, Remote, cut,
    shown::{MAX_REMOTE, Redactor},
};

const DUO_STAGES: Collection = Collection::of(&Definition::new(
    "stages/authenticator/duo",
    (
        "authentik_stages_authenticator_duo",
        "authenticatorduostage",
    ),
));

const WITHHELD: &str = "(withheld: the text repeats a secret)";

/// A body with a secret among its fields.
fn duo() -> Body {
    Body {
        secrets: vec!["hunter2".into()],
        ..body(json!({"client_secret": "hunter2", "client_id": "public"}))
    }
}

#[test]
fn texts_that_repeat_a_secret_are_withheld() {
    let redactor =
        Redactor::new("t0ken").and(&[" s3cr3t\n".into(), "two words".into(), " ".into()]);
    for leak in [
        "\"s3cr3t\" is bad",
        "at0kenb",
        "t0ken",
        "two\nwords",
        "two\u{202e}words",
    ] {
        assert_eq!(redactor.clean(leak), WITHHELD);
    }
    assert_eq!(redactor.clean("public\nis fine "), "public is fine");
    // Were they dropped, there would be the token.
    assert_eq!(redactor.clean("t0\u{0}k\u{202e}en"), "t0 k en");
}

#[test]
fn shown_texts_are_short_and_on_one_line() {
    let redactor = Redactor::new("");
    let cleaned = redactor.clean(&"ä".repeat(1000));
    assert_eq!(cleaned.as_str().chars().count(), 300);
    assert!(cleaned.as_str().ends_with('…'));
    assert_eq!(redactor.clean(&"ä".repeat(300)).as_str(), "ä".repeat(300));
    let harmful = "\u{1b}[31m\u{85}\r\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}x\t";
    let cleaned = redactor.clean(harmful);
    assert_eq!(cleaned.as_str().replace(' ', ""), "[31mx");
}

#[test]
fn a_remote_text_does_not_show_itself() {
    let remote = Remote::from("hunter2");
    assert_eq!(format!("{remote:?}"), "Remote(7 bytes)");
    assert_eq!(remote, "hunter2");
    let read = |length: usize| serde_json::from_value::<Remote>("x".repeat(length).into());
    assert_eq!(read(MAX_REMOTE).unwrap().raw().len(), MAX_REMOTE);
    assert!(read(MAX_REMOTE + 1).is_err());
}

#[tokio::test]
async fn secrets_that_a_server_repeats_are_withheld() {
    let echo = |_: &str| {
        let message = format!("\"hunter2\" and {TOKEN} are bad");
        json_answer(
            "400 Bad Request",
            &json!({"client_secret": [message], "hunter2": ["x"]}),
        )
    };
    let client = Server::start(echo).await.client();
    let created = client.create::<Value>(DUO_STAGES, &duo()).await;
    let error = created.unwrap_err();
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(!text.contains("hunter2") && !text.contains(TOKEN), "{text}");
        assert!(text.contains("withheld"), "{text}");
    }
    let denial = json!({"detail": format!("Token {TOKEN} is bad")});
    let error = get_fails(json_answer("403 Forbidden", &denial)).await;
    assert!(!format!("{error:?}").contains(TOKEN));
    assert!(error.to_string().contains(WITHHELD), "{error}");
}

#[tokio::test]
async fn a_token_that_a_server_repeats_in_its_data_is_withheld() {
    let version = json!({"version_current": TOKEN});
    let client = Server::always(json_answer("200 OK", &version))
        .await
        .client();
    assert_eq!(client.version().await.unwrap().to_string(), WITHHELD);
    assert_eq!(client.show(&Remote::from(TOKEN)), WITHHELD);
    assert_eq!(client.show_str("an\ninnocent text"), "an innocent text");

    let echo = TOKEN.to_uppercase();
    let user = json!({"app": TOKEN, "model_name": TOKEN, "pk": TOKEN, "name": format!("Flow {TOKEN}"), "action": echo});
    let client = Server::always(json_answer("200 OK", &json!([user])))
        .await
        .client();
    let users = client.used_by(STAGES, PK).await.unwrap();
    let user = &users[0];
    for text in [
        &user.app,
        &user.model_name,
        &user.pk,
        &user.name,
        &user.action,
    ] {
        assert_eq!(*text, WITHHELD);
    }
}

#[tokio::test]
async fn a_token_as_the_key_of_a_row_or_of_a_message_is_told_nowhere() {
    let rows = vec![
        json!({"pk": TOKEN, "name": TOKEN}),
        json!({"pk": key(1), "name": [TOKEN]}),
    ];
    let client = Server::always(page_of(0, 2, rows)).await.client();
    let listing = client.list(STAGES, &[], |row: Named| Some(row.0)).await;
    let text = format!("{listing:?}");
    assert!(listing.is_ok() && !text.contains(TOKEN), "{text}");

    let refusal = json!({TOKEN: {TOKEN: ["x"]}, "detail": [TOKEN]});
    let error = update_fails(json_answer("400 Bad Request", &refusal)).await;
    assert!(!format!("{error:?}").contains(TOKEN), "{error:?}");
    let away = format!("location: https://{TOKEN}.example/\r\n");
    let error = update_fails(answer("302 Found", &away, "")).await;
    assert!(!format!("{error:?}").contains(TOKEN), "{error:?}");
}

/// A row with a name.
#[derive(Debug)]
struct Named(Remote);

impl<'de> serde::Deserialize<'de> for Named {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Row {
            name: Remote,
        }
        Row::deserialize(deserializer).map(|row| Named(row.name))
    }
}

impl crate::authentik::Weigh for Named {
    fn weight(&self) -> usize {
        self.0.raw().len()
    }
}

/// A log writer that keeps everything.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_log_level_shows_what_a_request_carries() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // For all threads: with a subscriber of its own, a thread may find a call site already switched off by another.
    tracing::subscriber::set_global_default(subscriber).expect("no other test sets one");
    let server = Server::always(json_answer("201 Created", &json!({"pk": "x"}))).await;
    let client = server.client();
    let created = client.create::<Value>(DUO_STAGES, &duo()).await;
    created.unwrap();

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("/api/v3/stages/authenticator/duo/"), "{text}");
    assert!(!text.contains(TOKEN) && !text.contains("hunter2"), "{text}");
}

#[test]
fn a_long_text_is_cut_between_characters() {
    assert_eq!(cut("Firefox", 7), "Firefox");
    assert_eq!(cut("Fire\u{754c}ox!", 7), "Fire\u{754c}o…");
}
