//! What a resource says of itself: conditions, the stage that it stands for, events, and what kubectl prints.

use authentik_stage_operator::api::conditions;
use devkit::kubernetes::Kubernetes;
use k8s_openapi::{api::events::v1::Event, jiff::Timestamp};
use kube::{Api, api::ListParams, core::DynamicObject};
use serde_json::{Value, json};

use crate::{
    harness::{DUO, Test, VALIDATE, is_true, message, test, text, with},
    on_every_version,
};

on_every_version!(
    conditions_follow_the_resource_through_failure_and_back,
    the_stage_and_its_flows_are_told,
    what_authentik_refuses_is_told_by_field,
);

/// The types of the conditions, sorted; each speaks of the present generation.
fn conditions_of(resource: &DynamicObject) -> Vec<&str> {
    let all = resource.data["status"]["conditions"].as_array();
    let mut types = Vec::new();
    for condition in all.into_iter().flatten() {
        assert_eq!(
            condition["observedGeneration"].as_i64(),
            resource.metadata.generation
        );
        types.push(text(&condition["type"]));
    }
    types.sort_unstable();
    types
}

async fn conditions_follow_the_resource_through_failure_and_back(test: &Test) {
    test.connect().await;
    let spec = json!({"name": test.name("mfa"), "notConfiguredAction": "configure"});
    let stage = |reference: Value| with(spec.clone(), json!({"configurationStages": [reference]}));
    // Waits for something that is missing.
    let totp = test.name("totp");
    test.apply(VALIDATE, "mfa", stage(json!({"name": totp})))
        .await;
    let waiting = test.reason(VALIDATE, "mfa", "ReferenceNotFound").await;
    assert_eq!(conditions_of(&waiting), ["Ready", "Reconciling"]);
    // Is in sync.
    test.totp_stage("totp").await;
    test.request_reconcile(VALIDATE, "mfa", "now").await;
    let in_sync = test.in_sync(VALIDATE, "mfa").await;
    assert_eq!(conditions_of(&in_sync), ["Ready"]);
    // Needs a person.
    test.authentik
        .create("stages/dummy/", json!({"name": test.name("taken")}))
        .await;
    let taken = with(
        stage(json!({"name": totp})),
        json!({"name": test.name("taken")}),
    );
    test.apply(VALIDATE, "mfa", taken).await;
    let stalled = test.reason(VALIDATE, "mfa", "NameConflict").await;
    assert_eq!(conditions_of(&stalled), ["Ready", "Stalled"]);
    // Is left alone.
    let suspended = with(stage(json!({"name": totp})), json!({"suspend": true}));
    test.apply(VALIDATE, "mfa", suspended).await;
    let is_suspended = |resource: Option<&DynamicObject>| {
        resource.is_some_and(|resource| is_true(resource, conditions::SUSPENDED))
    };
    let suspended = test.until(VALIDATE, "mfa", "suspended", is_suspended).await;
    let suspended = suspended.expect("it is there");
    assert!(!is_true(&suspended, conditions::STALLED));
    // And is in sync again.
    test.apply(VALIDATE, "mfa", stage(json!({"name": totp})))
        .await;
    let in_sync = test.in_sync(VALIDATE, "mfa").await;
    assert_eq!(conditions_of(&in_sync), ["Ready"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_failure_is_told_in_the_same_words_and_in_one_event() {
    test(async |test| {
        test.connect().await;
        let stage = json!({"name": test.name("mfa"), "device_classes": ["totp"]});
        test.authentik
            .create("stages/authenticator/validate/", stage)
            .await;
        let spec = json!({"name": test.name("mfa"), "deviceClasses": ["static"]});
        test.apply(VALIDATE, "mfa", spec).await;
        let before = test.reason(VALIDATE, "mfa", "AdoptionRefused").await;
        test.event("mfa", "AdoptionRefused").await;
        let writes = test.kubernetes_writes().len();
        test.looked_at_anew(VALIDATE, "mfa").await;
        // Tried again, and nothing to say.
        let after = test.get(VALIDATE, "mfa").await;
        assert_eq!(after.data["status"], before.data["status"]);
        assert_eq!(test.kubernetes_writes().len(), writes);
        assert_eq!(test.events_of("mfa", "AdoptionRefused", 1).await.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_comes_back_is_counted_in_its_event() {
    test(async |test| {
        test.connect().await;
        let spec = test.duo_spec().await;
        test.apply(DUO, "duo", spec).await;
        test.in_sync(DUO, "duo").await;
        for _ in 0..3 {
            test.delete_secret("duo").await;
            test.reason(DUO, "duo", "SecretNotFound").await;
            test.duo_spec().await;
            test.in_sync(DUO, "duo").await;
        }
        // The event of the last failure was published before the resource was in sync again.
        let events: Api<Event> = Api::namespaced(test.kube.clone(), &test.namespace);
        let events = events.list(&ListParams::default()).await;
        let mut failures = events.expect("events are listed").items;
        failures.retain(|event| event.reason.as_deref() == Some("SecretNotFound"));
        assert_eq!(failures.len(), 1, "{failures:#?}");
        assert_eq!(failures[0].type_.as_deref(), Some("Warning"));
        let series = failures[0].series.as_ref().expect("it is counted");
        assert_eq!(series.count, 3);
    })
    .await;
}

async fn the_stage_and_its_flows_are_told(test: &Test) {
    test.connect().await;
    let spec = json!({"name": test.name("mfa"), "notConfiguredAction": "deny"});
    let began = Timestamp::now();
    test.apply(VALIDATE, "mfa", spec.clone()).await;
    let resource = test.in_sync(VALIDATE, "mfa").await;
    let live = test.authentik.stage("validate", &test.name("mfa")).await;
    let uuid = live.expect("it is there")["pk"].clone();
    let stage = |flows: Value| {
        let stage = json!({"uuid": uuid, "name": test.name("mfa"), "server": test.gateway.url(), "managed": true});
        if flows == json!([]) {
            return stage;
        }
        with(stage, json!({"flows": flows}))
    };
    let status = &resource.data["status"];
    assert_eq!(status["stage"], stage(json!([])));
    let change = &status["lastChange"];
    assert_eq!(
        (&change["reason"], &change["fields"]),
        (&json!("Created"), &json!(["notConfiguredAction"]))
    );
    let time: Timestamp = text(&change["time"]).parse().expect("a time");
    assert!(time.as_second() >= began.as_second());

    let (two, one) = (test.flow("two").await, test.flow("one").await);
    for (flow, order) in [(&two, 10), (&two, 20), (&one, 10)] {
        test.bind(flow, &uuid, order).await;
    }
    test.request_reconcile(VALIDATE, "mfa", "now").await;
    let flows = json!([test.name("one"), test.name("two")]);
    let told = |resource: Option<&DynamicObject>| {
        resource.is_some_and(|resource| resource.data["status"]["stage"]["flows"] == flows)
    };
    let resource = test.until(VALIDATE, "mfa", "bound", told).await;
    let resource = resource.expect("it is there");
    assert_eq!(resource.data["status"]["stage"], stage(flows.clone()));
    assert_eq!(&resource.data["status"]["lastChange"], change);

    let other = with(spec, json!({"notConfiguredAction": "skip"}));
    test.apply(VALIDATE, "mfa", other).await;
    let resource = test.in_sync(VALIDATE, "mfa").await;
    let change = &resource.data["status"]["lastChange"];
    assert_eq!(
        (&change["reason"], &change["fields"]),
        (&json!("Updated"), &json!(["notConfiguredAction"]))
    );
}

async fn what_authentik_refuses_is_told_by_field(test: &Test) {
    test.connect().await;
    let bad = json!({"clientId": "a\0b", "apiHostname": "c\0d"});
    test.apply(DUO, "duo", with(test.duo_spec().await, bad))
        .await;
    let resource = test.reason(DUO, "duo", "Rejected").await;
    assert!(is_true(&resource, conditions::STALLED));
    let message = message(&resource);
    for field in ["client_id", "api_hostname"] {
        let text = format!("{field}: Null characters are not allowed.");
        assert!(message.contains(&text), "{message}");
    }
    assert_eq!(test.event("duo", "Rejected").await, message);
    // What is mended is sent at once.
    test.apply(DUO, "duo", test.duo_spec().await).await;
    test.in_sync(DUO, "duo").await;
}

/// What kubectl prints, as rows of columns.
async fn kubectl(args: &[&str]) -> Vec<Vec<String>> {
    let mut command = Kubernetes::shared().kubectl_command(args);
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("no panic").expect("kubectl runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let row = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    text.lines().map(row).collect()
}

/// The columns of a row without the age, which ends it.
fn ageless(row: &[String]) -> Vec<&str> {
    let row: Vec<_> = row.iter().map(String::as_str).collect();
    row[..row.len() - 1].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_prints_what_matters() {
    test(async |test| {
        test.connect().await;
        let cluster = test.name("cluster");
        let token = json!({"namespace": test.namespace, "name": "authentik", "key": "token"});
        let spec = json!({"url": test.gateway.url(), "tokenSecretRef": token});
        test.apply("ClusterAuthentikConnection", &cluster, spec)
            .await;
        test.reason("ClusterAuthentikConnection", &cluster, "Connected")
            .await;
        test.apply(VALIDATE, "mfa", json!({"name": test.name("mfa")}))
            .await;
        test.apply(DUO, "duo", test.duo_spec().await).await;
        test.in_sync(VALIDATE, "mfa").await;
        test.in_sync(DUO, "duo").await;
        let connection = test.get("AuthentikConnection", "default").await;
        let version = text(&connection.data["status"]["version"]).to_owned();
        let url = test.gateway.url();
        let (mfa, duo) = (test.name("mfa"), test.name("duo"));
        let stages = ["NAME", "READY", "REASON", "STAGE", "SERVER", "AGE"];
        let connections = ["NAME", "READY", "REASON", "VERSION", "URL", "AGE"];
        for (short, header, row) in [
            ("avs", stages, ["mfa", "True", "InSync", &mfa, &url]),
            ("duo", stages, ["duo", "True", "InSync", &duo, &url]),
            (
                "akc",
                connections,
                ["default", "True", "Connected", &version, &url],
            ),
        ] {
            let printed = kubectl(&["get", short, "-n", &test.namespace]).await;
            assert_eq!(printed[0], header);
            assert_eq!(ageless(&printed[1]), row);
        }
        let printed = kubectl(&["get", "cakc", &cluster]).await;
        assert_eq!(printed[0], connections);
        assert_eq!(
            ageless(&printed[1]),
            [&cluster, "True", "Connected", &version, &url]
        );
        // The category holds them all.
        let printed = kubectl(&["get", "authentik", "-A", "--no-headers"]).await;
        let printed = printed.concat();
        for (plural, name) in [
            ("authenticatorvalidatestage", "mfa"),
            ("duostage", "duo"),
            ("authentikconnection", "default"),
            ("clusterauthentikconnection", &cluster),
        ] {
            let name = format!("{plural}.authentik-operator.io/{name}");
            assert!(printed.contains(&name), "{name}: {printed:?}");
        }
        test.delete("ClusterAuthentikConnection", &cluster).await;
    })
    .await;
}
