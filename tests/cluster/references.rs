//! What a spec refers to: how it is found, what happens while it is missing, when it comes, and when it is
//! another than before.

use authentik_stage_operator::api::conditions;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{DUO, Test, VALIDATE, condition, message, patch, post, test, with},
    on_every_version,
};

const UNKNOWN: &str = "6f9619ff-8b86-d011-b42d-00cf4fc964ff";

on_every_version!(
    stages_are_found_by_name_uuid_and_resource,
    a_flow_is_found_by_slug_and_uuid,
    device_types_are_found_by_aaguid_and_description,
    what_is_missing_is_named_and_nothing_is_written,
    a_stage_that_was_made_again_is_referred_to_again,
    a_resource_whose_stage_was_made_again_is_referred_to_again,
);

/// A validate stage that lets people enrol through these stages.
fn enrolling(test: &Test, stages: Value) -> Value {
    json!({"name": test.name("mfa"), "notConfiguredAction": "configure", "configurationStages": stages})
}

/// UUIDs as the operator sends them: in their own order.
fn sorted(uuids: impl IntoIterator<Item = Value>) -> Value {
    let mut uuids: Vec<_> = uuids.into_iter().collect();
    uuids.sort_by_key(Value::to_string);
    Value::from(uuids)
}

async fn uuid_of(test: &Test, kind: &str, name: &str) -> Value {
    test.get(kind, name).await.data["status"]["stage"]["uuid"].clone()
}

/// All device types.
async fn device_types(test: &Test) -> Vec<Value> {
    let mut types = Vec::new();
    let mut page = 1;
    while page != 0 {
        let path = format!("stages/authenticator/webauthn_device_types/?page={page}");
        let (_, answer) = test.authentik.send(Method::GET, &path, None).await;
        types.extend(answer["results"].as_array().cloned().unwrap_or_default());
        page = answer["pagination"]["next"].as_u64().unwrap_or_default();
    }
    types
}

/// The device types of this one's description.
fn namesakes<'a>(types: &'a [Value], of: &Value) -> Vec<&'a Value> {
    let namesakes = types.iter();
    namesakes
        .filter(|other| other["description"] == of["description"])
        .collect()
}

async fn stages_are_found_by_name_uuid_and_resource(test: &Test) {
    test.connect().await;
    let (totp, other) = (
        test.totp_stage("totp").await,
        test.totp_stage("other").await,
    );
    test.apply(DUO, "duo", test.duo_spec().await).await;
    test.in_sync(DUO, "duo").await;
    let duo = uuid_of(test, DUO, "duo").await;
    test.gateway.clear();
    let stages = json!([
        {"name": test.name("totp")}, {"uuid": other}, {"resource": {"kind": DUO, "name": "duo"}},
    ]);
    test.apply(VALIDATE, "mfa", enrolling(test, stages)).await;
    test.in_sync(VALIDATE, "mfa").await;
    let body = json!({
        "name": test.name("mfa"), "not_configured_action": "configure",
        "configuration_stages": sorted([totp, other, duo]),
    });
    assert_eq!(test.written(), [post(VALIDATE, body)]);
}

async fn a_flow_is_found_by_slug_and_uuid(test: &Test) {
    test.connect().await;
    let (one, other) = (test.flow("one").await, test.flow("other").await);
    let base = test.duo_spec().await;
    let by_slug = with(
        base.clone(),
        json!({"configureFlow": {"slug": test.name("one")}}),
    );
    test.apply(DUO, "duo", by_slug).await;
    test.in_sync(DUO, "duo").await;
    assert_eq!(test.written()[0].2["configure_flow"], one);
    test.gateway.clear();
    let by_uuid = with(base, json!({"configureFlow": {"uuid": other}}));
    test.apply(DUO, "duo", by_uuid).await;
    test.in_sync(DUO, "duo").await;
    assert_eq!(
        test.written(),
        [patch(DUO, json!({"configure_flow": other}))]
    );
}

async fn device_types_are_found_by_aaguid_and_description(test: &Test) {
    if test.release().await < (2024, 6) {
        return;
    }
    test.connect().await;
    let types = device_types(test).await;
    let unique = |device_type: &&Value| namesakes(&types, device_type).len() == 1;
    let described = types.iter().rfind(unique).expect("a device type");
    let wanted = json!([{"aaguid": types[0]["aaguid"]}, {"description": described["description"]}]);
    let spec = json!({"name": test.name("mfa"), "webauthnAllowedDeviceTypes": wanted});
    test.apply(VALIDATE, "mfa", spec).await;
    test.in_sync(VALIDATE, "mfa").await;
    let aaguids = sorted([types[0]["aaguid"].clone(), described["aaguid"].clone()]);
    let body = json!({"name": test.name("mfa"), "webauthn_allowed_device_types": aaguids});
    assert_eq!(test.written(), [post(VALIDATE, body)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_of_several_device_types_is_ambiguous() {
    test(async |test| {
        let types = device_types(test).await;
        let twice = |device_type: &&Value| namesakes(&types, device_type).len() > 1;
        let Some(device_type) = types.iter().find(twice) else {
            return;
        };
        test.connect().await;
        let wanted = json!([{"description": device_type["description"]}]);
        let spec = json!({"name": test.name("mfa"), "webauthnAllowedDeviceTypes": wanted});
        test.apply(VALIDATE, "mfa", spec).await;
        let resource = test.reason(VALIDATE, "mfa", "ReferenceAmbiguous").await;
        assert!(condition(&resource, conditions::STALLED).is_some());
        let text = message(&resource);
        let namesakes = namesakes(&types, device_type);
        let aaguids = namesakes.into_iter().map(|of| of["aaguid"].as_str());
        for words in aaguids.chain([device_type["description"].as_str()]) {
            assert!(text.contains(words.expect("text")), "{text}");
        }
        assert_eq!(test.written(), []);
    })
    .await;
}

async fn what_is_missing_is_named_and_nothing_is_written(test: &Test) {
    test.connect().await;
    let mut cases = vec![
        (
            VALIDATE,
            "configurationStages",
            json!([{"name": "no such stage"}]),
            "no such stage",
        ),
        (
            VALIDATE,
            "configurationStages",
            json!([{"uuid": UNKNOWN}]),
            UNKNOWN,
        ),
        (
            VALIDATE,
            "configurationStages",
            json!([{"resource": {"kind": DUO, "name": "no-such-resource"}}]),
            "DuoStage no-such-resource, which does not exist",
        ),
        (
            DUO,
            "configureFlow",
            json!({"slug": "no-such-flow"}),
            "no-such-flow",
        ),
        (DUO, "configureFlow", json!({"uuid": UNKNOWN}), UNKNOWN),
    ];
    if test.release().await >= (2024, 6) {
        let field = "webauthnAllowedDeviceTypes";
        cases.push((VALIDATE, field, json!([{"aaguid": UNKNOWN}]), UNKNOWN));
        cases.push((
            VALIDATE,
            field,
            json!([{"description": "A ring"}]),
            "A ring",
        ));
    }
    let duo = test.duo_spec().await;
    for (n, (kind, field, reference, words)) in cases.into_iter().enumerate() {
        let name = format!("case-{n}");
        let base = if kind == DUO { duo.clone() } else { json!({}) };
        let spec = with(base, json!({"name": test.name(&name), field: reference}));
        test.apply(kind, &name, spec).await;
        let resource = test.reason(kind, &name, "ReferenceNotFound").await;
        assert!(condition(&resource, conditions::RECONCILING).is_some());
        let text = message(&resource);
        assert!(text.contains(field) && text.contains(words), "{text}");
        assert_eq!(test.event(&name, "ReferenceNotFound").await, text);
    }
    assert_eq!(test.written(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_of_no_kind_of_ours_is_an_invalid_spec() {
    test(async |test| {
        test.connect().await;
        let stages = json!([{"resource": {"kind": "TotpStage", "name": "totp"}}]);
        test.apply(VALIDATE, "mfa", enrolling(test, stages)).await;
        let resource = test.reason(VALIDATE, "mfa", "InvalidSpec").await;
        assert!(condition(&resource, conditions::STALLED).is_some());
        let text = message(&resource);
        assert!(
            text.contains("TotpStage") && text.contains("DuoStage"),
            "{text}"
        );
        assert_eq!(test.written(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_on_another_server_is_waited_for() {
    test(async |test| {
        test.connect().await;
        let port = test.gateway.address().port();
        let other = json!({
            "url": format!("http://localhost:{port}"), "tokenSecretRef": {"name": "authentik", "key": "token"},
        });
        test.apply("AuthentikConnection", "other", other).await;
        let spec = with(test.duo_spec().await, json!({"connectionRef": {"name": "other"}}));
        test.apply(DUO, "duo", spec).await;
        test.in_sync(DUO, "duo").await;
        let stages = json!([{"resource": {"kind": DUO, "name": "duo"}}]);
        test.apply(VALIDATE, "mfa", enrolling(test, stages)).await;
        let resource = test.reason(VALIDATE, "mfa", "ReferenceNotFound").await;
        let text = message(&resource);
        assert!(text.contains("DuoStage duo, which is on another authentik server"), "{text}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_followed_from_its_arrival_to_its_end() {
    test(async |test| {
        test.connect().await;
        let stages = json!([{"resource": {"kind": DUO, "name": "duo"}}]);
        test.apply(VALIDATE, "mfa", enrolling(test, stages)).await;
        test.reason(VALIDATE, "mfa", "ReferenceNotFound").await;
        let duo = test.duo_spec().await;
        test.apply(DUO, "duo", duo.clone()).await;
        let stage = test.in_sync(VALIDATE, "mfa").await;
        assert_eq!(stage.data["status"]["lastChange"]["reason"], "Created");
        test.gateway.clear();
        // Another name is the same stage.
        test.apply(DUO, "duo", with(duo, json!({"name": test.name("renamed")})))
            .await;
        test.in_sync(DUO, "duo").await;
        test.delete(DUO, "duo").await;
        let resource = test.reason(VALIDATE, "mfa", "ReferenceNotFound").await;
        assert!(message(&resource).contains("DuoStage duo, which does not exist"));
        assert_eq!(
            test.written(),
            [patch(DUO, json!({"name": test.name("renamed")}))]
        );
    })
    .await;
}

/// A resource that only observes a stage stands for it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_observes_is_a_reference() {
    test(async |test| {
        test.connect().await;
        let body = json!({
            "name": test.name("duo"), "client_id": "DIXXXXXXXXXXXXXXXXXX", "client_secret": "s3cr3t",
            "api_hostname": "api-1.duosecurity.com",
        });
        let duo = test.authentik.create("stages/authenticator/duo/", body).await;
        let spec = with(test.duo_spec().await, json!({"managementPolicy": "Observe"}));
        test.apply(DUO, "duo", spec).await;
        let stages = json!([{"resource": {"kind": DUO, "name": "duo"}}]);
        test.apply(VALIDATE, "mfa", enrolling(test, stages)).await;
        test.in_sync(VALIDATE, "mfa").await;
        let body = json!({
            "name": test.name("mfa"), "not_configured_action": "configure", "configuration_stages": [duo["pk"]],
        });
        assert_eq!(test.written(), [post(VALIDATE, body)]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_gets_a_look_at_what_has_come_to_authentik() {
    test(async |test| {
        test.connect().await;
        let stages = json!([{"name": test.name("totp")}]);
        test.apply(VALIDATE, "mfa", enrolling(test, stages)).await;
        let flow = json!({"configureFlow": {"slug": test.name("flow")}});
        test.apply(DUO, "duo", with(test.duo_spec().await, flow))
            .await;
        test.reason(VALIDATE, "mfa", "ReferenceNotFound").await;
        test.reason(DUO, "duo", "ReferenceNotFound").await;
        let (stage, flow) = (test.totp_stage("totp").await, test.flow("flow").await);
        test.request_reconcile(VALIDATE, "mfa", "now").await;
        test.in_sync(VALIDATE, "mfa").await;
        test.request_reconcile(DUO, "duo", "now").await;
        test.in_sync(DUO, "duo").await;
        let written = test.written();
        assert_eq!(written.len(), 2);
        assert_eq!(written[0].2["configuration_stages"], json!([stage]));
        assert_eq!(written[1].2["configure_flow"], flow);
    })
    .await;
}

/// The look that one resource asks for must not hide from another what it shows: it may mend that at once.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_gets_drift_mended_and_the_next_resync_mends_the_rest() {
    test(async |test| {
        test.connect().await;
        for name in ["one", "other"] {
            let spec = json!({"name": test.name(name), "notConfiguredAction": "deny"});
            test.apply(VALIDATE, name, spec).await;
            test.in_sync(VALIDATE, name).await;
            let uuid = uuid_of(test, VALIDATE, name).await;
            let path = format!(
                "stages/authenticator/validate/{}/",
                uuid.as_str().expect("a UUID")
            );
            let skip = json!({"not_configured_action": "skip"});
            test.authentik.patch(&path, skip).await;
        }
        test.gateway.clear();
        let deny = patch(VALIDATE, json!({"not_configured_action": "deny"}));
        test.request_reconcile(VALIDATE, "one", "now").await;
        test.event("one", "DriftCorrected").await;
        test.request_reconcile("AuthentikConnection", "default", "now")
            .await;
        test.event("other", "DriftCorrected").await;
        assert_eq!(test.written(), [deny.clone(), deny]);
    })
    .await;
}

async fn a_stage_that_was_made_again_is_referred_to_again(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let old = test.totp_stage("totp").await;
    let flow = test.name("flow");
    test.flow("flow").await;
    let stages = json!([{"name": test.name("totp")}]);
    test.apply(VALIDATE, "mfa", enrolling(test, stages)).await;
    let by_slug = json!({"configureFlow": {"slug": flow}});
    test.apply(DUO, "duo", with(test.duo_spec().await, by_slug))
        .await;
    test.in_sync(VALIDATE, "mfa").await;
    test.in_sync(DUO, "duo").await;
    test.gateway.clear();
    let old = old.as_str().expect("a UUID");
    test.authentik
        .delete(&format!("stages/authenticator/totp/{old}/"))
        .await;
    test.authentik
        .delete(&format!("flows/instances/{flow}/"))
        .await;
    let (new, flow) = (test.totp_stage("totp").await, test.flow("flow").await);
    test.event("mfa", "DriftCorrected").await;
    test.event("duo", "DriftCorrected").await;
    let mut written = test.written();
    written.sort_by_key(|(_, path, _)| path.clone());
    let stages = json!({"not_configured_action": "configure", "configuration_stages": [new]});
    let flow = json!({ "configure_flow": flow });
    assert_eq!(written, [patch(DUO, flow), patch(VALIDATE, stages)]);
}

async fn a_resource_whose_stage_was_made_again_is_referred_to_again(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    test.apply(DUO, "duo", test.duo_spec().await).await;
    let stages = json!([{"resource": {"kind": DUO, "name": "duo"}}]);
    test.apply(VALIDATE, "mfa", enrolling(test, stages)).await;
    test.in_sync(VALIDATE, "mfa").await;
    let old = uuid_of(test, DUO, "duo").await;
    test.gateway.clear();
    let path = format!(
        "stages/authenticator/duo/{}/",
        old.as_str().expect("a UUID")
    );
    test.authentik.delete(&path).await;
    test.event("mfa", "DriftCorrected").await;
    let new = uuid_of(test, DUO, "duo").await;
    assert_ne!(new, old);
    let stages = json!({"not_configured_action": "configure", "configuration_stages": [new]});
    let written = test.written();
    assert_eq!(written.len(), 2, "{written:?}");
    assert_eq!(written[1], patch(VALIDATE, stages));
}
