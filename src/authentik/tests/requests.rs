//! What is sent, and what becomes of a good answer.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::support::*;
use crate::authentik::{Body, Client, Collection, Error, Gate, Observer};

#[tokio::test]
async fn requests_carry_what_authentik_needs() {
    let stage = json!({"pk": PK.to_string(), "name": "n"});
    let server = Server::always(json_answer("201 Created", &stage)).await;
    let mut config = config(&server.url);
    config.token = format!("{TOKEN}\n").into();
    let client = Client::new(&config).unwrap();
    let body = body(json!({"name": "n"}));
    let created: Value = client.create(STAGES, &body).await.unwrap();
    assert_eq!(created, stage);

    let request = server.seen().remove(0);
    let (head, sent) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /api/v3/stages/authenticator/validate/ HTTP/1.1"));
    assert_eq!(header(head, "authorization"), Some("Bearer t0ken-value"));
    assert_eq!(header(head, "accept-language"), Some("en"));
    assert_eq!(header(head, "content-type"), Some("application/json"));
    let agent = header(head, "user-agent").unwrap();
    assert!(agent.starts_with("authentik-stage-operator/"));
    assert_eq!(sent, r#"{"name":"n"}"#);
}

#[tokio::test]
async fn nothing_is_sent_through_a_gate_that_is_shut() {
    let server = Server::always(json_answer("200 OK", &json!({"pk": PK.to_string()}))).await;
    let (open, mut config) = (Arc::new(Mutex::new(false)), config(&server.url));
    let asked = open.clone();
    config.gate = Gate::new(move || *asked.lock().unwrap());
    let client = Client::new(&config).unwrap();
    assert_eq!(update(&client).await, Err(Error::Closed));
    assert_eq!(client.version().await, Err(Error::Closed));
    assert_eq!(server.seen(), Vec::<String>::new());
    *open.lock().unwrap() = true;
    assert!(update(&client).await.is_ok());
}

#[tokio::test]
async fn nothing_is_sent_once_the_client_is_closed() {
    let server = Server::always(json_answer("200 OK", &json!({}))).await;
    let client = server.client();
    client.close();
    assert_eq!(get(&client).await, Err(Error::Closed));
    assert_eq!(client.version().await, Err(Error::Closed));
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn the_version_is_read_leniently() {
    let answer = json!({"version_current": "2026.5.0-rc1", "outdated": false});
    let client = Server::always(json_answer("200 OK", &answer))
        .await
        .client();
    assert!(client.version().await.unwrap().at_least(2026, 5));

    for other in [
        json!({}),
        json!([]),
        json!("x"),
        json!({"version_current": 5}),
    ] {
        let client = Server::always(json_answer("200 OK", &other)).await.client();
        let error = client.version().await.unwrap_err();
        assert!(matches!(error, Error::NotAuthentik { .. }), "{error}");
    }
    let other = json_answer("404 Not Found", &json!({"detail": "Not Found"}));
    let client = Server::always(other).await.client();
    let error = client.version().await.unwrap_err();
    assert!(matches!(error, Error::EndpointMissing { .. }), "{error}");
}

#[tokio::test]
async fn what_is_gone_is_told_from_what_was_never_there() {
    for detail in [
        "Not found.",
        "No AuthenticatorValidateStage matches the given query.",
    ] {
        let gone = json_answer("404 Not Found", &json!({"detail": detail}));
        let client = Server::always(gone).await.client();
        assert_eq!(get(&client).await, Ok(None));
        assert_eq!(client.delete(STAGES, PK).await, Ok(false));
        assert_eq!(update(&client).await, Err(Error::NotFound));
        assert_eq!(client.used_by(STAGES, PK).await, Err(Error::NotFound));
    }
    let error = get_fails(html("404 Not Found")).await;
    let Error::EndpointMissing { path } = error else {
        panic!("{error}");
    };
    assert_eq!(path, "/api/v3/stages/authenticator/validate/x/");
    let server = Server::always(html("404 Not Found")).await;
    for id in ["", ".", "..", "a/b", "a.b"] {
        let found = server
            .client()
            .page_of::<Value>(Collection::FLOWS, id)
            .await;
        assert_eq!(found, Ok(None));
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn deleting_expects_no_content() {
    let server = Server::always("HTTP/1.1 204 No Content\r\n\r\n".to_owned()).await;
    assert_eq!(server.client().delete(STAGES, PK).await, Ok(true));
    assert!(server.seen()[0].starts_with("DELETE /api/v3/stages/authenticator/validate/00000000-"));

    let client = Server::always(json_answer("200 OK", &json!({})))
        .await
        .client();
    let error = client.delete(STAGES, PK).await.unwrap_err();
    assert_eq!(error.to_string(), "answered 200 to a deletion");
    assert!(error.outcome_unknown());
}

#[tokio::test]
async fn users_are_never_dropped() {
    let users = json!([
        {"app": "authentik_flows", "model_name": "flow", "pk": "p", "name": "Flow a (a)", "action": "CASCADE_MANY"},
        {"pk": 7, "unknown": [true], "name": ["x"], "app": null},
        "nonsense"
    ]);
    let client = Server::always(json_answer("200 OK", &users)).await.client();
    let users = client.used_by(STAGES, PK).await.unwrap();
    assert_eq!(users.len(), 3);
    assert_eq!(users[0].action, "cascade_many");
    assert_eq!(users[1].pk, "7");
    assert_eq!(users[1].name, "");
}

#[tokio::test]
async fn a_body_shows_the_names_of_its_fields_only() {
    let body = Body {
        secrets: vec!["hunter2".into()],
        ..body(json!({"client_secret": "hunter2"}))
    };
    assert_eq!(format!("{body:?}"), r#"{"client_secret"}"#);
}

#[tokio::test]
async fn each_request_that_ends_is_observed_with_what_came_of_it() {
    let server = script(vec![
        json_answer("200 OK", &json!({"version_current": "2026.5.0"})),
        json_answer(
            "403 Forbidden",
            &json!({"detail": "You do not have permission."}),
        ),
        json_answer("200 OK", &json!([])),
        json_answer("404 Not Found", &json!({"detail": "Not found."})),
        String::new(),
    ])
    .await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, mut config) = (seen.clone(), config(&server.url));
    config.observer = Observer::new(move |observed| {
        let error = observed.error.map(Error::to_string);
        let line = (
            observed.path.to_owned(),
            observed.collection,
            observed.status,
            error,
        );
        log.lock().unwrap().push((observed.method.clone(), line));
    });
    let client = Client::new(&config).unwrap();
    assert!(client.version().await.is_ok());
    assert!(update(&client).await.is_err());
    assert!(client.page_of::<Collected>(STAGES, "x").await.is_err());
    assert_eq!(
        client.page_of::<Value>(Collection::FLOWS, "login").await,
        Ok(None)
    );
    assert!(get(&client).await.is_err());
    client.close();
    assert_eq!(get(&client).await, Err(Error::Closed));

    let seen = seen.lock().unwrap();
    let lines = seen
        .iter()
        .map(|(method, (path, collection, status, error))| {
            let error = error.as_deref().unwrap_or("-");
            let status = status.map_or("-".to_owned(), |status| status.to_string());
            let collection = collection.map_or("-", Collection::path);
            format!("{method} {path} {collection} {status} {error}")
        });
    let stages = STAGES.path();
    let expected = [
        "GET admin/version - 200 -".to_owned(),
        format!(
            "PATCH {stages}/{{uuid}} {stages} 403 the token's user lacks the permission \
            authentik_stages_authenticator_validate.change_authenticatorvalidatestage: You do not have permission."
        ),
        format!(
            "GET {stages}/{{slug}} {stages} 200 answered 200 with JSON of another shape: this doesn't look like \
            authentik's API, check the connection's url"
        ),
        "GET flows/instances/{slug} flows/instances 404 authentik has no such object".to_owned(),
        format!(
            "GET {stages}/{{slug}} {stages} - connection closed before the answer was complete"
        ),
    ];
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

/// An object with one field.
#[derive(Debug, serde::Deserialize)]
struct Collected {
    #[serde(rename = "pk")]
    _pk: String,
}
