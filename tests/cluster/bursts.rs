//! Secrets that change again and again, and together with the stage: each version is sent at most once, and nobody
//! else is suspected.

use devkit::kubernetes::User;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::harness::{DUO, Test, collection, test, text, with};

/// Bodies of the changes that carry a client secret.
fn sent(test: &Test) -> Vec<Value> {
    let path = format!("{}{{uuid}}/", collection(DUO));
    let changes = test.written().into_iter();
    changes
        .filter(|(method, to, body)| {
            method == "PATCH" && *to == path && !body["client_secret"].is_null()
        })
        .map(|(.., body)| body)
        .collect()
}

/// How often the operator has written the stage's status.
fn statuses(test: &Test) -> usize {
    let writes = test.all_kubernetes_writes().into_iter();
    let statuses = writes.filter(|write| {
        let is_status = write.subresource == "status" && write.name == "duo";
        is_status && write.user == User::Operator.name()
    });
    statuses.count()
}

/// Waits until the status records that this version of the Secret was sent.
async fn recorded(test: &Test, secret: &Secret) {
    let version = secret.resource_version();
    let is_recorded = |object: Option<&DynamicObject>| {
        object.is_some_and(|object| {
            let secrets = object.data["status"]["secrets"].as_array();
            let mut secrets = secrets.into_iter().flatten();
            secrets.any(|secret| secret["resourceVersion"].as_str() == version.as_deref())
        })
    };
    test.until(DUO, "duo", "recorded", is_recorded).await;
    test.in_sync(DUO, "duo").await;
}

async fn never_failed(test: &Test) {
    for (reason, note) in test.events("duo").await {
        assert_ne!(reason, "AuthentikUnavailable", "{note}");
        assert!(!note.contains("someone else"), "{note}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_changes_all_the_time_is_sent_once_a_look() {
    test(async |test| {
        test.connect().await;
        let spec = test.duo_spec().await;
        test.apply(DUO, "duo", spec).await;
        test.in_sync(DUO, "duo").await;
        test.gateway.clear();
        let before = statuses(test);
        let secrets: Api<Secret> = Api::namespaced(test.kube.clone(), &test.namespace);
        let mut last = None;
        for n in 0..150 {
            let touch = Patch::Merge(json!({"metadata": {"labels": {"n": n.to_string()}}}));
            let touched = secrets.patch("duo", &PatchParams::default(), &touch).await;
            last = Some(touched.expect("the Secret is touched"));
        }
        recorded(test, &last.expect("it was touched")).await;
        never_failed(test).await;
        // Each look at the stage ends with a record of what was sent, unless the next is under way.
        let (sent, looks) = (sent(test).len(), statuses(test) - before);
        assert!(sent <= looks + 2, "sent {sent} times in {looks} looks");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_applied_with_its_stage_is_sent_once() {
    const ROUNDS: usize = 30;
    test(async |test| {
        test.connect().await;
        let spec = test.duo_spec().await;
        test.apply(DUO, "duo", spec.clone()).await;
        test.in_sync(DUO, "duo").await;
        test.gateway.clear();
        let value = |round: usize, version| test.canary(&format!("{version}-of-{round}"));
        for round in 0..ROUNDS {
            // What is read of a Secret may be newer than what a watch has shown of it.
            test.secret("duo", json!({"secret": value(round, "first")}))
                .await;
            let last = json!({"secret": value(round, "last")});
            let secret = test.secret("duo", last).await;
            let host = json!({"apiHostname": format!("api-{round}.duosecurity.com")});
            test.apply(DUO, "duo", with(spec.clone(), host)).await;
            recorded(test, &secret).await;
        }
        never_failed(test).await;
        let mut values: Vec<_> = sent(test)
            .into_iter()
            .map(|body| text(&body["client_secret"]).to_owned())
            .collect();
        let sent = values.len();
        values.sort();
        values.dedup();
        assert_eq!(values.len(), sent, "each version is sent at most once");
        for round in 0..ROUNDS {
            assert!(values.contains(&value(round, "last")));
        }
    })
    .await;
}
