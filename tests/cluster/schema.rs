//! What `kubectl apply` takes and refuses, and with which words: the rules of the CRDs, asked of the API server
//! in dry runs.

use devkit::kubernetes::Release;
use kube::{
    api::{DynamicObject, Patch, PatchParams},
    core::Status,
};
use serde_json::{Value, json};

use crate::harness::{DUO, Test, VALIDATE, test, with};

const CONNECTION: &str = "AuthentikConnection";
const CLUSTER_CONNECTION: &str = "ClusterAuthentikConnection";

const UUID: &str = "6f9619ff-8b86-d011-b42d-00cf4fc964ff";

/// How Kubernetes refuses a text that is longer than this; the oldest has other words.
fn too_long(most: usize) -> String {
    match Release::chosen() {
        Ok(Some(Release::Oldest)) => format!("may not be longer than {most}"),
        _ => format!("may not be more than {most}"),
    }
}

/// The least that each kind takes.
fn least(kind: &str) -> Value {
    match kind {
        DUO => json!({
            "clientId": "DIXXXXXXXXXXXXXXXXXX", "apiHostname": "api-12345678.duosecurity.com",
            "clientSecret": {"secretKeyRef": {"name": "duo", "key": "secret"}},
        }),
        CONNECTION => {
            json!({"url": "https://auth.example.com", "tokenSecretRef": {"name": "authentik", "key": "token"}})
        }
        CLUSTER_CONNECTION => json!({
            "url": "https://auth.example.com",
            "tokenSecretRef": {"namespace": "authentik", "name": "authentik", "key": "token"},
        }),
        _ => json!({}),
    }
}

/// What the API server makes of a spec.
async fn dry_run(test: &Test, kind: &str, spec: &Value) -> Result<DynamicObject, Box<Status>> {
    let object = json!({
        "apiVersion": "authentik-operator.io/v1alpha1", "kind": kind,
        "metadata": {"name": test.name("dry")}, "spec": spec,
    });
    let params = PatchParams::apply("test").force().dry_run();
    let applied = test
        .api(kind)
        .patch(&test.name("dry"), &params, &Patch::Apply(&object))
        .await;
    test.both_agree(&object, &applied);
    match applied {
        Ok(object) => Ok(object),
        Err(kube::Error::Api(status)) => Err(status),
        Err(error) => panic!("Kubernetes does not answer: {error}"),
    }
}

/// Each of these is taken and kept as it is: nothing added, no null dropped.
async fn takes(test: &Test, kind: &str, cases: &[Value]) {
    let mut wrong = Vec::new();
    for fields in cases {
        let spec = with(least(kind), fields.clone());
        match dry_run(test, kind, &spec).await {
            Ok(object) if object.data["spec"] == spec => {}
            Ok(object) => wrong.push(format!("{spec} became {}", object.data["spec"])),
            Err(status) => wrong.push(format!("{fields} was refused: {}", status.message)),
        }
    }
    assert!(wrong.is_empty(), "{kind}:\n{}", wrong.join("\n"));
}

/// Each of these is refused with a message that holds these words.
async fn refuses(test: &Test, kind: &str, cases: &[(Value, &str)]) {
    let mut wrong = Vec::new();
    for (fields, words) in cases {
        match dry_run(test, kind, &with(least(kind), fields.clone())).await {
            Ok(_) => wrong.push(format!("{fields} was taken")),
            Err(status) if status.message.contains(words) => {}
            Err(status) => wrong.push(format!("{fields} was refused: {}", status.message)),
        }
    }
    assert!(wrong.is_empty(), "{kind}:\n{}", wrong.join("\n"));
}

/// Each of these values of one field is refused with these words.
async fn refuses_values(test: &Test, kind: &str, field: &str, values: &[Value], words: &str) {
    let case = |value: &Value| (json!({ field: value }), words);
    refuses(test, kind, &values.iter().map(case).collect::<Vec<_>>()).await;
}

/// Each of these values of one field is taken.
async fn takes_values(test: &Test, kind: &str, field: &str, values: &[Value]) {
    let case = |value: &Value| json!({ field: value });
    takes(test, kind, &values.iter().map(case).collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_defaulted() {
    test(async |test| {
        for kind in [VALIDATE, DUO, CONNECTION, CLUSTER_CONNECTION] {
            takes(test, kind, &[json!({})]).await;
            refuses(
                test,
                kind,
                &[(json!({"nmae": "x"}), "field not declared in schema")],
            )
            .await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_stages_share() {
    test(async |test| {
        for kind in [VALIDATE, DUO] {
            takes(
                test,
                kind,
                &[
                    json!({"connectionRef": {"name": "other"}}),
                    json!({"connectionRef": {"kind": "AuthentikConnection", "name": "other"}}),
                    json!({"connectionRef": {"kind": "ClusterAuthentikConnection", "name": "other"}}),
                    json!({"name": "  Zweiter Faktor: Büro / 二要素  "}),
                    json!({"name": "x".repeat(512)}),
                    json!({"managementPolicy": "Enforce"}),
                    json!({"managementPolicy": "Observe"}),
                    json!({"adoptionPolicy": "IfMatch"}),
                    json!({"adoptionPolicy": "Always"}),
                    json!({"adoptionPolicy": "Never"}),
                    json!({"deletionPolicy": "Orphan"}),
                    json!({"deletionPolicy": "Delete"}),
                    json!({"deletionPolicy": "ForceDelete"}),
                    json!({"suspend": true}),
                    json!({"suspend": false}),
                ],
            )
            .await;
            refuses(
                test,
                kind,
                &[
                    (json!({"connectionRef": {}}), "spec.connectionRef.name: Required value"),
                    (json!({"connectionRef": {"name": ""}}), "should be at least 1 chars long"),
                    (
                        json!({"connectionRef": {"kind": "Secret", "name": "other"}}),
                        "supported values: \"AuthentikConnection\", \"ClusterAuthentikConnection\"",
                    ),
                    (json!({"name": ""}), "name is blank"),
                    (json!({"name": " \t\n\u{a0}"}), "name is blank"),
                    (json!({"name": "x".repeat(513)}), &too_long(512)),
                    (json!({"name": "a\0b"}), "name holds a control character"),
                    (json!({"managementPolicy": "observe"}), "supported values: \"Enforce\", \"Observe\""),
                    (
                        json!({"adoptionPolicy": "Sometimes"}),
                        "supported values: \"IfMatch\", \"Always\", \"Never\"",
                    ),
                    (
                        json!({"deletionPolicy": "Retain"}),
                        "supported values: \"Orphan\", \"Delete\", \"ForceDelete\"",
                    ),
                    (json!({"suspend": "yes"}), "expected boolean"),
                ],
            )
            .await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_stands_once_in_each_place_of_a_flow() {
    test(async |test| {
        let flow = json!({"slug": "login"});
        let place = |more: Value| with(json!({"flow": flow, "order": 10}), more);
        takes_values(
            test,
            VALIDATE,
            "flows",
            &[
                Value::Null,
                json!([]),
                json!([place(json!({})), place(json!({"order": -2_147_483_648_i64}))]),
                json!([place(json!({})), place(json!({"flow": {"uuid": UUID}}))]),
                json!([place(json!({"order": 2_147_483_647, "evaluateOnPlan": true, "reEvaluatePolicies": false}))]),
                json!([place(json!({"reEvaluatePolicies": true, "invalidResponseAction": "restart_with_context"}))]),
                json!([place(json!({"policyEngineMode": "all"}))]),
            ],
        )
        .await;
        let neither = "reEvaluatePolicies: false needs evaluateOnPlan: true";
        let cases = [
            (json!([{"order": 10}]), "flow: Required value"),
            (json!([{"flow": flow}]), "order: Required value"),
            (json!([place(json!({"flow": {}}))]), "a flow reference needs exactly one of slug, uuid"),
            (json!([place(json!({"order": 1.5}))]), "must be of type integer"),
            (json!([place(json!({"order": 2_147_483_648_i64}))]), "should be less than or equal to"),
            (json!([place(json!({"order": null}))]), "null"),
            (json!([place(json!({})), place(json!({"policyEngineMode": "all"}))]), "flows binds the stage twice"),
            (json!([place(json!({"reEvaluatePolicies": false}))]), neither),
            (json!([place(json!({"reEvaluatePolicies": false, "evaluateOnPlan": false}))]), neither),
            (
                json!([place(json!({"invalidResponseAction": "stop"}))]),
                "supported values: \"retry\", \"restart\", \"restart_with_context\"",
            ),
            (json!([place(json!({"policyEngineMode": "most"}))]), "supported values: \"all\", \"any\""),
        ];
        let cases = cases.map(|(value, words)| (json!({"flows": value}), words));
        refuses(test, VALIDATE, &cases).await;
        takes_values(test, DUO, "flows", &[json!([place(json!({}))])]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn null_is_refused_where_it_means_nothing() {
    test(async |test| {
        let common = [
            "connectionRef",
            "name",
            "managementPolicy",
            "adoptionPolicy",
            "deletionPolicy",
            "suspend",
        ];
        let validate = [
            "notConfiguredAction",
            "deviceClasses",
            "lastAuthThreshold",
            "webauthnUserVerification",
            "emailOtpThrottlingFactor",
            "smsOtpThrottlingFactor",
            "totpOtpThrottlingFactor",
            "staticOtpThrottlingFactor",
        ];
        let duo = [
            "clientId",
            "clientSecret",
            "apiHostname",
            "adminIntegrationKey",
        ];
        let connection = [
            "url",
            "tokenSecretRef",
            "caBundle",
            "resyncInterval",
            "timeout",
            "requestsPerSecond",
            "maxConcurrentRequests",
        ];
        let of_kinds: [(&str, Vec<&str>); 4] = [
            (VALIDATE, [&common[..], &validate].concat()),
            (DUO, [&common[..], &duo].concat()),
            (CONNECTION, connection.to_vec()),
            (
                CLUSTER_CONNECTION,
                [&connection[..], &["allowedNamespaces"]].concat(),
            ),
        ];
        for (kind, fields) in of_kinds {
            let cases: Vec<_> = fields
                .into_iter()
                .map(|field| (json!({ field: null }), "null"))
                .collect();
            refuses(test, kind, &cases).await;
        }
        refuses(
            test,
            VALIDATE,
            &[
                (
                    json!({"configurationStages": [{"name": "a", "uuid": null}]}),
                    "null",
                ),
                (
                    json!({"webauthnAllowedDeviceTypes": [{"aaguid": null}]}),
                    "null",
                ),
            ],
        )
        .await;
        refuses(
            test,
            DUO,
            &[(json!({"configureFlow": {"slug": null}}), "null")],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn null_is_kept_where_it_means_nothing_is_wanted() {
    test(async |test| {
        let kept = |field: &&str| json!({ *field: null });
        let validate = [
            "configurationStages",
            "webauthnAllowedDeviceTypes",
            "webauthnHints",
            "flows",
        ];
        takes(
            test,
            VALIDATE,
            &validate.iter().map(kept).collect::<Vec<_>>(),
        )
        .await;
        let duo = ["configureFlow", "friendlyName", "adminSecretKey", "flows"];
        takes(test, DUO, &duo.iter().map(kept).collect::<Vec<_>>()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn configure_needs_a_stage_to_enrol_through() {
    test(async |test| {
        let stages = json!([{"name": "totp-setup"}]);
        takes(
            test,
            VALIDATE,
            &[
                json!({"notConfiguredAction": "skip"}),
                json!({"notConfiguredAction": "deny", "configurationStages": []}),
                json!({"notConfiguredAction": "deny", "configurationStages": stages}),
                json!({"notConfiguredAction": "configure", "configurationStages": stages}),
                json!({"configurationStages": stages}),
            ],
        )
        .await;
        let message = "notConfiguredAction: configure needs configurationStages";
        refuses(
            test,
            VALIDATE,
            &[
                (json!({"notConfiguredAction": "configure"}), message),
                (
                    json!({"notConfiguredAction": "configure", "configurationStages": null}),
                    message,
                ),
                (
                    json!({"notConfiguredAction": "configure", "configurationStages": []}),
                    message,
                ),
                (
                    json!({"notConfiguredAction": "Configure", "configurationStages": stages}),
                    "supported values: \"skip\", \"deny\", \"configure\"",
                ),
            ],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_values_of_a_validate_stage() {
    test(async |test| {
        takes(
            test,
            VALIDATE,
            &[
                json!({"deviceClasses": ["static", "totp", "webauthn", "duo", "sms", "email"]}),
                json!({"deviceClasses": ["webauthn"]}),
                json!({"webauthnUserVerification": "required"}),
                json!({"webauthnUserVerification": "preferred"}),
                json!({"webauthnUserVerification": "discouraged"}),
                json!({"webauthnHints": ["hybrid", "security-key", "client-device"]}),
                json!({"webauthnHints": []}),
                json!({"emailOtpThrottlingFactor": 0, "smsOtpThrottlingFactor": 0.5}),
                json!({"totpOtpThrottlingFactor": 1, "staticOtpThrottlingFactor": 1000}),
            ],
        )
        .await;
        refuses(
            test,
            VALIDATE,
            &[
                (json!({"deviceClasses": []}), "should have at least 1 items"),
                (
                    json!({"deviceClasses": ["totp", "sms", "totp"]}),
                    "deviceClasses holds an entry twice",
                ),
                (
                    json!({"deviceClasses": ["passkey"]}),
                    "supported values: \"static\", \"totp\"",
                ),
                (
                    json!({"webauthnUserVerification": "always"}),
                    "supported values: \"required\", \"preferred\", \"discouraged\"",
                ),
                (
                    json!({"webauthnHints": ["hybrid", "hybrid"]}),
                    "webauthnHints holds an entry twice",
                ),
                (
                    json!({"webauthnHints": ["phone"]}),
                    "supported values: \"security-key\", \"client-device\", \"hybrid\"",
                ),
                (
                    json!({"emailOtpThrottlingFactor": -1}),
                    "should be greater than or equal to 0",
                ),
                (
                    json!({"smsOtpThrottlingFactor": -0.1}),
                    "should be greater than or equal to 0",
                ),
                (json!({"totpOtpThrottlingFactor": "1"}), "expected numeric"),
                (
                    json!({"staticOtpThrottlingFactor": -1}),
                    "should be greater than or equal to 0",
                ),
            ],
        )
        .await;
    })
    .await;
}

/// As recorded from authentik, but for two oddities of Python that it takes: `hours=1_0` and digits that are not
/// ASCII.
#[tokio::test(flavor = "multi_thread")]
async fn durations_are_authentiks() {
    test(async |test| {
        let taken = [
            "hours=12",
            "hours=1;minutes=5",
            "hours=1; minutes=5",
            "minutes=5;hours=1",
            "hours=1;hours=2",
            "hours=1.5",
            "hours=-1",
            "hours=+1",
            "hours=01",
            " hours=1 ",
            "Hours=1",
            "weeks=1",
            "days=3",
            "seconds=0",
            "milliseconds=5",
            "microseconds=5",
            "days=999999999",
        ];
        takes_values(test, VALIDATE, "lastAuthThreshold", &taken.map(Value::from)).await;
        let refused = [
            "",
            "  ",
            "soon",
            "hours=",
            "=5",
            "hours=abc",
            "hours = 1",
            "months=1",
            "years=1",
            "5",
            "0",
            "12h",
            "hours=1;",
            ";hours=1",
            "hours=1,minutes=5",
            "hours=1;fortnights=1",
            "days=99999999999",
            "weeks=999999999",
            "PT1H",
            "hours:1",
            "hours=1=2",
            "hours=nan",
            "hours=1\nminutes=5",
        ];
        let message = "lastAuthThreshold is not an authentik duration; write units from weeks to microseconds, for example hours=12";
        refuses_values(test, VALIDATE, "lastAuthThreshold", &refused.map(Value::from), message).await;
        refuses_values(test, VALIDATE, "lastAuthThreshold", &[json!(5)], "expected string").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_is_referred_to_in_exactly_one_way() {
    test(async |test| {
        let resource = json!({"kind": DUO, "name": "duo"});
        takes_values(
            test,
            VALIDATE,
            "configurationStages",
            &[
                json!([]),
                json!([{"name": " default-authenticator-totp-setup "}]),
                json!([{"uuid": UUID}]),
                json!([{"uuid": UUID.to_uppercase()}]),
                json!([{"uuid": UUID.replace('-', "")}]),
                json!([{"resource": resource}]),
                json!([{"name": "a"}, {"name": "b"}, {"uuid": UUID}, {"resource": resource}]),
            ],
        )
        .await;
        let one = "a stage reference needs exactly one of name, uuid, resource";
        let cases = [
            (json!([{}]), one),
            (json!([{"name": "a", "uuid": UUID}]), one),
            (json!([{"name": "a", "resource": resource}]), one),
            (
                json!([{"name": "a", "uuid": UUID, "resource": resource}]),
                one,
            ),
            (json!([{"name": "  "}]), "name is blank"),
            (json!([{"uuid": ""}]), "uuid is not a UUID"),
            (json!([{"uuid": "totp-setup"}]), "uuid is not a UUID"),
            (json!([{"resource": {"kind": DUO}}]), "name: Required value"),
            (
                json!([{"resource": {"name": "duo"}}]),
                "kind: Required value",
            ),
            (
                json!([{"name": "a"}, {"name": "a"}]),
                "configurationStages holds an entry twice",
            ),
            (json!(["totp-setup"]), "expected map"),
        ];
        let cases = cases.map(|(value, words)| (json!({"configurationStages": value}), words));
        refuses(test, VALIDATE, &cases).await;
        let many: Vec<_> = (0..33).map(|n| json!({"name": n.to_string()})).collect();
        takes_values(test, VALIDATE, "configurationStages", &[json!(many[..32])]).await;
        refuses_values(
            test,
            VALIDATE,
            "configurationStages",
            &[json!(many)],
            "must have at most 32 items",
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_type_is_referred_to_in_exactly_one_way() {
    test(async |test| {
        takes_values(
            test,
            VALIDATE,
            "webauthnAllowedDeviceTypes",
            &[
                json!([]),
                json!([{"aaguid": UUID}, {"aaguid": "00000000-0000-0000-0000-000000000000"}]),
                json!([{"aaguid": UUID.replace('-', "").to_uppercase()}]),
                json!([{"description": "YubiKey 5 Series with NFC"}, {"description": "Windows Hello"}]),
            ],
        )
        .await;
        let one = "a device type needs exactly one of aaguid, description";
        let cases = [
            (json!([{}]), one),
            (json!([{"aaguid": UUID, "description": "Windows Hello"}]), one),
            (json!([{"aaguid": "Windows Hello"}]), "aaguid is not a UUID"),
            (json!([{"description": " "}]), "description is blank"),
            (json!([{"aaguid": UUID}, {"aaguid": UUID}]), "webauthnAllowedDeviceTypes holds an entry twice"),
        ];
        let cases = cases.map(|(value, words)| (json!({"webauthnAllowedDeviceTypes": value}), words));
        refuses(test, VALIDATE, &cases).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_values_of_a_duo_stage() {
    test(async |test| {
        takes(
            test,
            DUO,
            &[
                json!({"clientId": " DI ", "apiHostname": "api-1.duosecurity.com"}),
                json!({"adminIntegrationKey": "DIADMIN"}),
                json!({"adminIntegrationKey": ""}),
                json!({"adminSecretKey": {"secretKeyRef": {"name": "duo", "key": "admin.secret_key"}}}),
                json!({"configureFlow": {"slug": "default-authenticator-duo_setup"}}),
                json!({"configureFlow": {"uuid": UUID}}),
                json!({"friendlyName": "Duo Push"}),
                json!({"friendlyName": ""}),
            ],
        )
        .await;
        let one = "a flow reference needs exactly one of slug, uuid";
        let host = "apiHostname is a host name; write it without https://";
        let secret = |name, key| json!({"secretKeyRef": {"name": name, "key": key}});
        refuses(
            test,
            DUO,
            &[
                (json!({"clientId": " "}), "clientId is blank"),
                (json!({"clientIdFrom": secret("duo", "id")}), "clientId or clientIdFrom is needed, and not both"),
                (json!({"apiHostnameFrom": secret("duo", "host")}), "apiHostname or apiHostnameFrom is needed, and not both"),
                (json!({"clientId": "x".repeat(1025)}), &too_long(1024)),
                (json!({"apiHostname": ""}), "apiHostname is blank"),
                (json!({"apiHostname": "https://api-1.duosecurity.com"}), host),
                (json!({"apiHostname": "api-1.duosecurity.com/"}), host),
                (json!({"clientSecret": "s3cr3t"}), "expected map"),
                (json!({"clientSecret": {}}), "secretKeyRef: Required value"),
                (json!({"clientSecret": secret("", "key")}), "should be at least 1 chars long"),
                (json!({"clientSecret": secret("duo", "")}), "should be at least 1 chars long"),
                (json!({"adminSecretKey": {"secretKeyRef": {"name": "duo"}}}), "key: Required value"),
                (json!({"configureFlow": {}}), one),
                (json!({"configureFlow": {"slug": "a", "uuid": UUID}}), one),
                (json!({"configureFlow": {"slug": "my flow"}}), "slug is not a flow's slug"),
                (json!({"configureFlow": {"slug": ""}}), "slug is not a flow's slug"),
                (json!({"configureFlow": {"uuid": "my-flow"}}), "uuid is not a UUID"),
                (json!({"friendlyName": 1}), "expected string"),
            ],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kind_cannot_do_without_is_required() {
    test(async |test| {
        for kind in [DUO, CONNECTION, CLUSTER_CONNECTION] {
            let least = least(kind);
            for field in least.as_object().expect("fields").keys() {
                let mut spec = least.clone();
                spec.as_object_mut().expect("fields").remove(field);
                let refused = dry_run(test, kind, &spec).await.expect_err("it is refused");
                let words = match field.as_str() {
                    "clientId" | "apiHostname" => format!("{field} or {field}From is needed"),
                    _ => format!("spec.{field}: Required value"),
                };
                assert!(refused.message.contains(&words), "{}", refused.message);
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_a_server() {
    test(async |test| {
        let taken = [
            "https://auth.example.com",
            "https://auth.example.com/",
            "https://example.com/auth",
            "https://example.com/auth/",
            "HTTPS://Auth.Example.com",
            "http://authentik",
            "http://authentik-server.authentik.svc.cluster.local:80",
            "http://localhost:9000",
            "http://10.0.0.1:9000",
            "http://[::1]:9000",
            "https://[2001:db8::1]/auth",
            "https://bücher.example",
        ];
        let refused = [
            "",
            " ",
            "auth.example.com",
            "auth.example.com:9443",
            "//auth.example.com",
            "/auth",
            "ftp://auth.example.com",
            "unix:///run/authentik.sock",
            "https://",
            "https:///auth",
            "https://:9443",
            "https://admin@auth.example.com",
            "https://admin:password@auth.example.com",
            "https://auth.example.com?next=/",
            "https://auth.example.com/#/core",
            " https://auth.example.com",
            "https://auth.example.com ",
            "https://auth.example.com/ ",
            "https://auth example.com",
            "https://auth.example.com:https",
        ];
        for kind in [CONNECTION, CLUSTER_CONNECTION] {
            takes_values(test, kind, "url", &taken.map(Value::from)).await;
            refuses_values(
                test,
                kind,
                "url",
                &refused.map(Value::from),
                "url is not the address of an authentik server; write http:// or https://, a host",
            )
            .await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_times_of_a_connection() {
    test(async |test| {
        let taken = ["1s", "30s", "1500ms", "0.5m", "60s"];
        let long = ["5m", "1h30m", "1.5h", "24h", "0h5m"];
        let refused = [
            "", "5", "0s", "500ms", "0.5s", "25h", "1d", "-5m", "5 m", "1h 30m", "5min", "m", "P1D",
        ];
        for kind in [CONNECTION, CLUSTER_CONNECTION] {
            for (field, longest, example) in
                [("resyncInterval", "24h", "5m"), ("timeout", "60s", "30s")]
            {
                let message = format!(
                    "{field} is not a duration from 1s to {longest}; write for example {example}"
                );
                takes_values(test, kind, field, &taken.map(Value::from)).await;
                refuses_values(test, kind, field, &refused.map(Value::from), &message).await;
                refuses_values(test, kind, field, &[json!(300)], "expected string").await;
            }
            takes_values(test, kind, "resyncInterval", &long.map(Value::from)).await;
            let message = "timeout is not a duration from 1s to 60s";
            refuses_values(test, kind, "timeout", &long.map(Value::from), message).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_settings_of_a_connection() {
    test(async |test| {
        let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        let at = |kind: &str| match kind {
            CONNECTION => json!({"name": "ca", "key": "ca.crt"}),
            _ => json!({"namespace": "authentik", "name": "ca", "key": "ca.crt"}),
        };
        for kind in [CONNECTION, CLUSTER_CONNECTION] {
            takes(
                test,
                kind,
                &[
                    json!({"requestsPerSecond": 1, "maxConcurrentRequests": 1}),
                    json!({"requestsPerSecond": 1000, "maxConcurrentRequests": 100}),
                    json!({"caBundle": format!("# our CA\n{pem}{pem}")}),
                    json!({"caBundleFrom": {"configMapKeyRef": at(kind)}}),
                    json!({"caBundleFrom": {"secretKeyRef": at(kind)}}),
                ],
            )
            .await;
            refuses(
                test,
                kind,
                &[
                    (json!({"requestsPerSecond": 0}), "should be greater than or equal to 1"),
                    (json!({"requestsPerSecond": 0.5}), "must be of type integer"),
                    (json!({"requestsPerSecond": 1001}), "should be less than or equal to 1000"),
                    (json!({"maxConcurrentRequests": 0}), "should be greater than or equal to 1"),
                    (json!({"maxConcurrentRequests": 101}), "should be less than or equal to 100"),
                    (json!({"caBundle": ""}), "caBundle holds no PEM certificate"),
                    (json!({"caBundle": "TUlJQg=="}), "caBundle holds no PEM certificate"),
                    (json!({"tokenSecretRef": {"name": "authentik"}}), "key: Required value"),
                    (
                        json!({"caBundle": pem, "caBundleFrom": {"secretKeyRef": at(kind)}}),
                        "caBundle and caBundleFrom are both set; keep one of the two",
                    ),
                    (
                        json!({"caBundleFrom": {"configMapKeyRef": at(kind), "secretKeyRef": at(kind)}}),
                        "caBundleFrom needs exactly one of configMapKeyRef, secretKeyRef",
                    ),
                    (json!({"caBundleFrom": {}}), "caBundleFrom needs exactly one of"),
                    (
                        json!({"caBundleFrom": {"configMapKeyRef": {"name": "ca"}}}),
                        "key: Required value",
                    ),
                ],
            )
            .await;
        }
        refuses(
            test,
            CONNECTION,
            &[
                (
                    json!({"tokenSecretRef": {"namespace": "other", "name": "authentik", "key": "token"}}),
                    "field not declared in schema",
                ),
                (json!({"allowedNamespaces": {}}), "field not declared in schema"),
                (
                    json!({"caBundleFrom": {"configMapKeyRef": at(CLUSTER_CONNECTION)}}),
                    "field not declared in schema",
                ),
            ],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_headers_of_a_connection() {
    test(async |test| {
        let header = |name: &str| json!({"name": name, "value": "v"});
        for kind in [CONNECTION, CLUSTER_CONNECTION] {
            let mut at = json!({"name": "access", "key": "secret"});
            if kind == CLUSTER_CONNECTION {
                at["namespace"] = json!("authentik");
            }
            let of_secret =
                json!({"name": "CF-Access-Client-Secret", "valueFrom": {"secretKeyRef": at}});
            let many: Vec<_> = (0..17).map(|n| header(&format!("X-{n}"))).collect();
            takes_values(
                test,
                kind,
                "headers",
                &[
                    json!([]),
                    json!([header("CF-Access-Client-Id"), of_secret]),
                    json!([{"name": "Cookie", "value": "a=b; c=\"d e\""}, header("X_1.~")]),
                    json!(many[..16]),
                ],
            )
            .await;
            let own = "name is a header that the operator or HTTP itself sets";
            for name in [
                "Authorization",
                "HOST",
                "content-length",
                "Content-Type",
                "Connection",
                "Transfer-Encoding",
                "traceparent",
            ] {
                refuses_values(test, kind, "headers", &[json!([header(name)])], own).await;
            }
            for name in ["a b", "a:b", "ä", "a\nb", "a/b"] {
                let message = "name is no header's name";
                refuses_values(test, kind, "headers", &[json!([header(name)])], message).await;
            }
            for value in [" a", "a ", "a\r\nHost: b", "ä", "a\tb"] {
                let wrong = json!([{"name": "X-A", "value": value}]);
                refuses_values(
                    test,
                    kind,
                    "headers",
                    &[wrong],
                    "value is no header's value",
                )
                .await;
            }
            let both = json!({"name": "X-A", "value": "v", "valueFrom": of_secret["valueFrom"]});
            for wrong in [both, json!({"name": "X-A"})] {
                let message = "a header needs exactly one of value, valueFrom";
                refuses_values(test, kind, "headers", &[json!([wrong])], message).await;
            }
            let twice = json!([header("X-A"), header("x-a")]);
            refuses_values(
                test,
                kind,
                "headers",
                &[twice],
                "headers names a header twice",
            )
            .await;
            refuses_values(
                test,
                kind,
                "headers",
                &[json!(many)],
                "must have at most 16 items",
            )
            .await;
            let long = json!([{"name": "X-A", "value": "v".repeat(8193)}]);
            refuses_values(test, kind, "headers", &[long], &too_long(8192)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_connection_allows_namespaces_by_their_labels() {
    test(async |test| {
        takes_values(
            test,
            CLUSTER_CONNECTION,
            "allowedNamespaces",
            &[
                json!({}),
                json!({"matchLabels": {"team": "identity"}}),
                json!({"matchExpressions": [{"key": "team", "operator": "In", "values": ["identity"]}]}),
            ],
        )
        .await;
        refuses(
            test,
            CLUSTER_CONNECTION,
            &[
                (json!({"allowedNamespaces": {"matchLabels": ["team"]}}), "expected map"),
                (json!({"allowedNamespaces": {"labels": {"team": "identity"}}}), "field not declared in schema"),
                (
                    json!({"tokenSecretRef": {"name": "authentik", "key": "token"}}),
                    "namespace: Required value",
                ),
                (
                    json!({"caBundleFrom": {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}}}),
                    "namespace: Required value",
                ),
            ],
        )
        .await;
    })
    .await;
}
