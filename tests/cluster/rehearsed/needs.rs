//! What a stage needs: what it refers to, its places in flows, its Secrets and its release. Foreseen, and done.

use devkit::simulator::Version;
use reqwest::Method;
use serde_json::{Value, json};

use super::play::{comes_true, connect, named};
use crate::{
    harness::{DUO, FLOW, Test, VALIDATE, on, test, with},
    on_every_version,
};

on_every_version!(
    references_are_found_or_waited_for,
    places_in_flows_are_taken_moved_and_given_up,
);

const TOTP: &str = "AuthenticatorTOTPStage";
const UNKNOWN: &str = "6f9619ff-8b86-d011-b42d-00cf4fc964ff";

async fn references_are_found_or_waited_for(test: &Test) {
    connect(test).await;
    let uuid = test.totp_stage("by-uuid").await;
    test.totp_stage("by-name").await;
    let enrols = |name: &str, stages: Value| {
        let more = json!({"notConfiguredAction": "configure", "configurationStages": stages});
        named(test, name, more)
    };
    let by_resource = json!({"resource": {"kind": TOTP, "name": "app"}});
    let in_two_ways = json!([{"uuid": uuid}, {"name": test.name("by-name")}]);
    let reasons = comes_true(
        test,
        [
            (VALIDATE, "found", enrols("found", in_two_ways)),
            (VALIDATE, "waits", enrols("waits", json!([by_resource]))),
            (
                VALIDATE,
                "no-name",
                enrols("no-name", json!([{"name": "no such stage"}])),
            ),
            (
                VALIDATE,
                "no-uuid",
                enrols("no-uuid", json!([{"uuid": UNKNOWN}])),
            ),
        ],
    )
    .await;
    let missing = "ReferenceNotFound";
    assert_eq!(reasons, ["InSync", missing, missing, missing]);
    // What it waits for is applied: both go on.
    let app = named(test, "app", json!({"digits": "6"}));
    assert_eq!(comes_true(test, [(TOTP, "app", app)]).await, ["InSync"]);
    let other = enrols("found", json!([by_resource]));
    assert_eq!(
        comes_true(test, [(VALIDATE, "found", other)]).await,
        ["InSync"]
    );
    let gone = enrols("found", json!([{"name": "no such stage"}]));
    assert_eq!(
        comes_true(test, [(VALIDATE, "found", gone)]).await,
        [missing]
    );
}

async fn places_in_flows_are_taken_moved_and_given_up(test: &Test) {
    connect(test).await;
    let uuid = test.flow("by-uuid").await;
    let place = |flow: Value, order: i32| json!({"flow": flow, "order": order});
    let by_resource = json!({"resource": {"kind": FLOW, "name": "login"}});
    let at = |places: Value| named(test, "mfa", json!({"flows": places}));
    let both = at(json!([
        place(by_resource.clone(), 10),
        place(json!({"uuid": uuid}), -5)
    ]));
    let login = test.flow_spec("login", json!({}));
    let reasons = comes_true(test, [(VALIDATE, "mfa", both), (FLOW, "login", login)]).await;
    assert_eq!(reasons, ["InSync", "InSync"]);
    for places in [
        json!([
            place(by_resource.clone(), 20),
            place(json!({"uuid": uuid}), -5)
        ]),
        json!([place(json!({"slug": test.name("login")}), 20)]),
        json!([]),
    ] {
        let reasons = comes_true(test, [(VALIDATE, "mfa", at(places))]).await;
        assert_eq!(reasons, ["InSync"]);
    }
    // A flow that is missing holds up nothing else.
    let missing = json!([
        place(json!({"slug": "no-such-flow"}), 1),
        place(by_resource, 2)
    ]);
    let missing = with(at(missing), json!({"notConfiguredAction": "deny"}));
    let reasons = comes_true(test, [(VALIDATE, "mfa", missing)]).await;
    assert_eq!(reasons, ["ReferenceNotFound"]);
    // Another slug is the same flow.
    let renamed = test.flow_spec("log-in", json!({}));
    assert_eq!(
        comes_true(test, [(FLOW, "login", renamed)]).await,
        ["InSync"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_missing_is_unknown_until_it_is_there() {
    test(async |test| {
        connect(test).await;
        let duo = test.duo_spec_without_secret();
        comes_true(test, [(DUO, "duo", duo.clone())]).await;
        let reason = test.reason(DUO, "duo", "SecretNotFound").await;
        assert_eq!(reason.data["status"]["stage"], Value::Null);
        test.duo_spec().await;
        test.in_sync(DUO, "duo").await;
        let other = with(duo, json!({"apiHostname": "api-2.duosecurity.com"}));
        assert_eq!(comes_true(test, [(DUO, "duo", other)]).await, ["InSync"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_release_lacks_is_left_out_and_the_rest_is_written() {
    on(Version::V2024_2, async |test| {
        if test.release().await >= (2026, 5) {
            return;
        }
        connect(test).await;
        let spec = named(
            test,
            "mfa",
            json!({"notConfiguredAction": "deny", "webauthnHints": ["hybrid"]}),
        );
        let reasons = comes_true(test, [(VALIDATE, "mfa", spec)]).await;
        assert_eq!(reasons, ["FieldUnsupported"]);
    })
    .await;
}

/// One waits for another, which waits for a third; and what can't be done of one is not done of those that need it.
#[tokio::test(flavor = "multi_thread")]
async fn who_needs_another_goes_on_once_that_is_there() {
    test(async |test| {
        connect(test).await;
        let of = |kind: &str, name: &str| json!({"resource": {"kind": kind, "name": name}});
        let enrols = |name: &str, app: &str| {
            let stages = json!([of(TOTP, app)]);
            let more = json!({"notConfiguredAction": "configure", "configurationStages": stages});
            named(test, name, more)
        };
        let app = |name: &str| {
            named(
                test,
                name,
                json!({"digits": "6", "configureFlow": of(FLOW, "set-up")}),
            )
        };
        let resting = with(app("resting"), json!({"suspend": true}));
        let reasons = comes_true(
            test,
            [
                (VALIDATE, "mfa", enrols("mfa", "app")),
                (TOTP, "app", app("app")),
                (TOTP, "resting", resting),
                (
                    VALIDATE,
                    "needs-resting",
                    enrols("needs-resting", "resting"),
                ),
            ],
        )
        .await;
        let missing = "ReferenceNotFound";
        assert_eq!(reasons, [missing, missing, "", missing]);
        let set_up = test.flow_spec("set-up", json!({}));
        assert_eq!(
            comes_true(test, [(FLOW, "set-up", set_up)]).await,
            ["InSync"]
        );
        test.in_sync(VALIDATE, "mfa").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_to_several_or_to_no_kind_of_ours_is_refused() {
    test(async |test| {
        connect(test).await;
        let path = "stages/authenticator/webauthn_device_types/?page_size=1000";
        let (_, types) = test.authentik.send(Method::GET, path, None).await;
        let types = types["results"].as_array().expect("device types");
        let of = |n: usize| types[n]["description"].clone();
        let twice = (0..types.len()).map(of).find(|description| {
            types
                .iter()
                .filter(|of| of["description"] == *description)
                .count()
                > 1
        });
        if let Some(description) = twice {
            let allowed = json!({"webauthnAllowedDeviceTypes": [{"description": description}]});
            let reasons =
                comes_true(test, [(VALIDATE, "keys", named(test, "keys", allowed))]).await;
            assert_eq!(reasons, ["ReferenceAmbiguous"]);
        }
        let stages = json!([{"resource": {"kind": "NoSuchStage", "name": "app"}}]);
        let more = json!({"notConfiguredAction": "configure", "configurationStages": stages});
        let reasons = comes_true(test, [(VALIDATE, "mfa", named(test, "mfa", more))]).await;
        assert_eq!(reasons, ["InvalidSpec"]);
    })
    .await;
}
