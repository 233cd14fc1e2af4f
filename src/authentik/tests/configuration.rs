//! What a configuration may say.

use std::time::Duration;

use super::support::*;
use crate::authentik::{Client, Config, base_url};

fn refused(change: impl FnOnce(&mut Config)) -> String {
    let mut config = config("http://authentik.example");
    change(&mut config);
    Client::new(&config).unwrap_err().to_string()
}

#[test]
fn configuration_errors_name_the_field_and_hold_no_value() {
    for url in [
        "",
        "authentik.example",
        "ftp://h",
        "https://h?x=1",
        "https://h#x",
        "https://user:pw@h",
        "https://",
    ] {
        let text = refused(|c| c.url = url.into());
        assert!(text.starts_with("url: ") && !text.contains("pw"), "{text}");
    }
    let text = refused(|c| c.token = "s3cr3t\u{1}s3cr3t".into());
    assert_eq!(text, "token: holds characters that a header can't carry");
    assert!(refused(|c| c.token = " \n".into()).starts_with("token: "));
    let bad_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in ["", "garbage", bad_der] {
        let text = refused(|c| c.ca_bundle = Some(pem.into()));
        assert!(text.starts_with("caBundle: "), "{text}");
    }
    assert!(refused(|c| c.timeout = Duration::ZERO).starts_with("timeout: "));
    assert!(refused(|c| c.requests_per_second = Some(0)).starts_with("requestsPerSecond: "));
    assert!(
        refused(|c| c.max_concurrent_requests = Some(0)).starts_with("maxConcurrentRequests: ")
    );
}

#[test]
fn urls_keep_their_prefix_and_end_in_a_slash() {
    for (base, prefix) in [
        ("http://h", ""),
        ("http://h/", ""),
        ("http://h:80/auth", "/auth"),
        ("http://h/a/b/", "/a/b"),
    ] {
        for base in [
            base.to_owned(),
            format!("{}/api/v3", base.trim_end_matches('/')),
        ] {
            let client = Client::new(&config(&base)).unwrap();
            let url = client.url("flows/instances", &["a b/ü", "used_by"]);
            let path = format!("{prefix}/api/v3/flows/instances/a%20b%2F%C3%BC/used_by/");
            assert_eq!(url.path(), path);
        }
    }
}

#[test]
fn all_spellings_of_a_url_are_one_base() {
    for (url, base) in [
        ("http://h", "http://h"),
        ("  HTTP://H:80/ ", "http://h"),
        ("https://h:443/api/v3", "https://h"),
        ("https://h/api/v3/", "https://h"),
        ("https://h:9443/auth/api/v3//", "https://h:9443/auth"),
        ("https://h/Auth/", "https://h/Auth"),
        ("https://h/xapi/v3", "https://h/xapi/v3"),
        ("https://user:pw@h/", "https://h"),
        ("nothing", "nothing"),
    ] {
        assert_eq!(base_url(url), base, "{url}");
    }
}

#[test]
fn no_request_is_waited_for_longer_than_a_minute() {
    let mut config = config("http://h");
    assert_eq!(config.timeout(), Duration::from_secs(5));
    config.timeout = Duration::from_secs(86_400);
    assert_eq!(config.timeout(), Duration::from_secs(60));
}

#[test]
fn nothing_prints_the_token() {
    let config = config("http://h/auth");
    let client = Client::new(&config).unwrap();
    assert!(!format!("{config:?}").contains(TOKEN));
    assert_eq!(format!("{client:?}"), "Client(http://h/auth/api/v3)");
}
