//! Each field of the stage kinds: created with it, changed, mended after drift, left alone, emptied, not known.

use std::collections::BTreeSet;

use authentik_stage_operator::api::conditions;
use devkit::gateway::{Fault, FaultKind};
use serde_json::{Map, Value, json};

use crate::{
    harness::{DUO, Test, VALIDATE, collection, condition, message, patch, post, test, with},
    on_every_version,
};

on_every_version!(
    each_field_of_a_validate_stage,
    each_field_of_a_duo_stage,
    configure_and_its_stages_travel_together,
    what_is_not_set_is_left_alone_and_what_is_empty_is_emptied,
    a_duo_stage_without_friendly_name,
    the_same_in_other_words_is_not_written,
    fields_that_the_server_lacks_are_reported_and_not_sent,
);

/// One field: what it is created with and what it is changed to, in the spec and in authentik; and what somebody
/// makes of it by hand.
struct Case {
    spec: &'static str,
    api: &'static str,
    values: [(Value, Value); 2],
    by_hand: Value,
}

impl Case {
    /// A field whose values are the same in the spec and in authentik.
    fn plain(spec: &'static str, api: &'static str, values: [Value; 3]) -> Self {
        let [created, changed, by_hand] = values;
        Self::new(
            spec,
            api,
            [(created.clone(), created), (changed.clone(), changed)],
            by_hand,
        )
    }

    fn new(
        spec: &'static str,
        api: &'static str,
        values: [(Value, Value); 2],
        by_hand: Value,
    ) -> Self {
        Self {
            spec,
            api,
            values,
            by_hand,
        }
    }
}

/// An object of one part of each case.
fn object<'a>(cases: &'a [Case], part: impl Fn(&'a Case) -> (&'static str, &'a Value)) -> Value {
    let parts = cases.iter().map(part);
    let object: Map<_, _> = parts
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect();
    Value::Object(object)
}

/// Applies a spec and waits until it is in sync; returns what was written to authentik for it.
async fn written_for(test: &Test, kind: &str, spec: Value) -> Vec<(String, String, Value)> {
    test.gateway.clear();
    test.apply(kind, "stage", spec).await;
    test.in_sync(kind, "stage").await;
    test.written()
}

/// Changes the stage of the resource in authentik by hand.
async fn by_hand(test: &Test, kind: &str, body: Value) -> Value {
    let resource = test.get(kind, "stage").await;
    let uuid = resource.data["status"]["stage"]["uuid"].as_str();
    let path = format!("{}{}/", collection(kind), uuid.expect("a UUID"));
    test.authentik.patch(&path, body).await
}

async fn aaguids(test: &Test) -> Vec<Value> {
    let types = test
        .authentik
        .list("stages/authenticator/webauthn_device_types/")
        .await;
    types
        .iter()
        .map(|device_type| device_type["aaguid"].clone())
        .collect()
}

/// The fields of a validate stage that a server of this release has.
async fn validate_cases(test: &Test) -> Vec<Case> {
    let release = test.release().await;
    let (one, other) = (test.totp_stage("one").await, test.totp_stage("other").await);
    let mut cases = vec![
        Case::plain(
            "notConfiguredAction",
            "not_configured_action",
            [json!("skip"), json!("deny"), json!("skip")],
        ),
        Case::plain(
            "deviceClasses",
            "device_classes",
            [
                json!(["totp"]),
                json!(["static", "webauthn"]),
                json!(["sms"]),
            ],
        ),
        Case::new(
            "configurationStages",
            "configuration_stages",
            [
                (json!([{"uuid": one}]), json!([one])),
                (json!([{"uuid": other}]), json!([other])),
            ],
            json!([]),
        ),
        Case::plain(
            "lastAuthThreshold",
            "last_auth_threshold",
            [json!("hours=1"), json!("hours=2"), json!("minutes=5")],
        ),
        Case::plain(
            "webauthnUserVerification",
            "webauthn_user_verification",
            [json!("required"), json!("discouraged"), json!("preferred")],
        ),
    ];
    if release >= (2024, 6) {
        let types = aaguids(test).await;
        cases.push(Case::new(
            "webauthnAllowedDeviceTypes",
            "webauthn_allowed_device_types",
            [
                (json!([{"aaguid": types[0]}]), json!([types[0]])),
                (json!([{"aaguid": types[1]}]), json!([types[1]])),
            ],
            json!([types[2]]),
        ));
    }
    if release >= (2026, 5) {
        cases.push(Case::plain(
            "webauthnHints",
            "webauthn_hints",
            [
                json!(["hybrid", "security-key"]),
                json!(["security-key", "hybrid"]),
                json!(["client-device"]),
            ],
        ));
    }
    cases
}

async fn duo_cases(test: &Test) -> Vec<Case> {
    let (one, other) = (test.flow("one").await, test.flow("other").await);
    vec![
        Case::plain(
            "clientId",
            "client_id",
            [json!("DI1"), json!("DI2"), json!("DI3")],
        ),
        Case::plain(
            "apiHostname",
            "api_hostname",
            [
                json!("api-1.duosecurity.com"),
                json!("api-2.duosecurity.com"),
                json!("api-3.duosecurity.com"),
            ],
        ),
        Case::plain(
            "adminIntegrationKey",
            "admin_integration_key",
            [json!("ADMIN1"), json!("ADMIN2"), json!("")],
        ),
        Case::new(
            "configureFlow",
            "configure_flow",
            [
                (json!({"uuid": one}), one.clone()),
                (json!({"uuid": other}), other),
            ],
            Value::Null,
        ),
        Case::plain(
            "friendlyName",
            "friendly_name",
            [json!("Duo"), json!("Duo Push"), json!("Something else")],
        ),
    ]
}

async fn each_field_of_a_validate_stage(test: &Test) {
    let cases = validate_cases(test).await;
    let base = json!({"name": test.name("stage")});
    each_field(test, VALIDATE, &base, &base, &cases).await;
}

async fn each_field_of_a_duo_stage(test: &Test) {
    let cases = duo_cases(test).await;
    let base = test.duo_spec().await;
    let body = json!({"name": test.name("duo"), "client_secret": test.canary("s3cr3t")});
    each_field(test, DUO, &base, &body, &cases).await;
}

/// Creates a stage with all these fields, changes one after the other, and then all of them by hand.
async fn each_field(test: &Test, kind: &str, base: &Value, body: &Value, cases: &[Case]) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let mut spec = with(
        base.clone(),
        object(cases, |case| (case.spec, &case.values[0].0)),
    );
    let created = object(cases, |case| (case.api, &case.values[0].1));
    assert_eq!(
        written_for(test, kind, spec.clone()).await,
        [post(kind, with(body.clone(), created))]
    );
    for case in cases {
        let (wanted, sent) = &case.values[1];
        spec[case.spec] = wanted.clone();
        let change = json!({ case.api: sent });
        let written = written_for(test, kind, spec.clone()).await;
        assert_eq!(written, [patch(kind, change)], "{}", case.spec);
        assert_eq!(
            test.get(kind, "stage").await.data["status"]["lastChange"]["fields"],
            json!([case.spec])
        );
    }
    test.gateway.clear();
    by_hand(test, kind, object(cases, |case| (case.api, &case.by_hand))).await;
    let fields: BTreeSet<_> = cases.iter().map(|case| case.spec).collect();
    corrected(test, &fields).await;
    let mended = object(cases, |case| (case.api, &case.values[1].1));
    assert_eq!(merged(test, kind), mended);
    test.in_sync(kind, "stage").await;
}

/// Waits until the events have told of each of these fields, and of no other, that it was put right. A real server writes
/// row and sets one after the other, and a list in between shows a part of the change.
async fn corrected(test: &Test, fields: &BTreeSet<&str>) {
    for events in 1.. {
        let notes = test.events_of("stage", "DriftCorrected", events).await;
        let told = notes.iter().map(|note| note.strip_prefix("changed "));
        let told = told.flat_map(|told| told.expect("it says what was changed").split(", "));
        let told: BTreeSet<_> = told.collect();
        if told == *fields {
            return;
        }
        assert!(told.is_subset(fields), "{notes:?}");
    }
}

/// What was changed in the stage since, and nothing of it twice: in one request where a change by hand is seen whole.
fn merged(test: &Test, kind: &str) -> Value {
    let written = test.written();
    assert!(test.is_real() || written.len() == 1, "{written:?}");
    let mut all = Map::new();
    for (method, path, body) in written {
        assert_eq!((method, path, Value::Null), patch(kind, Value::Null));
        for (field, value) in body.as_object().expect("fields") {
            let before = all.insert(field.clone(), value.clone());
            assert_eq!(before, None, "{field} is written twice");
        }
    }
    Value::Object(all)
}

async fn configure_and_its_stages_travel_together(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let (one, other) = (test.totp_stage("one").await, test.totp_stage("other").await);
    let base = json!({"name": test.name("stage"), "deviceClasses": ["totp"]});
    written_for(test, VALIDATE, base.clone()).await;
    let pair = |uuid: &Value| {
        (
            json!({"notConfiguredAction": "configure", "configurationStages": [{"uuid": uuid}]}),
            json!({"not_configured_action": "configure", "configuration_stages": [uuid]}),
        )
    };
    let (first, first_body) = pair(&one);
    let written = written_for(test, VALIDATE, with(base.clone(), first.clone())).await;
    assert_eq!(written, [patch(VALIDATE, first_body)], "from skip");
    let (second, second_body) = pair(&other);
    let mut spec = with(base, second);
    let written = written_for(test, VALIDATE, spec.clone()).await;
    assert_eq!(
        written,
        [patch(VALIDATE, second_body.clone())],
        "other stages"
    );
    spec["deviceClasses"] = json!(["sms"]);
    let written = written_for(test, VALIDATE, spec.clone()).await;
    let alone = json!({"device_classes": ["sms"]});
    assert_eq!(written, [patch(VALIDATE, alone)], "something else");
    test.gateway.clear();
    by_hand(test, VALIDATE, json!({"configuration_stages": []})).await;
    let note = test.event("stage", "DriftCorrected").await;
    assert!(note.contains("configurationStages"), "{note}");
    assert_eq!(test.written(), [patch(VALIDATE, second_body)], "drift");
    test.in_sync(VALIDATE, "stage").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_needs_no_stages_travels_alone() {
    test(async |test| {
        test.connect().await;
        let stage = test.totp_stage("totp").await;
        let bases = [
            json!({"name": test.name("stage")}),
            json!({"name": test.name("stage"), "configurationStages": [{"uuid": stage}]}),
        ];
        for base in bases {
            let skip = with(base.clone(), json!({"notConfiguredAction": "skip"}));
            written_for(test, VALIDATE, skip).await;
            let deny = with(base, json!({"notConfiguredAction": "deny"}));
            let written = written_for(test, VALIDATE, deny).await;
            let alone = json!({"not_configured_action": "deny"});
            assert_eq!(written, [patch(VALIDATE, alone)]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_in_one_field_is_mended_in_that_field() {
    test(async |test| {
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        let spec = json!({"name": test.name("stage"), "notConfiguredAction": "deny", "deviceClasses": ["totp"]});
        written_for(test, VALIDATE, spec).await;
        test.gateway.clear();
        by_hand(test, VALIDATE, json!({"device_classes": ["sms"], "last_auth_threshold": "hours=1"})).await;
        let note = test.event("stage", "DriftCorrected").await;
        assert_eq!(note, "changed deviceClasses");
        let mended = json!({"device_classes": ["totp"]});
        assert_eq!(test.written(), [patch(VALIDATE, mended)]);
    })
    .await;
}

/// A field that can be emptied: its names, what somebody sets it to by hand, what empties it in the spec, and how
/// that is sent.
type Emptied = (&'static str, &'static str, Value, [Value; 2], Value);

async fn what_is_not_set_is_left_alone_and_what_is_empty_is_emptied(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let release = test.release().await;
    let list = |spec, api, by_hand| (spec, api, by_hand, [json!([]), Value::Null], json!([]));
    let totp = json!([test.totp_stage("totp").await]);
    let mut validate = vec![list("configurationStages", "configuration_stages", totp)];
    if release >= (2024, 6) {
        let types = json!([aaguids(test).await[0]]);
        validate.push(list(
            "webauthnAllowedDeviceTypes",
            "webauthn_allowed_device_types",
            types,
        ));
    }
    if release >= (2026, 5) {
        validate.push(list("webauthnHints", "webauthn_hints", json!(["hybrid"])));
    }
    let base = json!({"name": test.name("validate"), "notConfiguredAction": "deny"});
    left_alone_then_emptied(test, VALIDATE, &base, &validate).await;
    let none = Value::Null;
    let duo = [
        (
            "configureFlow",
            "configure_flow",
            test.flow("flow").await,
            [none.clone(), none.clone()],
            none.clone(),
        ),
        (
            "adminIntegrationKey",
            "admin_integration_key",
            json!("ADMIN"),
            [json!(""), json!(" ")],
            json!(""),
        ),
        (
            "friendlyName",
            "friendly_name",
            json!("Duo"),
            [json!(""), none],
            no_name(release),
        ),
    ];
    left_alone_then_emptied(test, DUO, &test.duo_spec().await, &duo).await;
}

/// How authentik writes that a stage has no friendly name.
fn no_name(release: (u16, u16)) -> Value {
    if release >= (2025, 10) {
        json!("")
    } else {
        Value::Null
    }
}

/// Twice, for each field is emptied in two ways.
async fn left_alone_then_emptied(test: &Test, kind: &str, base: &Value, fields: &[Emptied]) {
    for way in 0..2 {
        written_for(test, kind, base.clone()).await;
        let set: Map<_, _> = fields
            .iter()
            .map(|(_, api, value, ..)| ((*api).to_owned(), value.clone()))
            .collect();
        by_hand(test, kind, Value::Object(set)).await;
        test.gateway.clear();
        test.resyncs(1).await;
        assert_eq!(test.written(), [], "nothing of it is set in the spec");
        let mut spec = base.clone();
        for (name, api, _, empty, sent) in fields {
            spec[name] = empty[way].clone();
            let written = written_for(test, kind, spec.clone()).await;
            assert_eq!(written, [patch(kind, json!({ *api: sent }))], "{name}");
        }
    }
}

async fn a_duo_stage_without_friendly_name(test: &Test) {
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let none = no_name(test.release().await);
    let base = test.duo_spec().await;
    let named = |name: Value| with(base.clone(), json!({"friendlyName": name}));
    let written = written_for(test, DUO, named(Value::Null)).await;
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].2["friendly_name"], none);
    test.gateway.clear();
    test.resyncs(1).await;
    assert_eq!(test.written(), []);
    assert_eq!(written_for(test, DUO, named(json!(""))).await, []);
    assert_eq!(written_for(test, DUO, named(json!("  "))).await, []);
    let text = json!({"friendly_name": "Duo"});
    assert_eq!(
        written_for(test, DUO, named(json!("Duo"))).await,
        [patch(DUO, text)]
    );
    let cleared = json!({ "friendly_name": none });
    assert_eq!(
        written_for(test, DUO, named(Value::Null)).await,
        [patch(DUO, cleared)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_renames_the_stage() {
    test(async |test| {
        test.connect().await;
        let duo = test.duo_spec().await;
        for (kind, route, base) in [(VALIDATE, "validate", json!({})), (DUO, "duo", duo)] {
            let named = |name: &str| with(base.clone(), json!({"name": test.name(name)}));
            written_for(test, kind, named(&format!("old-{route}"))).await;
            let old = test.get(kind, "stage").await.data["status"]["stage"].clone();
            let new = format!("new-{route}");
            let written = written_for(test, kind, named(&new)).await;
            assert_eq!(written, [patch(kind, json!({"name": test.name(&new)}))]);
            let stage = test.authentik.stage(route, &test.name(&new)).await;
            assert_eq!(stage.expect("the stage is there")["pk"], old["uuid"]);
            let status = test.get(kind, "stage").await.data["status"]["stage"].clone();
            assert_eq!(
                (&status["uuid"], &status["name"]),
                (&old["uuid"], &json!(test.name(&new)))
            );
        }
    })
    .await;
}

async fn the_same_in_other_words_is_not_written(test: &Test) {
    test.connect().await;
    let uuids = [test.totp_stage("one").await, test.totp_stage("other").await];
    let [one, other] = uuids.map(|uuid| uuid.as_str().expect("a UUID").to_owned());
    let name = test.name("stage");
    let spec = json!({
        "name": name, "notConfiguredAction": "configure", "deviceClasses": ["totp", "static"],
        "configurationStages": [{"uuid": one}, {"uuid": other}], "lastAuthThreshold": "hours=1; minutes=5",
    });
    let written = written_for(test, VALIDATE, spec.clone()).await;
    // With the space, authentik would take it for one hour.
    assert_eq!(written[0].2["last_auth_threshold"], "hours=1;minutes=5");
    for same in [
        json!({"name": format!("  {name} ")}),
        json!({"deviceClasses": ["static", "totp"]}),
        json!({"configurationStages": [{"uuid": other}, {"uuid": one}]}),
        json!({"configurationStages": [{"uuid": one.to_uppercase()}, {"uuid": other.replace('-', "")}]}),
        json!({"configurationStages": [{"name": format!(" {} ", test.name("one"))}, {"uuid": other}]}),
        json!({"configurationStages": [{"name": test.name("one")}, {"uuid": one}, {"uuid": other}]}),
        json!({"lastAuthThreshold": "minutes=5;hours=1"}),
        json!({"lastAuthThreshold": " Minutes=65 "}),
        json!({"lastAuthThreshold": "seconds=3900.0"}),
    ] {
        let written = written_for(test, VALIDATE, with(spec.clone(), same.clone())).await;
        assert_eq!(written, [], "{same}");
    }
    let flow = test.flow("flow").await;
    let more = json!({"name": test.name("duo"), "configureFlow": {"uuid": flow}, "friendlyName": "Duo Push"});
    let spec = with(test.duo_spec().await, more);
    written_for(test, DUO, spec.clone()).await;
    let flow = flow
        .as_str()
        .expect("a UUID")
        .replace('-', "")
        .to_uppercase();
    for same in [
        json!({"clientId": " DIXXXXXXXXXXXXXXXXXX\n"}),
        json!({"apiHostname": " api-1.duosecurity.com "}),
        json!({"configureFlow": {"uuid": flow}}),
        json!({"configureFlow": {"slug": test.name("flow")}}),
        json!({"friendlyName": "\tDuo Push "}),
    ] {
        let written = written_for(test, DUO, with(spec.clone(), same.clone())).await;
        assert_eq!(written, [], "{same}");
    }
}

/// Values for the fields that a server of this release does not have.
fn unknown_fields(release: (u16, u16)) -> Value {
    let mut fields = json!({});
    if release < (2024, 6) {
        let types = json!([{"aaguid": "00000000-0000-0000-0000-000000000000"}]);
        fields["webauthnAllowedDeviceTypes"] = types;
    }
    if release < (2026, 5) {
        fields["webauthnHints"] = json!([]);
    }
    if release <= (2026, 5) {
        for factor in ["email", "sms", "totp", "static"] {
            fields[format!("{factor}OtpThrottlingFactor")] = json!(2);
        }
    }
    fields
}

async fn fields_that_the_server_lacks_are_reported_and_not_sent(test: &Test) {
    let release = test.release().await;
    let unknown = unknown_fields(release);
    let names: Vec<_> = unknown
        .as_object()
        .expect("fields")
        .keys()
        .cloned()
        .collect();
    if names.is_empty() {
        return;
    }
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let name = test.name("stage");
    let spec = with(
        json!({"name": name, "notConfiguredAction": "skip"}),
        unknown,
    );
    test.apply(VALIDATE, "stage", spec.clone()).await;
    let resource = test.reason(VALIDATE, "stage", "FieldUnsupported").await;
    assert!(condition(&resource, conditions::STALLED).is_some());
    let (year, minor) = release;
    let text = message(&resource);
    assert!(
        text.contains(&format!("authentik {year}.{minor}.")),
        "{text}"
    );
    for name in &names {
        assert!(text.contains(&format!("{name} needs ")), "{text}");
    }
    let body = json!({"name": name, "not_configured_action": "skip"});
    assert_eq!(test.written(), [post(VALIDATE, body)]);
    test.gateway.clear();
    test.resyncs(2).await;
    assert_eq!(test.written(), []);
    let deny = with(spec, json!({"notConfiguredAction": "deny"}));
    test.apply(VALIDATE, "stage", deny).await;
    test.reason(VALIDATE, "stage", "FieldUnsupported").await;
    let change = json!({"not_configured_action": "deny"});
    assert_eq!(test.written(), [patch(VALIDATE, change)]);
    test.apply(
        VALIDATE,
        "stage",
        json!({"name": name, "notConfiguredAction": "deny"}),
    )
    .await;
    test.in_sync(VALIDATE, "stage").await;
}

/// From a release on of which nothing is known, a field is sent; the answer tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_the_answer_lacks_is_reported_and_not_sent_again() {
    test(async |test| {
        if test.release().await > (2026, 5) {
            return;
        }
        let version = json!({"version_current": "2099.1.0", "version_latest": "2099.1.0"});
        test.gateway.inject(
            Fault::new(FaultKind::Respond {
                status: 200,
                content_type: "application/json".to_owned(),
                body: version.to_string(),
                forward: false,
            })
            .path("/admin/version/"),
        );
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        let spec = json!({"name": test.name("stage"), "totpOtpThrottlingFactor": 2});
        test.apply(VALIDATE, "stage", spec).await;
        let resource = test.reason(VALIDATE, "stage", "FieldUnsupported").await;
        let text = message(&resource);
        assert!(
            text.contains("totpOtpThrottlingFactor was not kept by the server"),
            "{text}"
        );
        let body = json!({"name": test.name("stage"), "totp_otp_throttling_factor": 2.0});
        assert_eq!(test.written(), [post(VALIDATE, body)]);
        test.gateway.clear();
        test.resyncs(2).await;
        assert_eq!(test.written(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_the_server_refuses_is_told_in_its_own_words() {
    crate::harness::on(devkit::simulator::Version::V2024_2, async |test| {
        if test.release().await >= (2025, 2) {
            return;
        }
        test.connect().await;
        let spec = json!({"name": test.name("stage"), "deviceClasses": ["totp", "email"]});
        test.apply(VALIDATE, "stage", spec.clone()).await;
        let resource = test.reason(VALIDATE, "stage", "Rejected").await;
        assert!(condition(&resource, conditions::STALLED).is_some());
        let text = message(&resource);
        for words in [
            "device_classes",
            "\"email\" is not a valid choice.",
            "\"email\" needs authentik 2025.2, and this is ",
        ] {
            assert!(text.contains(words), "{text}");
        }
        let note = test.event("stage", "Rejected").await;
        assert_eq!(note, text);
        let spec = with(spec, json!({"deviceClasses": ["totp"]}));
        test.apply(VALIDATE, "stage", spec).await;
        test.in_sync(VALIDATE, "stage").await;
    })
    .await;
}
