//! What a refusal means, and what its text says.

use std::time::Duration;

use serde_json::json;

use super::support::*;
use crate::authentik::{DeniedKind, Error};

#[tokio::test]
async fn refusals_are_told_by_field() {
    let body = json!({
        "name": ["This field may not be blank."],
        "device_classes": {"1": ["\"bogus\" is not a valid choice."]},
        "flow_set": [{"slug": ["Flow with this slug already exists."]}],
        "nested": {"non_field_errors": ["Expected a list."]},
        "non_field_errors": ["No data provided"],
    });
    let error = update_fails(json_answer("400 Bad Request", &body)).await;
    assert_eq!(
        error.to_string(),
        "device_classes[1]: \"bogus\" is not a valid choice.; flow_set[0].slug: Flow with this slug already exists.; \
         name: This field may not be blank.; nested: Expected a list.; No data provided"
    );
    assert!(!error.outcome_unknown());

    for (body, text) in [
        (
            json!(["Null characters are not allowed."]),
            "Null characters are not allowed.",
        ),
        (json!({"detail": "JSON parse error"}), "JSON parse error"),
        (json!({}), "authentik refused the values and gave no reason"),
    ] {
        let error = update_fails(json_answer("400 Bad Request", &body)).await;
        assert!(matches!(error, Error::Rejected { .. }));
        assert_eq!(error.to_string(), text);
    }
}

#[tokio::test]
async fn denials_tell_token_from_permission() {
    for (detail, kind) in [
        ("Token invalid/expired", DeniedKind::Token),
        (
            "Authentication credentials were not provided.",
            DeniedKind::Token,
        ),
        ("Unsupported authentication type", DeniedKind::Token),
        (
            "You do not have permission to perform this action.",
            DeniedKind::Permission,
        ),
    ] {
        let denial = json_answer("403 Forbidden", &json!({"detail": detail}));
        let missing = "authentik_stages_authenticator_validate.change_authenticatorvalidatestage";
        let error = update_fails(denial).await;
        let Error::AccessDenied {
            kind: seen,
            detail: words,
            permission,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((seen, words.as_str()), (kind, detail));
        let named = (kind == DeniedKind::Permission).then_some(missing);
        assert_eq!(permission.as_deref(), named);
    }
    let error = get_fails(html("401 Unauthorized")).await;
    assert!(matches!(
        error,
        Error::AccessDenied {
            kind: DeniedKind::Token,
            ..
        }
    ));
}

#[tokio::test]
async fn outages_leave_the_outcome_of_writes_open() {
    let limited = answer("429 Too Many Requests", "retry-after: 7\r\n", "");
    for (answer, unknown) in [
        (empty_405(), true),
        (html("500 Internal Server Error"), true),
        (html("503 Service Unavailable"), true),
        (
            json_answer("502 Bad Gateway", &json!({"detail": "x"})),
            true,
        ),
        (limited.clone(), false),
    ] {
        let error = update_fails(answer.clone()).await;
        assert!(error.is_unavailable(), "{error}");
        assert_eq!(error.outcome_unknown(), unknown, "{error}");
        assert!(!get_fails(answer).await.outcome_unknown());
    }
    assert_eq!(
        get_fails(limited.clone()).await.retry_after(),
        Some(Duration::from_secs(7))
    );
    let texts = [html("503 Service Unavailable"), limited].map(get_fails);
    let [unavailable, limited] = texts;
    assert_eq!(unavailable.await.to_string(), "authentik answered 503");
    assert_eq!(limited.await.to_string(), "too many requests (429)");
}

#[tokio::test]
async fn a_real_405_is_no_outage() {
    let detail = "Method \"PATCH\" not allowed.";
    let answer = json_answer("405 Method Not Allowed", &json!({"detail": detail}));
    let error = update_fails(answer).await;
    assert_eq!(
        error.to_string(),
        format!("authentik answered 405: {detail}")
    );
    assert!(!error.is_unavailable());
}

#[tokio::test]
async fn retry_after_takes_dates_and_is_bounded() {
    let past = "retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let far = "retry-after: Tue, 31 Dec 2999 23:59:59 GMT\r\n";
    let huge = "retry-after: 18446744073709551615\r\n";
    for (header, wait) in [
        (past, Some(Duration::ZERO)),
        (far, Some(Duration::from_secs(300))),
        (huge, Some(Duration::from_secs(300))),
        ("retry-after: soon\r\n", None),
        ("retry-after: -5\r\n", None),
        ("retry-after: 1e9\r\n", None),
        ("retry-after: \r\n", None),
        ("retry-after: 99999999999999999999999\r\n", None),
    ] {
        let error = get_fails(answer("503 Service Unavailable", header, "")).await;
        assert_eq!(error.retry_after(), wait, "{header}");
    }
}

#[tokio::test]
async fn what_is_not_authentik_is_said_so() {
    let page = answer("200 OK", "content-type: text/html\r\n", "<h1>Welcome</h1>");
    for answer in [page.clone(), html("403 Forbidden"), html("400 Bad Request")] {
        let error = get_fails(answer).await;
        assert!(matches!(error, Error::NotAuthentik { .. }), "{error}");
    }
    // The same page after a write: who knows what went on behind it.
    assert!(update_fails(page).await.outcome_unknown());
}

#[tokio::test]
async fn redirects_are_refused_and_get_no_token() {
    let target = Server::always(json_answer("200 OK", &json!({}))).await;
    let location = format!("location: {}/elsewhere?x=1\r\n", target.url);
    let error = get_fails(answer("302 Found", &location, "")).await;
    assert!(target.seen().is_empty());
    let text = error.to_string();
    assert!(
        text.contains(&format!("a redirect to {},", target.url)),
        "{text}"
    );
    assert!(matches!(error, Error::NotAuthentik { .. }));
    let error = update_fails(answer("308 Permanent Redirect", "", "")).await;
    assert!(matches!(error, Error::NotAuthentik { .. }));
}

#[tokio::test]
async fn a_long_refusal_is_told_by_its_status() {
    let long = "x".repeat(100_000);
    let html = |status| answer(status, "content-type: text/html\r\n", &long);
    let error = get_fails(html("404 Not Found")).await;
    assert!(matches!(error, Error::EndpointMissing { .. }), "{error}");
    assert!(
        update_fails(html("502 Bad Gateway"))
            .await
            .outcome_unknown()
    );
    let error = update_fails(json_answer("400 Bad Request", &json!({"name": [long]}))).await;
    let text = "answered 400 without authentik's JSON: this doesn't look like authentik's API, check the connection's url";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn a_refusal_with_many_messages_keeps_some() {
    let key = "k".repeat(30_000);
    let error = update_fails(json_answer(
        "400 Bad Request",
        &json!({key: vec!["x"; 5000]}),
    ))
    .await;
    let Error::Rejected { messages } = error else {
        panic!("{error}");
    };
    assert_eq!(messages.values().flatten().count(), 50);
    assert!(
        messages
            .keys()
            .all(|key| key.as_str().chars().count() == 300)
    );
}
