//! `apply`: one reconcile without Kubernetes.

use devkit::gateway::{Fault, FaultKind};
use reqwest::Method;
use serde_json::{Value, json};

use super::{actions, apply, command, diff, diff::set_up, manifest, run, stream};
use crate::{
    harness::{DUO, Test, VALIDATE, test},
    on_every_version,
};

on_every_version!(a_whole_set_up_is_applied_and_then_nothing_is_left_to_do);

async fn a_whole_set_up_is_applied_and_then_nothing_is_left_to_do(test: &Test) {
    let manifests = set_up(test);
    let foreseen = diff(test, &manifests, &[]).await.ends(2).json();
    test.gateway.clear();
    let said = apply(test, &manifests, &[]).await.ends(0);
    assert!(said.out.ends_with("3 of 3 are as declared\n"), "{said:?}");
    let creations = test.writes().into_iter();
    let creations: Vec<_> = creations
        .filter(|write| write.method == "POST")
        .map(|write| write.body.unwrap_or_default())
        .collect();
    // Three objects, and the place of one of them.
    assert_eq!(creations.len(), 4, "{creations:#?}");
    for row in foreseen["resources"].as_array().unwrap() {
        let changes = row["changes"].as_array().unwrap().iter();
        let of_object = changes.filter(|change| change["field"] != "flows").count();
        let fields = |body: &&Value| body.as_object().unwrap().len() == of_object;
        assert!(creations.iter().any(|body| fields(&body)), "{row:#}");
    }
    let again = diff(test, &manifests, &[]).await.ends(0).json();
    assert!(actions(&again).iter().all(|(_, action)| action == "adopt"));
    test.gateway.clear();
    apply(test, &manifests, &[]).await.ends(0);
    assert_eq!(test.writes().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_interrupted_goes_on_where_it_ended() {
    test(async |test| {
        let manifests = set_up(test);
        let last = &manifests[2..];
        apply(test, last, &[]).await.ends(0);
        test.gateway.clear();
        apply(test, &manifests, &[]).await.ends(0);
        let writes = test.writes();
        let flows = writes
            .iter()
            .filter(|write| write.path.contains("/flows/instances/"));
        assert_eq!(flows.count(), 0, "{writes:#?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_where_nobody_says_yes() {
    test(async |test| {
        let stage = json!({"name": test.name("mfa")});
        let manifests = stream(&[manifest(test, VALIDATE, "mfa", stage)]);
        let said = run(test, command(test, &["apply", "-f", "-"]), &manifests)
            .await
            .ends(1);
        assert!(said.err.contains("give --yes"), "{said:?}");
        assert!(said.out.contains("would be created"), "{said:?}");
        assert_eq!(test.writes().len(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_needed_to_create_and_left_alone_where_it_cannot_be_had() {
    test(async |test| {
        let duo = [manifest(test, DUO, "duo", test.duo_spec_without_secret())];
        let said = apply(test, &duo, &[]).await.ends(1);
        assert!(
            said.err.contains("can't be created without clientSecret"),
            "{said:?}"
        );
        assert_eq!(test.writes().len(), 0);
        let value = test.canary("s3cr3t");
        test.canaries.add(&value);
        let mut with_secret = command(test, &["apply", "-f", "-", "--yes"]);
        with_secret.env("SECRET_DUO_SECRET", &value);
        run(test, with_secret, &stream(&duo)).await.ends(0);
        let sent = test.writes().pop().and_then(|write| write.body).unwrap();
        assert_eq!(sent["client_secret"], json!(value));
        test.gateway.clear();
        apply(test, &duo, &[]).await.ends(0);
        assert_eq!(test.writes().len(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_the_server_is_tried_again() {
    test(async |test| {
        let fault = Fault::new(FaultKind::ServiceUnavailable).method(Method::POST);
        test.gateway.inject(fault.times(1));
        let stage = json!({"name": test.name("mfa")});
        apply(test, &[manifest(test, VALIDATE, "mfa", stage)], &[])
            .await
            .ends(0);
        assert!(
            test.authentik
                .stage("validate", &test.name("mfa"))
                .await
                .is_some()
        );
    })
    .await;
}
