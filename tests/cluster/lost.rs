//! Writes whose answer is lost, and writes of others at the same moment: never two stages, never a lost change.

use std::time::Duration;

use devkit::gateway::{Exchange, Fault, FaultId, FaultKind};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Test, VALIDATE, VALIDATES, message, patience, test, text, with},
    on_every_version,
};

on_every_version!(
    a_creation_of_unknown_outcome_makes_one_stage,
    a_change_of_unknown_outcome_is_made,
);

/// What may become of a write, and whether authentik carries it out.
fn accidents() -> [(FaultKind, bool); 6] {
    [
        (FaultKind::CutBefore, false),
        (FaultKind::CutAfter, true),
        (FaultKind::InternalError { effect: false }, false),
        (FaultKind::InternalError { effect: true }, true),
        (FaultKind::MalformedBody, true),
        (FaultKind::TruncatedBody, true),
    ]
}

/// Strikes the next write of this method.
fn strike(test: &Test, method: Method, kind: FaultKind) {
    test.gateway
        .inject(Fault::new(kind).method(method).times(1));
}

/// Lets the next writes of this method meet one accident each. Returns the names of as many resources, and how
/// many writes it takes until all are done.
fn strike_all(test: &Test, method: &Method) -> (Vec<String>, usize) {
    let accidents = accidents();
    let lost = accidents.iter().filter(|(_, carried_out)| !carried_out);
    let writes = accidents.len() + lost.count();
    let names = (0..accidents.len()).map(|n| format!("mfa-{n}")).collect();
    for (kind, _) in accidents {
        strike(test, method.clone(), kind);
    }
    (names, writes)
}

/// How many writes had this method.
fn count(test: &Test, method: &str) -> usize {
    let writes = test.written().into_iter();
    writes.filter(|(of, _, _)| of == method).count()
}

async fn stage(test: &Test, name: &str) -> Value {
    let stage = test.authentik.stage("validate", &test.name(name)).await;
    stage.unwrap_or_else(|| panic!("there is no stage {name}"))
}

async fn a_creation_of_unknown_outcome_makes_one_stage(test: &Test) {
    test.connect().await;
    for policy in ["IfMatch", "Never"] {
        test.gateway.clear();
        let (names, writes) = strike_all(test, &Method::POST);
        let of_policy = |name: &String| format!("{name}-{}", policy.to_lowercase());
        let names: Vec<_> = names.iter().map(of_policy).collect();
        for name in &names {
            test.validate(name, json!({"adoptionPolicy": policy})).await;
        }
        for name in &names {
            let object = test.in_sync(VALIDATE, name).await;
            // `stage` finds one and not more.
            assert_eq!(
                object.data["status"]["stage"]["uuid"],
                stage(test, name).await["pk"]
            );
        }
        assert_eq!(count(test, "POST"), writes, "{policy}");
    }
}

async fn a_change_of_unknown_outcome_is_made(test: &Test) {
    test.connect().await;
    let (names, writes) = strike_all(test, &Method::PATCH);
    for name in &names {
        test.validate(name, json!({})).await;
    }
    for name in &names {
        test.in_sync(VALIDATE, name).await;
        test.validate(name, json!({"notConfiguredAction": "deny"}))
            .await;
    }
    for name in &names {
        test.in_sync(VALIDATE, name).await;
        assert_eq!(stage(test, name).await["not_configured_action"], "deny");
    }
    assert_eq!(count(test, "PATCH"), writes);
    assert_eq!(count(test, "POST"), names.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_is_recognised_even_when_it_could_not_be_looked_up_at_once() {
    test(async |test| {
        test.connect().await;
        // From here on the list is read, so that the next read is the look-up.
        test.validate("first", json!({})).await;
        test.in_sync(VALIDATE, "first").await;
        for policy in ["IfMatch", "Never"] {
            test.gateway.clear();
            strike(test, Method::POST, FaultKind::CutAfter);
            let look_up = Fault::new(FaultKind::ServiceUnavailable).method(Method::GET);
            test.gateway.inject(look_up.path(VALIDATES).times(1));
            let resource = policy.to_lowercase();
            test.validate(&resource, json!({"adoptionPolicy": policy}))
                .await;
            test.in_sync(VALIDATE, &resource).await;
            assert_eq!(count(test, "POST"), 1, "{policy}");
            test.event(&resource, "Created").await;
        }
    })
    .await;
}

/// A resource whose stage was created, while neither the answer nor a look-up came through. Returns what stops the
/// look-ups.
async fn created_unseen(test: &Test, resource: &str, settings: Value) -> FaultId {
    let creation = Fault::new(FaultKind::HangAfter).method(Method::POST);
    let creation = test.gateway.inject(creation);
    test.validate(resource, settings).await;
    assert!(test.gateway.hangs(patience()).await, "there is no POST");
    // Not before: a list that fails meanwhile would keep the creation from being tried.
    let look_up = Fault::new(FaultKind::ServiceUnavailable).method(Method::GET);
    let unseen = test.gateway.inject(look_up.path(VALIDATES));
    test.gateway.remove(creation);
    test.reason(VALIDATE, resource, "AuthentikUnavailable")
        .await;
    unseen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_is_recognised_after_the_resource_was_edited() {
    test(async |test| {
        test.connect().await;
        test.validate("first", json!({})).await;
        test.in_sync(VALIDATE, "first").await;
        for policy in ["IfMatch", "Never"] {
            test.gateway.clear();
            let resource = policy.to_lowercase();
            let adoption = json!({"adoptionPolicy": policy});
            let unseen = created_unseen(test, &resource, adoption.clone()).await;
            let made = stage(test, &resource).await;
            let renamed = format!("{resource}-renamed");
            let name = json!({"name": test.name(&renamed), "notConfiguredAction": "deny"});
            test.validate(&resource, with(adoption, name)).await;
            test.gateway.remove(unseen);
            test.in_sync(VALIDATE, &resource).await;
            let now = stage(test, &renamed).await;
            assert_eq!(now["pk"], made["pk"]);
            assert_eq!(now["not_configured_action"], "deny");
            assert_eq!(count(test, "POST"), 1, "{policy}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_is_recorded_although_its_resource_waits_for_a_reference() {
    test(async |test| {
        test.connect().await;
        test.validate("first", json!({})).await;
        test.in_sync(VALIDATE, "first").await;
        let unseen = created_unseen(test, "mfa", json!({"adoptionPolicy": "Never"})).await;
        let made = stage(test, "mfa").await;
        let missing = json!([{"name": test.name("missing")}]);
        let edit = json!({"adoptionPolicy": "Never", "configurationStages": missing});
        test.validate("mfa", edit).await;
        test.gateway.remove(unseen);
        let waiting = test.reason(VALIDATE, "mfa", "ReferenceNotFound").await;
        assert_eq!(waiting.data["status"]["stage"]["uuid"], made["pk"]);
        assert_eq!(waiting.data["status"]["stage"]["managed"], true);
        test.event("mfa", "Created").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_is_recognised_although_what_it_referred_to_is_gone() {
    test(async |test| {
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        test.validate("first", json!({})).await;
        test.in_sync(VALIDATE, "first").await;
        let totp = test.totp_stage("totp").await;
        let reference = json!([{"name": test.name("totp")}]);
        let spec = json!({"configurationStages": reference, "deletionPolicy": "Delete"});
        let unseen = created_unseen(test, "mfa", spec).await;
        let made = stage(test, "mfa").await;
        test.authentik
            .delete(&format!("stages/authenticator/totp/{}/", text(&totp)))
            .await;
        test.gateway.remove(unseen);
        let waiting = test.reason(VALIDATE, "mfa", "ReferenceNotFound").await;
        assert_eq!(waiting.data["status"]["stage"]["uuid"], made["pk"]);
        test.delete(VALIDATE, "mfa").await;
        test.gone(VALIDATE, "mfa").await;
        assert_eq!(
            test.authentik.stage("validate", &test.name("mfa")).await,
            None
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_is_taken_back_after_the_resource_was_edited_and_deleted() {
    test(async |test| {
        test.connect().await;
        test.validate("first", json!({})).await;
        test.in_sync(VALIDATE, "first").await;
        let deletion = json!({"deletionPolicy": "Delete"});
        let unseen = created_unseen(test, "mfa", deletion.clone()).await;
        let edit = json!({"name": test.name("other"), "notConfiguredAction": "deny"});
        test.validate("mfa", with(deletion, edit)).await;
        test.delete(VALIDATE, "mfa").await;
        test.gateway.remove(unseen);
        test.gone(VALIDATE, "mfa").await;
        assert_eq!(
            test.authentik.stage("validate", &test.name("mfa")).await,
            None
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_sent_again_when_its_arrival_is_not_known() {
    test(async |test| {
        test.connect().await;
        test.secret("duo", json!({"secret": test.canary("s3cr3t")}))
            .await;
        strike(test, Method::POST, FaultKind::CutAfter);
        let spec = json!({
            "name": test.name("duo"), "clientId": "DIXXXXXXXXXXXXXXXXXX",
            "apiHostname": "api-12345678.duosecurity.com",
            "clientSecret": {"secretKeyRef": {"name": "duo", "key": "secret"}},
        });
        test.apply("DuoStage", "duo", spec).await;
        test.in_sync("DuoStage", "duo").await;
        let patches = test.written().split_off(1);
        let expected = (
            "PATCH".to_owned(),
            "stages/authenticator/duo/{uuid}/".to_owned(),
            json!({"client_secret": test.canary("s3cr3t")}),
        );
        assert_eq!(patches, [expected]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_every_stage_is_created_once() {
    test(async |test| {
        let Some(simulator) = &test.simulator else {
            return;
        };
        test.connect().await;
        simulator.set_redis_down(true);
        for name in ["one", "two"] {
            test.validate(name, json!({})).await;
            test.in_sync(VALIDATE, name).await;
        }
        simulator.set_redis_down(false);
        test.validate("one", json!({"notConfiguredAction": "deny"}))
            .await;
        test.in_sync(VALIDATE, "one").await;
        assert_eq!(test.gateway.count("POST", VALIDATES), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_a_race_to_create_looks_at_what_the_winner_made() {
    test(async |test| {
        test.connect().await;
        let slow = Fault::new(FaultKind::Latency(Duration::from_secs(1))).method(Method::POST);
        test.gateway.inject(slow);
        let outcomes = [("skip", "InSync"), ("deny", "AdoptionRefused")];
        for (action, reason) in outcomes {
            test.validate(action, json!({})).await;
            let name = test.name(action);
            let asked = |audit: &[Exchange]| {
                let mut bodies = audit.iter().filter_map(|exchange| exchange.body.as_ref());
                bodies.any(|body| body["name"] == name)
            };
            assert!(test.gateway.wait_for(asked, patience()).await);
            let winner = json!({"name": name, "not_configured_action": action});
            let winner = test
                .authentik
                .create("stages/authenticator/validate/", winner)
                .await;
            let resource = test.reason(VALIDATE, action, reason).await;
            assert_eq!(stage(test, action).await, winner);
            if reason == "InSync" {
                assert_eq!(resource.data["status"]["stage"]["uuid"], winner["pk"]);
            } else {
                assert!(
                    message(&resource).contains("notConfiguredAction"),
                    "{resource:?}"
                );
            }
        }
        assert_eq!(test.gateway.count("POST", VALIDATES), outcomes.len());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_deleted_under_the_operators_hands_is_created_as_the_spec_now_says() {
    test(async |test| {
        test.connect().await;
        test.validate("mfa", json!({})).await;
        test.in_sync(VALIDATE, "mfa").await;
        let old = stage(test, "mfa").await["pk"].clone();
        let path = format!(
            "stages/authenticator/validate/{}/",
            old.as_str().expect("it is text")
        );
        // The connection lists once an hour: the operator still takes it for there.
        test.authentik.delete(&path).await;
        test.validate("mfa", json!({"notConfiguredAction": "deny"}))
            .await;
        test.in_sync(VALIDATE, "mfa").await;
        let new = stage(test, "mfa").await;
        assert_ne!(new["pk"], old);
        assert_eq!(new["not_configured_action"], "deny");
        assert_eq!(test.gateway.count("POST", VALIDATES), 2);
    })
    .await;
}
